//! The test of the test, as CI runs it: every planted bug is noticed by a slice of the campaign.
//! `cargo xtask faults --planted` prints by what and how fast.

#![expect(clippy::print_stdout, reason = "a test says what it did")]

use gantry_faults::{
    parts::{self, Scale},
    planted::{ALL, notice},
    simulation::{Plan, run},
};

#[test]
fn every_planted_bug_is_noticed() {
    let parts = parts::all(Scale { seed: 1, rounds: 2_000, slice: true });
    for planted in ALL {
        let bug = planted.bug;
        let noticed = notice(bug, &parts).unwrap_or_else(|| panic!("{bug:?} was not noticed"));
        println!("{bug:?}: {} {} after {} trials", noticed.part, noticed.trial, noticed.after);
    }
}

#[test]
fn the_same_seeds_pass_without_a_bug() {
    for seed in 1..40 {
        assert_eq!(run(&Plan::random(seed)).err(), None);
    }
}
