//! Flow control: what this broker has a limited amount of, how much of it is taken, and what a client is told when it is
//! used up.
//!
//! A request first waits, at most to a deadline that counts from its arrival; only then it is refused. A refusal has the code
//! SYSTEM_BUSY, after which RocketMQ's producers go to another broker, and says which resource is used up, by how much, the
//! setting that limits it and the metric that shows it. Everything here recovers by itself.

use std::{fmt, sync::Arc, time::Duration};

use gantry_base::metric::{Counter, Gauge};
use gantry_protocol::code::response;
use gantry_remoting::Hold;
use gantry_store::Store;
use serde::Serialize;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{options::BrokerOptions, reply::Refusal};

/// One resource: its names, its limit, and how often somebody was refused for want of it.
#[derive(Debug)]
pub(crate) struct Resource {
    name: &'static str,
    unit: &'static str,
    key: &'static str,
    metric: &'static str,
    /// Why it is used up, most likely.
    cause: &'static str,
    limit: u64,
    /// What was seen last, of a resource that is a time.
    last: Gauge,
    refused: Counter,
}

impl Resource {
    fn is_over(&self, level: u64) -> bool {
        level > self.limit
    }

    /// Milliseconds since `since`, noted as the last wait.
    fn seen(&self, since: Instant) -> u64 {
        let waited_ms = since.elapsed().as_millis() as u64;
        self.last.set(waited_ms as i64);
        waited_ms
    }

    /// Counts a refusal and says it.
    pub(crate) fn refuse(&self, level: u64) -> Refusal {
        self.refuse_all(level, 1)
    }

    /// Counts the refusal of so many requests and says it.
    fn refuse_all(&self, level: u64, requests: usize) -> Refusal {
        self.refused.add(requests as u64);
        Refusal::new(response::SYSTEM_BUSY, Full { resource: self, level }.to_string())
    }

    fn level(&self, level: u64) -> FlowLevel {
        FlowLevel {
            resource: self.name,
            level,
            limit: self.limit,
            unit: self.unit,
            key: self.key,
            metric: self.metric,
            refused: self.refused.get(),
        }
    }
}

struct Full<'a> {
    resource: &'a Resource,
    level: u64,
}

impl fmt::Display for Full<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Resource { name, unit, key, metric, cause, limit, .. } = self.resource;
        let level = self.level;
        write!(
            f,
            "{name} {level} {unit} is over {key} ({limit}); metric {metric}; {cause}; not stored or read, try again"
        )
    }
}

/// How full one resource is, for status and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowLevel {
    /// Its name in refusals.
    pub resource: &'static str,
    /// How much is taken now; of a wait, how long the last one was.
    pub level: u64,
    /// How much there is.
    pub limit: u64,
    /// What level and limit count.
    pub unit: &'static str,
    /// The setting behind the limit.
    pub key: &'static str,
    /// The metric that shows the level.
    pub metric: &'static str,
    /// Requests that were refused for want of it.
    pub refused: u64,
}

/// The resources of a broker.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Bytes of the log that are appended and not flushed.
    pub(crate) flush_backlog: Resource,
    /// Bytes of the log that may be delivered and have no consume queue entries yet.
    pub(crate) dispatch_backlog: Resource,
    /// Time that a send waited before it was served.
    pub(crate) send_wait: Resource,
    /// Requests that wait for a place to read the disk or run a slow filter.
    pub(crate) blocking_waiting: Resource,
    /// Time that one of them waited.
    pub(crate) blocking_wait: Resource,
    /// Held pulls; at the limit a pull is answered at once, which is counted as a refusal.
    pub(crate) parked_pulls: Resource,
    /// Members of all groups together.
    pub(crate) clients: Resource,
    waiting: Gauge,
    /// Sends that a backlog holds in the read buffers of their connections.
    held_sends: Arc<Gauge>,
}

impl Flow {
    pub(crate) fn new(options: &BrokerOptions) -> Self {
        let resource = |name, unit, key, metric, cause, limit| Resource {
            name,
            unit,
            key,
            metric,
            cause,
            limit,
            last: Gauge::default(),
            refused: Counter::default(),
        };
        Flow {
            flush_backlog: resource(
                "flush backlog",
                "bytes",
                "broker.flush_backlog_bytes_max",
                "gantry_flush_backlog_bytes",
                "the disk is slower than the senders",
                options.flush_backlog_bytes_max,
            ),
            dispatch_backlog: resource(
                "dispatch backlog",
                "bytes",
                "broker.dispatch_backlog_bytes_max",
                "gantry_dispatch_backlog_bytes",
                "consume queues are written slower than messages come",
                options.dispatch_backlog_bytes_max,
            ),
            send_wait: resource(
                "wait of a send",
                "ms",
                "broker.send_wait_ms_max",
                "gantry_send_wait_ms",
                "its connection has limits.in_flight_requests_max requests in flight or takes no answers, or the processors are overloaded",
                options.send_wait_ms_max,
            ),
            blocking_waiting: resource(
                "queue for disk reads",
                "requests",
                "broker.blocking_waiting_max",
                "gantry_blocking_waiting",
                "broker.blocking_pulls_max others read the disk or run a slow filter",
                options.blocking_waiting_max as u64,
            ),
            blocking_wait: resource(
                "wait for a disk read",
                "ms",
                "broker.blocking_wait_ms_max",
                "gantry_blocking_wait_ms",
                "broker.blocking_pulls_max others read the disk or run a slow filter",
                options.blocking_wait_ms_max,
            ),
            parked_pulls: resource(
                "held pulls",
                "pulls",
                "broker.parked_pulls_max",
                "gantry_parked_pulls",
                "many consumers wait at the end of their queues",
                options.parked_pulls_max as u64,
            ),
            clients: resource(
                "group memberships",
                "members",
                "broker.clients_max",
                "gantry_clients",
                "close some clients or raise it",
                options.clients_max as u64,
            ),
            waiting: Gauge::default(),
            held_sends: Arc::default(),
        }
    }

    /// Sends that a backlog holds, and requests that wait for a place to read the disk.
    pub(crate) fn waiting(&self) -> (u64, u64) {
        let now = |gauge: &Gauge| gauge.get().max(0) as u64;
        (now(&self.held_sends), now(&self.waiting))
    }

    /// Bytes to be flushed, and bytes to be dispatched.
    pub(crate) fn backlogs(store: &Store) -> (u64, u64) {
        // What follows is read first, so that a step in between makes no backlog that never was.
        let (dispatched, flushed) = (store.dispatched().get(), store.flushed().get());
        (store.appended().get().saturating_sub(flushed), store.visible().get().saturating_sub(dispatched))
    }

    /// Whether sends that arrived then should wait for a backlog to shrink, until it has or their time is up.
    pub(crate) fn hold_sends(&self, store: &Store, arrived: Instant) -> Option<Hold> {
        let (flush, dispatch) = Flow::backlogs(store);
        let reached = if self.flush_backlog.is_over(flush) {
            store.flushed().reached(store.appended().get().saturating_sub(self.flush_backlog.limit))
        } else if self.dispatch_backlog.is_over(dispatch) {
            store.dispatched().reached(store.visible().get().saturating_sub(self.dispatch_backlog.limit))
        } else {
            return None;
        };
        let deadline = arrived + Duration::from_millis(self.send_wait.limit);
        // A store that stopped is not waited for.
        let worth_it = !store.flushed().is_closed() && Instant::now() < deadline;
        worth_it.then(|| -> Hold {
            Box::pin(async move {
                // Late, or the store stopped: serving it says so.
                drop(tokio::time::timeout_at(deadline, reached).await);
            })
        })
    }

    /// The same hold, with `sends` counted as waiting for as long as it lasts.
    pub(crate) fn counted(&self, hold: Hold, sends: usize) -> Hold {
        let held = Held { gauge: self.held_sends.clone(), sends: sends as i64 };
        held.gauge.add(held.sends);
        Box::pin(async move {
            hold.await;
            drop(held);
        })
    }

    /// Lets so many sends in, or says what is used up.
    pub(crate) fn admit_sends(&self, store: &Store, arrived: Instant, sends: usize) -> Result<(), Refusal> {
        let (flush, dispatch) = Flow::backlogs(store);
        if self.flush_backlog.is_over(flush) {
            return Err(self.flush_backlog.refuse_all(flush, sends));
        }
        if self.dispatch_backlog.is_over(dispatch) {
            return Err(self.dispatch_backlog.refuse_all(dispatch, sends));
        }
        let waited_ms = self.send_wait.seen(arrived);
        if self.send_wait.is_over(waited_ms) {
            return Err(self.send_wait.refuse_all(waited_ms, sends));
        }
        Ok(())
    }

    /// A place to read the disk or run a slow filter, waited for in line; `since` is when the request arrived or woke.
    pub(crate) async fn blocking_place(
        &self,
        places: &Arc<Semaphore>,
        since: Instant,
    ) -> Result<Option<OwnedSemaphorePermit>, Refusal> {
        if let Ok(place) = places.clone().try_acquire_owned() {
            return Ok(Some(place));
        }
        let waiting = Waiting::new(&self.waiting);
        let count = self.waiting.get().max(0) as u64;
        if self.blocking_waiting.is_over(count) {
            return Err(self.blocking_waiting.refuse(count));
        }
        let deadline = since + Duration::from_millis(self.blocking_wait.limit);
        let place = tokio::time::timeout_at(deadline, places.clone().acquire_owned()).await;
        drop(waiting);
        match place {
            Ok(place) => {
                self.blocking_wait.seen(since);
                // The semaphore is never closed.
                Ok(place.ok())
            }
            Err(_) => Err(self.blocking_wait.refuse(self.blocking_wait.seen(since))),
        }
    }

    /// Does `work` in such a place, on a thread that may block. The place goes with it: when the client leaves, its
    /// request is dropped, but the work goes on and is what the places are there to bound.
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        since: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let place = self.blocking_place(places, since).await?;
        let placed = move || {
            let _place = place;
            work()
        };
        tokio::task::spawn_blocking(placed).await.map_err(|stopped| Refusal::stopped(&stopped))
    }

    /// How full everything is. `parked` and `clients` are counted where they are kept.
    pub(crate) fn levels(&self, store: &Store, parked: u64, clients: u64) -> Vec<FlowLevel> {
        let (flush, dispatch) = Flow::backlogs(store);
        vec![
            self.flush_backlog.level(flush),
            self.dispatch_backlog.level(dispatch),
            self.send_wait.level(self.send_wait.last.get().max(0) as u64),
            self.blocking_waiting.level(self.waiting.get().max(0) as u64),
            self.blocking_wait.level(self.blocking_wait.last.get().max(0) as u64),
            self.parked_pulls.level(parked),
            self.clients.level(clients),
        ]
    }

    /// A pull could not be held.
    pub(crate) fn not_parked(&self) {
        self.parked_pulls.refused.add(1);
    }
}

#[cfg(test)]
mod tests;

/// Sends that are held; counted until they are let go or their connection ends.
struct Held {
    gauge: Arc<Gauge>,
    sends: i64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.add(-self.sends);
    }
}

/// One that waits; counted until it is dropped, because its connection may end first.
struct Waiting<'a>(&'a Gauge);

impl<'a> Waiting<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.add(1);
        Waiting(gauge)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
