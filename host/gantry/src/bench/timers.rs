//! Timed messages that fall due within one window, and how late each came.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Result;
use gantry_client::Client;
use serde::Serialize;

use super::{
    consume,
    e2e::ends,
    latency::LatencySummary,
    ledger::{Audit, Lane},
    produce::{self, Load, ProduceReport},
    producer::Run,
};

/// How long after the end of the window messages may still come.
const LATE_MAX: Duration = Duration::from_secs(60);
/// How often the reader's count is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// When messages fall due: spread evenly over a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DueWindow {
    /// Begin, ms since 1970.
    pub(crate) from_ms: u64,
    /// Length in milliseconds.
    pub(crate) len_ms: u64,
    /// Messages of each producer.
    pub(crate) messages: u64,
}

impl DueWindow {
    /// When a producer's `number`th message falls due, nanoseconds since 1970, on a whole millisecond.
    pub(crate) fn due_ns(&self, number: u64) -> u64 {
        let into = u128::from(number) * u128::from(self.len_ms) / u128::from(self.messages.max(1));
        (self.from_ms + into as u64) * 1_000_000
    }
}

/// What a run measured.
#[derive(Debug, Serialize)]
pub(crate) struct TimersReport {
    /// The sends; they are over before the first message falls due, or the figures say nothing.
    pub(crate) produce: ProduceReport,
    /// Seconds from the last send's answer to the begin of the window.
    pub(crate) spare_s: f64,
    pub(crate) audit: Audit,
    /// Messages stored for delivery before their time, by the broker's clock, or received before it by this one.
    pub(crate) early: u64,
    /// From a message's time to its store time in its topic, by the broker's clock, in whole milliseconds.
    pub(crate) stored_late: LatencySummary,
    /// From a message's time to its receipt, by this machine's clock.
    pub(crate) received_late: LatencySummary,
}

/// Sends `load`, whose shape has a window, and receives what comes of it.
pub(crate) fn run(
    client: &Client,
    load: &Load,
    window: DueWindow,
    run: &Arc<Run>,
    threads: usize,
    base_id: u32,
) -> Result<TimersReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let topic = load.shape.topic.as_str();
    let begin = runtime.block_on(ends(client, &load.targets, topic))?;
    let lots = consume::lots(&load.targets, topic, &begin);
    let reading = Arc::new(Run::start(Duration::ZERO, None));
    let now_ms = |run: &Run| run.unix_ns(run.now_ns()) / 1_000_000;
    let (written, read) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| consume::consume("GANTRY_BENCH", &lots, load.targets.len(), 1, &reading));
        let written = produce::produce(load, run, threads, base_id).map(|(report, produced)| {
            let spare_ms = window.from_ms as i64 - now_ms(run) as i64;
            let left = (window.from_ms + window.len_ms).saturating_sub(now_ms(run));
            let deadline = Instant::now() + Duration::from_millis(left) + LATE_MAX;
            let all_here = || reading.stored.load(Ordering::Relaxed) >= report.stored;
            while !all_here() && Instant::now() < deadline && !run.stop.load(Ordering::Relaxed) {
                std::thread::sleep(LOOK_EVERY);
            }
            (report, produced, spare_ms as f64 / 1e3)
        });
        reading.stop.store(true, Ordering::Relaxed);
        let read = reader.join().map_err(|_| anyhow::anyhow!("the reader died")).and_then(|read| read);
        (written, read)
    });
    let ((produce, produced, spare_s), consumed) = (written?, read?);
    let sent = produced.iter().flat_map(|one| {
        let lane = |(queue, next): (usize, &u64)| (Lane { producer: one.id, queue: queue as u32 }, *next);
        one.next_sequence.iter().enumerate().map(lane)
    });
    let audit = consumed.ledger.audit(sent.collect::<Vec<_>>());
    Ok(TimersReport {
        produce,
        spare_s,
        audit,
        early: consumed.early,
        stored_late: consumed.stored.summary(),
        received_late: consumed.latency.summary(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_fill_the_window() {
        let window = DueWindow { from_ms: 1_000, len_ms: 60_000, messages: 500_000 };
        assert_eq!(window.due_ns(0), 1_000_000_000);
        assert_eq!(window.due_ns(499_999), 60_999_000_000);
        assert_eq!(window.due_ns(250_000), 31_000_000_000);
    }
}
