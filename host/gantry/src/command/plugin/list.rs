//! `gantry plugin list`.

use serde_json::Value;

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Show the plugins of a running node: what serves, what was refused and why, where they are bound
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let plugins = client::ask(&args.target, &Request::PluginList)?;
    if args.json {
        return output::json(&plugins);
    }
    let plugins = plugins.as_array().map(Vec::as_slice).unwrap_or_default();
    if plugins.is_empty() {
        return Ok(output::line("no plugins are configured; add a [[plugin]] and a [[filter]] to the cluster file")?);
    }
    for plugin in plugins {
        output::line(&text(plugin))?;
    }
    Ok(())
}

/// The members are those of `gantry_plugin::PluginStatus`.
pub(super) fn text(plugin: &Value) -> String {
    let field = |name: &str| plugin[name].as_str().unwrap_or_default();
    let mut out = format!("{}  {}  {}", field("name"), field("state"), field("file"));
    if let Some(sha256) = plugin["sha256"].as_str() {
        out += &format!(
            "\n  serves    {} ({}), version {} since the start",
            field("guest"),
            sha256.get(..12).unwrap_or(sha256),
            plugin["swaps"]
        );
    }
    for (name, label) in [("refusal", "refused "), ("note", "note    ")] {
        if let Some(reason) = plugin[name].as_str() {
            out += &format!("\n  {label}  {reason}");
        }
    }
    for binding in plugin["bindings"].as_array().into_iter().flatten() {
        let text = |name: &str| binding[name].as_str().unwrap_or_default();
        let breaker = text("breaker");
        out += &match text("kind") {
            "hook" => format!("\n  hook      {} ticks; breaker {breaker}", binding["calls"]),
            "balancer" => format!(
                "\n  balancer  {} for {}: asked {} times; breaker {breaker}",
                text("topic"),
                text("group"),
                binding["calls"]
            ),
            kind => {
                let arg = binding["arg"].as_str().map(|arg| format!(" by wasm(.., {arg:?})")).unwrap_or_default();
                format!(
                    "\n  {kind:<9} {} for {}{arg}: {} judged, {} delivered, {} skipped, {} undecided; breaker {breaker}",
                    text("topic"),
                    text("group"),
                    binding["messages"],
                    binding["delivered"],
                    binding["skipped"],
                    binding["undecided"]
                )
            }
        };
        if let Some(problem) = binding["problem"].as_str() {
            out += &format!("\n  problem   {problem}");
        }
    }
    out
}
