//! The broker as a whole: what its handlers share, how it opens, what it does on its own, how it closes.

use std::{io, sync::Arc, time::Duration};

use gantry_base::disk::Disk;
use gantry_model::{load::BrokerLoad, properties};
use gantry_plugin::PluginHost;
use gantry_store::Store;
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    assign::{self, AssignMetrics, DecidedShares, ModeTable, RouteViews},
    clients::Clients,
    consumer_offsets::{self, ConsumerOffsets},
    filter_costs::FilterCost,
    flow::{Flow, FlowLevel},
    groups::GroupTable,
    holds,
    load::{self, LoadMeter, SendMeter},
    metrics::{BrokerMetrics, Calls, DueCounts, LagAges},
    options::BrokerOptions,
    queue_locks::QueueLocks,
    registration::{self, Told},
    reply::Refusal,
    schedule::{self, Delivered},
    select::{SelectMetrics, board},
    serve::BrokerService,
    sql::SqlSubscriptions,
    timer::{self, TimerMetrics, Timers},
    topics::TopicTable,
};

/// How often silent clients and locks are looked for.
const EXPIRY_EVERY: Duration = Duration::from_secs(10);

/// One broker. Handlers are methods and functions beside this file; each uses the few members that it needs.
pub struct Broker {
    pub(crate) options: Arc<BrokerOptions>,
    pub(crate) store: Store,
    pub(crate) topics: TopicTable,
    pub(crate) groups: GroupTable,
    pub(crate) offsets: ConsumerOffsets,
    pub(crate) delivered: Delivered,
    pub(crate) timers: Timers,
    pub(crate) clients: Clients,
    pub(crate) queue_locks: QueueLocks,
    pub(crate) modes: ModeTable,
    pub(crate) views: RouteViews,
    /// What deciders said of groups' queues.
    pub(crate) shares: DecidedShares,
    pub(crate) plugins: PluginHost,
    pub(crate) sql: SqlSubscriptions,
    /// Properties that every stored message gets, encoded.
    pub(crate) stamp: Vec<u8>,
    /// Places for held pulls.
    pub(crate) parked: Arc<Semaphore>,
    /// Places for pulls that wait for the device or a slow filter.
    pub(crate) blocking_pulls: Arc<Semaphore>,
    pub(crate) flow: Flow,
    pub(crate) metrics: BrokerMetrics,
    pub(crate) sends: SendMeter,
    pub(crate) load: LoadMeter,
    pub(crate) select: SelectMetrics,
    pub(crate) assign: AssignMetrics,
    pub(crate) told: Told,
    pub(crate) calls: Calls,
    pub(crate) lag_ages: LagAges,
    pub(crate) due_counts: DueCounts,
    /// Cancelled when nothing new should be waited for.
    pub(crate) stopping: CancellationToken,
}

impl Broker {
    /// Opens the broker's tables over an open store. Blocks on the disk.
    ///
    /// An unreadable table is an error that names the file: starting without it would forget topics or offsets.
    pub fn open(
        options: BrokerOptions,
        disk: Arc<dyn Disk>,
        store: Store,
        plugins: PluginHost,
    ) -> io::Result<Arc<Broker>> {
        disk.create_dir_all(&options.data.join("config"))?;
        let options = Arc::new(options);
        let mut stamp = Vec::new();
        properties::push(&mut stamp, properties::MSG_REGION, &options.region);
        properties::push(&mut stamp, properties::TRACE_ON, "true");
        properties::push(&mut stamp, properties::CLUSTER, &options.cluster);
        Ok(Arc::new(Broker {
            topics: TopicTable::open(store.clone(), disk.clone(), &options)?,
            groups: GroupTable::open(disk.clone(), &options)?,
            modes: ModeTable::open(disk.clone(), &options)?,
            views: RouteViews::new(&options),
            shares: DecidedShares::default(),
            offsets: ConsumerOffsets::open(store.clone(), disk.clone(), options.clone())?,
            delivered: Delivered::open(disk.clone(), &options.data)?,
            timers: Timers::open(store.clone(), disk, options.clone(), options.holds.timed_messages.clone())?,
            clients: Clients::new(options.clients_max),
            queue_locks: QueueLocks::default(),
            sql: SqlSubscriptions::new(options.sql92),
            stamp,
            parked: Arc::new(Semaphore::new(options.parked_pulls_max.min(Semaphore::MAX_PERMITS))),
            blocking_pulls: Arc::new(Semaphore::new(options.blocking_pulls_max)),
            flow: Flow::new(&options),
            metrics: BrokerMetrics::default(),
            sends: SendMeter::default(),
            load: LoadMeter::default(),
            select: SelectMetrics::default(),
            assign: AssignMetrics::default(),
            told: Told::default(),
            calls: Calls::new(),
            lag_ages: LagAges::default(),
            due_counts: DueCounts::default(),
            stopping: CancellationToken::new(),
            plugins,
            store,
            options,
        }))
    }

    /// What to hand to the broker's listeners.
    pub fn service(self: &Arc<Self>) -> BrokerService {
        BrokerService(self.clone())
    }

    /// What it counts.
    pub fn metrics(&self) -> &BrokerMetrics {
        &self.metrics
    }

    /// What it counts of decisions about queues.
    pub fn select_metrics(&self) -> &SelectMetrics {
        &self.select
    }

    /// What it counts of decisions about members.
    pub fn assign_metrics(&self) -> &AssignMetrics {
        &self.assign
    }

    /// How busy it was in the second before.
    pub fn load(&self) -> BrokerLoad {
        self.load.current()
    }

    /// What the SQL92 subscriptions of each group cost, by topic and group.
    pub fn filter_costs(&self) -> Vec<FilterCost> {
        self.sql.costs.all()
    }

    /// How full each of its limited resources is.
    pub fn flow(&self) -> Vec<FlowLevel> {
        let parked = self.options.parked_pulls_max.min(Semaphore::MAX_PERMITS) - self.parked.available_permits();
        self.flow.levels(&self.store, parked as u64, self.clients.count() as u64)
    }

    /// Reads the disk or runs a slow filter, see [`Flow::run_blocking`].
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        since: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.flow.run_blocking(&self.blocking_pulls, since, work).await
    }

    /// What its timers count.
    pub fn timer_metrics(&self) -> &TimerMetrics {
        self.timers.metrics()
    }

    /// Starts what the broker does on its own: registration, delayed delivery, saving of offsets, expiry of clients, samples of
    /// its load and boards of its queues.
    /// All of it ends when `cancel` is cancelled; `tasks` tells when it has.
    pub fn start(self: &Arc<Self>, tasks: &TaskTracker, cancel: &CancellationToken) {
        for name_server in &self.options.name_servers {
            tasks.spawn(registration::follow(self.clone(), name_server.clone(), cancel.clone()));
        }
        for level in schedule::levels() {
            tasks.spawn(schedule::follow(self.clone(), level, cancel.clone()));
        }
        tasks.spawn(holds::follow(self.clone(), cancel.clone()));
        tasks.spawn(timer::follow(self.clone(), cancel.clone()));
        tasks.spawn(load::follow(self.clone(), cancel.clone()));
        tasks.spawn(assign::follow_routes(self.clone(), cancel.clone()));
        tasks.spawn(assign::follow_deciders(self.clone(), cancel.clone()));
        tasks.spawn(board::follow(self.clone(), cancel.clone()));
        self.every(tasks, cancel, consumer_offsets::JOURNAL_EVERY_MS, "journal consumer offsets", |broker| {
            broker.offsets.journal()
        });
        self.every(tasks, cancel, consumer_offsets::SNAPSHOT_EVERY_MS, "save consumer offsets", |broker| {
            broker.offsets.snapshot()
        });
        self.every(tasks, cancel, schedule::SAVE_EVERY_MS, "save delay offsets", |broker| {
            broker.delivered.save(broker.options.clock.now_ms())
        });
        self.every(tasks, cancel, EXPIRY_EVERY.as_millis() as u64, "expire clients", |broker| {
            broker.expire();
            Ok(())
        });
    }

    /// Answers every held pull as if its time were up. Call it before the listeners drain, or they wait for all of them.
    pub fn release_held_pulls(&self) {
        self.stopping.cancel();
    }

    /// Saves what is kept in memory. Call it after the listeners are drained and before the store shuts down.
    pub fn save(&self) -> io::Result<()> {
        let offsets = self.offsets.save();
        let delivered = self.delivered.save(self.options.clock.now_ms());
        offsets.and(delivered)
    }

    fn expire(&self) {
        let now_ms = self.options.clock.now_ms();
        self.queue_locks.expire(now_ms);
        for changed in self.clients.expire(now_ms.saturating_sub(self.options.client_expiry_ms)) {
            self.tell(Some(changed));
        }
    }

    /// Runs `work` on the blocking pool every `every_ms`, and says once when it begins to fail.
    fn every(
        self: &Arc<Self>,
        tasks: &TaskTracker,
        cancel: &CancellationToken,
        every_ms: u64,
        what: &'static str,
        work: fn(&Broker) -> io::Result<()>,
    ) {
        let (broker, cancel) = (self.clone(), cancel.clone());
        tasks.spawn(async move {
            let mut ticks = interval(Duration::from_millis(every_ms));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut failing = false;
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let worker = broker.clone();
                match tokio::task::spawn_blocking(move || work(&worker)).await {
                    Ok(Ok(())) => failing = false,
                    Ok(Err(error)) if !std::mem::replace(&mut failing, true) => {
                        tracing::error!(%error, "could not {what}; it is tried again, a crash before that works loses the change");
                    }
                    _ => {}
                }
            }
        });
    }
}
