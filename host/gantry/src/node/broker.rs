//! One broker of a node: its store, its tables, its listener.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result, anyhow};
use gantry_balance::Deciders;
use gantry_base::{disk::RealDisk, metric::Sink};
use gantry_broker::{Broker, BrokerOptions};
use gantry_plugin::PluginHost;
use gantry_remoting::{Limits, Metrics, Server};
use gantry_store::{Damage, Health, IndexState, Options as StoreOptions, Skip, Store};
use serde_json::{Value, json};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    plan::{BrokerPlan, Plan},
    recovery,
};
use crate::config::Config;

/// Listening, not serving yet.
pub(crate) struct Listener {
    plan: BrokerPlan,
    server: Server,
}

/// Listens for every broker of the node.
pub(crate) fn bind_all(plan: &Plan, limits: &Limits) -> Result<Vec<Listener>> {
    let bind = |broker: &BrokerPlan| {
        let server = Server::bind(broker.listen, limits.clone()).with_context(|| format!("broker {}", broker.name))?;
        Ok(Listener { plan: broker.clone(), server })
    };
    plan.brokers.iter().map(bind).collect()
}

/// A serving broker.
pub(crate) struct RunningBroker {
    observed: Observed,
    /// Ends what the broker does on its own; unregisters it.
    own: (CancellationToken, TaskTracker),
    /// Ends its listener.
    serving: (CancellationToken, TaskTracker),
}

/// What status is told from.
#[derive(Clone)]
pub(crate) struct Observed {
    name: String,
    /// Where peers reach it.
    pub(crate) advertised: SocketAddr,
    broker: Arc<Broker>,
    store: Store,
    listener: Arc<Metrics>,
}

impl RunningBroker {
    /// Opens the store, recovering what a crash left, and serves.
    pub(crate) async fn start(
        listener: Listener,
        config: &Config,
        plan: &Plan,
        name_servers: &[SocketAddr],
        plugins: PluginHost,
        deciders: Deciders,
    ) -> Result<RunningBroker> {
        let Listener { plan: BrokerPlan { name, data, .. }, server } = listener;
        let advertised = SocketAddr::new(plan.advertised, server.local_addr().port());
        let name_servers = name_servers.iter().map(ToString::to_string).collect();
        let options = BrokerOptions {
            zone: plan.zone.clone(),
            labels: plan.labels.clone(),
            deciders,
            ..config.broker_options(&name, advertised, name_servers, data.clone())
        };
        let mut store_options = StoreOptions { holds: options.holds.of_store(), ..config.store_options() };
        store_options.queue_files_open_max = fitting_queue_files(store_options.queue_files_open_max);
        let broker_name = name.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let store = recovery::open(&broker_name, &data, store_options)?;
            let broker = Broker::open(options, Arc::new(RealDisk), store.clone(), plugins)?;
            anyhow::Ok((store, broker))
        });
        let (store, broker) = opened.await?.with_context(|| format!("broker {name} cannot start"))?;

        let (own, serving) = (CancellationToken::new(), CancellationToken::new());
        let (own_tasks, serving_tasks) = (TaskTracker::new(), TaskTracker::new());
        let listener = server.metrics();
        serving_tasks.spawn(server.serve(Arc::new(broker.service()), serving.clone()));
        broker.start(&own_tasks, &own);
        let observed = Observed { name, advertised, broker, store, listener };
        Ok(RunningBroker { observed, own: (own, own_tasks), serving: (serving, serving_tasks) })
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.observed.name
    }

    /// What status is told from.
    pub(crate) fn observed(&self) -> Observed {
        self.observed.clone()
    }

    /// Unregisters, answers what is in flight, saves the tables, flushes the log.
    pub(crate) async fn stop(self) -> Result<()> {
        let (cancel, tasks) = self.own;
        cancel.cancel();
        tasks.close();
        // Out of the routes first, so that clients go elsewhere while the rest is answered.
        tasks.wait().await;
        let (cancel, tasks) = self.serving;
        self.observed.broker.release_held_pulls();
        cancel.cancel();
        tasks.close();
        tasks.wait().await;
        let Observed { broker, store, .. } = self.observed;
        tokio::task::spawn_blocking(move || {
            let saved = broker.save().context("consumer offsets and delays could not be saved");
            let ended = store.shutdown().context("the log could not be flushed; the next start recovers it");
            let failed = match store.health() {
                Health::Healthy => Ok(()),
                Health::Failed(reason) => {
                    Err(anyhow!("the log had stopped: {reason}; check the disk, then start again"))
                }
            };
            failed.and(saved).and(ended)
        })
        .await?
    }
}

/// Whether queries by key find everything: "level" if so.
fn index_text(state: &IndexState) -> String {
    match state {
        IndexState::Off => "off".into(),
        IndexState::Level => "level".into(),
        IndexState::Behind { bytes } => format!("{bytes} bytes behind"),
        IndexState::Stopped { reason } => format!("stopped: {reason}"),
    }
}

impl Observed {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Tells what broker, store and listener count.
    pub(crate) fn collect(&self, out: &mut dyn Sink) {
        self.broker.collect(out);
        self.listener.collect(out);
    }

    /// Why it does not serve as it should.
    pub(crate) fn problem(&self) -> Option<String> {
        match self.store.health() {
            Health::Healthy => None,
            Health::Failed(reason) => Some(format!("broker {}: the log stopped: {reason}", self.name)),
        }
    }

    fn scrub(&self) -> Value {
        let scrub = self.store.scrub_status();
        json!({
            "running": scrub.running,
            "position": scrub.position,
            "end": scrub.end,
            "bytes": scrub.bytes,
            "passes": scrub.passes,
            "finished_ms": scrub.finished_ms,
            "queue_files_corrected": scrub.files_corrected,
            "entries_corrected": self.store.metrics().entries_corrected.get(),
        })
    }

    /// Gives up a damaged record. Blocks on the disk.
    pub(crate) fn skip(&self, position: u64) -> Result<Value, String> {
        let (done, damage) = match self.store.skip(position).map_err(|error| error.to_string())? {
            Skip::Skipped(damage) => ("given up", damage),
            Skip::Already(damage) => ("was given up before", damage),
            Skip::Unknown => return Err(crate::command::store::unknown_damage(position)),
        };
        let Damage { file, position, length, reason, .. } = damage;
        Ok(json!({ "done": done, "file": file, "position": position, "length": length, "reason": reason }))
    }

    /// For `gantry status`.
    pub(crate) fn status(&self) -> Value {
        let health = match self.store.health() {
            Health::Healthy => "healthy".to_owned(),
            Health::Failed(reason) => format!("failed: {reason}"),
        };
        let timers = self.broker.timer_metrics();
        json!({
            "name": self.name,
            "address": self.advertised,
            "health": health,
            "messages_in": self.broker.metrics().messages_in.get(),
            "messages_out": self.broker.metrics().messages_out.get(),
            "timers": {
                "pending": timers.pending.get(),
                "fired": timers.fired.get(),
                "late": timers.late.get(),
                "recalled": timers.recalled.get(),
                "rolled": timers.rolled.get(),
                "dropped": timers.dropped.get(),
            },
            "appended": self.store.appended().get(),
            "flushed": self.store.flushed().get(),
            "dispatched": self.store.dispatched().get(),
            "index": index_text(&self.store.index_state()),
            "flushes": self.store.metrics().flushes.get(),
            "flush_us": self.store.metrics().flush_us.get(),
            "flow": self.broker.flow(),
            "balance": self.balance(),
            "sql92": self.broker.filter_costs(),
            "scrub": self.scrub(),
            "damages": self.store.damages(),
            "retention": self.retention(),
        })
    }

    /// How often somebody was asked about queues, and how often that was no answer.
    fn balance(&self) -> Value {
        let (select, assign) = (self.broker.select_metrics(), self.broker.assign_metrics());
        json!({
            "select_asked": select.asked.get(),
            "select_faults": select.faults.get(),
            "retargeted": select.retargeted.get(),
            "assign_asked": assign.asked.get(),
            "assign_faults": assign.faults.get(),
        })
    }

    /// What is kept, who holds the rest, and how full the disk is.
    fn retention(&self) -> Value {
        let (status, metrics) = (self.store.retention(), self.store.metrics());
        json!({
            "min": status.min,
            "expiring": status.expiring,
            "held_by": status.held_by,
            "holds": status.holds.iter().copied().collect::<BTreeMap<_, _>>(),
            "disk_used_percent": status.space.map(|space| space.used_percent()),
            "refusing": status.refusing.as_deref(),
            "refused_pressure": metrics.refused_pressure.get(),
            "refused_full": metrics.refused_full.get(),
            "segments_deleted": metrics.segments_deleted.get(),
            "deleted_bytes": metrics.deleted_bytes.get(),
        })
    }
}

/// As many open queue files as configured, but no more than a quarter of the descriptors: connections and the log need theirs.
fn fitting_queue_files(configured: usize) -> usize {
    let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current else { return configured };
    let fitting = configured.min((limit / 4).max(1) as usize);
    if fitting < configured {
        tracing::warn!(
            "{fitting} queue files are kept open at most, not store.queue_files_open_max = {configured}: the system allows \
             {limit} open files; raise it with ulimit -n"
        );
    }
    fitting
}
