//! `gantry config`.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    config::{Config, did_you_mean, explain, keys},
    exit::{Exit, Failure, Outcome},
    output,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Check(CheckArgs),
    Explain(ExplainArgs),
}

/// Say everything that is wrong with a cluster file
///
/// Exits with 2 when there is something.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The cluster file
    file: PathBuf,
    /// Write problems as one line of JSON
    #[arg(long)]
    json: bool,
}

/// Say what keys a cluster file may have: meaning, default, range, whether a change needs a restart
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// A key such as broker.flush, or a section such as store; all when left out
    key: Option<String>,
    /// Write a line of JSON
    #[arg(long)]
    json: bool,
    /// Write a whole cluster file for one machine, every key at its default with its explanation
    #[arg(long, conflicts_with_all = ["json", "key"])]
    toml: bool,
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::Check(args) => check(&args),
        Command::Explain(args) => explain(&args),
    }
}

fn check(args: &CheckArgs) -> Outcome {
    let (problems, missing) = match Config::load(&args.file) {
        Ok(config) => {
            (Vec::new(), config.plugins.into_iter().map(|plugin| plugin.file).filter(|file| !file.exists()).collect())
        }
        Err(problems) => (problems, Vec::new()),
    };
    let count = problems.len();
    if args.json {
        output::json(
            &json!({ "file": args.file, "ok": count == 0, "problems": problems, "missing_plugin_files": missing }),
        )?;
    } else {
        for problem in &problems {
            output::line(&problem.to_string())?;
        }
        for file in &missing {
            output::line(&format!(
                "note: {} does not exist yet; filters that use it hold until it does",
                file.display()
            ))?;
        }
    }
    if count > 0 {
        let problems = if count == 1 { "a problem".to_owned() } else { format!("{count} problems") };
        return Err(Failure::new(Exit::Usage, format!("{} has {problems}", args.file.display())));
    }
    if !args.json {
        output::line(&format!("{} is fine", args.file.display()))?;
    }
    Ok(())
}

fn explain(args: &ExplainArgs) -> Outcome {
    if args.toml {
        return Ok(output::line(explain::file(explain::STANDALONE_HEAD, explain::STANDALONE_NODES).trim_end())?);
    }
    let wanted = args.key.as_deref().unwrap_or_default();
    let plain = |path: &str| path.replace("[]", "").replace(".*", "");
    let below = |path: &str| path == wanted || path.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('.'));
    let chosen: Vec<_> = keys::KEYS
        .iter()
        .filter(|key| wanted.is_empty() || below(key.path) || below(&plain(key.path)) || key.name() == wanted)
        .collect();
    if chosen.is_empty() {
        let near = did_you_mean(wanted, keys::KEYS.iter().flat_map(|key| [key.path, key.name()]));
        let advice =
            near.map_or("`gantry config explain` lists them all".into(), |near| format!("did you mean {near}?"));
        return Err(Failure::new(Exit::Usage, format!("there is no key {wanted:?}; {advice}")));
    }
    if args.json {
        return output::json(&chosen.into_iter().map(explain::json).collect::<Vec<_>>());
    }
    let texts: Vec<String> = chosen.into_iter().map(explain::text).collect();
    Ok(output::line(texts.join("\n").trim_end())?)
}
