//! How busy this broker is: sampled once a second, told to name servers and to those who decide about its queues.

use std::time::Duration;

use gantry_base::metric::{Counter, Gauge};
use gantry_model::load::BrokerLoad;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{broker::Broker, flow::Flow};

/// How often it is sampled.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// What sends count for it.
#[derive(Debug, Default)]
pub(crate) struct SendMeter {
    sends: Counter,
    /// Their times, added up.
    micros: Counter,
    /// Sends refused or not confirmed for reasons of the broker's own.
    failed: Counter,
    in_flight: Gauge,
}

impl SendMeter {
    /// So many sends of one batch may be answered now.
    pub(crate) fn served(&self, sends: usize, arrived: Instant) {
        self.sends.add(sends as u64);
        self.micros.add(arrived.elapsed().as_micros() as u64 * sends as u64);
    }

    /// So many sends failed, not because of what they are.
    pub(crate) fn failed(&self, sends: usize) {
        self.failed.add(sends as u64);
    }

    /// So many sends begin (or, below 0, cease) to wait for the disk.
    pub(crate) fn in_flight(&self, change: i64) {
        self.in_flight.add(change);
    }
}

/// The last sample.
#[derive(Default)]
pub(crate) struct LoadMeter(Mutex<BrokerLoad>);

impl LoadMeter {
    pub(crate) fn current(&self) -> BrokerLoad {
        *self.0.lock()
    }
}

/// Counters when a sample was taken.
#[derive(Clone, Copy)]
struct Counts {
    at: Instant,
    messages_in: u64,
    sends: u64,
    micros: u64,
    failed: u64,
}

impl Counts {
    fn of(broker: &Broker) -> Self {
        Counts {
            at: Instant::now(),
            messages_in: broker.metrics.messages_in.get(),
            sends: broker.sends.sends.get(),
            micros: broker.sends.micros.get(),
            failed: broker.sends.failed.get(),
        }
    }
}

/// Samples until cancelled.
pub(crate) async fn follow(broker: std::sync::Arc<Broker>, cancel: CancellationToken) {
    let mut ticks = interval(SAMPLE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Counts::of(&broker);
    while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
        let now = Counts::of(&broker);
        *broker.load.0.lock() = sample(&broker, before, now);
        before = now;
    }
}

fn sample(broker: &Broker, before: Counts, now: Counts) -> BrokerLoad {
    let (flush_backlog_bytes, dispatch_backlog_bytes) = Flow::backlogs(&broker.store);
    let ms = (now.at - before.at).as_millis().max(1) as u64;
    let space = broker.store.retention().space;
    BrokerLoad {
        in_flight: broker.sends.in_flight.get().max(0) as u64,
        send_micros: (now.micros - before.micros).checked_div(now.sends - before.sends).unwrap_or(0),
        flush_backlog_bytes,
        dispatch_backlog_bytes,
        disk_used_percent: space.map_or(0, |space| space.used_percent()),
        messages_in_per_s: (now.messages_in - before.messages_in) * 1_000 / ms,
        recent_errors: now.failed - before.failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{self, Scripted};

    #[tokio::test(start_paused = true)]
    async fn a_sample_is_of_the_interval_before() {
        let broker = scripted::broker(&Scripted::new());
        let begun = Counts::of(&broker);
        let arrived = Instant::now();
        tokio::time::advance(Duration::from_millis(2)).await;
        broker.sends.served(3, arrived);
        tokio::time::advance(Duration::from_millis(4)).await;
        broker.sends.served(1, arrived);
        broker.sends.failed(5);
        broker.sends.in_flight(7);
        broker.metrics.messages_in.add(900);
        tokio::time::advance(Duration::from_millis(1_994)).await;
        let now = Counts::of(&broker);
        let expected = BrokerLoad {
            in_flight: 7,
            send_micros: (3 * 2_000 + 6_000) / 4,
            messages_in_per_s: 450,
            recent_errors: 5,
            // Of the simulated disk, rounded up.
            disk_used_percent: 1,
            ..BrokerLoad::default()
        };
        assert_eq!(sample(&broker, begun, now), expected);
        broker.sends.in_flight(-7);
        let rest = sample(&broker, now, Counts::of(&broker));
        assert_eq!((rest.in_flight, rest.send_micros, rest.messages_in_per_s, rest.recent_errors), (0, 0, 0, 0));
    }
}
