//! The table of keys as text, as JSON, and as a commented file.

use std::fmt::Write;

use serde_json::json;

use super::{
    key::{Key, Kind, Value},
    keys::KEYS,
};

/// Width of wrapped texts.
const WIDTH: usize = 100;

/// How the file for one machine begins: `conf/standalone.toml`.
pub(crate) const STANDALONE_HEAD: &str =
    "One machine: name server and broker in one process. This is what `gantry run` does without a file.
Every key is here at its default. After a change: gantry config check FILE";
/// Its nodes.
pub(crate) const STANDALONE_NODES: &str = "[node.standalone]
host = \"127.0.0.1\"
data = \"gantry-data\"
nameserver = {}
brokers = [{ name = \"broker-a\", port = 10911 }]";

/// One key for a terminal.
pub(crate) fn text(key: &Key) -> String {
    let mut out = format!("{}\n", key.path);
    for line in wrap(key.doc, WIDTH - 2) {
        let _ = writeln!(out, "  {line}");
    }
    let _ = writeln!(out, "  default: {}\n  allowed: {}\n  {}", key.default, key.allowed(), key.reload.text());
    out
}

/// One key for a program.
pub(crate) fn json(key: &Key) -> serde_json::Value {
    let default = match &key.default {
        Value::Required | Value::Absent => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Integer(value) => json!(value),
        Value::Text(value) => json!(value),
        Value::Empty if matches!(key.kind, Kind::Params) => json!({}),
        Value::Empty => json!([]),
    };
    json!({
        "key": key.path,
        "doc": key.doc,
        "default": default,
        "required": key.default == Value::Required,
        "allowed": key.allowed(),
        "unit": key.unit(),
        "reloadable": key.reload == super::key::Reload::Live,
    })
}

/// A whole file: `head` as a comment, every key at its default with its explanation, and `nodes` as it is.
pub(crate) fn file(head: &str, nodes: &str) -> String {
    let mut out = String::new();
    for line in head.lines() {
        let _ = writeln!(out, "# {line}");
    }
    let mut section = "";
    for key in KEYS.iter().filter(|key| !key.section().contains(['*', '['])) {
        if key.section() != section {
            section = key.section();
            let _ = write!(out, "\n[{section}]");
        }
        out.push('\n');
        comment(&mut out, key);
        let _ = writeln!(out, "{} = {}", key.name(), key.default);
    }
    out += "\n# Nodes: each is one process, started with `gantry run --config FILE --node NAME`. Keys of [node.NAME]:\n#\n";
    for key in KEYS.iter().filter(|key| key.path.starts_with("node.")) {
        comment(&mut out, key);
    }
    let _ = write!(out, "\n{}\n", nodes.trim_end());
    for (section, purpose) in [
        ("plugin", "Plugins: WebAssembly components or modules. Any number of these tables:"),
        ("filter", "Filters: which plugin decides what a consumer group sees of a topic. Any number of these tables:"),
        (
            "balancer",
            "Balancers: which plugin decides where messages go and who gets which queue. Any number of these tables:",
        ),
        ("zone", "Zones of clients, for balancers. Any number of these tables:"),
        ("alert_webhook", "Alertmanagers that are told of alerts. Any number of these tables:"),
    ] {
        let _ = write!(out, "\n# {purpose}\n#\n# [[{section}]]\n");
        for key in KEYS.iter().filter(|key| key.section() == format!("{section}[]")) {
            comment(&mut out, key);
            let _ = match &key.default {
                Value::Required | Value::Absent => writeln!(out, "# {} = {}", key.name(), example(key.path)),
                Value::Empty => writeln!(out, "# {} = {{}}", key.name()),
                default => writeln!(out, "# {} = {default}", key.name()),
            };
        }
    }
    out
}

/// Values of keys without a default in the commented-out examples.
fn example(path: &str) -> &'static str {
    match path {
        "plugin[].file" => "\"plugins/region.wasm\"",
        "plugin[].deadline_ms" => "5",
        "plugin[].sha256" => "\"e3b0c442...\"",
        "plugin[].shadow_differs_max_percent" => "20",
        "alert_webhook[].url" => "\"http://127.0.0.1:9093\"",
        "filter[].topic" | "balancer[].topic" => "\"orders\"",
        "filter[].group" => "\"eu-billing\"",
        "balancer[].plugin" => "\"least-backlog\"",
        "balancer[].decides" => "[\"select-queue\"]",
        "zone[].name" => "\"az1\"",
        "zone[].networks" => "[\"10.1.0.0/16\"]",
        _ => "\"eu-orders\"",
    }
}

fn comment(out: &mut String, key: &Key) {
    let heading = match key.section().strip_prefix("node.*") {
        // Not written one by one there, so the comment says which key it is about.
        Some(below) => format!("{}: ", [below, key.name()].join(".").trim_start_matches('.')),
        None => String::new(),
    };
    for line in wrap(&format!("{heading}{}", key.doc), WIDTH - 2) {
        let _ = writeln!(out, "# {line}");
    }
    let default = match key.default {
        Value::Required => "Must be given".to_owned(),
        Value::Absent => "Not set by default".to_owned(),
        Value::Empty => "Default: none".to_owned(),
        ref default => format!("Default {default}"),
    };
    let _ = writeln!(out, "# {default}; {}; {}.", key.allowed(), key.reload.text());
}

/// Lines of at most `width` characters, broken between words.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
