//! What a node answers on its control socket.

use std::{sync::Arc, time::Instant};

use gantry_namesrv::NameServer;
use gantry_plugin::PluginHost;
use gantry_telemetry::alert::Alerts;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{broker::Observed, ready::Ready, reload::Live};
use crate::control::{Answer, Request, server::Handler};

/// What it answers from.
pub(crate) struct Control {
    pub(crate) ready: Ready,
    pub(crate) started: Instant,
    pub(crate) name_server: Option<NameServer>,
    pub(crate) brokers: Vec<Observed>,
    pub(crate) plugins: Option<PluginHost>,
    pub(crate) alerts: Alerts,
    pub(crate) live: Arc<Live>,
    pub(crate) stop_asked: CancellationToken,
}

impl Handler for Control {
    async fn handle(&self, request: Request) -> Answer {
        match request {
            Request::Status => Answer::Ok(self.status()),
            Request::PluginList => value(&self.plugins.as_ref().map(PluginHost::status).unwrap_or_default()),
            Request::PluginReload { name } => self.plugin(move |plugins| plugins.reload(&name)).await,
            Request::PluginEnable { name, enabled: true } => self.plugin(move |plugins| plugins.enable(&name)).await,
            Request::PluginEnable { name, enabled: false } => self.plugin(move |plugins| plugins.disable(&name)).await,
            Request::PluginRollback { name, to } => {
                self.plugin(move |plugins| plugins.rollback(&name, to.as_deref())).await
            }
            Request::AlertList => value(&self.alerts.list()),
            Request::StoreSkip { broker, position } => match self.broker(broker.as_deref()) {
                Ok(broker) => blocking(move || broker.skip(position)).await,
                Err(problem) => Answer::Error(problem),
            },
            Request::ConfigReload => {
                let live = self.live.clone();
                blocking(move || live.reload()).await
            }
            Request::Shutdown => {
                self.stop_asked.cancel();
                Answer::Ok(Value::Null)
            }
        }
    }
}

impl Control {
    /// Tells the plugin host something; the answer says what serves.
    async fn plugin(&self, order: impl FnOnce(&PluginHost) -> Result<String, String> + Send + 'static) -> Answer {
        match self.plugins.clone() {
            Some(plugins) => blocking(move || order(&plugins).map(|label| json!({ "serves": label }))).await,
            None => Answer::Error("this node has no brokers, so it runs no plugins".to_owned()),
        }
    }

    /// The broker of that name, or the only one.
    fn broker(&self, name: Option<&str>) -> Result<Observed, String> {
        let named = |broker: &&Observed| name.is_none_or(|name| broker.name() == name);
        let found: Vec<_> = self.brokers.iter().filter(named).collect();
        match found.as_slice() {
            [one] => Ok((*one).clone()),
            [] => Err(format!("this node has no broker {}", name.unwrap_or_default())),
            several => {
                let names: Vec<_> = several.iter().map(|broker| broker.name()).collect();
                Err(format!("this node has several brokers; name one of {} with --broker", names.join(", ")))
            }
        }
    }

    fn status(&self) -> Value {
        let Ready { node, name_server, http, data, pid, .. } = &self.ready;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "node": node,
            "pid": pid,
            "uptime_s": self.started.elapsed().as_secs(),
            "name_server": name_server,
            "http": http,
            "data": data,
            "routes": self.name_server.as_ref().map(|server| {
                let routes = server.metrics();
                json!({
                    "asked": routes.asked.get(),
                    "faults": routes.faults.get(),
                    "overruled": routes.overruled.get(),
                })
            }),
            "brokers": self.brokers.iter().map(Observed::status).collect::<Vec<_>>(),
            "config": self.live.state(),
        })
    }
}

fn value(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_or_else(|error| Answer::Error(error.to_string()), Answer::Ok)
}

async fn blocking<T: Serialize + Send + 'static>(work: impl FnOnce() -> Result<T, String> + Send + 'static) -> Answer {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => value(&done),
        Ok(Err(problem)) => Answer::Error(problem),
        Err(died) => Answer::Error(died.to_string()),
    }
}
