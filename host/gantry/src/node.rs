//! A running node: what one process serves, from its listeners to its last flush.
//!
//! [`Plan`] is what it will do, with every address resolved; [`Node::start`] does it, in the order in which each part
//! needs the one before; [`Node::stop`] takes it apart in the opposite order.

mod broker;
mod control;
mod deciders;
mod dirs;
mod http;
mod name_server;
mod plan;
mod ready;
mod recovery;
mod reload;
mod telemetry;
mod watch;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use gantry_namesrv::NameServerOptions;
use gantry_plugin::{HostOptions, PluginHost};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    broker::RunningBroker,
    dirs::DataDir,
    http::{Readiness, RunningHttp},
    name_server::{RunningNameServer, wait_registered},
    reload::Live,
    telemetry::Telemetry,
};
pub(crate) use self::{
    plan::{Overrides, Plan},
    ready::Ready,
};
use crate::{config::Config, control::server::ControlSocket};

/// How long a start waits until its own name server knows its brokers; a client that comes earlier finds no route.
const REGISTERED_WITHIN: Duration = Duration::from_secs(2);

/// What runs.
pub(crate) struct Node {
    ready: Ready,
    name_server: Option<RunningNameServer>,
    http: RunningHttp,
    telemetry: Arc<Telemetry>,
    brokers: Vec<RunningBroker>,
    plugins: Option<PluginHost>,
    live: Arc<Live>,
    /// Ends what is not a listener: watcher and control socket.
    cancel: CancellationToken,
    tasks: TaskTracker,
    /// Cancelled when the control socket was told to stop the node.
    stop_asked: CancellationToken,
    /// Last: whoever waits for the directory may have it once everything above is gone.
    _data: DataDir,
}

impl Node {
    /// Starts everything. When it returns, clients are served and find their routes.
    pub(crate) async fn start(config: Config, plan: Plan) -> Result<Node> {
        let started = Instant::now();
        let data = DataDir::take(&plan.data)?;
        // Made now, because it may fail; served once there is something to tell.
        let socket = ControlSocket::bind(&plan.data)?;
        let limits = config.limits();
        // Listeners first: a port that is taken is known before a long recovery, and clients that connect meanwhile wait.
        let name_server = match &plan.name_server {
            Some(address) => Some(name_server::bind(*address, &limits)?),
            None => None,
        };
        let http = http::bind(plan.http)?;
        let listeners = broker::bind_all(&plan, &limits)?;
        let name_servers = plan.name_servers(name_server.as_ref().map(name_server::Bound::port));
        // A name server alone runs balancers, too: they decide about routes.
        let plugins = match plan.brokers.as_slice() {
            [] if config.plugins.is_empty() => None,
            [only] => Some(start_plugins(&config, &plan, &only.name)?),
            _ => Some(start_plugins(&config, &plan, &plan.node)?),
        };
        let deciders = deciders::of(plugins.as_ref());
        let name_server = name_server.map(|bound| {
            let options = NameServerOptions { deciders: deciders.clone(), ..config.name_server_options() };
            bound.serve(options, &plan)
        });
        let telemetry = Arc::new(Telemetry::open(&config, &plan));
        let mut routes = gantry_telemetry::routes(telemetry.registry.clone());
        if let Some(name_server) = &name_server {
            telemetry.add_name_server(name_server.listener.clone());
            routes = routes.merge(gantry_namesrv::http::routes(&name_servers));
        }
        let http = http.serve(routes)?;
        if let Some(plugins) = &plugins {
            telemetry.add_plugins(plugins.clone());
        }
        let mut brokers = Vec::new();
        for listener in listeners {
            let plugins = plugins.clone().context("a node with brokers has a plugin host")?;
            let started = RunningBroker::start(listener, &config, &plan, &name_servers, plugins, deciders.clone());
            let broker = started.await?;
            telemetry.add_broker(&broker.observed());
            brokers.push(broker);
        }
        if let Some(name_server) = &name_server {
            let names = brokers.iter().map(|broker| broker.name().to_owned()).collect();
            wait_registered(name_server.reachable, names, REGISTERED_WITHIN).await;
        }

        let ready = Ready::new(&plan, name_server.as_ref(), &http, &brokers);
        http.set_readiness(Readiness::Serving(brokers.iter().map(RunningBroker::observed).collect()));
        let (cancel, tasks, stop_asked) = (CancellationToken::new(), TaskTracker::new(), CancellationToken::new());
        let live = Arc::new(Live::new(config, plugins.clone(), telemetry.clone()));
        let control = control::Control {
            ready: ready.clone(),
            started,
            name_server: name_server.as_ref().map(|running| running.server.clone()),
            brokers: brokers.iter().map(RunningBroker::observed).collect(),
            plugins: plugins.clone(),
            alerts: telemetry.alerts.clone(),
            live: live.clone(),
            stop_asked: stop_asked.clone(),
        };
        tasks.spawn(socket.serve(Arc::new(control), cancel.clone()));
        tasks.spawn(watch::follow(live.clone(), cancel.clone()));
        if let Some(plugins) = &plugins {
            telemetry.start_ticks(&live.started_with, plugins.clone(), &tasks, cancel.clone());
        }
        Ok(Node { ready, name_server, http, telemetry, brokers, plugins, live, cancel, tasks, stop_asked, _data: data })
    }

    /// Where it is reached.
    pub(crate) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// Completes when the control socket was told to stop the node.
    pub(crate) async fn stop_asked(&self) {
        self.stop_asked.cancelled().await;
    }

    /// Reads the cluster file again.
    pub(crate) async fn reload(&self) {
        reload::logged(&self.live).await;
    }

    /// Drains: clients are sent elsewhere, what is in flight is answered, everything is flushed.
    pub(crate) async fn stop(self) -> Result<()> {
        self.http.set_readiness(Readiness::Draining);
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let mut first_error = None;
        for broker in self.brokers {
            let name = broker.name().to_owned();
            if let Err(error) = broker.stop().await {
                tracing::error!(broker = %name, "did not end in order: {error:#}");
                first_error.get_or_insert(error);
            }
        }
        if let Some(plugins) = self.plugins {
            tokio::task::spawn_blocking(move || plugins.shutdown()).await?;
        }
        // Behind the brokers, because they unregister with it.
        if let Some(name_server) = self.name_server {
            name_server.stop().await;
        }
        self.telemetry.alerts.stop().await;
        // Last, so that a drain can be watched.
        self.http.stop().await;
        first_error.map_or(Ok(()), Err)
    }
}

/// Folder of plugins' former versions and compiled code, in the node's data.
const SHELF: &str = "gantry.plugins";

fn start_plugins(config: &Config, plan: &Plan, broker: &str) -> Result<PluginHost> {
    let slots = tokio::runtime::Handle::current().metrics().num_workers();
    let shelf = Some(plan.data.join(SHELF));
    let host = PluginHost::start(HostOptions {
        shelf,
        zone: plan.zone.clone().unwrap_or_default(),
        ..config.plugin_options(broker, slots)
    })?;
    let applied = host.apply(config.plugin_config());
    applied.map_err(|problems| anyhow::anyhow!(reload::listed(&problems)))?;
    Ok(host)
}
