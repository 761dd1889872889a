//! `gantry run`: a node from its configuration to its last flush.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    config::Config,
    exit::{Exit, Failure, OrExit, Outcome},
    node::{Node, Overrides, Plan},
    output,
};

/// Run a node: name server, broker, or both, as the cluster file says
///
/// Without a file: both, for this machine only, on ports 9876 and 10911. A line that begins with "gantry ready:" on stdout
/// says where it listens once clients are served. SIGTERM and SIGINT drain it, a second one ends it at once; SIGHUP reads the
/// cluster file again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Cluster file; `gantry config explain` says what can be in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which [node.NAME] of the file to run; not needed when there is one
    #[arg(long, value_name = "NAME", requires = "config")]
    node: Option<String>,
    /// Data directory [default: that of the file, else gantry-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Port of the name server; 0 = any free one
    #[arg(long, value_name = "PORT")]
    namesrv_port: Option<u16>,
    /// Port of the broker; 0 = any free one
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Port of the HTTP endpoint; 0 = any free one
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// Write the ready line as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> Outcome {
    let config = load(args.config.as_deref())?;
    let overrides = Overrides {
        data: args.data,
        name_server_port: args.namesrv_port,
        broker_port: args.port,
        http_port: args.http_port,
    };
    let spec = config.node(args.node.as_deref()).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let plan = Plan::new(&config, spec, &overrides).map_err(|problem| Failure::new(Exit::Usage, problem))?;
    raise_open_files_limit(config.limits().connections_max as u64, config.store_options().queue_files_open_max as u64);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(serve(config, plan, args.json))
}

async fn serve(config: Config, plan: Plan, json: bool) -> Outcome {
    let mut signals = Signals::listen()?;
    // Recovery leaves the disk as any crash would, so it need not be waited for.
    let node = tokio::select! {
        node = Node::start(config, plan) => node?,
        () = signals.stop() => return Err(Failure::new(Exit::Interrupted, "stopped while starting")),
    };
    if json {
        output::json(node.ready())?
    } else {
        output::line(&node.ready().to_string())?
    }

    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            () = signals.stop() => break,
            () = node.stop_asked() => break,
            _ = hangup.recv() => node.reload().await,
        }
    }
    tracing::info!("draining: answering what is in flight, then flushing; another signal ends the process at once");
    tokio::select! {
        stopped = node.stop() => stopped?,
        () = signals.stop() => {
            let text = "ended before everything was flushed; the next start recovers what was acknowledged";
            return Err(Failure::new(Exit::Interrupted, text));
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// The cluster file, or what is built in.
pub(crate) fn load(file: Option<&std::path::Path>) -> Outcome<Config> {
    let Some(file) = file else { return Ok(Config::builtin()) };
    let problems = |problems: Vec<crate::config::Problem>| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        anyhow!("the configuration is not used:{}", lines.concat())
    };
    Config::load(file).map_err(problems).or_exit(Exit::Usage)
}

/// The signals that end a node.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("could not listen for signals");
        Ok(Signals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Completes when the process is asked to end.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Every connection and every file of a queue takes a descriptor; the usual soft limit of 1024 is for programs that still
/// use `select`.
fn raise_open_files_limit(connections_max: u64, queue_files_open_max: u64) {
    let found = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: found.maximum, ..found }).is_err() {
        tracing::warn!("the limit of open files stays at {}", found.current.unwrap_or_default());
    }
    if let Some(limit) = getrlimit(Resource::Nofile).current
        && limit < connections_max + queue_files_open_max
    {
        tracing::warn!(
            "the system allows {limit} open files, fewer than limits.connections_max = {connections_max} and \
             store.queue_files_open_max = {queue_files_open_max} together; raise it with ulimit -n"
        );
    }
}
