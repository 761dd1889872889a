//! Flipped bits: what is served is what was sent, and what cannot be served stops its queue and is named.
//!
//! The oracle is the list of what was appended, kept outside of the store. A consumer reads every queue as a pull does, in
//! pieces, until its end or until it is told of damage.

use gantry_base::disk::sim::{Fault, Operation, Reboot};
use gantry_model::offset::{PhysicalOffset, QueueOffset};
use gantry_store::*;

use crate::{
    consumer::{Consumed, PER_QUEUE, QUEUE_FILES, World, consume},
    rig::{LOG, file, flip, flush_and_dispatch},
};

/// Each byte of the used part of a file, with a bit that differs from byte to byte.
fn each_flip(len: u64) -> impl Iterator<Item = (u64, u32)> {
    (0..len).map(|at| (at, (at * 5 % 8) as u32))
}

#[test]
fn a_flip_anywhere_in_the_log_stops_its_message_and_no_other() {
    let used = World::new(1).settled().store().appended().get();
    let mut stopped = 0;
    for (at, bit) in each_flip(used) {
        let world = World::new(1).settled();
        flip(&world.disk, LOG, at, bit);
        let damaged = world.sent.iter().find(|sent| (sent.position..sent.position + sent.size).contains(&at)).unwrap();
        for queue in &world.queues {
            let expected = world.expected(queue);
            match consume(world.store(), queue) {
                Consumed { messages, damaged: None } => assert_eq!(messages, expected, "byte {at}"),
                Consumed { messages, damaged: Some(found) } => {
                    assert_eq!(found.damage.position, damaged.position, "byte {at}");
                    assert_eq!((found.topic.as_str(), found.queue_id), (queue.topic(), queue.id()), "byte {at}");
                    assert_eq!(found.queue_offset.0, damaged.queue_offset, "byte {at}");
                    assert_eq!(messages, expected[..damaged.queue_offset as usize], "byte {at}");
                    stopped += 1;
                }
            }
        }
    }
    // The checksum has 31 bits and every one of its digits is looked at, so every flip counts.
    assert_eq!(stopped, used);
}

#[test]
fn a_flip_anywhere_in_a_consume_queue_is_corrected_from_the_log() {
    for file in QUEUE_FILES {
        let mut corrected = 0;
        for (at, bit) in each_flip(PER_QUEUE * 20) {
            let world = World::new(1).settled();
            flip(&world.disk, file, at, bit);
            for queue in &world.queues {
                let Consumed { messages, damaged } = consume(world.store(), queue);
                assert!(damaged.is_none(), "byte {at} of {file}: {damaged:?}");
                assert_eq!(messages, world.expected(queue), "byte {at} of {file}");
            }
            assert!(world.store().damages().is_empty());
            corrected += world.store().metrics().entries_corrected.get();
        }
        // Tag codes too, although they decide nothing for a consumer that takes everything.
        assert_eq!(corrected, PER_QUEUE * 20, "{file}");
    }
}

/// Checksums of entries are saved with the queues' heads, and go on after an orderly end, a kill and a power loss.
#[test]
fn a_flipped_tag_is_corrected_after_a_restart() {
    for end in [None, Some(Reboot::Kill), Some(Reboot::PowerLoss)] {
        for (file, queue) in QUEUE_FILES.iter().zip([0, 2]) {
            let world = World::new(1).settled();
            match end {
                None => world.store().shutdown().unwrap(),
                Some(_) => assert!(world.store().step(Step::Checkpoint)),
            }
            // The last byte of an entry is its tag code's.
            flip(&world.disk, file, 4 * 20 - 1, 0);
            let world = world.restarted(Some(end.unwrap_or(Reboot::Kill)));
            let queue = &world.queues[queue];
            let mut entries = Vec::new();
            world.store().entries(queue, QueueOffset(0), 100, Wait::Allowed, &mut entries).unwrap();
            let tags: Vec<_> = entries.iter().map(|entry| entry.tag_code).collect();
            assert_eq!(tags, vec![tags[0]; PER_QUEUE as usize], "{file} after {end:?}");
        }
    }
}

#[test]
fn a_skipped_message_is_passed_over_and_the_skip_survives_a_restart() {
    let world = World::new(1).settled();
    let victim = &world.sent[5];
    flip(&world.disk, LOG, victim.position + 60, 3);
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == victim.queue()).unwrap();
    let store = world.store();
    assert_eq!(store.skip(victim.position).unwrap(), Skip::Unknown, "nobody has met it yet");
    assert!(consume(store, queue).damaged.is_some());
    assert_eq!(
        store
            .record(PhysicalOffset(victim.position), Wait::Allowed)
            .unwrap_err()
            .to_string()
            .matches("gantry store skip")
            .count(),
        1
    );
    assert!(
        matches!(store.skip(victim.position + 1).unwrap(), Skip::Skipped(damage) if damage.position == victim.position)
    );
    assert!(matches!(store.skip(victim.position).unwrap(), Skip::Already(_)));
    let mut expected = world.expected(queue);
    expected.remove(victim.queue_offset as usize);
    let (topic, id) = victim.queue();
    let world = world.restarted(None);
    let queue = world.store().queue(topic, id).unwrap();
    for _ in 0..2 {
        let Consumed { messages, damaged } = consume(world.store(), &queue);
        assert!(damaged.is_none() && messages == expected, "{damaged:?}");
    }
    assert!(world.store().metrics().skipped_reads.get() >= 2);
    assert_eq!(world.store().damages().len(), 1);
}

#[test]
fn a_skip_never_hides_a_whole_message() {
    let world = World::new(1).settled();
    let victim = &world.sent[5];
    flip(&world.disk, LOG, victim.position + 60, 3);
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == victim.queue()).unwrap();
    assert!(consume(world.store(), queue).damaged.is_some());
    world.store().skip(victim.position).unwrap();
    // The disk remembers itself.
    flip(&world.disk, LOG, victim.position + 60, 3);
    assert_eq!(consume(world.store(), queue).messages, world.expected(queue));
    // An entry of another message that comes to point at the place is still told from it.
    flip(&world.disk, LOG, victim.position + 60, 3);
    let other = world.sent.iter().find(|other| other.queue() != victim.queue()).unwrap();
    let entries = file(&world.disk, &format!("consumequeue/{}/{}/{:020}", other.queue().0, other.queue().1, 0));
    entries.write_at(&victim.position.to_be_bytes(), other.queue_offset * 20).unwrap();
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == other.queue()).unwrap();
    assert_eq!(consume(world.store(), queue).messages, world.expected(queue));
}

#[test]
fn a_lost_entry_is_made_again() {
    let world = World::new(1).settled();
    file(&world.disk, QUEUE_FILES[0]).write_at(&[0; 20 * 3], 20 * 2).unwrap();
    let mut entries = Vec::new();
    let queue = world.queues.iter().find(|queue| QUEUE_FILES[0].contains(queue.topic())).unwrap();
    let from = QueueOffset(2);
    assert_eq!(world.store().entries(queue, from, 9, Wait::Never, &mut entries).unwrap(), Read::WouldBlock);
    for queue in &world.queues {
        assert_eq!(consume(world.store(), queue).messages, world.expected(queue));
    }
    assert_eq!(world.store().metrics().entries_corrected.get(), 3);
}

#[test]
fn sectors_that_cannot_be_read_are_damage_too() {
    let world = World::new(1).settled();
    let victim = &world.sent[5];
    world.disk.fail(Fault { path_contains: LOG.into(), times: u64::MAX, ..Fault::once(Operation::Read) });
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == victim.queue()).unwrap();
    let Consumed { messages, damaged } = consume(world.store(), queue);
    assert!(messages.is_empty() && damaged.is_some());
    world.disk.clear_faults();
    assert_eq!(consume(world.store(), queue).messages, world.expected(queue), "it reads again, so it is served again");
}

#[test]
fn times_are_found_past_a_damaged_message() {
    let world = World::new(1).settled();
    for victim in [0, 5, world.sent.len() - 1] {
        let victim = &world.sent[victim];
        flip(&world.disk, LOG, victim.position + 60, 3);
        for queue in &world.queues {
            for boundary in [Boundary::Lower, Boundary::Upper] {
                for (time, lower) in [(0, 0), (i64::MAX, queue.end().get())] {
                    let found = world.store().offset_by_time(queue, time, boundary).unwrap();
                    let last = queue.end().get() - 1;
                    let stuck = (queue.topic(), queue.id()) == victim.queue() && victim.queue_offset == last;
                    let expected = match boundary {
                        Boundary::Lower if time > 0 && stuck => last,
                        Boundary::Lower => lower,
                        Boundary::Upper if time > 0 && stuck => last - 1,
                        Boundary::Upper => lower.saturating_sub(1),
                    };
                    assert_eq!(found.0, expected, "{queue:?} {boundary:?} {time}");
                }
            }
        }
        flip(&world.disk, LOG, victim.position + 60, 3);
    }
}

#[test]
fn a_flip_before_an_open_is_no_different() {
    // The last message of each queue is what its end is found by; the others are not looked at by an open.
    let looked_at = World::new(1).sent[PER_QUEUE as usize * 3 - 3].position;
    for (at, bit) in each_flip(looked_at).step_by(7) {
        let world = World::new(1).settled();
        world.store().shutdown().unwrap();
        flip(&world.disk, LOG, at, bit);
        let world = world.restarted(Some(Reboot::Kill));
        let mut stops = 0;
        for queue in &world.queues {
            let Consumed { messages, damaged } = consume(world.store(), queue);
            let expected = world.expected(queue);
            assert_eq!(messages[..], expected[..messages.len()], "byte {at}");
            assert!(damaged.is_some() || messages.len() == expected.len(), "byte {at}: silently short");
            stops += usize::from(damaged.is_some());
        }
        assert_eq!(stops, 1, "byte {at}");
    }
}

#[test]
fn a_correction_leaves_a_failing_sync_to_the_checkpoint() {
    let world = World::new(1).settled();
    let queue = world.queues.iter().find(|queue| (queue.topic(), queue.id()) == ("alpha", 0)).unwrap();
    world.append(queue, b"dispatched, and not in a checkpoint yet");
    flush_and_dispatch(world.store());
    flip(&world.disk, QUEUE_FILES[0], 5, 2);
    world.disk.fail(Fault { path_contains: "consumequeue".into(), ..Fault::once(Operation::Sync) });
    let Consumed { messages, damaged } = consume(world.store(), queue);
    assert_eq!((messages.len() as u64, damaged.is_none()), (PER_QUEUE + 1, true));
    assert_eq!(world.store().metrics().entries_corrected.get(), 1);
    world.store().step(Step::Checkpoint);
    assert!(
        matches!(world.store().health(), Health::Failed(_)),
        "what the disk may have lost is not counted as durable"
    );
}
