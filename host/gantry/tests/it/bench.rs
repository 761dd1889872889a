//! The benchmark against real servers, small: that it measures what it says, not how fast.

use crate::process::{Node, gantry, json_of};
use serde_json::Value;

#[test]
fn end_to_end_accounts_for_every_message() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let namesrv = node.address("name_server");
    for more in [
        &["--count", "3000", "--header", "json"][..],
        &["--count", "3001", "--header", "binary", "--size", "1024"],
        &["--count", "999", "--batch", "10"],
        &["--duration", "1", "--warmup", "0", "--rate", "2000"],
    ] {
        let base = ["bench", "e2e", "--namesrv", &namesrv, "--connections", "3", "--window", "16", "--json"];
        let report = json_of(&[&base, more].concat());
        assert_eq!(report["sound"], true, "{more:?}: {report}");
        let (produced, consumed) = (&report["produce"], &report["consume"]["audit"]);
        assert_eq!(produced["stored"], consumed["received"], "{more:?}: {report}");
        assert_eq!(consumed["missing"], 0, "{more:?}: {report}");
        assert!(produced["latency"]["p50_us"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn the_reference_server_answers_every_message() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames");
    let mut child = gantry(&["bench", "reference", "--port", "0", "--json", "--file"])
        .arg(&file)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    // It has no topics to ask for, so the comparison runs a whole node beside it.
    let address: std::net::SocketAddr = ready["address"].as_str().unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();

    let report = json_of(&[
        "bench",
        "versus-reference",
        "--rounds",
        "1",
        "--duration",
        "0.3",
        "--warmup",
        "0.1",
        "--connections",
        "2",
        "--window",
        "8",
        "--json",
    ]);
    assert!(report["ratio"].as_f64().unwrap() > 0.0, "{report}");
    assert!(report["reference"]["messages_per_s"].as_f64().unwrap() > 0.0, "{report}");
}
