//! How a running node is asked and told from its own machine: a Unix socket in its data directory that only its user
//! may open. One JSON request a line, one JSON answer a line.

pub(crate) mod client;
pub(crate) mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest request, in bytes with its line end; a longer one closes the connection.
pub(crate) const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Longest answer that is read, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest path of a socket: the system's field has 108 bytes, the last one is a zero.
const SOCKET_PATH_MAX: usize = 107;

/// What a node can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Request {
    /// How it is.
    Status,
    /// Its plugins.
    PluginList,
    /// Load a plugin's file now.
    PluginReload {
        /// The plugin.
        name: String,
    },
    /// Take a plugin out of service, or put it back.
    PluginEnable {
        /// The plugin.
        name: String,
        /// Whether it is to serve.
        enabled: bool,
    },
    /// Put a former version of a plugin back in service.
    PluginRollback {
        /// The plugin.
        name: String,
        /// Beginning of its SHA-256; the one before when left out.
        to: Option<String>,
    },
    /// Its alerts.
    AlertList,
    /// Give up the damaged record at a physical offset.
    StoreSkip {
        /// The broker; may be left out where there is one.
        broker: Option<String>,
        /// Physical offset.
        position: u64,
    },
    /// Read the cluster file now.
    ConfigReload,
    /// Drain and end.
    Shutdown,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    /// Done; what was asked for.
    Ok(Value),
    /// Not done; a sentence.
    Error(String),
}

/// Which node is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// Data directory of the node, as its ready line shows it
    #[arg(long, value_name = "DIR", default_value = "gantry-data")]
    pub(crate) data: PathBuf,
}

/// The socket of a data directory, or why it cannot have one.
pub(crate) fn socket_path(data: &Path) -> Result<PathBuf, String> {
    let path = data.join("control.sock");
    let found = path.as_os_str().len();
    if found > SOCKET_PATH_MAX {
        return Err(format!(
            "the path of the control socket, {}, has {found} bytes, and the system allows {SOCKET_PATH_MAX}; choose a data \
             directory with a shorter path",
            path.display()
        ));
    }
    Ok(path)
}
