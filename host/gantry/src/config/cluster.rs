//! A cluster file as what it describes. What one value cannot show is checked here, and what is bound to topics in `bindings`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
};

use gantry_balance::Zones;
use gantry_base::access::AccessList;
use gantry_model::{labels::Labels, name};
use gantry_plugin::{BalancerSpec, BindingSpec, PluginConfig, PluginSpec};
use gantry_protocol::frame::HEADER_BYTES_MAX;
use gantry_telemetry::alert::Destination;

use super::{
    bindings::{balancers, filters, plugins, zones},
    document::{Document, FILE_BYTES_MAX},
    options::{RECORD_MARGIN_BYTES, hours},
    problem::Problem,
};

/// A checked configuration.
#[derive(Debug)]
pub(crate) struct Config {
    /// The settings, by path; see [`crate::config::options`].
    pub(crate) document: Document,
    /// The file, unless it is the built-in configuration.
    pub(crate) file: Option<PathBuf>,
    /// By name; never empty.
    pub(crate) nodes: Vec<NodeSpec>,
    /// Message filters of the file.
    pub(crate) plugins: Vec<PluginSpec>,
    /// What they are bound to.
    pub(crate) filters: Vec<BindingSpec>,
    /// Which plugins decide about queues, of those in the world queue-balancer.
    pub(crate) balancers: Vec<BalancerSpec>,
    /// Where clients stand.
    pub(crate) zones: Zones,
    /// Where alerts are sent.
    pub(crate) alert_webhooks: Vec<Destination>,
    /// Whose administration is taken besides the machine's own.
    pub(crate) admin: AccessList,
}

/// One node: what one process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeSpec {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) advertise: Option<String>,
    pub(crate) data: PathBuf,
    pub(crate) zone: Option<String>,
    pub(crate) labels: Labels,
    pub(crate) http_port: u16,
    /// Port of its name server, if it runs one.
    pub(crate) name_server: Option<u16>,
    pub(crate) brokers: Vec<BrokerSpec>,
}

/// One broker of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BrokerSpec {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// The name of the only node when the file names none.
pub(crate) const STANDALONE: &str = "standalone";
const STANDALONE_TABLES: &str = "[node.standalone]\nnameserver = {}\nbrokers = [{ name = \"broker-a\" }]\n";

impl Config {
    /// Reads and checks a file; every problem, not only the first.
    pub(crate) fn load(file: &Path) -> Result<Config, Vec<Problem>> {
        match read_text(file) {
            Ok(text) => Config::parse(file, &text),
            Err(error) => {
                let problem = format!("cannot be read: {error}");
                Err(vec![Problem { file: file.into(), line: 0, column: 0, key: String::new(), problem }])
            }
        }
    }

    /// What runs without any file: one node with name server and broker, for this machine only.
    pub(crate) fn builtin() -> Config {
        let built = Config::parse(Path::new(""), STANDALONE_TABLES);
        let built = built.unwrap_or_else(|problems| unreachable!("the built-in configuration is sound: {problems:?}"));
        Config { file: None, ..built }
    }

    /// Checks the text of a file.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Config, Vec<Problem>> {
        let mut document = Document::parse(file, text);
        let nodes = nodes(&mut document);
        let plugins = plugins(&mut document);
        let filters = filters(&mut document);
        let balancers = balancers(&mut document);
        let zones = zones(&mut document);
        let alert_webhooks = alert_webhooks(&mut document);
        for path in ["cluster.name", "broker.region"] {
            check_label(&mut document, path, "name");
        }
        trust_is_possible(&mut document);
        sizes_fit(&mut document);
        retention_fits(&mut document);
        let admin = AccessList::parse(document.list("admin.allow"));
        if let Err(error) = &admin {
            document.problem_at("admin.allow", error.to_string());
        }
        match admin {
            Ok(admin) if document.is_sound() => {
                let file = Some(file.into());
                Ok(Config { document, file, nodes, plugins, filters, balancers, zones, alert_webhooks, admin })
            }
            _ => Err(document.into_problems()),
        }
    }

    /// What its plugins are told.
    pub(crate) fn plugin_config(&self) -> PluginConfig {
        PluginConfig { plugins: self.plugins.clone(), filters: self.filters.clone(), balancers: self.balancers.clone() }
    }

    /// The node to run: the named one, or the only one.
    pub(crate) fn node(&self, name: Option<&str>) -> Result<&NodeSpec, String> {
        let names = self.nodes.iter().map(|node| node.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, self.nodes.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err(format!("the configuration has several nodes ({names}); choose one with --node NAME")),
            (Some(name), nodes) => {
                let found = nodes.iter().find(|node| node.name == name);
                found.ok_or_else(|| format!("the configuration has no node {name:?}; its nodes are {names}"))
            }
        }
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let mut text = String::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn nodes(document: &mut Document) -> Vec<NodeSpec> {
    let names = document.names_below("node");
    if names.is_empty() {
        let data = document.file().parent().unwrap_or(Path::new("")).join("gantry-data");
        let brokers = vec![BrokerSpec { name: "broker-a".into(), port: 10_911 }];
        let (name, host) = (STANDALONE.into(), "127.0.0.1".into());
        return vec![NodeSpec {
            name,
            host,
            advertise: None,
            data,
            zone: None,
            labels: Labels::default(),
            http_port: 5_557,
            name_server: Some(9_876),
            brokers,
        }];
    }
    let mut brokers = BTreeMap::new();
    let mut nodes = Vec::new();
    for name in names {
        nodes.push(node(document, &name, &mut brokers));
    }
    if !nodes.iter().any(|node| node.name_server.is_some()) {
        document
            .problem_at("node", "no node runs a name server, so clients find no broker; give one `nameserver = {}`");
    }
    same_ports(document, &nodes);
    nodes
}

fn node(document: &mut Document, name: &str, brokers: &mut BTreeMap<String, String>) -> NodeSpec {
    let path = format!("node.{name}");
    let at = |key: &str| format!("{path}.{key}");
    let listens_everywhere = document.text(&at("host")).parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    if listens_everywhere && !document.is_given(&at("advertise")) {
        let problem = "this listens on every address of the machine, so clients cannot be told which one to use; \
                       give `advertise` too";
        document.problem_at(&at("host"), problem);
    }
    if document.text(&at("advertise")).parse().is_ok_and(|ip: IpAddr| ip.is_unspecified()) {
        document.problem_at(&at("advertise"), "no client can connect to this address; give one of the machine's own");
    }
    let mut specs = Vec::new();
    for broker in document.elements(&at("brokers")) {
        let key = |key: &str| format!("{broker}.{key}");
        let broker_name = document.text(&key("name")).to_owned();
        check_label(document, &key("name"), "broker name");
        if document.integer(&key("id")) > 0 {
            document.problem_at(&key("id"), "replicas are not built yet: a broker has id 0; leave this one out");
        } else if let Some(other) = brokers.insert(broker_name.clone(), name.to_owned()) {
            let problem =
                format!("node {other} has a broker {broker_name:?} already; a name is given once in a cluster");
            document.problem_at(&key("name"), problem);
        }
        specs.push(BrokerSpec { name: broker_name, port: document.integer(&key("port")) as u16 });
    }
    let name_server = document.has_table(&at("nameserver")).then(|| document.integer(&at("nameserver.port")) as u16);
    if name_server.is_none() && specs.is_empty() {
        document.problem_at(&path, "the node runs nothing; give it `nameserver = {}` or `brokers`");
    }
    check_label(document, &at("zone"), "zone");
    let labels = Labels::new(document.params(&at("labels"))).unwrap_or_else(|error| {
        document.problem_at(&at("labels"), error.to_string());
        Labels::default()
    });
    NodeSpec {
        name: name.to_owned(),
        host: document.text(&at("host")).to_owned(),
        advertise: given(document, &at("advertise")),
        zone: given(document, &at("zone")),
        labels,
        data: document.path(&at("data")),
        http_port: document.integer(&at("http_port")) as u16,
        name_server,
        brokers: specs,
    }
}

fn given(document: &Document, path: &str) -> Option<String> {
    Some(document.text(path).to_owned()).filter(|text| !text.is_empty())
}

/// Two listeners on one host and port: the second would fail to start.
fn same_ports(document: &mut Document, nodes: &[NodeSpec]) {
    let mut taken: BTreeMap<(String, u16), String> = BTreeMap::new();
    for node in nodes {
        let path = format!("node.{}", node.name);
        let mut ports = Vec::new();
        if let Some(port) = node.name_server {
            ports.push((port, format!("{path}.nameserver.port"), format!("{path}.nameserver")));
        }
        if node.name_server.is_some() || !node.brokers.is_empty() {
            ports.push((node.http_port, format!("{path}.http_port"), path.clone()));
        }
        for (index, broker) in node.brokers.iter().enumerate() {
            let element = format!("{path}.brokers[{index}]");
            ports.push((broker.port, format!("{element}.port"), element));
        }
        for (port, key, table) in ports.into_iter().filter(|(port, ..)| *port != 0) {
            if let Some(other) = taken.insert((node.host.clone(), port), key.clone()) {
                let place = if document.is_given(&key) { key } else { table };
                document.problem_at(&place, format!("port {port} of {} is also {other}; give each its own", node.host));
            }
        }
    }
}

/// Keys are keys, and somebody is trusted where signatures are asked for.
fn trust_is_possible(document: &mut Document) {
    let keys = document.list("plugins.trusted_keys").to_vec();
    for key in keys.iter().filter(|key| gantry_plugin::hex::<32>(key).is_none()) {
        document.problem_at("plugins.trusted_keys", format!("{key:?} is no ed25519 key, expected 64 hex digits"));
    }
    if document.boolean("plugins.require_signed") && keys.is_empty() {
        let problem = "nobody is trusted, so every plugin would be refused; give plugins.trusted_keys too";
        document.problem_at("plugins.require_signed", problem);
    }
}

fn alert_webhooks(document: &mut Document) -> Vec<Destination> {
    let mut destinations = Vec::new();
    for webhook in document.elements("alert_webhook") {
        let at = format!("{webhook}.url");
        let url = document.text(&at).to_owned();
        match url.parse::<Destination>() {
            Ok(destination) if destinations.contains(&destination) => {
                document.problem_at(&at, format!("alerts are sent to {destination} already; name it once"));
            }
            Ok(destination) => destinations.push(destination),
            Err(problem) if document.is_given(&at) => document.problem_at(&at, problem.to_string()),
            // Said already.
            Err(_) => {}
        }
    }
    destinations
}

/// A message must fit into what carries it and what keeps it.
fn sizes_fit(document: &mut Document) {
    let message = document.integer("broker.message_bytes_max");
    for (key, margin) in [
        ("limits.frame_bytes_max", HEADER_BYTES_MAX as u64),
        ("store.segment_size_bytes", u64::from(RECORD_MARGIN_BYTES)),
    ] {
        let least = message + margin;
        if document.integer(key) < least {
            let at = if document.is_given(key) { key } else { "broker.message_bytes_max" };
            let problem = format!(
                "{key} = {} is too small for broker.message_bytes_max = {message}, which needs {least} there",
                document.integer(key)
            );
            document.problem_at(at, problem);
        }
    }
}

/// Hours are hours, and what is old goes before other things happen.
fn retention_fits(document: &mut Document) {
    let hours_key = "retention.delete_hours";
    if hours(document.text(hours_key)).is_none() {
        let problem = format!("{:?} is no list of hours such as \"04\", \"2;14\" or \"any\"", document.text(hours_key));
        document.problem_at(hours_key, problem);
    }
    let levels = ["retention.disk_clean_percent", "retention.disk_force_percent", "retention.disk_refuse_percent"];
    for [lower, upper] in [[levels[0], levels[1]], [levels[0], levels[2]]] {
        let (low, high) = (document.integer(lower), document.integer(upper));
        if low > high {
            let at = if document.is_given(upper) { upper } else { lower };
            document.problem_at(at, format!("{lower} = {low} is over {upper} = {high}; what is old must go first"));
        }
    }
}

pub(super) fn check_label(document: &mut Document, path: &str, kind: &'static str) {
    if document.is_given(path)
        && let Err(error) = name::check_label(kind, document.text(path))
    {
        document.problem_at(path, error.to_string());
    }
}
