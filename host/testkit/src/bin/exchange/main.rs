//! One store directory, opened in turn by Apache RocketMQ and by Gantry: each finds everything that the other stored, and
//! goes on with it. Ends in order and with SIGKILL, with and without RocketMQ's extension units; and the kinds of store
//! that Gantry does not read are refused with their name, unchanged.
//!
//! The oracle is this program's memory of what was acknowledged, and at which place.

#![allow(clippy::print_stdout, reason = "a program for the terminal")]

mod ledger;
mod peer;
mod refusals;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail};

use crate::{
    ledger::Ledger,
    peer::{End, Kind, Peer},
};

/// Who has the directory, and how that ends.
const LIVES: [(Kind, End); 9] = [
    (Kind::RocketMq, End::Orderly),
    (Kind::Gantry, End::Orderly),
    (Kind::RocketMq, End::Killed),
    (Kind::Gantry, End::Killed),
    (Kind::RocketMqExt, End::Orderly),
    (Kind::Gantry, End::Orderly),
    (Kind::RocketMqExt, End::Killed),
    (Kind::Gantry, End::Orderly),
    (Kind::RocketMq, End::Orderly),
];
/// A short run goes both ways once.
const LIVES_QUICK: usize = 3;

struct Arguments {
    messages: u64,
    quick: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = arguments()?;
    let folder = tempfile::tempdir()?;
    // RocketMQ's storePathRootDir is what Gantry calls the folder of the broker of that name.
    let data = folder.path().join("data");
    let mut ledger = Ledger::default();
    let lives = if arguments.quick { &LIVES[..LIVES_QUICK] } else { &LIVES[..] };
    let mut checked = 0;
    for (number, (kind, end)) in lives.iter().enumerate() {
        let found = life(&data, *kind, *end, &mut ledger, arguments.messages).await;
        let found = found.with_context(|| {
            let kept = keep(folder.path());
            format!("life {} ({kind}); the directory is kept in {kept}", number + 1)
        })?;
        checked += found;
    }
    // The last one wrote, too: whoever did not write it looks once more.
    let last = if lives.last().is_some_and(|(kind, _)| *kind == Kind::Gantry) { Kind::RocketMq } else { Kind::Gantry };
    checked += life(&data, last, End::Orderly, &mut ledger, 0).await.context("the last look")?;
    println!(
        "{} messages stored in turn, {checked} found by those who opened the directory later, 0 missing, 0 altered, 0 misplaced",
        ledger.len()
    );
    let refused = refusals::all(folder.path(), arguments.quick)?;
    println!("exchange: {} lives passed, {refused} kinds of store refused by name, 0 failed", lives.len() + 1);
    Ok(())
}

/// One program has the directory: it must find all that is in the ledger, and adds to it.
async fn life(data: &Path, kind: Kind, end: End, ledger: &mut Ledger, messages: u64) -> Result<u64> {
    let peer = Peer::start(data, kind)?;
    let found = ledger.verify(peer.address).await?;
    ledger.verify_delayed(peer.address).await?;
    if messages > 0 {
        ledger.store(peer.address, messages).await?;
        // What is stored now is there at once, too, and in its place.
        ledger.verify(peer.address).await?;
        // Offsets are saved every few seconds and at an orderly end, so a kill may take the newest back.
        if end == End::Orderly {
            ledger.commit(peer.address).await?;
        }
        ledger.delay(peer.address).await?;
    }
    println!(
        "ok  {kind:<22} opened in {:>6.0} ms, found {:>7} messages in {} queues, {} by tag, {} by key, {} offsets, {} delayed; \
         stored {messages} more, ended {end}",
        peer.start_time.as_secs_f64() * 1e3,
        found.messages,
        found.queues,
        found.by_tag,
        found.by_key,
        found.offsets,
        ledger.delivered(),
    );
    peer.end(end)?;
    Ok(found.messages)
}

fn arguments() -> Result<Arguments> {
    let mut arguments = Arguments { messages: 4_000, quick: false };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--quick" => (arguments.quick, arguments.messages) = (true, 1_000),
            "--messages" => {
                let count = given.next().context("--messages takes a number")?;
                arguments.messages = count.parse().context("--messages takes a number")?;
            }
            _ => bail!("usage: exchange [--quick] [--messages N]   (N messages a life)"),
        }
    }
    Ok(arguments)
}

/// Moves the folder where the end of this program does not remove it.
fn keep(folder: &Path) -> String {
    let kept = std::env::temp_dir().join(format!("gantry-exchange-{}", std::process::id()));
    match std::fs::rename(folder, &kept) {
        Ok(()) => kept.display().to_string(),
        Err(error) => format!("no place ({error})"),
    }
}

/// How long whoever delivers late may take.
const PATIENCE: Duration = Duration::from_secs(60);
