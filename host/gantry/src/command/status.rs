//! `gantry status`.

use serde_json::Value;

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Show how a running node is
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let status = client::ask(&args.target, &Request::Status)?;
    if args.json {
        return output::json(&status);
    }
    Ok(output::line(&text(&status))?)
}

/// The members are those that [`crate::node`] reports.
fn text(status: &Value) -> String {
    let field = |name: &str| status[name].as_str().unwrap_or("-").to_owned();
    let mut out = format!(
        "node {} (gantry {}, process {}, up {} s)\n  name server  {}\n  http         {}\n  data         {}",
        field("node"),
        field("version"),
        status["pid"],
        status["uptime_s"],
        field("name_server"),
        field("http"),
        field("data"),
    );
    for broker in status["brokers"].as_array().into_iter().flatten() {
        let text = |name: &str| broker[name].as_str().unwrap_or("-");
        out += &format!(
            "\n  broker       {} {}: {}; {} messages in, {} out; log {} bytes, {} flushed, {} dispatched; \
             index {}",
            text("name"),
            text("address"),
            text("health"),
            broker["messages_in"],
            broker["messages_out"],
            broker["appended"],
            broker["flushed"],
            broker["dispatched"],
            text("index"),
        );
        let retention = &broker["retention"];
        out += &format!(
            "\n    log kept from {}, {} files deleted; disk {} % full",
            retention["min"], retention["segments_deleted"], retention["disk_used_percent"]
        );
        if let Some(holder) = retention["held_by"].as_str() {
            out += &format!("; deletion up to {} waits for: {holder}", retention["expiring"]);
        }
        if let Some(reason) = retention["refusing"].as_str() {
            out += &format!("\n    sends are refused: {reason}");
        }
        for damage in broker["damages"].as_array().into_iter().flatten() {
            let state = if damage["skipped"] == true { "given up" } else { "DAMAGED, its queue stops there" };
            out += &format!(
                "\n    {state}: {}, position {}, {} bytes: {}",
                damage["file"].as_str().unwrap_or("-"),
                damage["position"],
                damage["length"],
                damage["reason"].as_str().unwrap_or("-"),
            );
        }
        for flow in broker["flow"].as_array().into_iter().flatten() {
            if flow["refused"].as_u64().is_some_and(|refused| refused > 0) {
                let text = |name: &str| flow[name].as_str().unwrap_or_default();
                let (level, limit, refused) = (&flow["level"], &flow["limit"], &flow["refused"]);
                let (resource, unit, key) = (text("resource"), text("unit"), text("key"));
                out += &format!("\n    refused {refused} for want of {resource}: {level} {unit} now, {key} is {limit}");
            }
        }
    }
    out += &format!("\n  config       {}", status["config"]["file"].as_str().unwrap_or("built in"));
    for problem in status["config"]["problems"].as_array().into_iter().flatten() {
        out += &format!("\n    not applied: {}", problem.as_str().unwrap_or_default());
    }
    for key in status["config"]["needs_restart"].as_array().into_iter().flatten() {
        out += &format!("\n    needs a restart: {}", key.as_str().unwrap_or_default());
    }
    out
}
