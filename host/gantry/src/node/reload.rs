//! Changes of the cluster file under a running node.
//!
//! Plugins, filters and alert webhooks apply at once. Everything else needs a restart, and until then the node says which keys differ from
//! what it runs with. A file with a problem changes nothing.

use std::{fmt::Display, path::PathBuf, sync::Arc};

use gantry_plugin::PluginHost;
use parking_lot::Mutex;
use serde::Serialize;

use super::telemetry::Telemetry;
use crate::config::{Config, Reload};

/// The configuration of a running node and what became of its last change.
pub(crate) struct Live {
    plugins: Option<PluginHost>,
    telemetry: Arc<Telemetry>,
    /// As it was at the start: what the parts that cannot be reloaded run with.
    pub(super) started_with: Config,
    /// Reloads come one after another.
    now: Mutex<Now>,
}

struct Now {
    /// As last applied; `None` = still the first one.
    applied: Option<Config>,
    state: ReloadState,
}

/// For `gantry status`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ReloadState {
    /// The cluster file, if there is one.
    pub(crate) file: Option<PathBuf>,
    /// Changes applied since the start.
    pub(crate) reloads: u64,
    /// What is wrong with the file as it is now; the node goes on with what it had.
    pub(crate) problems: Vec<String>,
    /// Keys that differ from what runs and need a restart.
    pub(crate) needs_restart: Vec<String>,
}

/// What a reload did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reloaded {
    /// Keys whose change applies now.
    pub(crate) applied: Vec<String>,
    /// Keys that differ from what runs and need a restart.
    pub(crate) needs_restart: Vec<String>,
}

impl Live {
    pub(crate) fn new(config: Config, plugins: Option<PluginHost>, telemetry: Arc<Telemetry>) -> Live {
        let state = ReloadState { file: config.file.clone(), ..ReloadState::default() };
        Live { plugins, telemetry, started_with: config, now: Mutex::new(Now { applied: None, state }) }
    }

    /// The file to watch, if there is one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.started_with.file.clone()
    }

    /// For `gantry status`.
    pub(crate) fn state(&self) -> ReloadState {
        self.now.lock().state.clone()
    }

    /// Reads the file and applies what can be applied. The error says why nothing was changed. Blocks on the disk.
    pub(crate) fn reload(&self) -> Result<Reloaded, String> {
        let Some(file) = self.file() else {
            return Err(
                "this node runs without a cluster file; start it with --config to have one that can be changed".into(),
            );
        };
        let now = &mut *self.now.lock();
        let loaded = Config::load(&file).map_err(|problems| problems.iter().map(ToString::to_string).collect());
        let applied = loaded.and_then(|config| {
            if let Some(plugins) = &self.plugins {
                let applied = plugins.apply(config.plugin_config());
                applied.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            }
            self.telemetry.set_destinations(config.alert_webhooks.clone());
            Ok(config)
        });
        let config = match applied {
            Ok(config) => config,
            Err(problems) => {
                now.state.problems = problems;
                return Err(format!("the old configuration stays: {}", listed(&now.state.problems)));
            }
        };
        let before = now.applied.as_ref().unwrap_or(&self.started_with);
        let keys = |old: &Config, wanted: Reload| -> Vec<String> {
            let differing = old.document.differences(&config.document).into_iter();
            differing.filter(|(_, key)| key.reload == wanted).map(|(path, _)| path).collect()
        };
        let result =
            Reloaded { applied: keys(before, Reload::Live), needs_restart: keys(&self.started_with, Reload::Restart) };
        now.state.problems.clear();
        now.state.needs_restart.clone_from(&result.needs_restart);
        now.state.reloads += u64::from(!result.applied.is_empty());
        now.applied = Some(config);
        Ok(result)
    }
}

/// Reloads off the runtime's workers and logs what came of it.
pub(crate) async fn logged(live: &Arc<Live>) {
    let worker = live.clone();
    match tokio::task::spawn_blocking(move || worker.reload()).await {
        Ok(Ok(Reloaded { applied, needs_restart })) => {
            if !applied.is_empty() {
                tracing::info!("the cluster file changed; applied: {}", applied.join(", "));
            }
            if !needs_restart.is_empty() {
                tracing::warn!(
                    "the cluster file differs from what runs; needs a restart: {}",
                    needs_restart.join(", ")
                );
            }
        }
        Ok(Err(problem)) => tracing::error!("the cluster file was not applied; {problem}"),
        Err(error) => tracing::error!(%error, "the reload died"),
    }
}

/// Problems as one text.
pub(crate) fn listed(problems: &[impl Display]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
