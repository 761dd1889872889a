//! A broker that cannot keep up, as its clients and its operator see it.

use crate::process::{Node, output, wait_for};

#[test]
fn senders_faster_than_the_disk_are_told_why_and_go_on_later() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    // Five seconds without a flush, and room for one MiB meanwhile.
    let text = "[broker]\nflush = \"async\"\nflush_interval_ms = 5000\nflush_backlog_bytes_max = 1048576\n";
    std::fs::write(&file, text).unwrap();
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
    let broker = node.address("broker");
    let produce = |count: &str| {
        output(&[
            "bench", "produce", "--broker", &broker, "--size", "4096", "--count", count, "--window", "8", "--json",
        ])
    };

    let flooded = produce("2000");
    assert_eq!(flooded.status.code(), Some(1), "eight MiB went in");
    let report: serde_json::Value = serde_json::from_slice(&flooded.stdout).unwrap();
    let refused = report["refused"]["2"].as_u64().unwrap();
    assert_eq!(report["stored"].as_u64().unwrap() + refused, 2000, "{report}");

    let status = node.status();
    let flow = status["brokers"][0]["flow"].as_array().unwrap();
    let backlog = flow.iter().find(|flow| flow["resource"] == "flush backlog").unwrap();
    assert_eq!((&backlog["limit"], &backlog["refused"]), (&1_048_576.into(), &refused.into()), "{backlog}");
    assert_eq!(backlog["metric"], "gantry_flush_backlog_bytes");

    wait_for("sends to be taken again", || produce("10").status.success().then_some(()));
    node.terminate();
}
