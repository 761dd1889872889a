//! A node as its operator sees it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    time::Duration,
};

use crate::process::{Node, gantry, json_of, output, stdout_of};
use rustix::process::Signal;

#[test]
fn starts_serves_keeps_and_drains() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let namesrv = node.address("name_server");
    let produce = ["bench", "produce", "--namesrv", &namesrv, "--count", "500", "--connections", "2", "--json"];
    assert_eq!(json_of(&produce)["stored"], 500);
    let status = node.status();
    assert_eq!(status["brokers"][0]["health"], "healthy");
    assert_eq!(status["brokers"][0]["messages_in"], 500);
    assert_eq!(node.terminate(), Some(0));

    let again = Node::start(folder.path(), &[]);
    let namesrv = again.address("name_server");
    let consumed = json_of(&["bench", "consume", "--namesrv", &namesrv, "--json"]);
    let audit = &consumed["audit"];
    assert_eq!((&audit["received"], &audit["missing"]), (&500.into(), &0.into()), "{audit}");
    again.kill();
}

#[test]
fn the_ready_line_is_text_unless_json_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = gantry(&["run", "--namesrv-port", "0", "--port", "0", "--http-port", "0", "--data"])
        .arg(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let expected =
        ["gantry ready: name server 127.0.0.1:", ", broker broker-a 127.0.0.1:", ", http 127.0.0.1:", ", data "];
    for part in expected {
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn a_second_process_on_the_directory_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let second = output(&["run", "--namesrv-port", "0", "--port", "0", "--http-port", "0", "--data", node.data_text()]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("is in use by another gantry process"), "{said}");
    assert_eq!(node.status()["brokers"][0]["health"], "healthy");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let data = folder.path().to_str().unwrap();
    let refused = output(&["run", "--namesrv-port", "0", "--http-port", "0", "--port", &port, "--data", data]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains(&format!("127.0.0.1:{port}")), "{said}");
}

#[test]
fn the_control_socket_is_the_users_own_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let socket = node.data.join("control.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(crate::process::PATIENCE)).unwrap();
    // Two requests in one write, one of them nonsense.
    stream.write_all(b"{\"command\":\"status\"}\n{\"command\":\"nonsense\"}\n").unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("{\"ok\":"));
    assert!(lines.next().unwrap().unwrap().starts_with("{\"error\":\"the request is not understood"));
    let _ = stream.write_all(&vec![b'x'; 100_000]);
    let mut rest = String::new();
    // The answer may be cut by the reset of what was not read.
    let _ = stream.read_to_string(&mut rest);
    assert!(rest.is_empty() || rest.contains("at most 65536 bytes"), "{rest}");
    assert_eq!(node.status()["node"], "standalone");
}

#[test]
fn a_socket_left_by_a_killed_process_is_replaced_and_stop_drains() {
    let folder = tempfile::tempdir().unwrap();
    let killed = Node::start(folder.path(), &[]);
    let socket = killed.data.join("control.sock");
    killed.kill();
    assert!(socket.exists());
    assert_eq!(output(&["status", "--data", folder.path().join("data").to_str().unwrap()]).status.code(), Some(3));

    let node = Node::start(folder.path(), &[]);
    stdout_of(&["stop", "--data", node.data_text()], 0);
    assert_eq!(node.wait().code(), Some(0));
    assert!(!socket.exists());
}

#[test]
fn a_directory_too_deep_for_a_socket_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    let refused =
        output(&["run", "--namesrv-port", "0", "--port", "0", "--http-port", "0", "--data", deep.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("choose a data directory with a shorter path"), "{said}");
}

#[test]
fn sigint_drains_too_and_the_http_endpoint_names_the_name_server() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &[]);
    let mut stream = std::net::TcpStream::connect(node.address("http")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(b"GET /rocketmq/nsaddr HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&node.address("name_server")), "{answer}");
    node.signal(Signal::INT);
    assert_eq!(node.wait().code(), Some(0));
}

#[test]
fn held_pulls_do_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    // Longer than the test may take: only an answered pull lets the drain end in time.
    let config = folder.path().join("cluster.toml");
    std::fs::write(&config, "[limits]\ndrain_timeout_s = 600\n").unwrap();
    let node = Node::start(folder.path(), &["--config", config.to_str().unwrap()]);
    let namesrv = node.address("name_server");
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let client = gantry_client::Client::new(vec![namesrv], gantry_client::Options::default());
        let message = gantry_client::Message::new("held", "x");
        let sent = client.producer("p").send(&message).await.unwrap();
        let subscription = gantry_model::subscription::Subscription::from_tags("held", "*");
        let queue = sent.queue;
        let pull = |suspend| gantry_client::Pull {
            group: "g",
            queue: &queue,
            offset: sent.queue_offset.plus(1),
            messages_max: 1,
            suspend,
            subscription: &subscription,
            commit: None,
        };
        // The group exists and the queue has its message once a pull that does not wait finds the end.
        while client.pull(&pull(Duration::ZERO)).await.unwrap().max_offset < sent.queue_offset.plus(1) {}
        let patient = pull(Duration::from_secs(300));
        let held = client.pull(&patient);
        let terminated = async {
            // Polled after the pull was written to the socket.
            tokio::task::yield_now().await;
            tokio::task::spawn_blocking(move || node.terminate()).await.unwrap()
        };
        let (answer, code) = tokio::join!(held, terminated);
        assert_eq!(code, Some(0));
        // A pull that reached the node is answered; one that came too late finds the connection closed.
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.body.is_empty()));
    });
}
