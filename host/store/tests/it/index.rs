//! Messages found by key: what the files look like, what is believed when they are opened, what a query gives.

use std::path::Path;

use gantry_base::disk::{
    Disk,
    sim::{Reboot, SimDisk},
};
use gantry_protocol::record::records;
use gantry_store::*;

use crate::rig::{self, NOW_MS, contents, file, flush_and_dispatch};

const FIRST_FILE: &str = "/store/index/20231114221320000";

fn options() -> Options {
    Options { index_file_slots: 11, index_file_entries: 64, ..rig::options() }
}

fn open(disk: &SimDisk, options: &Options) -> Store {
    rig::open(disk, options.clone()).0
}

/// Appends a message with these keys and makes it visible.
fn put(store: &Store, body: &str, keys: &str) -> Placed {
    let queue = store.queue_or_create("T", 0).unwrap();
    let properties = format!("UNIQ_KEY\x01id-{body}\x02KEYS\x01{keys}\x02");
    let placed = rig::put(store, &queue, body.as_bytes(), &[properties.as_bytes()]);
    settle(store);
    placed
}

fn settle(store: &Store) {
    flush_and_dispatch(store);
    while store.step(Step::Index) {}
}

const ALWAYS: KeyQuery<'static> = KeyQuery { topic: "T", key: "", begin_ms: 0, end_ms: i64::MAX, limit: 64 };

fn find(store: &Store, query: KeyQuery<'_>) -> Vec<String> {
    let found = store.query(&query).unwrap();
    let bodies: Vec<_> =
        records(&found.records).map(|record| String::from_utf8(record.unwrap().body().to_vec()).unwrap()).collect();
    assert_eq!(bodies.len(), found.count);
    bodies
}

fn by_key(store: &Store, key: &str) -> Vec<String> {
    find(store, KeyQuery { key, ..ALWAYS })
}

fn index_files(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new("/store/index")).unwrap().into_iter().map(|entry| entry.name).collect()
}

/// As after a crash: the mark of a running process is there.
fn kill(disk: &SimDisk, store: Store) {
    disk.crash();
    drop(store);
    disk.reboot(Reboot::Kill);
}

#[test]
fn a_message_is_found_by_its_id_and_each_of_its_keys() {
    let (disk, options) = (SimDisk::new(1), options());
    let store = open(&disk, &options);
    assert_eq!(by_key(&store, "red"), [""; 0]);
    put(&store, "one", "red green");
    put(&store, "two", "red  blue red");
    for (key, bodies) in [
        ("red", &["one", "two"][..]),
        ("green", &["one"]),
        ("blue", &["two"]),
        ("id-one", &["one"]),
        ("id-two", &["two"]),
        ("re", &[]),
        ("red green", &[]),
        ("", &[]),
    ] {
        assert_eq!(by_key(&store, key), bodies, "{key:?}");
    }
    assert_eq!(find(&store, KeyQuery { key: "red", topic: "t", ..ALWAYS }), [""; 0]);
    assert_eq!(store.index_state(), IndexState::Level);
}

#[test]
fn a_hash_collision_is_not_an_answer() {
    let store = open(&SimDisk::new(1), &options());
    put(&store, "one", "Aa");
    put(&store, "two", "BB");
    assert_eq!((by_key(&store, "Aa"), by_key(&store, "BB")), (vec!["one".to_owned()], vec!["two".to_owned()]));
    assert_eq!(by_key(&store, "C#"), [""; 0], "a third text with that hash");
}

#[test]
fn the_newest_in_the_time_range_are_taken() {
    let options = options();
    let store = open(&SimDisk::new(1), &options);
    // More than a file takes, half a second apart.
    for n in 0..80 {
        options.clock.set(NOW_MS + n * 500);
        put(&store, &n.to_string(), "k");
    }
    let at = |n: i64| NOW_MS as i64 + n * 500;
    let between = |begin_ms, end_ms, limit| find(&store, KeyQuery { key: "k", begin_ms, end_ms, limit, ..ALWAYS });
    assert_eq!(between(0, i64::MAX, 3), ["77", "78", "79"]);
    assert_eq!(between(at(10), at(13), 64), ["10", "11", "12", "13"]);
    assert_eq!(between(at(10) + 1, at(13) - 1, 64), ["11", "12"]);
    assert_eq!(between(at(10), at(79), 2), ["78", "79"]);
    assert_eq!(between(at(0), at(0), 64), ["0"]);
    assert_eq!(between(at(79) + 1, i64::MAX, 64), [""; 0]);
    assert_eq!(between(0, at(0) - 1, 64), [""; 0]);
    assert_eq!(between(i64::MAX, 0, 64), [""; 0]);
    assert_eq!(between(0, i64::MAX, 0), [""; 0]);
}

#[test]
fn the_files_are_rocketmqs() {
    let (disk, options) = (SimDisk::new(1), options());
    let store = open(&disk, &options);
    // Of the first key nothing else depends on the second.
    put(&store, "one", "Aa");
    options.clock.set(NOW_MS + 2500);
    let second = put(&store, "two", "BB");
    let offset = second.physical_offset.0;
    store.shutdown().unwrap();

    let file = contents(&disk, FIRST_FILE);
    assert_eq!(file.len(), 40 + 11 * 4 + 64 * 20);
    let long = |at: usize| u64::from_be_bytes(file[at..at + 8].try_into().unwrap());
    let int = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!([long(0), long(8), long(16), long(24)], [NOW_MS, NOW_MS + 2500, 0, offset]);
    // T#id-one, T#Aa, T#id-two, T#BB by Java's hashCode, made positive.
    let hashes = [169_934_275, 2_538_191, 169_939_369, 2_538_191];
    assert_eq!(int(36), 5);
    let mut slots = [0; 11];
    for (n, hash) in hashes.iter().enumerate() {
        let at = 40 + 44 + 20 * (n + 1);
        let slot = (hash % 11) as usize;
        assert_eq!(int(at), *hash, "hash of entry {}", n + 1);
        assert_eq!(long(at + 4), if n < 2 { 0 } else { offset });
        assert_eq!(int(at + 12), if n < 2 { 0 } else { 2 }, "whole seconds");
        assert_eq!(int(at + 16), slots[slot], "the entry before in slot {slot}");
        slots[slot] = n as u32 + 1;
    }
    for (slot, newest) in slots.iter().enumerate() {
        assert_eq!(int(40 + 4 * slot), *newest);
    }
    assert_eq!(int(32) as usize, slots.iter().filter(|newest| **newest > 0).count());
    let checkpoint = contents(&disk, "checkpoint");
    assert_eq!(checkpoint[16..24], (NOW_MS + 2500).to_be_bytes());
}

#[test]
fn a_full_file_is_followed_by_one_that_begins_where_it_ended() {
    let (disk, options) = (SimDisk::new(1), Options { index_file_entries: 6, ..options() });
    let store = open(&disk, &options);
    // Two keys each, five to a file: a message's keys are not torn apart.
    for n in 0..5 {
        put(&store, &n.to_string(), "k");
    }
    assert_eq!(index_files(&disk), ["20231114221320000", "20231114221320001", "20231114221320002"]);
    let header = |name: &str| contents(&disk, format!("index/{name}"))[..40].to_vec();
    let (first, second) = (header("20231114221320000"), header("20231114221320001"));
    assert_eq!(first[36..], 5u32.to_be_bytes());
    assert!(second[16..24] > first[24..32], "its first message is later");
    assert_eq!(by_key(&store, "k"), ["0", "1", "2", "3", "4"]);
    store.shutdown().unwrap();
    assert_eq!(by_key(&open(&disk, &options), "k"), ["0", "1", "2", "3", "4"]);
}

#[test]
fn rocketmqs_own_files_are_believed_after_a_clean_end() {
    let (disk, options) = (SimDisk::new(1), options());
    let store = open(&disk, &options);
    put(&store, "one", "k");
    store.shutdown().unwrap();
    drop(store);
    // RocketMQ has no such file.
    disk.remove_file(Path::new("/store/index.gantry")).unwrap();
    let store = open(&disk, &options);
    assert_eq!(by_key(&store, "k"), ["one"]);
    settle(&store);
    assert_eq!(store.index_state(), IndexState::Level);
    assert_eq!(store.metrics().index_keys.get(), 2, "only the last message was put in once more");
    put(&store, "two", "k");
    assert_eq!(by_key(&store, "k"), ["one", "two"]);
    assert_eq!(index_files(&disk).len(), 1);
}

#[test]
fn after_rocketmqs_crash_only_what_its_checkpoint_knows_is_believed() {
    for (index_ms, believed) in [(NOW_MS + 1, true), (NOW_MS - 1, false)] {
        let (disk, options) = (SimDisk::new(1), options());
        let store = open(&disk, &options);
        put(&store, "one", "k");
        store.shutdown().unwrap();
        drop(store);
        for own in ["/store/index.gantry", "/store/checkpoint.gantry"] {
            disk.remove_file(Path::new(own)).unwrap();
        }
        disk.open(Path::new("/store/abort"), true).unwrap();
        let checkpoint = file(&disk, "checkpoint");
        checkpoint.write_at(&index_ms.to_be_bytes(), 16).unwrap();
        // Another name shows which file is kept.
        disk.rename(Path::new(FIRST_FILE), Path::new("/store/index/20200101000000000")).unwrap();
        let store = open(&disk, &options);
        settle(&store);
        assert_eq!(by_key(&store, "k"), ["one"], "found either way");
        assert_eq!(index_files(&disk) == ["20200101000000000"], believed);
    }
}

#[test]
fn a_missing_index_is_built_from_the_log() {
    let (disk, options) = (SimDisk::new(1), options());
    let store = open(&disk, &options);
    let all: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    for body in &all {
        put(&store, body, "k");
    }
    store.shutdown().unwrap();
    drop(store);
    disk.remove_dir_all(Path::new("/store/index")).unwrap();
    let store = open(&disk, &options);
    let IndexState::Behind { bytes } = store.index_state() else { panic!("{:?}", store.index_state()) };
    assert_eq!((bytes, by_key(&store, "id-7")), (store.appended().get(), vec![]));
    // What comes meanwhile waits its turn.
    put(&store, "new", "k");
    assert_eq!(store.index_state(), IndexState::Level);
    assert_eq!(find(&store, KeyQuery { key: "k", limit: 1000, ..ALWAYS }), [&all[..], &["new".to_owned()]].concat());
}

#[test]
fn an_index_that_was_off_catches_up() {
    let (disk, on) = (SimDisk::new(1), options());
    let store = open(&disk, &on);
    put(&store, "one", "k");
    store.shutdown().unwrap();
    drop(store);
    let store = open(&disk, &Options { index_enabled: false, ..on.clone() });
    put(&store, "two", "k");
    assert_eq!((store.index_state(), by_key(&store, "k")), (IndexState::Off, vec![]));
    store.shutdown().unwrap();
    drop(store);
    let store = open(&disk, &on);
    assert_eq!(by_key(&store, "k"), ["one"]);
    assert!(matches!(store.index_state(), IndexState::Behind { .. }));
    put(&store, "three", "k");
    assert_eq!(by_key(&store, "k"), ["one", "two", "three"]);
}

#[test]
fn damage_is_noticed_and_built_again() {
    let (disk, options) = (SimDisk::new(1), Options { index_file_entries: 12, ..options() });
    let store = open(&disk, &options);
    let all: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    for body in &all {
        put(&store, body, "k");
    }
    // In the second of four files: the newest entry of the chain now names itself.
    let name = index_files(&disk)[1].clone();
    let file = file(&disk, &format!("index/{name}"));
    for number in 1..12u64 {
        file.write_at(&[0, 0, 0, 11], 40 + 44 + 20 * number + 16).unwrap();
    }
    assert_ne!(by_key(&store, "k"), all);
    assert_eq!(store.metrics().index_damaged.get(), 1);
    assert!(matches!(store.index_state(), IndexState::Behind { .. }));
    settle(&store);
    assert_eq!((by_key(&store, "k"), store.index_state()), (all.clone(), IndexState::Level));
    assert!(index_files(&disk)[0] < name, "the files before it stayed");
    kill(&disk, store);
    assert_eq!(by_key(&open(&disk, &options), "k"), all);
}

#[test]
fn files_of_another_shape_are_left_alone() {
    let (disk, options) = (SimDisk::new(1), options());
    let store = open(&disk, &options);
    put(&store, "one", "k");
    store.shutdown().unwrap();
    drop(store);
    let other = Options { index_file_entries: 128, ..options };
    let store = open(&disk, &other);
    settle(&store);
    assert_eq!(by_key(&store, "k"), ["one"]);
    assert_eq!(index_files(&disk), ["20231114221320000", "20231114221320001"]);
}

#[test]
fn a_query_says_when_it_stops_at_a_limit() {
    let (disk, options) = (SimDisk::new(1), Options { index_file_entries: 5000, ..options() });
    let store = open(&disk, &options);
    put(&store, "old", "BB");
    for n in 0..1000 {
        put(&store, &n.to_string(), "Aa");
    }
    let found = store.query(&KeyQuery { key: "BB", ..ALWAYS }).unwrap();
    assert_eq!((found.count, found.stopped), (0, Some(QueryLimit::Records)));
    assert_eq!(by_key(&store, "id-old"), ["old"]);
}

#[test]
fn messages_of_a_deleted_topic_are_not_found() {
    let store = open(&SimDisk::new(1), &options());
    put(&store, "one", "k");
    store.delete_topic("T").unwrap();
    assert_eq!(by_key(&store, "k"), [""; 0]);
    put(&store, "two", "k");
    assert_eq!(by_key(&store, "k"), ["two"]);
}

#[test]
fn a_killed_process_loses_nothing() {
    let (disk, options) = (SimDisk::new(1), Options { index_unsettled_max: 7, ..options() });
    let mut all = Vec::new();
    for life in 0..6 {
        let store = open(&disk, &options);
        settle(&store);
        assert_eq!(find(&store, KeyQuery { key: "k", limit: 1000, ..ALWAYS }), all);
        for n in 0..13 {
            all.push(format!("{life}-{n}"));
            put(&store, all.last().unwrap(), "k");
            if n % 5 == life % 5 {
                store.step(Step::Checkpoint);
            }
        }
        kill(&disk, store);
    }
}
