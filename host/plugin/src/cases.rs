//! A plugin's own cases: questions with the answers that it must give before it is put in service. They lie beside the file,
//! `orders.cases.json` for `orders.wasm`, so that whoever ships a plugin ships what it promises.
//!
//! ```json
//! [
//!   { "name": "eu passes", "params": { "region": "eu" },
//!     "message": { "tag": "new", "properties": { "region": "eu" }, "body": "{}" }, "expect": "deliver" },
//!   { "name": "two consumers", "assign": {
//!       "queues": [{ "broker": "a", "queue_id": 0 }, { "broker": "a", "queue_id": 1 }],
//!       "members": [{ "client_id": "c1" }, { "client_id": "c2" }] }, "expect": [[0], [1]] },
//!   { "name": "lag", "params": { "seconds": "60" },
//!     "ticks": [{ "at_ms": 0, "series": [{ "name": "rocketmq_consumer_lag_latency", "value": 90000 }] }],
//!     "expect": ["lag"] }
//! ]
//! ```
//!
//! `expect` is a verdict; for `route` one boolean a broker; for `place` weights or `"per-message"`; for `select` a queue's index
//! or null; for `assign` queue indexes a member; for `ticks` what the last one makes: keys of alerts, or derived series as
//! `{ "name{label=\"value\"}": 1.5 }`.

mod ask;
mod file;

use std::{fs::File, io::Read, path::Path, sync::Arc};

use serde::Serialize;

pub(crate) use self::file::Case;
use crate::{
    refusal::Refusal,
    version::{Ground, Version},
};

/// Largest file of cases that is read, bytes.
pub const CASES_FILE_BYTES_MAX: u64 = 4 << 20;

/// One case and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CaseReport {
    /// Its name.
    pub name: String,
    /// What the plugin answered otherwise than expected, or why it could not be asked; `None` = as expected.
    pub problem: Option<String>,
}

/// `orders.wasm` has its cases in `orders.cases.json`.
pub fn cases_file(plugin: &Path) -> std::path::PathBuf {
    plugin.with_extension("cases.json")
}

/// Puts the cases beside `plugin`, if there are any, to the code of `version`. The first that fails refuses it.
pub(crate) fn run_beside(plugin: &Path, ground: &Ground, version: &Version) -> Result<(), Refusal> {
    let file = cases_file(plugin);
    if !file.exists() {
        return Ok(());
    }
    let cases = read(&file)?;
    for report in run(&cases, ground, version) {
        if let Some(problem) = report.problem {
            return Err(Refusal::Case { name: report.name, problem });
        }
    }
    Ok(())
}

/// The cases of a file.
pub(crate) fn read(file: &Path) -> Result<Vec<Case>, Refusal> {
    let unreadable = |error: String| Refusal::Cases(format!("{}: {error}", file.display()));
    let mut text = String::new();
    let opened = File::open(file).map_err(|error| unreadable(error.to_string()))?;
    let read = opened.take(CASES_FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > CASES_FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {CASES_FILE_BYTES_MAX} bytes")));
    }
    serde_json::from_str(&text).map_err(|error| unreadable(error.to_string()))
}

/// Puts each case to an instance of its own.
pub(crate) fn run(cases: &[Case], ground: &Ground, version: &Version) -> Vec<CaseReport> {
    let alone = Ground { slots: 1, shared: Arc::new(ground.shared.apart()), ..ground.clone() };
    let report = |case: &Case| CaseReport { name: case.name.clone(), problem: ask::ask(case, &alone, version).err() };
    cases.iter().map(report).collect()
}
