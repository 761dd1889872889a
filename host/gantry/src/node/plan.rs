//! What a node will do, with command line and cluster file put together and every address resolved.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
};

use gantry_model::labels::Labels;

use crate::config::{Config, NodeSpec};

/// What the command line changes about a node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Overrides {
    pub(crate) data: Option<PathBuf>,
    pub(crate) name_server_port: Option<u16>,
    pub(crate) broker_port: Option<u16>,
    pub(crate) http_port: Option<u16>,
}

/// One node, ready to be started.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Name of the node.
    pub(crate) node: String,
    /// Its data directory.
    pub(crate) data: PathBuf,
    /// Where its brokers stand.
    pub(crate) zone: Option<String>,
    /// What its operator calls them.
    pub(crate) labels: Labels,
    /// Address that peers are told.
    pub(crate) advertised: IpAddr,
    /// Where its name server listens, if it runs one.
    pub(crate) name_server: Option<SocketAddr>,
    /// Where its HTTP endpoint listens.
    pub(crate) http: SocketAddr,
    /// Its brokers.
    pub(crate) brokers: Vec<BrokerPlan>,
    /// Name servers of the other nodes.
    other_name_servers: Vec<SocketAddr>,
}

/// One broker of a node.
#[derive(Debug, Clone)]
pub(crate) struct BrokerPlan {
    pub(crate) name: String,
    pub(crate) listen: SocketAddr,
    /// Its own folder.
    pub(crate) data: PathBuf,
}

impl Plan {
    /// Resolves what `spec` names. The error is a sentence for the operator.
    pub(crate) fn new(config: &Config, spec: &NodeSpec, overrides: &Overrides) -> Result<Plan, String> {
        let host = resolve(&spec.host)?;
        let advertised = spec.advertise.as_deref().map_or(Ok(host), resolve)?;
        if overrides.broker_port.is_some() && spec.brokers.len() != 1 {
            let count = spec.brokers.len();
            return Err(format!("--port says where the one broker listens, and node {} has {count}", spec.name));
        }
        let data = overrides.data.clone().unwrap_or_else(|| spec.data.clone());
        let brokers = spec.brokers.iter().map(|broker| BrokerPlan {
            name: broker.name.clone(),
            listen: SocketAddr::new(host, overrides.broker_port.unwrap_or(broker.port)),
            data: data.join(&broker.name),
        });
        let mut other_name_servers = Vec::new();
        for other in config.nodes.iter().filter(|other| other.name != spec.name) {
            if let Some(port) = other.name_server {
                let address = resolve(other.advertise.as_deref().unwrap_or(&other.host))?;
                other_name_servers.push(SocketAddr::new(address, port));
            }
        }
        let name_server =
            spec.name_server.map(|port| SocketAddr::new(host, overrides.name_server_port.unwrap_or(port)));
        Ok(Plan {
            node: spec.name.clone(),
            zone: spec.zone.clone(),
            labels: spec.labels.clone(),
            advertised,
            name_server,
            http: SocketAddr::new(host, overrides.http_port.unwrap_or(spec.http_port)),
            brokers: brokers.collect(),
            other_name_servers,
            data,
        })
    }

    /// Every name server of the cluster as peers reach it; this node's own, which listens on `own_port`, first.
    pub(crate) fn name_servers(&self, own_port: Option<u16>) -> Vec<SocketAddr> {
        let own = own_port.map(|port| SocketAddr::new(self.advertised, port));
        own.into_iter().chain(self.other_name_servers.iter().copied()).collect()
    }
}

/// Where this machine reaches a listener of its own.
pub(crate) fn reachable(listening: SocketAddr) -> SocketAddr {
    match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), listening.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), listening.port())
        }
        _ => listening,
    }
}

/// An address, or the first one of a host name; IPv4 before IPv6, because old clients know no other.
fn resolve(host: &str) -> Result<IpAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let found: Vec<SocketAddr> = (host, 0)
        .to_socket_addrs()
        .map_err(|error| format!("host {host:?} cannot be resolved ({error}); give an IP address or mend the name"))?
        .collect();
    let best = found.iter().find(|address| address.is_ipv4()).or(found.first());
    best.map(SocketAddr::ip).ok_or_else(|| format!("host {host:?} has no address"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_node_knows_every_name_server_and_its_own_first() {
        let text = "[node.one]\nhost='10.0.0.1'\nnameserver={}\nbrokers=[{name='a'},{name='b',port=10921}]\n\
                    [node.two]\nhost='0.0.0.0'\nadvertise='10.0.0.2'\nnameserver={port=9000}\nbrokers=[{name='c'}]";
        let config = Config::parse(Path::new("/c/f.toml"), text).unwrap();
        let [one, two] = config.nodes.as_slice() else { panic!() };
        let plan = Plan::new(&config, two, &Overrides::default()).unwrap();
        let servers = plan.name_servers(Some(9_000)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(servers, ["10.0.0.2:9000", "10.0.0.1:9876"]);
        assert_eq!(plan.brokers[0].listen.to_string(), "0.0.0.0:10911");
        assert_eq!(plan.brokers[0].data, Path::new("/c/gantry-data/c"));
        let port = Overrides { broker_port: Some(0), ..Overrides::default() };
        assert!(Plan::new(&config, one, &port).unwrap_err().contains("has 2"));
        assert!(Plan::new(&config, two, &port).is_ok());
    }

    #[test]
    fn unknown_hosts_are_a_sentence() {
        assert!(resolve("no.such.host.invalid").unwrap_err().contains("cannot be resolved"));
        assert_eq!(resolve("::1").unwrap().to_string(), "::1");
        assert_eq!(reachable("0.0.0.0:1".parse().unwrap()).to_string(), "127.0.0.1:1");
    }
}
