//! Opening a store with something to look at while it takes long.

use std::{
    io::IsTerminal,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use gantry_base::disk::RealDisk;
use gantry_store::{Options, RecoveryProgress, Store};
use indicatif::{ProgressBar, ProgressStyle};

/// Nothing is shown before this.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two log lines where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Opens the store of broker `name` in `data`. Blocks.
pub(crate) fn open(name: &str, data: &Path, options: Options) -> Result<Store> {
    let mut shown = Shown { begun: Instant::now(), said: None, bar: None };
    let (store, report) =
        Store::open(Arc::new(RealDisk), data, options, &mut |progress| shown.progress(name, progress))?;
    if let Some(bar) = shown.bar {
        bar.finish_and_clear();
    }
    for cut in &report.cut {
        tracing::warn!(broker = name, "recovery: {cut:?}");
    }
    if !report.clean || shown.said.is_some() {
        tracing::info!(
            broker = name,
            clean = report.clean,
            from = report.from,
            end = report.end,
            records = report.records,
            queues = report.queues,
            queues_rebuilt = report.queues_rebuilt,
            took_ms = shown.begun.elapsed().as_millis() as u64,
            "the log is recovered"
        );
    }
    Ok(store)
}

struct Shown {
    begun: Instant,
    said: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Shown {
    fn progress(&mut self, name: &str, progress: RecoveryProgress) {
        if self.begun.elapsed() < PATIENCE {
            return;
        }
        let (what, done, total) = match progress {
            RecoveryProgress::Queues { done, total } => ("loading queues", done, total),
            RecoveryProgress::Log { done, total } => ("checking the log", done, total),
            RecoveryProgress::Dispatch { done, total } => ("dispatching", done, total),
        };
        if std::io::stderr().is_terminal() {
            let bar = self.bar.get_or_insert_with(|| {
                // The template is a constant that parses.
                let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
                ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            });
            bar.set_message(format!("{name}: {what}"));
            bar.set_length(total);
            bar.set_position(done);
        } else if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::info!(broker = name, done, total, "recovery: {what}");
        }
    }
}
