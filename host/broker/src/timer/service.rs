//! The timers as a part of the broker: one engine behind a lock, moved on by one task.

use std::{io, sync::Arc, time::Duration};

use gantry_base::{
    disk::Disk,
    metric::{Counter, Gauge},
    watermark::Watermark,
};
use gantry_model::{name::TIMER_TOPIC, offset::QueueOffset};
use gantry_store::{Queue, Store};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use super::engine::{Engine, Outlook, TimerError};
use crate::{broker::Broker, options::BrokerOptions};

/// Longest sleep while something waits: the clock may be set, and the log be flushed, meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest sleep while nothing waits.
const IDLE: Duration = Duration::from_secs(1);
/// Pause after a step that failed (disk full, log stopped).
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Longest wait of who counts for a step to end.
const COUNT_WAIT_MAX: Duration = Duration::from_millis(100);

/// Longest wait for the dispatch of what is appended, after a panic.
const REOPEN_WAIT_MAX: Duration = Duration::from_secs(5);

/// What the timers count.
#[derive(Debug, Default)]
pub struct TimerMetrics {
    /// Messages (and recalls of them) that wait. One that was stored anew counts twice, until its first place is passed
    /// over at its time or a merge of the index's files drops it.
    pub pending: Gauge,
    /// Messages delivered.
    pub fired: Counter,
    /// Of them, those delivered more than a second after their time.
    pub late: Counter,
    /// Messages not delivered because they were recalled.
    pub recalled: Counter,
    /// Messages stored anew because they wait longer than the log is kept.
    pub rolled: Counter,
    /// Messages not delivered because their topic is gone, or would not take them.
    pub dropped: Counter,
    /// Queue offset in the timer topic up to which messages were taken in.
    pub(crate) taken_in: Gauge,
    /// When the next message falls due, ms since 1970; 0 when none waits.
    pub(crate) next_due_ms: Gauge,
}

/// See the module's documentation.
pub(crate) struct Timers {
    engine: Mutex<Engine>,
    queue: Arc<Queue>,
    metrics: Arc<TimerMetrics>,
    parts: Parts,
}

/// What an engine is made of.
struct Parts {
    store: Store,
    disk: Arc<dyn Disk>,
    options: Arc<BrokerOptions>,
    hold: Watermark,
}

impl Parts {
    fn engine(&self, metrics: &Arc<TimerMetrics>) -> io::Result<Engine> {
        let Parts { store, disk, options, hold } = self;
        Engine::open(store.clone(), disk.clone(), options.clone(), metrics.clone(), hold.clone())
    }
}

impl Timers {
    /// Blocks on the disk.
    pub(crate) fn open(
        store: Store,
        disk: Arc<dyn Disk>,
        options: Arc<BrokerOptions>,
        hold: Watermark,
    ) -> io::Result<Self> {
        let queue = store.queue_or_create(TIMER_TOPIC, 0).map_err(io::Error::other)?;
        let metrics = Arc::new(TimerMetrics::default());
        let parts = Parts { store, disk, options, hold };
        let engine = Mutex::new(parts.engine(&metrics)?);
        Ok(Timers { engine, queue, metrics, parts })
    }

    /// Begins again from the log: after a panic what is in memory may be half done. Blocks on the disk.
    pub(super) fn reopen(&self) -> io::Result<()> {
        let mut engine = self.engine.lock();
        // All that was appended must be found, progress records and, for they come under this lock, recalls.
        let appended = self.parts.store.appended().get();
        let dispatched = self.parts.store.dispatched().wait_blocking(appended, REOPEN_WAIT_MAX);
        if dispatched.map_err(io::Error::other)? < appended {
            return Err(io::Error::other("the log has records that are not dispatched yet"));
        }
        *engine = self.parts.engine(&self.metrics)?;
        Ok(())
    }

    /// Where timed messages wait.
    pub(crate) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    pub(crate) fn metrics(&self) -> &TimerMetrics {
        &self.metrics
    }

    /// Messages that are stored in the timer topic and not taken in yet, and the store time of the first of them, ms since
    /// 1970. May read the disk.
    pub(crate) fn not_taken_in(&self) -> (u64, Option<u64>) {
        let (first, end) = (self.metrics.taken_in.get().max(0) as u64, self.queue.end().get());
        let first = first.max(self.queue.min_offset().0);
        if first >= end {
            return (0, None);
        }
        let store_ms = self.parts.store.store_time_of(&self.queue, QueueOffset(first));
        (end - first, store_ms.ok().flatten())
    }

    /// For each time, in ms since 1970 and growing, how many messages that wait fall due by then. `None` when that cannot be
    /// told now: a step takes long, or a file cannot be read. May read the disk.
    pub(crate) fn pending_by(&self, due_by_ms: &[u64]) -> Option<Vec<u64>> {
        self.engine.try_lock_for(COUNT_WAIT_MAX)?.index.pending_by(due_by_ms).ok()
    }

    /// Held for a step, which may read the disk: not for a runtime worker.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock()
    }
}

/// Moves the timers on until cancelled.
pub(crate) async fn follow(broker: Arc<Broker>, cancel: CancellationToken) {
    let (mut failing, mut panicked) = (false, false);
    while !cancel.is_cancelled() {
        let worker = broker.clone();
        let stepped = tokio::task::spawn_blocking(move || {
            if panicked {
                worker.timers.reopen()?;
            }
            worker.timers.engine().step(&worker.topics)
        });
        let stepped = stepped.await;
        panicked = stepped.as_ref().is_err_and(JoinError::is_panic)
            || (panicked && matches!(stepped, Ok(Err(TimerError::Reopen(_)))));
        let pause = match stepped {
            Ok(Ok(outlook)) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("timed messages are delivered again");
                }
                if outlook.busy {
                    continue;
                }
                news(&broker, outlook, &cancel).await
            }
            Ok(Err(error)) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "timed messages wait: it is tried again every second");
                }
                Some(RETRY_AFTER)
            }
            // The runtime shuts down.
            Err(stopped) if stopped.is_cancelled() => return,
            Err(panic) => {
                tracing::error!(%panic, "the timers failed within and begin again from the log");
                Some(RETRY_AFTER)
            }
        };
        if let Some(pause) = pause {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// Waits for something to do; a pause when the log has stopped, and with it all positions.
async fn news(broker: &Broker, outlook: Outlook, cancel: &CancellationToken) -> Option<Duration> {
    let now_ms = broker.options.clock.now_ms();
    let sleep = match outlook.next_due_ms {
        Some(_) if outlook.dispatched.is_some() => LOOK_EVERY,
        Some(due_ms) => LOOK_EVERY.min(Duration::from_millis(due_ms.saturating_sub(now_ms))),
        None => IDLE,
    };
    let dispatched = async {
        match outlook.dispatched {
            Some(position) => broker.store.dispatched().reached(position).await,
            None => std::future::pending().await,
        }
    };
    let arrived = tokio::select! {
        () = cancel.cancelled() => Ok(()),
        () = tokio::time::sleep(sleep) => Ok(()),
        arrived = broker.timers.queue.end().reached(outlook.next_offset), if outlook.dispatched.is_none() => arrived,
        dispatched = dispatched => dispatched,
    };
    arrived.is_err().then_some(RETRY_AFTER)
}
