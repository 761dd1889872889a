//! What one destination has still to be told, and the task that tells it.
//!
//! What fires is not queued: it is read from the book when it is sent, so that a destination which was away for an hour is told
//! how things are, not how they were. Only what is over must be remembered until it was told; at [`OVER_MAX`] of them the
//! oldest is forgotten, and Alertmanager finds out by itself because nobody sends it any more.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use gantry_base::metric::{Counter, Family, Sink};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Destination, Listed,
    book::News,
    manager::Inner,
    post::{self, PostError},
    wire::Postable,
};

static SENT: Family =
    Family::counter("gantry_alert_webhook_alerts_total", "Alerts that a destination took, or refused for good.");
static FAILED: Family = Family::counter(
    "gantry_alert_webhook_failures_total",
    "Requests to a destination that failed and were tried again.",
);
static WAITING: Family =
    Family::gauge("gantry_alert_webhook_waiting", "Alerts that are over and a destination was not told yet.");

/// Alerts in one request.
const BATCH_MAX: usize = 64;
/// Alerts that are over and not told; the oldest is forgotten beyond it.
const OVER_MAX: usize = 10_000;
/// Pause after the first failure; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// News that come together go together.
const GATHER_FOR: Duration = Duration::from_millis(50);

/// See the module's documentation.
pub(super) struct Outbox {
    pub(super) destination: Destination,
    pub(super) cancel: CancellationToken,
    /// What is over, by the version of that news.
    over: Mutex<BTreeMap<u64, (Listed, u64)>>,
    news: Notify,
    taken: Counter,
    refused: Counter,
    failed: Counter,
}

impl Outbox {
    pub(super) fn new(destination: Destination, cancel: CancellationToken) -> Self {
        let (taken, refused, failed) = Default::default();
        Outbox { destination, cancel, over: Mutex::default(), news: Notify::new(), taken, refused, failed }
    }

    /// Notes news to be told.
    pub(super) fn take(&self, news: &[News]) {
        let mut over = self.over.lock();
        for one in news {
            if let News::Over { was, at_ms, version } = one {
                over.insert(*version, (was.clone(), *at_ms));
                if over.len() > OVER_MAX {
                    over.pop_first();
                }
            }
        }
        if !news.is_empty() {
            self.news.notify_one();
        }
    }

    pub(super) fn collect(&self, out: &mut dyn Sink) {
        let to = self.destination.to_string();
        for (result, counter) in [("taken", &self.taken), ("refused", &self.refused)] {
            out.number(&SENT, &[("destination", &to), ("result", result)], counter.get() as f64);
        }
        out.number(&FAILED, &[("destination", &to)], self.failed.get() as f64);
        out.number(&WAITING, &[("destination", &to)], self.over.lock().len() as f64);
    }

    /// Sends what is over, then what fires with a version above `sent`; the version up to which all is told then.
    async fn send(&self, inner: &Inner, sent: u64) -> Result<u64, String> {
        let labels = &inner.options.labels;
        // Taken before what fires: an alert that came back meanwhile is told as over first.
        let over: Vec<(u64, Postable)> = {
            let over = self.over.lock();
            over.iter().map(|(version, (was, at_ms))| (*version, Postable::new(was, labels, *at_ms))).collect()
        };
        let (firing, newest) = inner.firing_since(sent);
        for batch in over.chunks(BATCH_MAX) {
            self.post(batch.iter().map(|(_, postable)| postable)).await?;
            let mut left = self.over.lock();
            batch.iter().for_each(|(version, _)| _ = left.remove(version));
        }
        let ends_ms = inner.options.clock.now_ms() + 3 * inner.options.resend_every.as_millis() as u64;
        let firing: Vec<Postable> = firing.iter().map(|listed| Postable::new(listed, labels, ends_ms)).collect();
        for batch in firing.chunks(BATCH_MAX) {
            self.post(batch.iter()).await?;
        }
        Ok(newest.max(sent))
    }

    async fn post<'a>(&self, alerts: impl ExactSizeIterator<Item = &'a Postable>) -> Result<(), String> {
        let count = alerts.len() as u64;
        let body = serde_json::to_vec(&alerts.collect::<Vec<_>>()).map_err(|error| error.to_string())?;
        match post::post(&self.destination, body).await {
            Ok(()) => self.taken.add(count),
            Err(error @ PostError::Never(..)) => {
                tracing::error!(destination = %self.destination, %error, "{count} alerts were refused and are not sent again as they are");
                self.refused.add(count);
            }
            Err(PostError::Later(reason)) => return Err(reason),
        }
        Ok(())
    }
}

/// Sends news as they come, and all that fires every so often, until cancelled.
pub(super) async fn follow(outbox: Arc<Outbox>, inner: Arc<Inner>) {
    let work = async {
        let mut sent = 0;
        let mut resend_at = Instant::now() + inner.options.resend_every;
        let mut failures = 0;
        loop {
            match outbox.send(&inner, sent).await {
                Ok(now_sent) => {
                    if failures > 0 {
                        tracing::info!(destination = %outbox.destination, "alerts are taken again");
                    }
                    (sent, failures) = (now_sent, 0);
                    tokio::select! {
                        () = outbox.news.notified() => tokio::time::sleep(GATHER_FOR).await,
                        () = tokio::time::sleep_until(resend_at) => {
                            sent = 0;
                            resend_at = Instant::now() + inner.options.resend_every;
                        }
                    }
                }
                Err(reason) => {
                    outbox.failed.add(1);
                    if failures == 0 {
                        tracing::error!(destination = %outbox.destination, reason, "alerts cannot be sent; it is tried again");
                    }
                    tokio::time::sleep(pause(failures)).await;
                    failures += 1;
                }
            }
        }
    };
    outbox.cancel.run_until_cancelled(work).await;
}

/// Half of the doubling pause, and up to the other half by chance, so that nodes that failed together do not come together.
fn pause(failures: u32) -> Duration {
    let whole = PAUSE_FIRST.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX);
    whole / 2 + whole.mul_f64(fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_bound_and_are_not_all_alike() {
        for (failures, longest_ms) in [(0, 500), (1, 1_000), (5, 16_000), (7, 60_000), (u32::MAX, 60_000)] {
            for _ in 0..100 {
                let pause = pause(failures).as_millis() as u64;
                assert!((longest_ms / 2..=longest_ms).contains(&pause), "{failures}: {pause}");
            }
        }
        assert!((0..100).map(|_| pause(7)).any(|one| one != pause(7)));
    }
}
