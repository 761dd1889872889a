//! Alerts on a simulated disk, told to a destination that is played by the test.

use std::net::SocketAddr;

use gantry_base::disk::sim::{Fault, Operation, Reboot, SimDisk};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn alert(key: &str) -> Alert {
    let labels = vec![("topic".to_owned(), "orders".to_owned())];
    Alert {
        key: key.to_owned(),
        severity: Severity::Warning,
        summary: "it is so".to_owned(),
        labels,
        value: 1.0,
        for_ms: 0,
    }
}

fn raise(key: &str) -> [Change; 1] {
    [Change::Raise(alert(key))]
}

fn clear(key: &str) -> [Change; 1] {
    [Change::Clear { key: key.to_owned() }]
}

fn options(clock: &Clock) -> AlertOptions {
    AlertOptions {
        file: "/data/alerts.json".into(),
        alerts_max: 100,
        confirm_within: Duration::from_secs(300),
        resend_every: Duration::from_secs(3_600),
        labels: vec![("node".to_owned(), "n".to_owned())],
        clock: clock.clone(),
    }
}

fn disk() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.create_dir_all(std::path::Path::new("/data")).unwrap();
    disk
}

/// Takes one request and answers it with a status; the alerts in it, as `key severity` and whether they are over.
async fn served(listener: &TcpListener, status: &str, now_ms: u64) -> Vec<(String, bool)> {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    let body = loop {
        stream.read_buf(&mut request).await.unwrap();
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let len = head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= len.unwrap_or(0) {
            assert!(head.starts_with("POST /api/v2/alerts HTTP/1.1\r\n"), "{head}");
            break body.to_owned();
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let alerts: Vec<Value> = serde_json::from_str(&body).unwrap();
    let now = jiff::Timestamp::from_millisecond(now_ms as i64).unwrap();
    let shown = |alert: &Value| {
        assert_eq!(alert["labels"]["node"], "n");
        let ends: jiff::Timestamp = alert["endsAt"].as_str().unwrap().parse().unwrap();
        (alert["labels"]["key"].as_str().unwrap().to_owned(), ends <= now)
    };
    alerts.iter().map(shown).collect()
}

async fn destination() -> (TcpListener, Destination) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    (listener, format!("http://{address}").parse().unwrap())
}

#[tokio::test]
async fn a_destination_is_told_what_fires_and_what_is_over() {
    let clock = Clock::manual(1_000_000);
    let alerts = Alerts::open(options(&clock), Arc::new(disk()));
    let (listener, to) = destination().await;
    alerts.apply("lag", raise("a"));
    alerts.set_destinations(vec![to]);
    assert_eq!(
        served(&listener, "200 OK", 1_000_000).await,
        [("a".to_owned(), false)],
        "what fired before it was named"
    );
    alerts.apply("lag", raise("b"));
    assert_eq!(served(&listener, "200 OK", 1_000_000).await, [("b".to_owned(), false)], "only what is new");
    // Said again, and not told again: the next request is the end.
    alerts.apply("lag", raise("b"));
    clock.set(1_005_000);
    alerts.apply("lag", clear("a"));
    assert_eq!(served(&listener, "200 OK", 1_005_000).await, [("a".to_owned(), true)]);
    alerts.stop().await;
}

#[tokio::test]
async fn what_was_not_taken_is_sent_again_and_what_was_refused_is_not() {
    let clock = Clock::manual(1_000_000);
    let alerts = Alerts::open(options(&clock), Arc::new(disk()));
    let (listener, to) = destination().await;
    alerts.set_destinations(vec![to]);
    alerts.apply("lag", raise("a"));
    assert_eq!(served(&listener, "503 Busy", 1_000_000).await, [("a".to_owned(), false)]);
    alerts.apply("lag", clear("a"));
    alerts.apply("lag", raise("b"));
    // The end of what it never took is told all the same, and first.
    assert_eq!(served(&listener, "200 OK", 1_000_000).await, [("a".to_owned(), true)]);
    assert_eq!(served(&listener, "400 Bad Request", 1_000_000).await, [("b".to_owned(), false)]);
    alerts.apply("lag", raise("c"));
    assert_eq!(served(&listener, "200 OK", 1_000_000).await, [("c".to_owned(), false)]);
    alerts.stop().await;
}

#[tokio::test]
async fn what_fires_survives_a_power_loss_and_is_dropped_unless_confirmed() {
    let (clock, disk) = (Clock::manual(1_000_000), disk());
    let alerts = Alerts::open(options(&clock), Arc::new(disk.clone()));
    alerts.apply("lag", raise("a"));
    alerts.apply("lag", raise("b"));
    alerts.apply("lag", [Change::Raise(Alert { for_ms: 60_000, ..alert("later") })]);
    alerts.0.look();
    disk.crash();
    disk.reboot(Reboot::PowerLoss);

    clock.set(1_030_000);
    let alerts = Alerts::open(options(&clock), Arc::new(disk.clone()));
    let listed = |alerts: &Alerts| -> Vec<(String, State)> {
        alerts.list().into_iter().map(|listed| (listed.alert.key, listed.state)).collect()
    };
    let [a, b] = ["a", "b"].map(|key| (key.to_owned(), State::Firing));
    assert_eq!(listed(&alerts), [a.clone(), b, ("later".to_owned(), State::Pending)]);
    alerts.apply("lag", raise("a"));
    clock.set(1_070_000);
    alerts.apply("lag", [Change::Raise(Alert { for_ms: 60_000, ..alert("later") })]);
    clock.set(1_330_000);
    alerts.0.look();
    assert_eq!(listed(&alerts), [a, ("later".to_owned(), State::Firing)], "b was not spoken of, later went on");
    alerts.stop().await;

    // A damaged file costs no start.
    let file = disk.open(&options(&clock).file, false).unwrap();
    file.write_at(b"x", 40).unwrap();
    assert!(listed(&Alerts::open(options(&clock), Arc::new(disk))).is_empty());
}

#[tokio::test]
async fn a_full_disk_is_tried_again() {
    let (clock, disk) = (Clock::manual(1_000_000), disk());
    let alerts = Alerts::open(options(&clock), Arc::new(disk.clone()));
    alerts.apply("lag", raise("a"));
    disk.fail(Fault { errno: 28, ..Fault::once(Operation::Sync) });
    alerts.0.look();
    assert!(*alerts.0.failing.lock());
    alerts.0.look();
    assert!(!*alerts.0.failing.lock());
    assert_eq!(Alerts::open(options(&clock), Arc::new(disk)).list().len(), 1);
}
