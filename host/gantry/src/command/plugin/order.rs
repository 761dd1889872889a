//! `gantry plugin reload`, `disable`, `enable` and `rollback`: an order to a running node.

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Which plugin, where.
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

/// Put a former version of a plugin back in service
///
/// Without --to the one before. The version that served is not loaded again until its file changes or `gantry plugin reload` is
/// asked for, also after a restart.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    plugin: Args,
    /// Beginning of the SHA-256 of a version that `gantry plugin inspect` shows as kept
    #[arg(long, value_name = "SHA256")]
    to: Option<String>,
}

pub(crate) fn reload(args: &Args) -> Outcome {
    order(args, &Request::PluginReload { name: args.name.clone() })
}

pub(crate) fn enable(args: &Args, enabled: bool) -> Outcome {
    order(args, &Request::PluginEnable { name: args.name.clone(), enabled })
}

pub(crate) fn rollback(args: &Rollback) -> Outcome {
    order(&args.plugin, &Request::PluginRollback { name: args.plugin.name.clone(), to: args.to.clone() })
}

fn order(args: &Args, request: &Request) -> Outcome {
    let answer = client::ask(&args.target, request)?;
    if args.json {
        return output::json(&answer);
    }
    let serves = answer["serves"].as_str().unwrap_or_default();
    let text = if serves.contains('@') { format!("in service: {serves}") } else { serves.to_owned() };
    Ok(output::line(&text)?)
}
