//! `gantry reload`.

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Make a running node read its cluster file now, as SIGHUP does
///
/// A changed file is noticed by itself; this says what came of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let result = client::ask(&args.target, &Request::ConfigReload)?;
    if args.json {
        return output::json(&result);
    }
    let list = |name: &str| {
        let names = result[name].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let (applied, restart) = (list("applied"), list("needs_restart"));
    output::line(&if applied.is_empty() { "nothing changed".to_owned() } else { format!("applied: {applied}") })?;
    if !restart.is_empty() {
        output::line(&format!("needs a restart: {restart}"))?;
    }
    Ok(())
}
