//! Metrics, health and alerts of a node, over HTTP and the control socket.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use crate::process::{Node, PATIENCE, json_of, stdout_of, wait_for};

/// Status line and body.
fn get(node: &Node, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(node.address("http")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The value of the only series with this name whose line has all of these texts.
fn value(metrics: &str, name: &str, texts: &[&str]) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let all = |line: &&str| texts.iter().all(|text| line.contains(text));
    let lines: Vec<&str> = metrics.lines().filter(of_name).filter(all).collect();
    let [line] = lines.as_slice() else { panic!("{name} {texts:?}: {lines:#?}") };
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn what_a_bench_did_is_in_the_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let namesrv = node.address("name_server");
    json_of(&[
        "bench",
        "produce",
        "--namesrv",
        &namesrv,
        "--topic",
        "seen",
        "--count",
        "500",
        "--size",
        "100",
        "--json",
    ]);
    json_of(&["bench", "consume", "--namesrv", &namesrv, "--topic", "seen", "--json"]);

    let (head, metrics) = get(&node, "/metrics");
    assert!(head.starts_with("HTTP/1.0 200"), "{head}");
    assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
    let broker = ["cluster=\"DefaultCluster\"", "node_type=\"broker\"", "node_id=\"broker-a\"", "topic=\"seen\""];
    assert_eq!(value(&metrics, "rocketmq_messages_in_total", &broker), 500.0);
    assert!(value(&metrics, "rocketmq_messages_out_total", &broker) >= 500.0);
    let bytes = value(&metrics, "rocketmq_throughput_in_total", &broker);
    assert!(bytes > 500.0 * 100.0, "{bytes}");
    assert_eq!(value(&metrics, "rocketmq_message_size_sum", &broker), bytes);
    let one_kib = [&broker[..], &["le=\"1024\""]].concat();
    assert_eq!(value(&metrics, "rocketmq_message_size_bucket", &one_kib), 500.0);
    for both in ["rocketmq_storage_size", "rocketmq_storage_size_bytes"] {
        assert!(value(&metrics, both, &[]) > 0.0);
    }
    assert_eq!(value(&metrics, "gantry_flush_backlog_bytes", &[]), 0.0);
    assert!(value(&metrics, "gantry_requests_total", &["node_type=\"namesrv\""]) > 0.0);
    assert!(value(&metrics, "process_resident_memory_bytes", &[]) > 1e6);
    assert_eq!(value(&metrics, "gantry_alerts", &["state=\"firing\"", "severity=\"critical\""]), 0.0);
    node.terminate();
}

#[test]
fn a_node_says_how_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    assert_eq!(get(&node, "/healthz").1, "alive\n");
    assert_eq!(get(&node, "/readyz").1, "ready\n");
    assert_eq!(stdout_of(&["alert", "list", "--data", node.data_text()], 0), "no alerts\n");
    assert_eq!(json_of(&["alert", "list", "--json", "--data", node.data_text()]), serde_json::json!([]));
    node.terminate();
}

#[test]
fn a_node_without_a_name_server_has_metrics_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let text =
        "[node.one]\nhost='127.0.0.1'\nbrokers=[{name='b'}]\n[node.two]\nhost='127.0.0.2'\nnameserver={port=1}\n";
    std::fs::write(&file, text).unwrap();
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap(), "--node", "one"]);
    assert_eq!(value(&get(&node, "/metrics").1, "rocketmq_broker_permission", &["node_id=\"b\""]), 6.0);
    assert!(get(&node, "/rocketmq/nsaddr").0.starts_with("HTTP/1.0 404"));
    node.terminate();
}

/// What is kept is listed by the next start, and told to a webhook that is added while the node runs.
#[test]
fn kept_alerts_are_listed_and_sent_to_a_webhook_that_is_added_live() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    // A plugin that is not there yet says nothing, so what it said before holds.
    let text =
        "[telemetry]\nalert_confirm_s = 3600\n[[plugin]]\nname = 'lag'\nfile = 'lag.wasm'\nworld = 'alert-hook'\n";
    std::fs::write(&file, text).unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let kept = serde_json::json!({ "version": 1, "alerts": [{
        "source": "lag", "key": "lag/orders", "severity": "warning", "summary": "the lag grows", "value": 7.0,
        "labels": [["topic", "orders"]], "for_ms": 0, "state": "firing", "since_ms": 1_700_000_000_000_u64, "updated_ms": 0
    }] });
    std::fs::write(data.join("alerts.json"), kept.to_string()).unwrap();
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
    let expected =
        "firing  warning  lag/orders from lag since 2023-11-14T22:13:20Z\n  the lag grows, value 7.0\n  topic=orders\n";
    assert_eq!(stdout_of(&["alert", "list", "--data", node.data_text()], 0), expected);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::fs::write(&file, format!("{text}[[alert_webhook]]\nurl = '{url}'\n")).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut request = String::new();
    while !request.contains("endsAt") {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "{request}");
        request.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
    for part in ["POST /api/v2/alerts ", "\"key\":\"lag/orders\"", "\"node_id\":\"standalone\"", "\"topic\":\"orders\""]
    {
        assert!(request.contains(part), "{request} lacks {part}");
    }
    wait_for("the delivery to be counted", || {
        let taken = value(&get(&node, "/metrics").1, "gantry_alert_webhook_alerts_total", &["result=\"taken\""]);
        (taken == 1.0).then_some(())
    });
    node.terminate();
}
