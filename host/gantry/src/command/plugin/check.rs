//! `gantry plugin check FILE`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::{Context, Result};
use gantry_plugin::{BindingSpec, CheckReport, PluginSpec, check_file};

/// Load a .wasm file as a broker would, and say what it is and what it asks for
///
/// Fails with one sentence when a broker would refuse the file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The .wasm file, a core module or a component
    file: PathBuf,
    /// A parameter to open it with, as `params` in the configuration
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = name_and_value)]
    params: Vec<(String, String)>,
    /// Topic to open it for
    #[arg(long, default_value = "check-topic")]
    topic: String,
    /// Consumer group to open it for
    #[arg(long, default_value = "check-group")]
    group: String,
    /// Write the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let name = args.file.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy().into_owned());
    let plugin = PluginSpec { params: args.params, ..PluginSpec::new(name, args.file) };
    let binding = BindingSpec::new(args.topic, args.group, plugin.name.as_str());
    let report = check_file(&plugin, &binding).with_context(|| format!("{} is refused", plugin.file.display()))?;
    if args.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(io::stdout(), "{}", text(&report))?;
    }
    Ok(())
}

fn text(report: &CheckReport) -> String {
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let plan = match &report.plan {
        Ok(plan) => {
            let tags = if plan.tags.is_empty() { "all".to_owned() } else { plan.tags.join(", ") };
            format!("columns {}; tags {tags}; at most {} messages a call", list(&plan.columns), plan.max_batch)
        }
        Err(reason) => format!("{reason} (give --param NAME=VALUE as the configuration will)"),
    };
    format!(
        "plugin     {}\nworld      {}, gantry:plugin {}\nfile       {}, {} bytes, sha256 {}\nimports    {}\ncompiled   in {} ms\nplan       {plan}\n",
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

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
