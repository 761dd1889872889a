//! Every call of a short life in turn: a crash there, an error there, a disk that is full there.

use gantry_base::disk::sim::{Fault, Operation, Reboot};
use gantry_store::Flush;

use super::{Scale, tally};
use crate::{
    campaign::Part,
    simulation::{End, Plan, Summary, run},
};

const FLUSHES: [Flush; 2] = [Flush::Sync, Flush::Async { interval_ms: 500 }];
/// Workloads of the whole campaign and of a slice, for each way to flush.
const WORKLOADS: [u64; 2] = [24, 3];
/// Steps of a life: enough to pass several ends of segments and queue files.
const STEPS: u64 = 60;
/// Calls beyond the life, so that the shutdown after it is swept, too.
const SHUTDOWN_CALLS: u64 = 24;

/// Short lives, always the same for a seed.
fn workloads(scale: Scale) -> Vec<Plan> {
    let seeds = scale.seed..scale.seed + WORKLOADS[usize::from(scale.slice)];
    let plan = |seed: u64, flush: Flush| {
        let mut plan = Plan::random(seed);
        plan.options.flush = flush;
        plan.options.segment_size_bytes = [2048, 4096][(seed % 2) as usize];
        (plan.lives, plan.steps, plan.trouble, plan.end) = (1, STEPS, false, End::At(u64::MAX, Reboot::PowerLoss));
        plan
    };
    seeds.flat_map(|seed| FLUSHES.map(|flush| plan(seed, flush))).collect()
}

/// What the life does when nothing goes wrong.
fn whole(plan: &Plan) -> Summary {
    // A workload that fails without faults fails in every trial, where it is reported.
    run(plan).unwrap_or_default()
}

fn part(name: &'static str, about: &'static str, plans: Vec<Plan>) -> Part {
    Part {
        name,
        about,
        first: 0,
        trials: plans.len() as u64,
        run: Box::new(move |trial| match plans.get(trial as usize) {
            Some(plan) => run(plan).map(tally),
            None => Err(format!("there is no trial {trial}")),
        }),
    }
}

/// A kill and two power losses at every changing call.
pub(super) fn boundaries(scale: Scale) -> Part {
    let ends = [Reboot::Kill, Reboot::PowerLoss, Reboot::PowerLoss];
    let plans = workloads(scale).into_iter().flat_map(|plan| {
        let calls = whole(&plan).operations + SHUTDOWN_CALLS;
        (1..=calls).flat_map(move |call| {
            let plan = plan.clone();
            ends.into_iter().map(move |reboot| Plan { end: End::At(call, reboot), ..plan.clone() })
        })
    });
    part("boundaries", "a kill and two power losses at every changing call of fixed lives", plans.collect())
}

/// EIO and ENOSPC at every call of every kind: once, and from there on.
pub(super) fn errors(scale: Scale) -> Part {
    let plans = workloads(scale).into_iter().flat_map(|plan| {
        let calls = whole(&plan).calls;
        Operation::ALL.into_iter().zip(calls).flat_map(move |(operation, calls)| {
            let plan = plan.clone();
            (0..calls).flat_map(move |after| {
                let plan = plan.clone();
                [(5, 1), (5, u64::MAX), (28, 1), (28, 3)].into_iter().map(move |(errno, times)| Plan {
                    fault: Some(Fault { after, errno, times, ..Fault::once(operation) }),
                    lives: 2,
                    ..plan.clone()
                })
            })
        })
    });
    let all: Vec<_> = plans.collect();
    // Reads are most of the calls, and most of them are the judge's: every seventh in a slice.
    let kept = all.into_iter().enumerate().filter(|(index, _)| !scale.slice || index % 7 == 0);
    part("errors", "EIO and ENOSPC at each call of each kind, once and lasting", kept.map(|(_, plan)| plan).collect())
}

/// A disk of every size from too small to large enough.
pub(super) fn full(scale: Scale) -> Part {
    let plans = workloads(scale).into_iter().flat_map(|plan| {
        (3..80u64).flat_map(move |blocks| {
            let plan = plan.clone();
            [Reboot::Kill, Reboot::PowerLoss].into_iter().map(move |reboot| Plan {
                capacity: Some(blocks * 4096),
                end: End::At(u64::MAX, reboot),
                ..plan.clone()
            })
        })
    });
    part("full", "a disk of every size from too small to large enough", plans.collect())
}
