//! `gantry store dump`.

use std::{io, ops::ControlFlow, path::PathBuf, sync::Arc};

use gantry_base::disk::RealDisk;
use gantry_model::properties;
use gantry_protocol::record::{PropertyChecksum, RecordView};
use gantry_store::inspect::{self, Shown};
use serde_json::{Value, json};

use super::store_folder;
use crate::{
    exit::{Exit, Failure, Outcome},
    output,
};

/// Show the records of a store's log, one a line
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The broker's folder, or the data directory of a node with one broker
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Physical offset to begin at: the first record at or behind it
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    from: u64,
    /// How many records are shown
    #[arg(long, value_name = "N", default_value_t = 100)]
    count: u64,
    /// Only this topic
    #[arg(long)]
    topic: Option<String>,
    /// Only queues of this number
    #[arg(long, value_name = "ID")]
    queue: Option<u32>,
    /// Write JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Outcome {
    let dir = store_folder(&args.dir)?;
    let mut left = args.count;
    let mut written: io::Result<()> = Ok(());
    let done = inspect::dump(Arc::new(RealDisk), &dir, args.from, &mut |position, shown| {
        if left == 0 {
            return ControlFlow::Break(());
        }
        let value = match shown {
            Shown::Record(record) if !wanted(args, &record) => return ControlFlow::Continue(()),
            Shown::Record(record) => described(position, &record),
            Shown::Damaged { len, reason } => json!({ "position": position, "size": len, "damaged": reason }),
            Shown::Blank { .. } => return ControlFlow::Continue(()),
        };
        left -= 1;
        let line = if args.json { value.to_string() } else { text(&value) };
        written = output::line(&line);
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    done.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    match written {
        // Whoever read the pipe has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn wanted(args: &Args, record: &RecordView<'_>) -> bool {
    args.topic.as_deref().is_none_or(|topic| topic == record.topic())
        && args.queue.is_none_or(|queue| queue == record.queue_id())
}

fn described(position: u64, record: &RecordView<'_>) -> Value {
    let property = |name: &str| properties::find_str(record.properties(), name);
    let checked = match record.check_crc(PropertyChecksum::Required) {
        Ok(()) => "record",
        Err(_) => "body",
    };
    json!({
        "position": position,
        "size": record.size(),
        "topic": record.topic(),
        "queue_id": record.queue_id(),
        "queue_offset": record.queue_offset().0,
        "stored_ms": record.store_ms(),
        "born_ms": record.born_ms(),
        "born_host": record.born_host().to_string(),
        "sys_flag": record.sys_flag(),
        "reconsume_times": record.reconsume_times(),
        "id": property(properties::UNIQ_KEY),
        "keys": property(properties::KEYS),
        "tags": property(properties::TAGS),
        "body_bytes": record.body().len(),
        "checked": checked,
    })
}

/// What producers chose, without what a terminal would take for commands or a line's end.
fn printable(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn text(value: &Value) -> String {
    if let Some(reason) = value["damaged"].as_str() {
        return format!("{:>14} {:>8}  DAMAGED  {reason}", value["position"], value["size"]);
    }
    let field = |name: &str| printable(value[name].as_str().unwrap_or("-"));
    format!(
        "{:>14} {:>8}  {}/{} {}  stored {}  id {}  keys {}  tags {}  body {}  checked {}",
        value["position"],
        value["size"],
        field("topic"),
        value["queue_id"],
        value["queue_offset"],
        value["stored_ms"],
        field("id"),
        field("keys"),
        field("tags"),
        value["body_bytes"],
        field("checked"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_nothing_that_a_terminal_obeys() {
        let value = json!({ "topic": "t", "id": "a\u{1b}[2Jb", "keys": "one\ntwo\u{9b}", "tags": "naïve" });
        let line = text(&value);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        for part in ["id a\\u{1b}[2Jb ", "keys one\\ntwo\\u{9b} ", "tags naïve "] {
            assert!(line.contains(part), "{line:?} lacks {part:?}");
        }
    }
}
