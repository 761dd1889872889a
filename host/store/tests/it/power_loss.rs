//! Crashes and power losses, by seed and at every call. `GANTRY_SEEDS=2000` for the campaign, `GANTRY_SEED=n` for one.

#![expect(clippy::print_stdout, reason = "a campaign says what it did")]

use gantry_base::disk::sim::{Fault, Operation, Reboot};
use gantry_faults::simulation::{End, Plan, Summary, run};
use gantry_store::Flush;

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn run_all(plans: impl Iterator<Item = Plan>) -> Summary {
    let mut total = Summary::default();
    let mut runs = 0;
    for plan in plans {
        let done = run(&plan).unwrap_or_else(|violation| panic!("{violation}\nreplay with GANTRY_SEED={}", plan.seed));
        runs += 1;
        total.appended += done.appended;
        total.acknowledged += done.acknowledged;
        total.cut += done.cut;
        total.refused_full += done.refused_full;
        total.failed_lives += done.failed_lives;
        total.crashed_opens += done.crashed_opens;
        total.deletions += done.deletions;
        total.operations = total.operations.max(done.operations);
    }
    println!("{runs} runs: {total:?}");
    total
}

#[test]
fn nothing_acknowledged_is_lost_or_altered() {
    let seeds = match env("GANTRY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..env("GANTRY_SEEDS").unwrap_or(200),
    };
    let many = seeds.end - seeds.start >= 200;
    let total = run_all(seeds.map(Plan::random));
    // A simulation that does nothing finds nothing.
    assert!(!many || [total.acknowledged, total.cut, total.refused_full, total.failed_lives].iter().all(|n| *n > 10));
    assert!(!many || (total.crashed_opens > 10 && total.deletions > 10 && total.acknowledged < total.appended));
}

/// A short life, always the same for a flush mode.
fn short(flush: Flush) -> Plan {
    let mut plan = Plan::random(77);
    plan.options.flush = flush;
    plan.options.segment_size_bytes = 2048;
    (plan.lives, plan.steps, plan.trouble) = (1, 60, false);
    plan
}

const FLUSHES: [Flush; 2] = [Flush::Sync, Flush::Async { interval_ms: 500 }];

#[test]
fn a_crash_at_every_call_is_survived() {
    for flush in FLUSHES {
        let whole = run(&Plan { end: End::At(u64::MAX, Reboot::Kill), ..short(flush) }).unwrap();
        assert!(whole.operations > 100 && whole.appended > 50, "{whole:?}");
        let ends = [Reboot::Kill, Reboot::PowerLoss, Reboot::PowerLoss];
        let at = (1..=whole.operations + 20).flat_map(|operation| ends.map(|reboot| End::At(operation, reboot)));
        run_all(at.map(|end| Plan { end, ..short(flush) }));
    }
}

#[test]
fn an_error_in_any_call_is_survived() {
    let operations = [
        Operation::Open,
        Operation::Create,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDir,
        Operation::Read,
        Operation::Write,
        Operation::Sync,
        Operation::SetLen,
        Operation::Allocate,
    ];
    for flush in FLUSHES {
        let plans = operations.iter().flat_map(|operation| {
            (0..20).flat_map(move |after| {
                [5, 28].map(|errno| Plan {
                    seed: after,
                    fault: Some(Fault { after, errno, ..Fault::once(*operation) }),
                    // It ends at no call: in order if the log still runs, else with a power loss.
                    end: End::At(u64::MAX, Reboot::PowerLoss),
                    lives: 2,
                    ..short(flush)
                })
            })
        });
        let total = run_all(plans);
        // The rest met the index, which stops alone, or a call whose failure costs nothing.
        assert!(total.failed_lives > 80, "{total:?}");
    }
}

#[test]
fn a_disk_that_fills_anywhere_is_survived() {
    for flush in FLUSHES {
        let plans = (3..60).flat_map(|blocks| {
            [Reboot::Kill, Reboot::PowerLoss].map(|reboot| Plan {
                capacity: Some(blocks * 4096),
                end: End::At(u64::MAX, reboot),
                ..short(flush)
            })
        });
        let total = run_all(plans);
        assert!(total.refused_full > 100, "{total:?}");
    }
}
