//! Faults of the reading side, compiled in on purpose: flipped bits and misdirected writes find each of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod consumer;

use std::path::Path;

use consumer::{World, consume};
use gantry_base::disk::Disk;
use gantry_store::{PlantedBug, with_planted};

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// A bit of the log is flipped.
    Log(u64),
    /// A bit of a consume queue is flipped.
    Queue(u64),
    /// An entry is written where another one belongs.
    Misdirected(u64),
}

/// Does harm until a consumer gets something wrong or is told nothing; `None` when it never is.
fn first_wrong_answer() -> Option<Harm> {
    let bytes = 0..consumer::PER_QUEUE * 20;
    let flips = bytes.map(|at| at * 11 % 100).flat_map(|at| [Harm::Log(at), Harm::Queue(at)]);
    for harm in flips.chain((1..consumer::PER_QUEUE).map(Harm::Misdirected)) {
        let world = World::new(1).settled();
        let file = if matches!(harm, Harm::Log(_)) { consumer::LOG } else { consumer::QUEUE_FILES[1] };
        let handle = world.disk.open(&Path::new(consumer::DIR).join(file), false).unwrap();
        match harm {
            Harm::Log(at) | Harm::Queue(at) => {
                let mut byte = [0];
                handle.read_at(&mut byte, at).unwrap();
                handle.write_at(&[byte[0] ^ 1], at).unwrap();
            }
            Harm::Misdirected(to) => {
                let mut entry = [0; 20];
                handle.read_at(&mut entry, 0).unwrap();
                handle.write_at(&entry, to * 20).unwrap();
            }
        }
        for queue in &world.queues {
            // A consumer that is given no record at all panics in its own checks.
            let read = std::panic::AssertUnwindSafe(|| consume(world.store(), queue));
            let Ok(got) = std::panic::catch_unwind(read) else { return Some(harm) };
            let expected = world.expected(queue);
            let short = got.messages.len() < expected.len() && got.damaged.is_none();
            if short || !expected.starts_with(&got.messages) {
                return Some(harm);
            }
        }
    }
    None
}

#[test]
fn every_planted_bug_of_the_reading_side_is_noticed() {
    assert!(first_wrong_answer().is_none());
    for bug in [PlantedBug::ServeUnchecked, PlantedBug::ServeAnyone, PlantedBug::SkipDamaged] {
        let noticed = with_planted(bug, first_wrong_answer);
        println!("{bug:?}: noticed by {noticed:?}");
        assert!(noticed.is_some(), "{bug:?} was not noticed");
    }
}
