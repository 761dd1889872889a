//! `gantry store skip`.

use std::{path::PathBuf, sync::Arc};

use gantry_base::disk::RealDisk;
use gantry_store::{Damage, Skip, skip_stopped};
use serde_json::Value;

use super::store_folder;
use crate::{
    control::{Request, Target, client},
    exit::{Exit, Failure, Outcome},
    output,
};

/// Give up a damaged message: consumers pass over it from now on
///
/// A damaged message stops its queue until its file is brought back from a copy or the message is given up here. Only places
/// that are known to be damaged can be given up; `gantry status` and the answer to the consumer's pull name them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Data directory of the node, or the broker's folder in it
    #[arg(long, value_name = "DIR", default_value = "gantry-data")]
    data: PathBuf,
    /// The broker, when the node has several
    #[arg(long, value_name = "NAME")]
    broker: Option<String>,
    /// Physical offset of the damaged place
    #[arg(value_name = "POSITION")]
    position: u64,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let Args { data, position, .. } = args;
    // The message to the operator names the broker's folder; a running node listens in the folder above.
    let above = data.parent().filter(|above| !above.as_os_str().is_empty());
    let named = data.file_name().map(|name| name.to_string_lossy().into_owned());
    for (node, broker) in [(Some(data.as_path()), args.broker.clone()), (above, named)] {
        let Some(node) = node.filter(|node| node.join("control.sock").exists()) else { continue };
        let request = Request::StoreSkip { broker, position: *position };
        match client::ask(&Target { data: node.to_path_buf() }, &request) {
            // The socket was left by a process that was killed.
            Err(failure) if failure.exit == Exit::Unreachable => {}
            Ok(answer) => return Ok(output::line(&text(&answer))?),
            Err(failure) => return Err(failure),
        }
    }
    let dir = store_folder(&args.broker.as_ref().map_or_else(|| data.clone(), |broker| data.join(broker)))?;
    match skip_stopped(Arc::new(RealDisk), &dir, *position)? {
        Skip::Skipped(damage) => Ok(output::line(&format!("given up: {}", place(&damage)))?),
        Skip::Already(damage) => Ok(output::line(&format!("was given up before: {}", place(&damage)))?),
        Skip::Unknown => Err(Failure::new(Exit::Failed, unknown(*position))),
    }
}

/// What to say where no damage is known.
pub(crate) fn unknown(position: u64) -> String {
    format!(
        "no damage is known at position {position}, so there is nothing to give up; a place becomes known when a consumer or \
         the scrub meets it. `gantry store check` looks for all of them"
    )
}

fn place(damage: &Damage) -> String {
    format!("{}, position {}, {} bytes: {}", damage.file, damage.position, damage.length, damage.reason)
}

fn text(answer: &Value) -> String {
    let field = |name: &str| answer[name].as_str().unwrap_or_default();
    format!(
        "{}: {}, position {}, {} bytes: {}",
        field("done"),
        field("file"),
        answer["position"],
        answer["length"],
        field("reason")
    )
}
