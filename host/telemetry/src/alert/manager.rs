//! The book with its file, its clock and those who are told.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use gantry_base::{
    clock::Clock,
    disk::Disk,
    metric::{Counter, Family, Sink},
};
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Alert, Change, Destination, Listed, Severity, State,
    book::{Book, News},
    file,
    outbox::{self, Outbox},
};

static ALERTS: Family = Family::gauge("gantry_alerts", "Alerts by state and severity.");
static REFUSED: Family = Family::counter(
    "gantry_alerts_refused_total",
    "Alerts not taken: over telemetry.alerts_max, or without a usable key.",
);
static UNSAVED: Family =
    Family::gauge("gantry_alerts_unsaved", "1 while alerts cannot be saved; a restart would tell them again.");

/// How often pending alerts are looked at and what changed is saved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Settings of the alerts of a node.
#[derive(Debug, Clone)]
pub struct AlertOptions {
    /// Where they are kept.
    pub file: PathBuf,
    /// Most alerts, pending and firing; more are not taken.
    pub alerts_max: usize,
    /// After a start, how long a source may take to speak of what it raised before; then that is over.
    pub confirm_within: Duration,
    /// How often what fires is sent again. Alertmanager takes an alert for over when it hears nothing of it for three times
    /// as long.
    pub resend_every: Duration,
    /// Labels of every alert that is sent: cluster, node.
    pub labels: Vec<(String, String)>,
    /// Time.
    pub clock: Clock,
}

/// The alerts of a node. Clones are the same.
#[derive(Clone)]
pub struct Alerts(Arc<Inner>);

pub(super) struct Inner {
    pub(super) options: AlertOptions,
    disk: Arc<dyn Disk>,
    book: Mutex<Book>,
    /// When what was kept must be confirmed, ms since 1970.
    confirm_by_ms: u64,
    outboxes: Mutex<Vec<Arc<Outbox>>>,
    running: (TaskTracker, CancellationToken),
    failing: Mutex<bool>,
    refused_before: Counter,
}

impl Alerts {
    /// Goes on with the alerts of the file. One that cannot be read is said and left behind: its alerts are raised again.
    /// Blocks on the disk.
    pub fn open(options: AlertOptions, disk: Arc<dyn Disk>) -> Alerts {
        let kept = file::read(&*disk, &options.file).unwrap_or_else(|error| {
            tracing::error!(%error, "the alerts of before the start cannot be read; what is still so will be raised and told again");
            Vec::new()
        });
        let confirm_by_ms = options.clock.now_ms() + options.confirm_within.as_millis() as u64;
        Alerts(Arc::new(Inner {
            book: Mutex::new(Book::new(kept, options.alerts_max)),
            options,
            disk,
            confirm_by_ms,
            outboxes: Mutex::default(),
            running: (TaskTracker::new(), CancellationToken::new()),
            failing: Mutex::new(false),
            refused_before: Counter::default(),
        }))
    }

    /// Takes in what a source says. Waits for nobody.
    pub fn apply(&self, source: &str, changes: impl IntoIterator<Item = Change>) {
        let now_ms = self.0.options.clock.now_ms();
        self.0.change(|book, news| {
            for change in changes {
                book.apply(source, change, now_ms, news);
            }
        });
    }

    /// Takes in everything that holds for a source now: what it does not name is over. Waits for nobody.
    pub fn hold(&self, source: &str, alerts: Vec<Alert>) {
        let now_ms = self.0.options.clock.now_ms();
        self.0.change(|book, news| book.hold(source, alerts, now_ms, news));
    }

    /// Ends what sources raised that are gone.
    pub fn retain_sources(&self, keep: impl Fn(&str) -> bool) {
        let now_ms = self.0.options.clock.now_ms();
        self.0.change(|book, news| book.remove_sources(keep, now_ms, news));
    }

    /// Every alert, by source and key.
    pub fn list(&self) -> Vec<Listed> {
        self.0.book.lock().iter().cloned().collect()
    }

    /// Sends to these from now on, and to no others. What fires goes to a new one at once.
    pub fn set_destinations(&self, destinations: Vec<Destination>) {
        let mut outboxes = self.0.outboxes.lock();
        outboxes.retain(|outbox| {
            let kept = destinations.contains(&outbox.destination);
            if !kept {
                outbox.cancel.cancel();
            }
            kept
        });
        for destination in destinations {
            if outboxes.iter().all(|outbox| outbox.destination != destination) {
                let outbox = Arc::new(Outbox::new(destination, self.0.running.1.child_token()));
                self.0.running.0.spawn(outbox::follow(outbox.clone(), self.0.clone()));
                outboxes.push(outbox);
            }
        }
    }

    /// Starts what happens with time: pending alerts fire, changes are saved.
    pub fn start(&self) {
        let inner = self.0.clone();
        self.0.running.0.spawn(async move {
            let mut looks = interval(LOOK_EVERY);
            looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while inner.running.1.run_until_cancelled(looks.tick()).await.is_some() {
                let worker = inner.clone();
                // A panic was said by itself; the next look tries again.
                let _ = tokio::task::spawn_blocking(move || worker.look()).await;
            }
        });
    }

    /// Stops sending and saves. What fires stays so for the next start.
    pub async fn stop(&self) {
        let (tasks, cancel) = &self.0.running;
        cancel.cancel();
        tasks.close();
        tasks.wait().await;
        let worker = self.0.clone();
        let _ = tokio::task::spawn_blocking(move || worker.save()).await;
    }

    /// Tells what it counts.
    pub fn collect(&self, out: &mut dyn Sink) {
        let book = self.0.book.lock();
        for (state, name) in [(State::Pending, "pending"), (State::Firing, "firing")] {
            for severity in [Severity::Info, Severity::Warning, Severity::Critical] {
                let labels = [("state", name), ("severity", severity.name())];
                out.number(&ALERTS, &labels, book.count(state, severity) as f64);
            }
        }
        out.number(&REFUSED, &[], book.refused as f64);
        drop(book);
        out.number(&UNSAVED, &[], f64::from(u8::from(*self.0.failing.lock())));
        for outbox in &*self.0.outboxes.lock() {
            outbox.collect(out);
        }
    }
}

impl Inner {
    /// Changes the book, then tells the news to the log and to whoever sends.
    fn change(&self, change: impl FnOnce(&mut Book, &mut Vec<News>)) {
        let mut news = Vec::new();
        let refused = {
            let mut book = self.book.lock();
            let before = book.refused;
            change(&mut book, &mut news);
            book.refused - before
        };
        if refused > 0 && self.refused_before.get() == 0 {
            tracing::error!(
                "{refused} alerts were not taken: there are telemetry.alerts_max = {}, or they have no usable key; this is said \
                 once, see gantry_alerts_refused_total",
                self.options.alerts_max
            );
        }
        self.refused_before.add(refused);
        news.iter().for_each(log);
        let outboxes = self.outboxes.lock();
        for outbox in &*outboxes {
            outbox.take(&news);
        }
    }

    fn look(&self) {
        let now_ms = self.options.clock.now_ms();
        self.change(|book, news| book.advance(now_ms, self.confirm_by_ms, news));
        self.save();
    }

    fn save(&self) {
        let alerts: Vec<Listed> = {
            let mut book = self.book.lock();
            if !std::mem::take(&mut book.unsaved) {
                return;
            }
            book.iter().cloned().collect()
        };
        let saved: io::Result<()> = file::write(&*self.disk, &self.options.file, &alerts);
        let mut failing = self.failing.lock();
        if let Err(error) = &saved {
            self.book.lock().unsaved = true;
            if !*failing {
                tracing::error!(%error, "alerts cannot be saved; it is tried again every second, a restart would tell them again");
            }
        }
        *failing = saved.is_err();
    }

    /// What fires, from the version on, and the newest version.
    pub(super) fn firing_since(&self, version: u64) -> (Vec<Listed>, u64) {
        let book = self.book.lock();
        let firing = book.iter().filter(|listed| listed.state == State::Firing);
        let newest = firing.clone().map(|listed| listed.version).max().unwrap_or(0);
        (firing.filter(|listed| listed.version > version).cloned().collect(), newest)
    }
}

/// The line of the log that tells it, by severity.
fn log(news: &News) {
    let (listed, what) = match news {
        News::Fires(listed) => (listed, "fires"),
        News::Over { was, .. } => (was, "over"),
    };
    let Listed { source, alert, .. } = listed;
    let (key, value, summary) = (&alert.key, alert.value, &alert.summary);
    match (news, alert.severity) {
        (News::Over { .. }, _) | (_, Severity::Info) => tracing::info!(%source, %key, value, "alert {what}: {summary}"),
        (_, Severity::Warning) => tracing::warn!(%source, %key, value, "alert {what}: {summary}"),
        (_, Severity::Critical) => tracing::error!(%source, %key, value, "alert {what}: {summary}"),
    }
}

#[cfg(test)]
mod tests;
