//! `gantry stop`.

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Make a running node finish what is in flight, flush and end, as SIGTERM does
///
/// Returns as soon as the node has begun to stop.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(args: &Args) -> Outcome {
    client::ask(&args.target, &Request::Shutdown)?;
    Ok(output::line("stopping")?)
}
