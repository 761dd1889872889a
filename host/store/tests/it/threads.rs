//! The store as a broker runs it, with its threads, crashed under several senders.

use gantry_base::{
    clock::Clock,
    disk::sim::{Reboot, SimDisk, SplitMix64},
};
use gantry_model::offset::QueueOffset;
use gantry_protocol::record::RecordView;
use gantry_store::*;

use crate::rig::{self, PATIENCE, draft, try_open};

const SENDERS: u32 = 3;

fn open(disk: &SimDisk, flush: Flush) -> Result<Store, OpenError> {
    let options = Options {
        flush,
        queue_file_entries: 32,
        checkpoint_interval_ms: 1,
        background: Background::Threads,
        clock: Clock::system(),
        ..rig::options()
    };
    try_open(disk, options).map(|(store, _)| store)
}

/// Sends numbers to one queue, a few at a time, until the log stops; returns how many were acknowledged.
fn send(store: &Store, id: u32, first: u64) -> u64 {
    let Ok(queue) = store.queue_or_create("t", id) else { return 0 };
    let mut sent = first;
    let mut acknowledged = first;
    loop {
        let bodies: Vec<_> = (sent..sent + 1 + sent % 4).map(|number| number.to_string()).collect();
        let drafts: Vec<_> = bodies.iter().map(|body| draft(&queue, body.as_bytes(), &[])).collect();
        let mut placed = Vec::new();
        if store.append(&drafts, &mut placed).is_err() {
            return acknowledged;
        }
        sent += bodies.len() as u64;
        if store.flushed().wait_blocking(placed[0].end, PATIENCE).is_err() {
            return acknowledged;
        }
        acknowledged = sent;
    }
}

/// The numbers in a queue.
fn found(store: &Store, id: u32) -> Vec<u64> {
    let Some(queue) = store.queue("t", id) else { return Vec::new() };
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    queue.entries_unchecked(QueueOffset(0), usize::MAX, Wait::Allowed, &mut entries).unwrap();
    assert_eq!(entries.len() as u64, queue.end().get());
    let number = |(offset, entry): (usize, &QueueEntry)| {
        bytes.clear();
        store.read_records(&queue, &mut vec![(QueueOffset(offset as u64), *entry)], Wait::Allowed, &mut bytes).unwrap();
        std::str::from_utf8(RecordView::parse(&bytes).unwrap().body()).unwrap().parse().unwrap()
    };
    entries.iter().enumerate().map(number).collect()
}

#[test]
fn senders_lose_nothing_acknowledged_when_it_crashes() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let mut rng = SplitMix64::new(seed);
        let flush = if seed % 4 == 3 { Flush::Async { interval_ms: 1 } } else { Flush::Sync };
        let mut acknowledged = [0; SENDERS as usize];
        let mut first = [0; SENDERS as usize];
        for life in 0..4 {
            disk.crash_at(disk.operations() + 20 + rng.below(400));
            let Ok(store) = open(&disk, flush) else {
                assert!(disk.crashed());
                disk.reboot(Reboot::PowerLoss);
                continue;
            };
            std::thread::scope(|scope| {
                let senders: Vec<_> = (0..SENDERS)
                    .map(|id| {
                        let (store, first) = (&store, first[id as usize]);
                        scope.spawn(move || send(store, id, first))
                    })
                    .collect();
                for (acknowledged, sender) in acknowledged.iter_mut().zip(senders) {
                    *acknowledged = sender.join().unwrap();
                }
            });
            assert!(disk.crashed() && matches!(store.health(), Health::Failed(_)), "only the crash ends a sender");
            drop(store);
            disk.reboot(if rng.coin() { Reboot::PowerLoss } else { Reboot::Kill });
            let store = open(&disk, flush).unwrap();
            for id in 0..SENDERS {
                let found = found(&store, id);
                assert_eq!(found, (0..found.len() as u64).collect::<Vec<_>>(), "seed {seed} life {life} queue {id}");
                assert!(found.len() as u64 >= acknowledged[id as usize], "seed {seed} life {life} queue {id}");
                first[id as usize] = found.len() as u64;
            }
            drop(store);
            disk.reboot(Reboot::Kill);
        }
    }
}
