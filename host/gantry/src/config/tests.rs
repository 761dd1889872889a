//! What operators write and what they are told.

use std::path::{Path, PathBuf};

use super::{Config, explain};
use crate::config::key::Reload;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    let parsed = Config::parse(Path::new("/etc/gantry/cluster.toml"), text);
    parsed.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

/// Every case is refused with exactly one problem, which contains all the texts.
#[test]
fn mistakes_are_named_with_place_and_advice() {
    let cases: &[(&str, &[&str])] = &[
        ("[broker]\nflsh = 'sync'", &["/etc/gantry/cluster.toml:2:1: broker.flsh:", "did you mean `flush`?"]),
        ("[borker]\nflush = 'sync'", &[":1:2: borker:", "did you mean `broker`?"]),
        ("[broker]\nflushDiskType = 'SYNC_FLUSH'", &[":2:1:", "not Gantry's", "`flush` in [broker]"]),
        ("brokerClusterName = 'c'", &["`name` in [cluster]"]),
        ("[broker]\nsegment_size_bytes = 1", &["`store.segment_size_bytes` has one of this name"]),
        ("[broker]\ncolour = 1", &["known here are flush, flush_interval_ms"]),
        ("[broker]\nflush = 'asynch'", &[":2:9:", "found \"asynch\"", "did you mean \"async\"?"]),
        ("[broker]\nflush_timeout_ms = 0", &["0 is out of range, expected 1 to 60000 ms"]),
        ("[broker]\nflush_timeout_ms = 99_999", &["99999 is out of range"]),
        ("[broker]\nflush_timeout_ms = '5s'", &["expected 1 to 60000 ms, found \"5s\""]),
        ("[broker]\nauto_create_topics = 1", &["expected true or false, found 1"]),
        ("broker = 3", &["expected a table, found 3"]),
        ("[plugin]\nname = 'a'", &["`[[plugin]]`", "found a table"]),
        ("[admin]\nallow = ['10.0.0.0/40']", &["admin.allow", "10.0.0.0/40"]),
        ("[cluster]\nname = 'a b'", &["cluster.name", "' '"]),
        ("[[plugin]]\nname = 'a'", &[":1:1: plugin[0]: `file` is missing"]),
        ("[[plugin]]\nname='a'\nfile='a'\n[[plugin]]\nname='a'\nfile='b'", &[":5:1:", "two plugins are named \"a\""]),
        ("[[filter]]\ntopic='t'\ngroup='g'\nplugin='x'", &["there is no [[plugin]] named \"x\""]),
        ("[node.a]\nhost='0.0.0.0'\nnameserver={}", &[":2:1: node.a.host:", "give `advertise` too"]),
        ("[node.a]\nhost='::'\nadvertise='::'\nnameserver={}", &["node.a.advertise:", "no client can connect"]),
        ("[node.a]\nbrokers=[{name='b'}]", &["no node runs a name server"]),
        ("[node.a]\nhost='127.0.0.1'\n[node.b]\nnameserver={}", &["node.a:", "runs nothing"]),
        ("[node.a]\nnameserver={}\nbrokers=[{name='b', id=1}]", &["replicas are not built yet"]),
        (
            "[node.a]\nnameserver={port=1}\nbrokers=[{name='b', port=1}]",
            &["port 1 of 127.0.0.1 is also node.a.nameserver.port"],
        ),
        (
            "[node.a]\nnameserver={}\nbrokers=[{name='b',port=1},{name='b',port=2}]",
            &["brokers[1].name", "given once in a cluster"],
        ),
        ("[store]\nsegment_size_bytes = 1048576", &[":2:1:", "too small for broker.message_bytes_max = 4194304"]),
        (
            "[broker]\nmessage_bytes_max = 15_728_640\n[limits]\nframe_bytes_max = 16_000_000",
            &[":4:1: limits.frame_bytes_max"],
        ),
        ("[[alert_webhook]]\nurl = 'https://alerts'", &[":2:1: alert_webhook[0].url:", "over http only"]),
        ("[[alert_webhook]]\nurl = 'alerts:9093'", &["alert_webhook[0].url:"]),
        (
            "[[alert_webhook]]\nurl='http://a'\n[[alert_webhook]]\nurl='http://a:80/'",
            &[":4:1:", "http://a:80/api/v2/alerts already"],
        ),
        ("[broker]\nmetricsPromExporterPort = 5557", &["`http_port` in [node.NAME]"]),
        (
            "[node.a]\nnameserver={}\n[node.b]\nbrokers=[{name='b'}]",
            &["port 5557 of 127.0.0.1 is also node.a.http_port"],
        ),
        ("[node.'a.b']\nnameserver={}", &["letters, digits, - and _"]),
        ("[node.a]\nzone='a b'\nnameserver={}", &["node.a.zone:", "the zone contains ' '"]),
        ("[node.a]\nlabels={disk='a b'}\nnameserver={}", &["node.a.labels:", "label \"disk\""]),
        ("[[zone]]\nname='az1'\nnetworks=['10.0.0.0/40']", &[":3:1: zone[0].networks:", "10.0.0.0/40"]),
        ("[[zone]]\nname='az1'", &["zone[0]: `networks` is missing"]),
        ("[[balancer]]\ntopic='*'\nplugin='x'\ndecides=['route']", &["there is no [[plugin]] named \"x\""]),
        (
            "[[plugin]]\nname='p'\nfile='p'\n[[balancer]]\ntopic='*'\nplugin='p'\ndecides=['route']",
            &["the plugin \"p\" is a message-filter, wanted is a queue-balancer"],
        ),
        (
            "[[plugin]]\nname='p'\nfile='p'\nworld='queue-balancer'\n[[filter]]\ntopic='t'\ngroup='g'\nplugin='p'",
            &["the plugin \"p\" is a queue-balancer, wanted is a message-filter"],
        ),
    ];
    for (text, expected) in cases {
        let problems = parse(text).expect_err(text);
        assert_eq!(problems.len(), 1, "{text}: {problems:#?}");
        for expected in *expected {
            assert!(problems[0].contains(expected), "{text}: {} lacks {expected}", problems[0]);
        }
    }
}

/// Of a `[[balancer]]` with a plugin that can be one.
#[test]
fn balancers_are_checked() {
    let head = "[[plugin]]\nname='p'\nfile='p'\nworld='queue-balancer'\n[[balancer]]\nplugin='p'\n";
    let config = parse(&format!(
        "{head}topic='orders'\ndecides=['select-queue']\nretarget=true\n\
         [[balancer]]\ntopic='*'\nplugin='p'\ndecides=['route','assign']\n\
         [[balancer]]\ntopic='orders'\ngroup='billing'\nplugin='p'\ndecides=['assign']\n\
         [[zone]]\nname='az1'\nnetworks=['10.1.0.0/16']\n[[zone]]\nname='az1'\nnetworks=['10.2.0.7']\n\
         [node.one]\nnameserver={{}}\nzone='az1'\nlabels={{disk='nvme',canary=true}}\n"
    ))
    .unwrap();
    let balancers: Vec<(&str, &str, bool, Vec<&str>)> = config
        .balancers
        .iter()
        .map(|spec| {
            let decides = spec.decides.iter().map(|decision| decision.name()).collect();
            (spec.topic.as_str(), spec.group.as_str(), spec.retarget, decides)
        })
        .collect();
    assert_eq!(
        balancers,
        [
            ("orders", "*", true, vec!["select-queue"]),
            ("*", "*", false, vec!["route", "assign"]),
            ("orders", "billing", false, vec!["assign"]),
        ]
    );
    assert_eq!(config.plugins[0].world, gantry_plugin::World::QueueBalancer);
    let zone = |client: &str| config.zones.of_client(client, [127, 0, 0, 1].into());
    assert_eq!((zone("10.2.0.7@1").as_deref(), zone("10.2.0.8@1")), (Some("az1"), None));
    let node = config.node(None).unwrap();
    assert_eq!((node.zone.as_deref(), node.labels.to_string()), (Some("az1"), "canary=true,disk=nvme".to_owned()));

    for (rest, expected) in [
        ("topic='a b'\ndecides=['route']", "balancer[0].topic: the topic contains ' '"),
        ("topic='t'\ngroup='a b'\ndecides=['assign']", "balancer[0].group: the group contains ' '"),
        ("topic='t'\ndecides=['rout']", "\"rout\" is no decision; did you mean \"route\"?"),
        ("topic='t'\ndecides=['route','route']", "\"route\" is there twice"),
        ("topic='t'\ndecides=[]", "it decides nothing"),
        ("topic='t'", "`decides` is missing"),
        ("topic='t'\ngroup='g'\ndecides=['assign','route']", "balancer[0].group: only assign is about a group"),
        ("topic='t'\ndecides=['route']\nretarget=true", "balancer[0].retarget: messages are moved by select-queue"),
        (
            "topic='t'\ndecides=['assign']\n[[balancer]]\ntopic='t'\nplugin='p'\ndecides=['route','assign']",
            "balancer[1]: another [[balancer]] decides assign of topic \"t\" and group \"*\" already",
        ),
    ] {
        let problems = parse(&format!("{head}{rest}")).expect_err(rest);
        assert_eq!(problems.len(), 1, "{rest}: {problems:#?}");
        assert!(problems[0].contains(expected), "{} lacks {expected}", problems[0]);
    }
}

#[test]
fn all_problems_are_listed_in_the_order_of_the_file() {
    let problems = parse("[broker]\nflsh = 1\nflush_timeout_ms = -1\n[store]\nsize = 1\n").unwrap_err();
    let lines: Vec<&str> = problems.iter().map(|problem| problem.split(':').nth(1).unwrap()).collect();
    assert_eq!(lines, ["2", "3", "5"], "{problems:#?}");
    let broken = parse("[broker\nflush = 'sync'").unwrap_err();
    assert!(broken.iter().any(|problem| problem.contains("cluster.toml:1:")), "{broken:#?}");
}

#[test]
fn a_whole_cluster_is_read() {
    let config = parse(
        "[cluster]\nname = 'C'\n[broker]\nflush = 'async'\nmessage_bytes_max = 1_000_000\n\
         [node.one]\nhost = '10.0.0.1'\nnameserver = {}\nbrokers = [{ name = 'broker-a' }]\n\
         [node.two]\nhost = '0.0.0.0'\nadvertise = '10.0.0.2'\ndata = '/data'\nbrokers = [{ name = 'broker-b', port = 1 }]\n\
         [[plugin]]\nname = 'p'\nfile = 'plugins/p.wasm'\nparams = { region = 'eu', limit = 0x10, exact = true, ratio = 0.5 }\n\
         [[filter]]\ntopic = 't'\ngroup = 'g'\nplugin = 'p'\non_error = 'deliver'\n",
    )
    .unwrap();
    let [one, two] = config.nodes.as_slice() else { panic!("{:?}", config.nodes) };
    assert_eq!((one.name_server, one.brokers[0].port, one.http_port), (Some(9_876), 10_911, 5_557));
    assert_eq!(one.data, Path::new("/etc/gantry/gantry-data"), "relative to the file");
    assert_eq!((two.advertise.as_deref(), two.name_server), (Some("10.0.0.2"), None));
    assert_eq!(two.data, Path::new("/data"));
    let plugin = &config.plugins[0];
    assert_eq!(plugin.file, Path::new("/etc/gantry/plugins/p.wasm"));
    let params: Vec<(&str, &str)> = plugin.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(params, [("exact", "true"), ("limit", "16"), ("ratio", "0.5"), ("region", "eu")]);
    assert_eq!(config.filters[0].on_error, gantry_plugin::OnError::Deliver);
    assert!(config.node(None).unwrap_err().contains("one, two"));
    assert!(config.node(Some("three")).unwrap_err().contains("no node \"three\""));
    assert_eq!(config.store_options().record_size_max_bytes, 1_000_000 + 65_536);
}

#[test]
fn differences_compare_what_is_in_effect() {
    let base = parse("[broker]\nflush = 'sync'\n[[plugin]]\nname='a'\nfile='a'").unwrap();
    let same =
        parse("# a comment\n[broker]\nflush_timeout_ms = 5000\n[[plugin]]\nname='a'\nfile='a'\nmemory_limit_mib=16")
            .unwrap();
    assert!(base.document.differences(&same.document).is_empty());
    let other = parse("[broker]\nflush = 'async'\n[[plugin]]\nname='a'\nfile='b'").unwrap();
    let differing: Vec<(String, Reload)> =
        base.document.differences(&other.document).into_iter().map(|(path, key)| (path, key.reload)).collect();
    assert_eq!(differing, [("broker.flush".into(), Reload::Restart), ("plugin[0].file".into(), Reload::Live)]);
}

#[test]
fn a_name_server_that_comes_or_goes_is_a_difference() {
    let node = "[node.two]\nhost = '10.0.0.2'\nnameserver = {}\n\
                [node.one]\nhost = '10.0.0.1'\nbrokers = [{ name = 'broker-a' }]\n";
    let without = parse(node).unwrap();
    let with = parse(&format!("{node}nameserver = {{}}\n")).unwrap();
    for (one, other) in [(&without, &with), (&with, &without)] {
        let differing = one.document.differences(&other.document);
        let differing: Vec<_> = differing.iter().map(|(path, key)| (path.as_str(), key.reload)).collect();
        assert_eq!(differing, [("node.one.nameserver.port", Reload::Restart)]);
    }
    assert!(with.document.differences(&with.document).is_empty());
}

const TWO_MASTERS_HEAD: &str =
    "Two masters without replicas: topics are spread over both, and when one is down its messages wait for it.
On each machine: gantry run --config conf/2m-noslave.toml --node one (or two)
Put the addresses of your machines in place of 192.168.2.177 and .178.
Every other key is here at its default. After a change: gantry config check conf/2m-noslave.toml";
const TWO_MASTERS_NODES: &str = "[node.one]
host = \"192.168.2.177\"
data = \"gantry-data\"
nameserver = {}
brokers = [{ name = \"broker-a\", port = 10911 }]

[node.two]
host = \"192.168.2.178\"
data = \"gantry-data\"
nameserver = {}
brokers = [{ name = \"broker-b\", port = 10911 }]";

/// The shipped files say what the table says. After a change of the table: `GANTRY_WRITE_CONF=1 cargo test -p gantry conf`.
#[test]
fn shipped_conf_files_follow_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    for (name, head, nodes) in [
        ("standalone.toml", explain::STANDALONE_HEAD, explain::STANDALONE_NODES),
        ("2m-noslave.toml", TWO_MASTERS_HEAD, TWO_MASTERS_NODES),
    ] {
        // Paths are relative to the file, and data does not belong in conf/.
        let nodes = &nodes.replace("\"gantry-data\"", "\"../gantry-data\"");
        let path: PathBuf = folder.join(name);
        let expected = explain::file(head, nodes);
        if std::env::var_os("GANTRY_WRITE_CONF").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "{name}");
        let config = Config::load(&path).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let builtin = Config::builtin();
        let differing = builtin.document.differences(&config.document);
        assert!(differing.keys().all(|key| key.starts_with("node.")), "{name} changes {differing:?}");
    }
}
