//! The parts of the campaign that run on the simulated disk.

mod damage;
mod sweeps;

use crate::{
    campaign::{Part, Tally},
    simulation::{Plan, Summary, run},
};

/// How much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// First seed of what is random.
    pub seed: u64,
    /// Random runs.
    pub rounds: u64,
    /// A slice for every change, instead of everything.
    pub slice: bool,
}

/// All parts, in the order in which they are run.
pub fn all(scale: Scale) -> Vec<Part> {
    vec![
        power_loss(scale),
        stale(scale),
        sweeps::boundaries(scale),
        sweeps::errors(scale),
        sweeps::full(scale),
        damage::flips(scale),
        damage::truncation(scale),
    ]
}

fn power_loss(scale: Scale) -> Part {
    Part {
        name: "power-loss",
        about: "random lives, kills and power losses anywhere, in recovery too; trouble in a third of them",
        first: scale.seed,
        trials: scale.rounds,
        run: Box::new(|seed| run(&Plan::random(seed)).map(tally)),
    }
}

fn stale(scale: Scale) -> Part {
    Part {
        name: "stale",
        about: "much written and lost at the same places, on a file system that shows what blocks held before",
        first: scale.seed,
        trials: scale.rounds / 4,
        run: Box::new(|seed| run(&Plan::reusing(seed)).map(tally)),
    }
}

fn tally(summary: Summary) -> Tally {
    let mut tally = Tally::default();
    for (what, count) in [
        ("messages", summary.appended),
        ("acknowledged", summary.acknowledged),
        ("cuts", summary.cut),
        ("refused for space", summary.refused_full),
        ("stopped logs", summary.failed_lives),
        ("failed openings", summary.crashed_opens),
        ("deletions", summary.deletions),
    ] {
        tally.add(what, count);
    }
    tally
}
