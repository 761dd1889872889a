//! `gantry demo`: a node, a stream of orders, a filter, and the filter replaced while everything runs.

mod folder;
mod orders;
mod story;

use std::path::PathBuf;

use crate::exit::{Exit, Failure, Outcome};

use self::{folder::Folder, story::Story};

/// Show a filter at work: start a node, produce orders, consume them through a filter, and replace the filter live
///
/// Everything lies in a temporary folder and is removed at the end. It stays until Ctrl-C, so that you can connect clients
/// of your own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder with the shipped plugins; `cargo xtask demo` builds them and gives it
    #[arg(long, value_name = "DIR")]
    plugin_dir: Option<PathBuf>,
    /// Orders produced a second
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    rate: u32,
    /// End when the difference has been shown
    #[arg(long)]
    once: bool,
    /// Write events as lines of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    if !(1..=10_000).contains(&args.rate) {
        return Err(Failure::new(Exit::Usage, format!("--rate is {}; give 1 to 10000", args.rate)));
    }
    let folder = Folder::make(args.plugin_dir.as_deref())?;
    let story = Story::new(&folder, args.rate, !args.once, args.json);
    tokio::runtime::Runtime::new()?.block_on(story.tell())
}
