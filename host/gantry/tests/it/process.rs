//! Real processes of the binary under test.
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long anything may take before a test fails; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary with arguments.
pub(crate) fn gantry(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.args(arguments);
    command
}

/// Runs a command that ends by itself.
pub(crate) fn output(arguments: &[&str]) -> Output {
    gantry(arguments).output().unwrap()
}

/// Standard output of a command that must end with this code.
pub(crate) fn stdout_of(arguments: &[&str], code: i32) -> String {
    let output = output(arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "gantry {arguments:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// The line of JSON that a command prints.
pub(crate) fn json_of(arguments: &[&str]) -> Value {
    serde_json::from_str(&stdout_of(arguments, 0)).unwrap()
}

/// A `gantry run` in the background; killed when dropped.
pub(crate) struct Node {
    child: Child,
    /// Its ready line.
    pub(crate) ready: Value,
    /// Its data directory.
    pub(crate) data: PathBuf,
}

impl Node {
    /// Starts one on free ports with its data in `folder`.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Node {
        let mut command =
            gantry(&["run", "--json", "--namesrv-port", "0", "--port", "0", "--http-port", "0", "--data"]);
        command.arg(folder.join("data")).args(arguments);
        Node::spawn(command, &folder.join("node.log"))
    }

    /// Starts the node of this name as its cluster file says.
    pub(crate) fn of_cluster(file: &Path, name: &str) -> Node {
        let mut command = gantry(&["run", "--json", "--node", name, "--config"]);
        command.arg(file);
        Node::spawn(command, &file.with_file_name(format!("{name}.log")))
    }

    fn spawn(mut command: Command, log: &Path) -> Node {
        let stderr = File::options().create(true).append(true).open(log).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).for_each(|line| _ = sender.send(line))
        });
        let Ok(line) = lines.recv_timeout(PATIENCE) else {
            let _ = child.kill();
            panic!("no ready line; it said: {}", std::fs::read_to_string(log).unwrap());
        };
        let ready: Value = serde_json::from_str(&line).unwrap();
        let data = ready["data"].as_str().unwrap().into();
        Node { child, ready, data }
    }

    /// An address of the ready line.
    pub(crate) fn address(&self, key: &str) -> String {
        self.ready[key].as_str().unwrap().to_owned()
    }

    /// The data directory as an argument.
    pub(crate) fn data_text(&self) -> &str {
        self.data.to_str().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> ExitStatus {
        wait_for("the node to end", || self.child.try_wait().unwrap())
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn terminate(self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait().code()
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Its status over the control socket.
    pub(crate) fn status(&self) -> Value {
        json_of(&["status", "--json", "--data", self.data_text()])
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again until there is something. The pause only keeps the processor free for what is waited for.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
