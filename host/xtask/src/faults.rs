//! The fault campaign: simulated disk, planted bugs, real nodes.

use anyhow::Result;
use clap::Args;

use crate::{
    run::{binary, cargo, command, target},
    with_node,
};

/// Kills of real nodes: of the whole campaign, of a slice.
const KILLS: [u64; 2] = [2_000, 100];

#[derive(Args)]
pub(crate) struct Faults {
    /// Random runs on the simulated disk; the other parts follow from it or are exhaustive [default: 20000]
    #[arg(long)]
    rounds: Option<u64>,
    /// First seed [default: 1]
    #[arg(long)]
    seed: Option<u64>,
    /// Only this part, for example power-loss, or kills
    #[arg(long)]
    only: Option<String>,
    /// Only this trial of the part, as a violation names it
    #[arg(long, requires = "only")]
    trial: Option<u64>,
    /// A slice for every change, with the planted bugs: minutes instead of an hour
    #[arg(long)]
    slice: bool,
    /// Only show that each planted bug is noticed, by what and how fast
    #[arg(long, conflicts_with_all = ["only", "slice"])]
    planted: bool,
    /// Kills of real nodes [default: 2000, 100 of a slice]
    #[arg(long)]
    kills: Option<u64>,
    /// Threads [default: as many as cores]
    #[arg(long)]
    threads: Option<u64>,
}

impl Faults {
    pub(crate) fn run(self) -> Result<()> {
        let mut passed = Vec::new();
        for (name, value) in [("--rounds", self.rounds), ("--seed", self.seed), ("--threads", self.threads)] {
            passed.extend(value.map(|value| [name.to_owned(), value.to_string()]).into_iter().flatten());
        }
        if self.planted {
            return planted(&passed);
        }
        if self.only.as_deref() == Some("kills") {
            return self.kills();
        }
        if let Some(only) = &self.only {
            passed.extend(["--only".to_owned(), only.clone()]);
        }
        passed.extend(self.trial.map(|trial| ["--trial".to_owned(), trial.to_string()]).into_iter().flatten());
        passed.extend(self.slice.then(|| "--slice".to_owned()));
        command(binary("gantry-faults", "faults")?).args(&passed).run()?;
        if self.only.is_some() {
            return Ok(());
        }
        planted(&[])?;
        self.kills()
    }

    fn kills(&self) -> Result<()> {
        let kills = self.kills.unwrap_or(KILLS[usize::from(self.slice)]);
        with_node("crash", &["--rounds".to_owned(), kills.to_string()])
    }
}

/// The planted bugs are compiled into a build of their own.
fn planted(arguments: &[String]) -> Result<()> {
    cargo(["build", "--release", "--package", "gantry-faults", "--features", "planted-bugs"]).run()?;
    command(target().join("release/faults")).arg("--planted").args(arguments).run()
}
