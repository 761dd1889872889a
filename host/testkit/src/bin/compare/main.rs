//! Gantry beside others on this machine, each figure with what it is held against.
//!
//! `compare` alone: Apache RocketMQ and Gantry in turns under the same client. `compare durable`: sends against the disk's
//! own sync time. `compare backlog`: reading what is in the page cache against a bare server, and a tail beside a cold reader.
//! `compare growth`: many topics and a long log against few and a short one.
//!
//! Nothing here passes or fails: a figure that misses what was asked is printed as such, and so is what RocketMQ does better.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod backlog;
mod bench;
mod durable;
mod growth;
mod rivals;
mod table;

use anyhow::{Result, bail};

use crate::table::Table;

/// What was asked for.
struct Arguments {
    what: What,
    quick: bool,
    json: bool,
    /// Flush modes of the comparison with RocketMQ.
    flush: Vec<&'static str>,
}

#[derive(Clone, Copy)]
enum What {
    Rivals,
    Durable,
    Backlog,
    Growth,
}

fn main() -> Result<()> {
    let arguments = arguments()?;
    let mut table = Table::default();
    match arguments.what {
        What::Rivals => rivals::run(&mut table, arguments.quick, &arguments.flush)?,
        What::Durable => durable::run(&mut table, arguments.quick)?,
        What::Backlog => backlog::run(&mut table, arguments.quick)?,
        What::Growth => growth::run(&mut table, arguments.quick)?,
    }
    if arguments.json {
        println!("{}", table.json());
    } else {
        print!("{}", table.text());
    }
    Ok(())
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments { what: What::Rivals, quick: false, json: false, flush: vec!["async", "sync"] };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "durable" => arguments.what = What::Durable,
            "backlog" => arguments.what = What::Backlog,
            "growth" => arguments.what = What::Growth,
            "--quick" => arguments.quick = true,
            "--json" => arguments.json = true,
            "--flush" => match given.next().as_deref() {
                Some("sync") => arguments.flush = vec!["sync"],
                Some("async") => arguments.flush = vec!["async"],
                Some("both") => {}
                _ => bail!("--flush takes sync, async or both"),
            },
            _ => bail!("usage: compare [durable|backlog|growth] [--quick] [--json] [--flush sync|async|both]"),
        }
    }
    Ok(arguments)
}

/// What is going on, for who waits; the table alone goes to standard output.
fn say(text: &str) {
    eprintln!("{text}");
}
