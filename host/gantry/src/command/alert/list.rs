//! `gantry alert list`.

use serde_json::Value;

use crate::{
    control::{Request, Target, client},
    exit::Outcome,
    output,
};

/// Show the alerts of a running node: what is wrong, since when, and who says so
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Write one line of JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let alerts = client::ask(&args.target, &Request::AlertList)?;
    if args.json {
        return output::json(&alerts);
    }
    let alerts = alerts.as_array().map(Vec::as_slice).unwrap_or_default();
    if alerts.is_empty() {
        return Ok(output::line("no alerts")?);
    }
    for alert in alerts {
        output::line(&text(alert))?;
    }
    Ok(())
}

/// The members are those of `gantry_telemetry::alert::Listed`.
fn text(alert: &Value) -> String {
    let field = |name: &str| alert[name].as_str().unwrap_or_default();
    let since =
        alert["since_ms"].as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    let mut out = format!(
        "{}  {}  {} from {} since {since:.0}\n  {}, value {}",
        field("state"),
        field("severity"),
        field("key"),
        field("source"),
        field("summary"),
        alert["value"],
    );
    let labels = alert["labels"].as_array().into_iter().flatten();
    let labels: Vec<String> = labels
        .map(|pair| format!("{}={}", pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()))
        .collect();
    if !labels.is_empty() {
        out += &format!("\n  {}", labels.join(" "));
    }
    out
}
