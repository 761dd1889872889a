//! What an operator sees of the node: the registry with the sources of every part, and the alerts.

mod hooks;
mod plugins;

use std::{sync::Arc, time::Duration};

use gantry_base::{clock::Clock, disk::RealDisk};
use gantry_plugin::PluginHost;
use gantry_remoting::Metrics;
use gantry_telemetry::{
    Derived, Process, Registry, RegistryOptions, Ticks,
    alert::{AlertOptions, Alerts, Destination},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{broker::Observed, plan::Plan};
use crate::config::Config;

/// Registry and alerts of a node.
pub(crate) struct Telemetry {
    /// Who is asked for metrics.
    pub(crate) registry: Registry,
    /// What plugins derive.
    pub(crate) derived: Derived,
    /// What is wrong.
    pub(crate) alerts: Alerts,
    cluster: String,
    node: String,
}

impl Telemetry {
    /// Opens the alerts of the data directory; the only source so far is the process. Blocks on the disk.
    pub(crate) fn open(config: &Config, plan: &Plan) -> Telemetry {
        let number = |path| config.document.integer(path);
        let size = |path| usize::try_from(number(path)).unwrap_or(usize::MAX);
        let clock = Clock::system();
        let cluster = config.document.text("cluster.name").to_owned();
        let registry =
            Registry::new(RegistryOptions { series_max: size("telemetry.series_max"), clock: clock.clone() });
        let options = AlertOptions {
            file: plan.data.join("alerts.json"),
            alerts_max: size("telemetry.alerts_max"),
            confirm_within: Duration::from_secs(number("telemetry.alert_confirm_s")),
            resend_every: Duration::from_secs(number("telemetry.alert_resend_s")),
            labels: vec![("cluster".to_owned(), cluster.clone()), ("node_id".to_owned(), plan.node.clone())],
            clock: clock.clone(),
        };
        let telemetry = Telemetry {
            registry,
            derived: Derived::new(size("telemetry.derived_series_max")),
            alerts: Alerts::open(options, Arc::new(RealDisk)),
            cluster,
            node: plan.node.clone(),
        };
        let (process, of_node) = (Process::new(clock.now_ms()), telemetry.labels("node", &plan.node));
        let (derived, alerts) = (telemetry.derived.clone(), telemetry.alerts.clone());
        telemetry.registry.register(of_node, move |out| {
            process.collect(out);
            derived.collect(out);
            alerts.collect(out);
        });
        telemetry.alerts.set_destinations(config.alert_webhooks.clone());
        telemetry.alerts.start();
        telemetry
    }

    /// RocketMQ's labels of a part of the node.
    fn labels(&self, node_type: &str, node_id: &str) -> [(&'static str, String); 3] {
        [("cluster", self.cluster.clone()), ("node_type", node_type.to_owned()), ("node_id", node_id.to_owned())]
    }

    /// Adds a broker.
    pub(crate) fn add_broker(&self, broker: &Observed) {
        let observed = broker.clone();
        self.registry.register(self.labels("broker", broker.name()), move |out| observed.collect(out));
    }

    /// Adds the listener of the name server.
    pub(crate) fn add_name_server(&self, listener: Arc<Metrics>) {
        self.registry.register(self.labels("namesrv", &self.node), move |out| listener.collect(out));
    }

    /// Adds the plugins.
    pub(crate) fn add_plugins(&self, host: PluginHost) {
        self.registry.register(self.labels("node", &self.node), move |out| plugins::collect(&host.status(), out));
    }

    /// Shows the node's metrics to metric and alert plugins until cancelled, every `telemetry.tick_ms`.
    pub(crate) fn start_ticks(
        &self,
        config: &Config,
        host: PluginHost,
        tasks: &TaskTracker,
        cancel: CancellationToken,
    ) {
        let series_max = usize::try_from(config.document.integer("telemetry.feed_series_max")).unwrap_or(usize::MAX);
        let every = Duration::from_millis(config.document.integer("telemetry.tick_ms"));
        let parts = (&self.registry, &self.derived, &self.alerts);
        let ticks = Ticks::new(parts, series_max, hooks::describe, hooks::show);
        tasks.spawn(ticks.follow(every, move || hooks::calls(&host), cancel));
    }

    /// Sends alerts to these from now on.
    pub(crate) fn set_destinations(&self, destinations: Vec<Destination>) {
        self.alerts.set_destinations(destinations);
    }
}
