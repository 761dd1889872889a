//! `gantry plugin reload`.

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Make a running node load a plugin's file now, changed or not
///
/// Without this command a changed file is noticed by itself.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin in the cluster file
    name: String,
    #[command(flatten)]
    target: Target,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let label = client::ask(&args.target, &Request::PluginReload { name: args.name.clone() })?;
    if args.json {
        return output::json(&label);
    }
    Ok(output::line(&format!("in service: {}", label["serves"].as_str().unwrap_or_default()))?)
}
