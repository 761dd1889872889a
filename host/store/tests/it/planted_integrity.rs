//! Faults of the reading side, compiled in on purpose: flipped bits and misdirected writes find each of them.

use gantry_store::{PlantedBug, with_planted};

use crate::{
    consumer::{PER_QUEUE, QUEUE_FILES, World, consume},
    rig::{LOG, file, flip},
};

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
    let bytes = 0..PER_QUEUE * 20;
    let flips = bytes.map(|at| at * 11 % 100).flat_map(|at| [Harm::Log(at), Harm::Queue(at)]);
    for harm in flips.chain((1..PER_QUEUE).map(Harm::Misdirected)) {
        let world = World::new(1).settled();
        match harm {
            Harm::Log(at) => flip(&world.disk, LOG, at, 0),
            Harm::Queue(at) => flip(&world.disk, QUEUE_FILES[1], at, 0),
            Harm::Misdirected(to) => {
                let (file, mut entry) = (file(&world.disk, QUEUE_FILES[1]), [0; 20]);
                file.read_at(&mut entry, 0).unwrap();
                file.write_at(&entry, to * 20).unwrap();
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
