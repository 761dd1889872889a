//! The test of the tests: five faults compiled in on purpose, each of which the simulation must notice.
//! `cargo test -p gantry-store --features planted-bugs --test planted -- --nocapture` prints after how many seeds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod simulation;

use gantry_base::disk::sim::{Fault, Operation, Reboot};
use gantry_store::PlantedBug;
use simulation::{End, Plan, run};

/// More than any of them needs.
const SEEDS_MAX: u64 = 200;

#[test]
fn every_planted_bug_is_noticed() {
    use PlantedBug::{AcknowledgeEarly, CutOffByOne, DispatchPastVisible, SkipCrc, SkipSync};
    for bug in [SkipSync, AcknowledgeEarly, SkipCrc, CutOffByOne, DispatchPastVisible] {
        let noticed = (0..SEEDS_MAX).find_map(|seed| {
            let mut plan = Plan::random(seed);
            plan.options.planted = Some(bug);
            run(&plan).err().map(|violation| (seed, violation))
        });
        let (seed, violation) = noticed.unwrap_or_else(|| panic!("{bug:?} was not noticed within {SEEDS_MAX} seeds"));
        println!("{bug:?}: noticed by seed {seed}: {}", violation.lines().next().unwrap_or_default());
    }
}

#[test]
fn the_same_seeds_pass_without_a_bug() {
    for seed in 0..40 {
        run(&Plan::random(seed)).unwrap();
    }
    let plan = Plan::random(1);
    let fault = Some(Fault::once(Operation::Sync));
    run(&Plan { end: End::At(50, Reboot::PowerLoss), fault, capacity: Some(1 << 20), ..plan }).unwrap();
}
