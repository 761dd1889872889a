//! `gantry plugin check FILE`.

use std::io::{self, Write};

use anyhow::{Context, Result, bail};
use gantry_plugin::{CheckReport, PlanReport, check_file};

use super::open::Opened;

/// Load a .wasm file as a broker would, and say what it is and what it asks for
///
/// Fails with one sentence when a broker would refuse the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    opened: Opened,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let plugin = args.opened.plugin()?;
    let binding = args.opened.binding(&plugin);
    let report = check_file(&plugin, &binding).with_context(|| format!("{} is refused", plugin.file.display()))?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(io::stdout(), "{}", text(&report))?;
    }
    if let Some(failed) = report.cases.iter().find(|case| case.problem.is_some()) {
        bail!("a broker would refuse it: it fails its case {:?}", failed.name);
    }
    Ok(())
}

fn text(report: &CheckReport) -> String {
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let plan = match &report.plan {
        Ok(PlanReport::Filter { columns, tags, max_batch }) => {
            let tags = if tags.is_empty() { "all".to_owned() } else { tags.join(", ") };
            format!("columns {}; tags {tags}; at most {max_batch} messages a call", list(columns))
        }
        Ok(PlanReport::Balancer { decides }) => format!("decides {}", decides.join(", ")),
        Ok(PlanReport::Hook { wants, families }) => format!("wants {}; derives {}", list(wants), list(families)),
        Err(reason) => format!("{reason} (give --param NAME=VALUE as the configuration will)"),
    };
    let mut cases = String::new();
    for case in &report.cases {
        let outcome = case.problem.as_ref().map_or("ok".to_owned(), |problem| format!("FAILED, {problem}"));
        cases += &format!("case       {}: {outcome}\n", case.name);
    }
    format!(
        "plugin     {}\nworld      {}, gantry:plugin {}\nfile       {}, {} bytes, sha256 {}\nimports    {}\ncompiled   in {} ms\nplan       {plan}\n{cases}",
        report.guest,
        report.world,
        report.abi,
        report.kind,
        report.size_bytes,
        report.sha256,
        list(&report.imports),
        report.compile_ms,
    )
}
