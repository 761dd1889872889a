//! The test of the test, a few of the planted bugs; `cargo xtask faults --planted` shows that all of them are noticed.

#![expect(clippy::print_stdout, reason = "a test says what it did")]

use gantry_faults::{
    parts::{self, Scale},
    planted::{ALL, notice},
    simulation::{Plan, run},
};
use gantry_store::PlantedBug;

#[test]
fn planted_bugs_are_noticed() {
    let parts = parts::all(Scale { seed: 1, rounds: 400, slice: true });
    use PlantedBug::{AcknowledgeEarly, CutOffByOne, DispatchPastVisible, SkipCrc, SkipQueueSync, SkipSync};
    for bug in [SkipSync, AcknowledgeEarly, SkipCrc, CutOffByOne, DispatchPastVisible, SkipQueueSync] {
        assert!(ALL.iter().any(|planted| planted.bug == bug));
        let noticed = notice(bug, &parts).unwrap_or_else(|| panic!("{bug:?} was not noticed"));
        println!("{bug:?}: {} {} after {} trials", noticed.part, noticed.trial, noticed.after);
    }
}

#[test]
fn the_same_seeds_pass_without_a_bug() {
    for seed in 1..20 {
        assert_eq!(run(&Plan::random(seed)).err(), None);
    }
}
