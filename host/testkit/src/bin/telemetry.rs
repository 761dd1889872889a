//! `cargo xtask telemetry`: what a busy node tells, read by Prometheus' own tool, and alerts taken by a real Alertmanager. Both are
//! Debian's packages, `prometheus` and `prometheus-alertmanager`.

#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use gantry_base::{clock::Clock, disk::RealDisk};
use gantry_telemetry::alert::{Alert, AlertOptions, Alerts, Change, Severity};
use gantry_testkit::node::{Node, NodeOptions, gantry_binary};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);
const MESSAGES: u64 = 20_000;

#[tokio::main]
async fn main() -> Result<()> {
    ensure!(std::env::args().len() == 1, "usage: telemetry");
    scrape()?;
    alertmanager().await.context("alerts at an Alertmanager")?;
    println!("telemetry: 2 passed, 0 failed");
    Ok(())
}

fn scrape() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Node::start(&NodeOptions { data: folder.path().join("data"), ..NodeOptions::default() })?;
    let namesrv = node.name_server.to_string();
    let count = MESSAGES.to_string();
    let bench = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(gantry_binary()?).arg("bench").args(arguments).stdout(Stdio::null()).status()?;
        ensure!(status.success(), "gantry bench {arguments:?}: {status}");
        Ok(())
    };
    let produce = ["produce", "--namesrv", &namesrv, "--topic", "busy", "--count", &count, "--connections", "4"];
    let mut producing = Command::new(gantry_binary()?).arg("bench").args(produce).stdout(Stdio::null()).spawn()?;
    // While it is busy and once it is done: both must be read without a complaint about the format.
    check(&get(node.http, "/metrics")?)?;
    ensure!(producing.wait()?.success(), "gantry bench produce");
    bench(&["consume", "--namesrv", &namesrv, "--topic", "busy"])?;
    bench(&["timers", "--namesrv", &namesrv, "--topic", "later", "--count", "50", "--due-within", "1", "--lead", "1"])?;
    let begun = Instant::now();
    let text = get(node.http, "/metrics")?;
    let took = begun.elapsed();
    let lints = check(&text)?;
    let values = samples(&text);
    let stored: f64 =
        values.iter().filter(|(series, _)| is(series, "rocketmq_messages_in_total", "busy")).map(|(_, v)| v).sum();
    let given: f64 =
        values.iter().filter(|(series, _)| is(series, "rocketmq_messages_out_total", "busy")).map(|(_, v)| v).sum();
    ensure!(stored == MESSAGES as f64 && given >= stored, "{stored} messages in, {given} out, {MESSAGES} were sent");
    println!(
        "promtool: {} series, {} bytes in {} ms, understood; {lints} names are not in Prometheus' style, all RocketMQ's or units",
        values.len(),
        text.len(),
        took.as_millis()
    );
    node.terminate()?;
    Ok(())
}

fn is(series: &str, name: &str, topic: &str) -> bool {
    series.starts_with(&format!("{name}{{")) && series.contains(&format!("topic=\"{topic}\""))
}

fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    lines.filter_map(|(series, value)| Some((series.to_owned(), value.parse().ok()?))).collect()
}

/// Has promtool read it. What it says of style is counted when it is about units, which RocketMQ's names fix.
fn check(text: &str) -> Result<usize> {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool, of Debian's package prometheus")?;
    let mut input = tool.stdin.take().context("its standard input")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = tool.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    // 3: it was parsed, and there are words about style.
    ensure!(matches!(output.status.code(), Some(0 | 3)), "promtool cannot read it: {said}");
    let style = ["use base unit", "should not contain abbreviated units"];
    for line in said.lines() {
        let known = style.iter().any(|known| line.contains(known));
        ensure!(known, "promtool says: {line}");
    }
    Ok(said.lines().count())
}

fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
    ensure!(head.contains(" 200 "), "{path}: {head}");
    Ok(body.to_owned())
}

/// A process that ends with its value.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A real Alertmanager on a free port.
fn start_alertmanager(folder: &Path) -> Result<(Started, SocketAddr)> {
    let config = folder.join("alertmanager.yml");
    std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")?;
    // Asked for and given back: nobody else here takes ports by number.
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let child = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("alertmanager.log"))?)
        .spawn()
        .context("prometheus-alertmanager, of Debian's package of that name")?;
    Ok((Started(child), address))
}

/// Asks until the answer is as wanted.
async fn until(what: &str, mut look: impl FnMut() -> Result<bool>) -> Result<Duration> {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(true) => return Ok(begun.elapsed()),
            Err(error) if begun.elapsed() > PATIENCE => return Err(error.context(format!("waited for {what}"))),
            Ok(false) if begun.elapsed() > PATIENCE => bail!("waited {PATIENCE:?} for {what}"),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn alertmanager() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = AlertOptions {
        file: folder.path().join("alerts.json"),
        alerts_max: 100,
        confirm_within: Duration::from_secs(300),
        resend_every: Duration::from_secs(60),
        labels: vec![("cluster".to_owned(), "c".to_owned())],
        clock: Clock::system(),
    };
    let alerts = Alerts::open(options, Arc::new(RealDisk));
    alerts.start();
    let (manager, address) = start_alertmanager(folder.path())?;
    alerts.set_destinations(vec![format!("http://{address}").parse()?]);

    let raise = |severity, value| {
        let (key, summary) = ("lag/orders/billing".to_owned(), "billing is behind on orders".to_owned());
        let labels = vec![("consumer_group".to_owned(), "billing".to_owned())];
        [Change::Raise(Alert { key, severity, summary, labels, value, for_ms: 200 })]
    };
    let listed = || -> Result<Vec<(String, String)>> {
        let found: Vec<Value> = serde_json::from_str(&get(address, "/api/v2/alerts")?)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(found.iter().map(|alert| (text(&alert["labels"]["key"]), text(&alert["labels"]["severity"]))).collect())
    };
    let only = |severity: &str| vec![("lag/orders/billing".to_owned(), severity.to_owned())];
    // Raised before the Alertmanager listens: it is tried again.
    for value in 0..5 {
        alerts.apply("consumer-lag", raise(Severity::Warning, f64::from(value)));
    }
    let raised = until("the alert", || Ok(listed()? == only("warning"))).await?;
    for value in 0..5 {
        alerts.apply("consumer-lag", raise(Severity::Warning, f64::from(value)));
    }
    alerts.apply("consumer-lag", raise(Severity::Critical, 9.0));
    let worse = until("its severity", || Ok(listed()? == only("critical"))).await?;
    alerts.apply("consumer-lag", [Change::Clear { key: "lag/orders/billing".to_owned() }]);
    let cleared = until("its end", || Ok(listed()?.is_empty())).await?;
    alerts.stop().await;
    drop(manager);
    println!(
        "alertmanager: raised once of 10 times, {} ms from its start; another severity {} ms; cleared {} ms",
        raised.as_millis(),
        worse.as_millis(),
        cleared.as_millis()
    );
    Ok(())
}
