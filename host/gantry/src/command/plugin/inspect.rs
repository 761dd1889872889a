//! `gantry plugin inspect` and `history`.

use gantry_plugin::{Event, What};
use serde_json::Value;

use crate::{
    control::{Request, Target, client},
    exit::{Exit, Failure, Outcome},
    output,
};

/// Which plugin, where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Name of the plugin in the cluster file
    name: String,
    #[command(flatten)]
    target: Target,
    /// Write JSON
    #[arg(long)]
    json: bool,
}

/// Everything that the node knows of it.
pub(crate) fn inspect(args: &Args) -> Outcome {
    let plugin = find(args)?;
    if args.json {
        return output::json(&plugin);
    }
    Ok(output::line(&text(&plugin))?)
}

/// What became of its versions.
pub(crate) fn history(args: &Args) -> Outcome {
    let plugin = find(args)?;
    if args.json {
        return output::json(&plugin["history"]);
    }
    let events: Vec<Event> = serde_json::from_value(plugin["history"].clone())?;
    if events.is_empty() {
        return Ok(output::line("nothing has happened yet")?);
    }
    for event in events {
        output::line(&told(&event))?;
    }
    Ok(())
}

fn find(args: &Args) -> Outcome<Value> {
    let plugins = client::ask(&args.target, &Request::PluginList)?;
    let mut plugins = plugins.as_array().cloned().unwrap_or_default();
    let place = plugins.iter().position(|plugin| plugin["name"] == args.name.as_str());
    place.map(|place| plugins.swap_remove(place)).ok_or_else(|| {
        let names: Vec<_> = plugins.iter().filter_map(|plugin| plugin["name"].as_str()).collect();
        let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        Failure::new(Exit::Failed, format!("the node has no plugin {:?}; {known}", args.name))
    })
}

fn told(event: &Event) -> String {
    let what = match event.what {
        What::InService => "in service",
        What::Refused => "refused",
        What::FailedProbation => "failed on probation, back to",
        What::RolledBack => "rolled back to",
        What::Disabled => "disabled",
        What::Enabled => "enabled",
    };
    let at = i64::try_from(event.at_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let at = at.map_or_else(|| event.at_ms.to_string(), |at| format!("{at:.0}"));
    let version = event.sha256.as_deref().map_or("", |sha256| sha256.get(..12).unwrap_or(sha256));
    let detail = event.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    format!("{at}  {what:<28} {version}{detail}")
}

/// The members are those of `gantry_plugin::PluginStatus`.
fn text(plugin: &Value) -> String {
    let mut out = super::list::text(plugin);
    let list = |value: &Value| {
        let items: Vec<_> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        items.join(", ")
    };
    out += &format!("\n  world     {}", plugin["world"].as_str().unwrap_or_default());
    if let (Some(size), Some(compile_ms)) = (plugin["size_bytes"].as_u64(), plugin["compile_ms"].as_u64()) {
        out += &format!("\n  code      {size} bytes, compiled in {compile_ms} ms");
    }
    for sha256 in plugin["kept"].as_array().into_iter().flatten().filter_map(Value::as_str).rev() {
        out += &format!("\n  kept      {sha256}");
    }
    let shadow = &plugin["shadow"];
    if let Some(messages) = shadow["messages"].as_u64() {
        out += &format!(
            "\n  shadow    of {messages} messages before the swap: {} newly delivered, {} newly skipped, {} newly undecided",
            shadow["newly_delivered"], shadow["newly_skipped"], shadow["newly_undecided"]
        );
    }
    for (name, count) in plugin["counters"].as_object().into_iter().flatten() {
        out += &format!("\n  counter   {name} = {count}");
    }
    for binding in plugin["bindings"].as_array().into_iter().flatten() {
        let (calls, ns) = (binding["calls"].as_u64().unwrap_or(0), binding["nanoseconds"].as_u64().unwrap_or(0));
        let messages = binding["messages"].as_u64().unwrap_or(0);
        let asked = match binding["kind"].as_str() {
            Some("balancer") => format!("decides {}", list(&binding["decides"])),
            Some("hook") => format!("wants {}", list(&binding["wants"])),
            _ => format!("reads {}", list(&binding["columns"])),
        };
        let each = ns.checked_div(messages).map_or(String::new(), |each| format!(", {each} ns a message"));
        let faults = &binding["faults"];
        out += &format!(
            "\n  {:<9} {asked}; {calls} calls{each}; faults: {} traps, {} deadlines, {} memory, {} answers",
            binding["kind"].as_str().unwrap_or_default(),
            faults["trap"],
            faults["deadline"],
            faults["memory"],
            faults["result"]
        );
    }
    out
}
