//! A `gantry run` process: started on free ports, found by its ready line, ended politely or with SIGKILL.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a start may take before it counts as failed; recovery of a test's log takes far less.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A part of a cluster file: neither delete nor refuse because others fill the disk.
pub const ANY_DISK_WILL_DO: &str =
    "[retention]\ndisk_clean_percent = 100\ndisk_force_percent = 100\ndisk_refuse_percent = 101\n";

/// How to start a node.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Data directory; kept when the node ends.
    pub data: PathBuf,
    /// Cluster file, if not the built-in standalone one.
    pub config: Option<PathBuf>,
    /// Ports to take again after a restart, so that clients find the node; 0 or `None` = any free one.
    pub ports: Option<Ports>,
    /// More arguments of `gantry run`.
    pub arguments: Vec<String>,
}

/// Ports of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    /// Name server.
    pub name_server: u16,
    /// Broker.
    pub broker: u16,
    /// HTTP.
    pub http: u16,
}

/// A running node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    child: Child,
    /// Name server's address.
    pub name_server: SocketAddr,
    /// Broker's address.
    pub broker: SocketAddr,
    /// HTTP endpoint's address.
    pub http: SocketAddr,
    /// From starting the process to its ready line.
    pub start_time: Duration,
    /// What it logs.
    pub log: PathBuf,
}

/// The `gantry` binary: `GANTRY_BIN`, else the one beside this program.
pub fn gantry_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("GANTRY_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe()?;
    let folders = here.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("gantry")).find(|path| path.is_file());
    found.context("no gantry binary beside this program; build it or set GANTRY_BIN")
}

impl Node {
    /// Starts a node and waits until it serves.
    pub fn start(options: &NodeOptions) -> Result<Node> {
        let begun = Instant::now();
        let (mut child, log) = spawn(options)?;
        let line = match first_line(&mut child) {
            Ok(line) => line,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the node did not become ready: {error:#}\n{}", tail(&log));
            }
        };
        let start_time = begun.elapsed();
        let ready: serde_json::Value = serde_json::from_str(&line).with_context(|| format!("ready line {line:?}"))?;
        let address = |key: &str| -> Result<SocketAddr> {
            let text = ready[key].as_str().or_else(|| ready[key][0].as_str()).unwrap_or_default();
            text.parse().with_context(|| format!("{key} in ready line {line}"))
        };
        Ok(Node {
            name_server: address("name_server")?,
            broker: address("broker")?,
            http: address("http")?,
            child,
            start_time,
            log,
        })
    }

    /// Starts a node and kills it after a while, whether it serves by then or is still opening its store.
    pub fn start_and_kill(options: &NodeOptions, after: Duration) -> Result<()> {
        let (mut child, _) = spawn(options)?;
        std::thread::sleep(after);
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// The ports, to start it again on.
    pub fn ports(&self) -> Ports {
        Ports { name_server: self.name_server.port(), broker: self.broker.port(), http: self.http.port() }
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a power switch would end the process: SIGKILL, nothing flushed by the process.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to drain and waits.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("process id")?;
        kill_process(pid, Signal::TERM)?;
        Ok(self.child.wait()?)
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Resident memory in KiB: all of it, and the part that is not backed by files.
    pub fn resident_kib(&self) -> Result<(u64, u64)> {
        memory_kib(self.child.id())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in KiB: all of it, and the part that is not backed by files.
pub fn memory_kib(pid: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| -> Result<u64> {
        let line = status.lines().find(|line| line.starts_with(name)).with_context(|| format!("{name} in status"))?;
        Ok(line.split_whitespace().nth(1).unwrap_or_default().parse()?)
    };
    Ok((field("VmRSS:")?, field("RssAnon:")?))
}

/// Processor time that a process has used so far, user and system, in seconds.
pub fn processor_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is the program's name in brackets and may hold spaces.
    let fields: Vec<&str> = stat.rsplit_once(')').context("a name in brackets")?.1.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("processor time")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
}

/// The process and where it logs.
fn spawn(options: &NodeOptions) -> Result<(Child, PathBuf)> {
    std::fs::create_dir_all(&options.data)?;
    let log = options.data.with_extension("log");
    let ports = options.ports.map_or([0; 3], |ports| [ports.name_server, ports.broker, ports.http]);
    let mut command = Command::new(gantry_binary()?);
    command.arg("run").arg("--json").arg("--data").arg(&options.data);
    for (flag, port) in ["--namesrv-port", "--port", "--http-port"].iter().zip(ports) {
        command.arg(flag).arg(port.to_string());
    }
    if let Some(config) = &options.config {
        command.arg("--config").arg(config);
    }
    command.args(&options.arguments);
    let log_file = File::options().create(true).append(true).open(&log)?;
    let child = command.stdout(Stdio::piped()).stderr(log_file).spawn().context("could not start gantry")?;
    Ok((child, log))
}

fn first_line(child: &mut Child) -> Result<String> {
    let stdout = child.stdout.take().context("stdout is piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        let _ = sender.send(lines.next());
        // Read on, so that the node never blocks on a full pipe.
        lines.for_each(drop);
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(Some(line)) => Ok(line?),
        Ok(None) => bail!("it ended without a ready line"),
        Err(_) => bail!("no ready line within {READY_WITHIN:?}"),
    }
}

/// The end of a log, for an error message.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
