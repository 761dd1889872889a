//! Servers that a benchmark starts and ends: other processes of this program.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a server may take to say where it listens.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A server process, ended when dropped.
pub(crate) struct Server {
    child: Child,
    /// The line of JSON that it printed when it was ready.
    pub(crate) ready: Value,
}

impl Server {
    /// Starts this program with `arguments`, which make it print one line of JSON when it is ready.
    pub(crate) fn start(arguments: &[&str], log: &Path) -> Result<Server> {
        let program = std::env::current_exe()?;
        let log_file = std::fs::File::create(log)?;
        let mut child = Command::new(program).args(arguments).stdout(Stdio::piped()).stderr(log_file).spawn()?;
        match first_line(&mut child) {
            Ok(ready) => Ok(Server { child, ready }),
            Err(error) => {
                // It may have ended already.
                let _ = child.kill();
                let _ = child.wait();
                let said = std::fs::read_to_string(log).unwrap_or_default();
                Err(error.context(format!(
                    "`gantry {}` did not become ready\n{}",
                    arguments.join(" "),
                    said.trim_end()
                )))
            }
        }
    }

    /// Processor time that it used so far, user and system, in seconds.
    pub(crate) fn processor_seconds(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The second field is the program's name in brackets and may hold spaces.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // Fails only when it has ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

fn first_line(child: &mut Child) -> Result<Value> {
    let stdout = child.stdout.take().context("stdout is piped")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(stdout).lines();
        // The receiver may have given up.
        let _ = sender.send(lines.next());
        lines.for_each(drop);
    });
    match receiver.recv_timeout(READY_WITHIN) {
        Ok(Some(line)) => Ok(serde_json::from_str(&line?)?),
        Ok(None) => bail!("it ended"),
        Err(_) => bail!("it said nothing within {READY_WITHIN:?}"),
    }
}
