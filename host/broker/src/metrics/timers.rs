//! How timed messages come along, under RocketMQ's names.

use std::time::{Duration, Instant};

use gantry_base::metric::{Counter, Family, Sink, Unit};
use parking_lot::Mutex;

use super::STORAGE;
use crate::{broker::Broker, schedule};

static ENQUEUE_LAG: Family =
    Family::gauge("rocketmq_timer_enqueue_lag", "Timed messages that are stored and not taken into the timers yet.");
static ENQUEUE_LATENCY: Family =
    Family::gauge("rocketmq_timer_enqueue_latency", "Age of the oldest timed message that is not taken in yet.")
        .counted_in(Unit::Milliseconds);
static DEQUEUE_LAG: Family =
    Family::gauge("rocketmq_timer_dequeue_lag", "Timed messages that fell due and are not delivered yet.");
static DEQUEUE_LATENCY: Family =
    Family::gauge("rocketmq_timer_dequeue_latency", "How late the next timed message already is.")
        .counted_in(Unit::Milliseconds);
static TIMING: Family =
    Family::gauge("rocketmq_timing_messages", "Timed messages that wait, recalls of them included.");
static SNAPSHOT: Family = Family::gauge(
    "rocketmq_timer_message_snapshot",
    "Timed messages that fall due within the bound and not within the one before.",
);
static FIRED: Family = Family::counter("gantry_timer_fired_total", "Timed messages delivered.");
static LATE: Family = Family::counter("gantry_timer_late_total", "Timed messages delivered over a second late.");
static RECALLED: Family = Family::counter("gantry_timer_recalled_total", "Timed messages recalled in time.");
static ROLLED: Family = Family::counter(
    "gantry_timer_rolled_total",
    "Timed messages stored anew, because they wait longer than the log is kept.",
);
static DROPPED: Family = Family::counter(
    "gantry_timer_dropped_total",
    "Timed messages dropped, because their topic is gone or refuses them.",
);
static LEVELS: Family =
    Family::gauge("gantry_delay_level_messages", "Messages with a delay level that wait, retries among them.");

/// Seconds from now. Source: RocketMQ `TimerMetrics`.
const SNAPSHOT_BOUNDS_S: [(u64, &str); 8] = [
    (5, "5"),
    (60, "60"),
    (300, "300"),
    (900, "900"),
    (3_600, "3600"),
    (14_400, "14400"),
    (28_800, "28800"),
    (86_400, "86400"),
];
/// How often they are counted, which reads some blocks of files.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Counts by due time, kept for a while.
#[derive(Default)]
pub(crate) struct DueCounts(Mutex<Option<(Instant, Vec<u64>)>>);

impl Broker {
    pub(super) fn collect_timers(&self, out: &mut dyn Sink) {
        let now_ms = self.options.clock.now_ms();
        let metrics = self.timers.metrics();
        let (lag, oldest_ms) = self.timers.not_taken_in();
        out.number(&ENQUEUE_LAG, STORAGE, lag as f64);
        if lag == 0 || oldest_ms.is_some() {
            let age_ms = oldest_ms.map_or(0, |oldest_ms| now_ms.saturating_sub(oldest_ms));
            out.number(&ENQUEUE_LATENCY, STORAGE, age_ms as f64);
        }
        let next_due_ms = u64::try_from(metrics.next_due_ms.get()).unwrap_or(0);
        let late_ms = if next_due_ms == 0 { 0 } else { now_ms.saturating_sub(next_due_ms) };
        out.number(&DEQUEUE_LATENCY, STORAGE, late_ms as f64);
        out.number(&TIMING, STORAGE, metrics.pending.get() as f64);
        if out.wants(&DEQUEUE_LAG) || out.wants(&SNAPSHOT) {
            self.collect_due_counts(now_ms, out);
        }
        let counters: [(&Family, &Counter); 5] = [
            (&FIRED, &metrics.fired),
            (&LATE, &metrics.late),
            (&RECALLED, &metrics.recalled),
            (&ROLLED, &metrics.rolled),
            (&DROPPED, &metrics.dropped),
        ];
        for (family, counter) in counters {
            out.counter(family, counter);
        }
        for level in schedule::levels() {
            let waiting = schedule::waiting(self, level);
            out.number(&LEVELS, &[("level", &level.number().to_string())], waiting as f64);
        }
    }

    fn collect_due_counts(&self, now_ms: u64, out: &mut dyn Sink) {
        let mut kept = self.due_counts.0.lock();
        if kept.as_ref().is_none_or(|(at, _)| at.elapsed() >= COUNT_EVERY) {
            let due_by_ms: Vec<u64> = [now_ms]
                .into_iter()
                .chain(SNAPSHOT_BOUNDS_S.iter().map(|(bound_s, _)| now_ms + bound_s * 1_000))
                .collect();
            if let Some(counts) = self.timers.pending_by(&due_by_ms) {
                *kept = Some((Instant::now(), counts));
            }
        }
        let Some((_, counts)) = kept.as_ref() else { return };
        out.number(&DEQUEUE_LAG, STORAGE, counts[0] as f64);
        for ((_, bound), pair) in SNAPSHOT_BOUNDS_S.iter().zip(counts.windows(2)) {
            let [storage_type, storage_medium] = [STORAGE[0], STORAGE[1]];
            let labels = [storage_type, storage_medium, ("timer_bound_s", *bound)];
            out.number(&SNAPSHOT, &labels, pair[1].saturating_sub(pair[0]) as f64);
        }
    }
}
