//! A real Apache RocketMQ from Maven Central on loopback: a name server and a broker, each in its Java process.
//!
//! What `interop/oracle.sh` does for a shell, with a store directory, settings and an end of the caller's choice.

use std::{
    collections::BTreeMap,
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::node::memory_kib;

/// How long a server may take to start: a JVM on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long an orderly end may take; RocketMQ sleeps several seconds on its way.
const END_WITHIN: Duration = Duration::from_secs(90);
/// What a JVM of either server is started with, besides its heap.
const JVM_FLAGS: [&str; 6] = [
    // Gantry speaks no TLS; RocketMQ would spend a good part of its start on making a key for it.
    "-Dtls.server.mode=disabled",
    "-XX:+UseG1GC",
    "-XX:MaxDirectMemorySize=2g",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
];

/// How to start a broker.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// `storePathRootDir`; kept when the broker ends.
    pub store: PathBuf,
    /// Name server, if it is to register.
    pub name_server: Option<SocketAddr>,
    /// `-Xms` and `-Xmx`.
    pub heap: String,
    /// More lines of broker.conf; they win over the usual ones.
    pub more: BTreeMap<String, String>,
}

impl BrokerSettings {
    /// Asynchronous flush, half a gigabyte, no name server.
    pub fn new(store: impl Into<PathBuf>) -> Self {
        BrokerSettings { store: store.into(), name_server: None, heap: "512m".into(), more: BTreeMap::new() }
    }

    /// With one more line of broker.conf.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.more.insert(key.into(), value.into());
        self
    }
}

/// A running server. Dropping it kills it.
#[derive(Debug)]
pub struct RocketMq {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From starting the process until it listened.
    pub start_time: Duration,
    /// What it says on its console.
    pub log: PathBuf,
}

/// The classpath of both servers, resolved once with Maven. Java and Maven must be there; see `interop/lib.sh`.
pub fn classpath() -> Result<String> {
    let cache = match std::env::var_os("GANTRY_INTEROP_CACHE") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache/gantry-interop"),
    };
    let folder = cache.join("oracle");
    std::fs::create_dir_all(&folder)?;
    let (file, pom) = (folder.join("classpath"), Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/oracle/pom.xml"));
    let modified = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    if modified(&file).is_none_or(|at| Some(at) < modified(&pom)) {
        eprintln!("resolving Apache RocketMQ with Maven");
        let status = Command::new("mvn")
            .args(["-q", "-B", "-f"])
            .arg(&pom)
            .arg("dependency:build-classpath")
            .arg(format!("-Dmdep.outputFile={}", file.display()))
            .status()
            .context("could not start mvn; install a JDK 17 and Maven")?;
        ensure!(status.success(), "Maven could not resolve Apache RocketMQ: {status}");
    }
    Ok(std::fs::read_to_string(&file)?.trim().to_owned())
}

impl RocketMq {
    /// Starts a name server; `folder` takes its files.
    pub fn name_server(folder: &Path) -> Result<RocketMq> {
        std::fs::create_dir_all(folder)?;
        let port = free_port()?;
        let lines = [
            ("listenPort", port.to_string()),
            ("bindAddress", "127.0.0.1".into()),
            ("kvConfigPath", folder.join("kvConfig.json").display().to_string()),
            ("configStorePath", folder.join("namesrv.properties").display().to_string()),
        ];
        let conf = folder.join("namesrv.conf");
        write_properties(&conf, lines.map(|(key, value)| (key.to_owned(), value)))?;
        launch("namesrv", "256m", "org.apache.rocketmq.namesrv.NamesrvStartup", folder, &conf, port)
    }

    /// Starts a broker and waits until it serves. Its console and configuration lie beside the store.
    pub fn broker(settings: &BrokerSettings) -> Result<RocketMq> {
        let folder = settings.store.with_extension("rocketmq");
        std::fs::create_dir_all(&folder)?;
        std::fs::create_dir_all(&settings.store)?;
        let port = free_port()?;
        let store = settings.store.display().to_string();
        let mut lines: BTreeMap<String, String> = [
            ("brokerClusterName", "DefaultCluster"),
            ("brokerName", "broker-a"),
            ("brokerId", "0"),
            ("brokerRole", "ASYNC_MASTER"),
            ("flushDiskType", "ASYNC_FLUSH"),
            ("brokerIP1", "127.0.0.1"),
            ("brokerIP2", "127.0.0.1"),
            ("bindAddress", "127.0.0.1"),
            ("autoCreateTopicEnable", "true"),
            // It shares its disk with compilers: it must not stop taking messages at 75 % full.
            ("diskMaxUsedSpaceRatio", "95"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        lines.insert("listenPort".into(), port.to_string());
        lines.insert("haListenPort".into(), (port + 1).to_string());
        lines.insert("storePathRootDir".into(), store.clone());
        lines.insert("storePathCommitLog".into(), format!("{store}/commitlog"));
        if let Some(address) = settings.name_server {
            lines.insert("namesrvAddr".into(), address.to_string());
        }
        lines.extend(settings.more.clone());
        let conf = folder.join("broker.conf");
        write_properties(&conf, lines)?;
        launch("broker", &settings.heap, "org.apache.rocketmq.broker.BrokerStartup", &folder, &conf, port)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB: all of it, and the part that is not backed by files.
    pub fn resident_kib(&self) -> Result<(u64, u64)> {
        memory_kib(self.pid())
    }

    /// SIGKILL.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end in order and waits.
    pub fn terminate(mut self) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("process id")?;
        kill_process(pid, Signal::TERM)?;
        let begun = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(
                begun.elapsed() < END_WITHIN,
                "RocketMQ did not end within {END_WITHIN:?}; see {}",
                self.log.display()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for RocketMq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(name: &str, heap: &str, main: &str, folder: &Path, conf: &Path, port: u16) -> Result<RocketMq> {
    let classpath = classpath()?;
    let log = folder.join(format!("{name}.log"));
    let console = File::create(&log)?;
    let begun = Instant::now();
    let child = Command::new("java")
        .arg(format!("-Xms{heap}"))
        .arg(format!("-Xmx{heap}"))
        .args(JVM_FLAGS)
        // Where RocketMQ puts its own logs.
        .arg(format!("-Duser.home={}", folder.display()))
        .args(["-cp", &classpath, main, "-c"])
        .arg(conf)
        .env("ROCKETMQ_HOME", folder)
        .stdout(console.try_clone()?)
        .stderr(console)
        .spawn()
        .context("could not start java; install a JDK 17")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut server = RocketMq { child, address, start_time: Duration::ZERO, log };
    while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
        let said = || std::fs::read_to_string(&server.log).unwrap_or_default();
        if let Some(status) = server.child.try_wait()? {
            bail!("RocketMQ's {name} ended with {status}:\n{}", said());
        }
        ensure!(
            begun.elapsed() < READY_WITHIN,
            "RocketMQ's {name} does not listen after {READY_WITHIN:?}:\n{}",
            said()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    server.start_time = begun.elapsed();
    Ok(server)
}

fn write_properties(path: &Path, lines: impl IntoIterator<Item = (String, String)>) -> Result<()> {
    let text: String = lines.into_iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

/// A port such that the one before the last and the next are free, too: a broker takes those for its fast port and for replicas.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let found = listen(0)?;
        let port = found.local_addr()?.port();
        if (4..u16::MAX).contains(&port) && listen(port - 2).is_ok() && listen(port + 1).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free ports found")
}
