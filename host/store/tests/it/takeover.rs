//! A store that Apache RocketMQ had open between two lives of Gantry. What RocketMQ does to the files is done by hand here;
//! the campaign `cargo xtask exchange` does it with the real one.

use std::{path::Path, sync::Arc};

use gantry_base::disk::{
    Disk, DiskFile,
    sim::{Reboot, SimDisk},
};
use gantry_protocol::record::{RecordView, body_checksum};
use gantry_store::*;

use crate::rig::{self, DIR, LOG, NOW_MS, entries, file, flush_and_dispatch, put, try_open};

fn options() -> Options {
    Options { queue_file_entries: 64, ..rig::options() }
}

fn open(disk: &SimDisk) -> Result<(Store, RecoveryReport), OpenError> {
    try_open(disk, options())
}

fn append(store: &Store, topic: &str, bodies: std::ops::Range<u32>) {
    let queue = store.queue_or_create(topic, 0).unwrap();
    for body in bodies {
        put(store, &queue, body.to_string().as_bytes(), &[]);
    }
    flush_and_dispatch(store);
}

fn bodies(store: &Store, topic: &str) -> Vec<u32> {
    let Some(queue) = store.queue(topic, 0) else { return Vec::new() };
    let body = |entry: &QueueEntry| {
        let bytes = store.record(entry.physical_offset, Wait::Allowed).unwrap().unwrap();
        std::str::from_utf8(RecordView::parse(&bytes).unwrap().body()).unwrap().parse().unwrap()
    };
    entries(&queue).iter().map(body).collect()
}

/// RocketMQ as far as its files are concerned: one log file, one file a queue, no property checksum.
struct RocketMq {
    disk: SimDisk,
    log: Arc<dyn DiskFile>,
    position: u64,
}

impl RocketMq {
    fn start(disk: &SimDisk, position: u64) -> Self {
        let dir = Path::new(DIR);
        disk.create_dir_all(&dir.join("commitlog")).unwrap();
        let log = disk.open(&dir.join(LOG), true).unwrap();
        log.set_len(options().segment_size_bytes).unwrap();
        let abort = disk.open(&dir.join("abort"), true).unwrap();
        abort.set_len(0).unwrap();
        abort.write_at(b"4711", 0).unwrap();
        RocketMq { disk: disk.clone(), log, position }
    }

    fn record(&self, topic: &str, queue_offset: u64, body: &str) -> Vec<u8> {
        let mut record = Vec::new();
        let size = 91 + body.len() + topic.len();
        record.extend((size as u32).to_be_bytes());
        record.extend(0xDAA3_20A7_u32.to_be_bytes());
        record.extend(body_checksum(body.as_bytes()).to_be_bytes());
        record.extend([0; 4 + 4]); // queue id, flag
        record.extend(queue_offset.to_be_bytes());
        record.extend(self.position.to_be_bytes());
        record.extend([0; 4 + 8]); // flags, born
        record.extend([10, 0, 0, 1, 0, 0, 15, 160]);
        record.extend(NOW_MS.to_be_bytes());
        record.extend([10, 0, 0, 2, 0, 0, 42, 159]);
        record.extend([0; 4 + 8]); // tries, half message
        record.extend((body.len() as u32).to_be_bytes());
        record.extend(body.as_bytes());
        record.push(topic.len() as u8);
        record.extend(topic.as_bytes());
        record.extend([0; 2]);
        assert_eq!(record.len(), size);
        record
    }

    fn append(&mut self, topic: &str, offsets: std::ops::Range<u64>, first_body: u32) {
        let folder = Path::new(DIR).join("consumequeue").join(topic).join("0");
        self.disk.create_dir_all(&folder).unwrap();
        let queue = self.disk.open(&folder.join("00000000000000000000"), true).unwrap();
        queue.set_len(64 * 20).unwrap();
        for (offset, body) in offsets.zip(first_body..) {
            let record = self.record(topic, offset, &body.to_string());
            self.log.write_at(&record, self.position).unwrap();
            let mut entry = self.position.to_be_bytes().to_vec();
            entry.extend((record.len() as u32).to_be_bytes());
            entry.extend([0; 8]);
            queue.write_at(&entry, offset * 20).unwrap();
            self.position += record.len() as u64;
        }
    }

    fn delete_topic(&self, topic: &str) {
        self.disk.remove_dir_all(&Path::new(DIR).join("consumequeue").join(topic)).unwrap();
    }

    /// An orderly end writes everything back; a death leaves `abort`.
    fn end(self, orderly: bool) {
        if orderly {
            self.disk.remove_file(&Path::new(DIR).join("abort")).unwrap();
        }
        // What the process wrote is in the page cache; here it is made durable, so that power losses hit Gantry alone.
        make_durable(&self.disk, Path::new(DIR));
    }
}

fn make_durable(disk: &SimDisk, folder: &Path) {
    for entry in disk.list(folder).unwrap() {
        let path = folder.join(entry.name);
        match entry.is_dir {
            true => make_durable(disk, &path),
            false => disk.open(&path, false).unwrap().sync().unwrap(),
        }
    }
    disk.sync_dir(folder).unwrap();
}

/// Gantry writes 0..10, RocketMQ 10..15.
fn both(disk: &SimDisk, orderly: bool) -> u64 {
    let (store, _) = open(disk).unwrap();
    append(&store, "t", 0..10);
    let end = store.appended().get();
    store.shutdown().unwrap();
    drop(store);
    let mut rocketmq = RocketMq::start(disk, end);
    rocketmq.append("t", 10..15, 10);
    rocketmq.end(orderly);
    end
}

#[test]
fn what_rocketmq_appended_is_there_and_what_follows_is_checked_again() {
    for orderly in [true, false] {
        let disk = SimDisk::new(1);
        both(&disk, orderly);
        let (store, report) = open(&disk).unwrap();
        assert!(report.taken_over && report.clean == orderly, "{report:?}");
        assert_eq!(bodies(&store, "t"), Vec::from_iter(0..15));
        append(&store, "t", 15..20);
        let end = store.appended().get();
        drop(store);
        disk.reboot(Reboot::Kill);

        // Gantry died. A record without its checksum behind is torn, not RocketMQ's.
        let mut torn = RocketMq { disk: disk.clone(), log: file(&disk, LOG), position: end };
        torn.append("t", 20..21, 99);
        let (store, report) = open(&disk).unwrap();
        assert!(!report.taken_over && !report.clean && report.end == end && report.cut.len() == 1, "{report:?}");
        assert_eq!(bodies(&store, "t"), Vec::from_iter(0..20));
        store.shutdown().unwrap();
        drop(store);
        let (_, report) = open(&disk).unwrap();
        assert!(!report.taken_over && report.records == 0, "{report:?}");
    }
}

#[test]
fn a_store_that_gantry_never_saw_opens() {
    for orderly in [true, false] {
        let disk = SimDisk::new(1);
        let mut rocketmq = RocketMq::start(&disk, 0);
        rocketmq.append("t", 0..12, 0);
        rocketmq.append("u", 0..3, 50);
        rocketmq.end(orderly);
        let (store, report) = open(&disk).unwrap();
        assert!(report.taken_over && report.records == 15, "{report:?}");
        assert_eq!((bodies(&store, "t"), bodies(&store, "u")), (Vec::from_iter(0..12), vec![50, 51, 52]));
    }
}

#[test]
fn rocketmqs_own_torn_record_is_cut_and_zeroed() {
    let disk = SimDisk::new(1);
    let end = both(&disk, false);
    let mut last = RocketMq { disk: disk.clone(), log: file(&disk, LOG), position: end + 5 * (91 + 2 + 1) };
    let from = last.position;
    last.append("t", 15..17, 15);
    // The body of the first of the two.
    file(&disk, LOG).write_at(b"!", from + 88).unwrap();
    let (store, report) = open(&disk).unwrap();
    assert!(report.end == from && report.cut.len() == 1, "{report:?}");
    assert_eq!(bodies(&store, "t"), Vec::from_iter(0..15));
    let mut bytes = [1; 300];
    file(&disk, LOG).read_at(&mut bytes, from).unwrap();
    assert_eq!(bytes, [0; 300], "the second cannot rise again");
}

/// A store that Gantry left in order with three messages in `t` and in `u`, and RocketMQ that goes on with it.
fn handed_over() -> (SimDisk, RocketMq) {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk).unwrap();
    append(&store, "t", 0..3);
    append(&store, "u", 0..3);
    let end = store.appended().get();
    store.shutdown().unwrap();
    drop(store);
    let rocketmq = RocketMq::start(&disk, end);
    (disk, rocketmq)
}

#[test]
fn a_topic_that_rocketmq_deleted_and_made_anew_begins_anew() {
    for orderly in [true, false] {
        let (disk, mut rocketmq) = handed_over();
        rocketmq.append("t", 3..6, 3);
        rocketmq.delete_topic("t");
        rocketmq.append("t", 0..2, 70);
        rocketmq.append("u", 3..4, 3);
        rocketmq.end(orderly);
        let (store, _) = open(&disk).unwrap();
        assert_eq!((bodies(&store, "t"), bodies(&store, "u")), (vec![70, 71], vec![0, 1, 2, 3]));
        append(&store, "t", 72..73);
        assert_eq!(bodies(&store, "t"), [70, 71, 72]);
    }
}

#[test]
fn records_of_a_topic_that_rocketmq_deleted_stay_out() {
    for orderly in [true, false] {
        let (disk, mut rocketmq) = handed_over();
        // Records that no queue has, whose offsets go on where a queue that is gone ended.
        rocketmq.append("t", 3..6, 3);
        rocketmq.delete_topic("t");
        rocketmq.append("u", 3..4, 3);
        rocketmq.end(orderly);
        let (store, report) = open(&disk).unwrap();
        assert!(!report.queues_rebuilt, "{report:?}");
        assert_eq!((bodies(&store, "t"), bodies(&store, "u")), (vec![], vec![0, 1, 2, 3]));
        append(&store, "t", 90..92);
        store.shutdown().unwrap();
        drop(store);
        let (store, _) = open(&disk).unwrap();
        assert_eq!(bodies(&store, "t"), [90, 91]);
    }
}

#[test]
fn a_crash_at_any_point_of_the_takeover_loses_nothing() {
    for (orderly, reboot) in
        [(true, Reboot::Kill), (true, Reboot::PowerLoss), (false, Reboot::Kill), (false, Reboot::PowerLoss)]
    {
        let mut crashes = 0;
        for operation in 1.. {
            let disk = SimDisk::new(operation);
            both(&disk, orderly);
            disk.crash_at(disk.operations() + operation);
            let opened = open(&disk);
            let crashed = disk.crashed();
            drop(opened);
            disk.reboot(reboot);
            let (store, _) = open(&disk).unwrap();
            assert_eq!(bodies(&store, "t"), Vec::from_iter(0..15), "{orderly} {reboot:?} operation {operation}");
            if !crashed {
                break;
            }
            crashes += 1;
        }
        assert!(crashes > 8, "the takeover changes the disk {crashes} times");
    }
}

#[test]
fn a_queue_folder_that_is_gone_is_rebuilt() {
    for orderly in [true, false] {
        let disk = SimDisk::new(1);
        both(&disk, orderly);
        disk.remove_dir_all(Path::new("/store/consumequeue")).unwrap();
        disk.sync_dir(Path::new(DIR)).unwrap();
        let (store, report) = open(&disk).unwrap();
        assert!(report.queues_rebuilt, "{report:?}");
        assert_eq!(bodies(&store, "t"), Vec::from_iter(0..15));
    }
}
