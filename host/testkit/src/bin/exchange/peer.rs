//! Whoever has the directory.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, ensure};
use gantry_testkit::{
    node::{ANY_DISK_WILL_DO, Node, NodeOptions},
    rocketmq::{BrokerSettings, RocketMq},
};

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gantry,
    RocketMq,
    /// With extension units of consume queues.
    RocketMqExt,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Orderly,
    Killed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Gantry => "Gantry",
            Kind::RocketMq => "RocketMQ",
            Kind::RocketMqExt => "RocketMQ, ext units",
        })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            End::Orderly => "in order",
            End::Killed => "by SIGKILL",
        })
    }
}

/// A running program.
pub(crate) struct Peer {
    process: Process,
    /// Where its broker listens.
    pub(crate) address: SocketAddr,
    /// Until it listened.
    pub(crate) start_time: Duration,
}

enum Process {
    Gantry(Node),
    RocketMq(RocketMq),
}

/// The store's folder inside Gantry's data directory.
pub(crate) fn store_of(data: &Path) -> PathBuf {
    data.join("broker-a")
}

impl Peer {
    pub(crate) fn start(data: &Path, kind: Kind) -> Result<Peer> {
        let store = store_of(data);
        let settings = BrokerSettings::new(&store);
        let process = match kind {
            Kind::Gantry => {
                let config = data.with_extension("toml");
                std::fs::write(&config, ANY_DISK_WILL_DO)?;
                let node =
                    Node::start(&NodeOptions { data: data.into(), config: Some(config), ..NodeOptions::default() })?;
                return Ok(Peer { address: node.broker, start_time: node.start_time, process: Process::Gantry(node) });
            }
            Kind::RocketMq => RocketMq::broker(&settings)?,
            Kind::RocketMqExt => RocketMq::broker(&settings.with("enableConsumeQueueExt", "true"))?,
        };
        Ok(Peer { address: process.address, start_time: process.start_time, process: Process::RocketMq(process) })
    }

    pub(crate) fn end(self, end: End) -> Result<()> {
        match (self.process, end) {
            (Process::Gantry(node), End::Orderly) => {
                let status = node.terminate()?;
                ensure!(status.success(), "Gantry did not end in order: {status}");
                Ok(())
            }
            (Process::Gantry(node), End::Killed) => node.kill(),
            (Process::RocketMq(broker), End::Orderly) => broker.terminate(),
            (Process::RocketMq(broker), End::Killed) => broker.kill(),
        }
    }
}
