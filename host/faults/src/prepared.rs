//! A store of known content on a disk at rest, from which every trial takes its own copy, and the comparison of what a damaged copy
//! serves with what was there.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gantry_base::{
    clock::Clock,
    disk::{
        Disk, read_whole,
        sim::{Reboot, SimDisk},
    },
};
use gantry_model::offset::QueueOffset;
use gantry_store::*;

use crate::campaign::Tally;

const DIR: &str = "/data/store";
/// A pass over a prepared store takes far fewer.
const SCRUB_STEPS_MAX: u64 = 10_000;

/// How the prepared store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Shut down in order.
    Clean,
    /// Killed, with everything before a checkpoint but the last messages.
    Killed,
    /// Killed without a checkpoint since the beginning.
    KilledUnchecked,
}

/// What it is made of.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Length of a commit log file.
    pub segment_size_bytes: u64,
    /// Entries of a consume queue file.
    pub queue_file_entries: u32,
    /// Messages of the topics that stay.
    pub messages: u64,
    /// Their topics; one with a single queue each.
    pub topics: u64,
    /// How it was left.
    pub left: Left,
}

/// A message as it was served before anything was damaged.
struct Known {
    topic: String,
    offset: u64,
    entry: QueueEntry,
    record: Vec<u8>,
}

/// A file of the prepared store.
#[derive(Debug, Clone)]
pub struct PreparedFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes.
    pub len: u64,
    /// Bytes up to the last that is not zero.
    pub written: u64,
}

/// The store at rest.
pub struct Prepared {
    disk: SimDisk,
    options: Options,
    known: Vec<Known>,
    /// A look for damage has gone through all of it, so that full files have their checksums.
    looked_through: bool,
    /// Every file, sorted.
    pub files: Vec<PreparedFile>,
}

impl Prepared {
    /// Makes it; the same for the same recipe. The error says what went wrong before anything was damaged.
    pub fn new(recipe: &Recipe) -> Result<Self, String> {
        let disk = SimDisk::new(recipe.messages);
        let options = Options {
            flush: Flush::Sync,
            segment_size_bytes: recipe.segment_size_bytes,
            queue_file_entries: recipe.queue_file_entries,
            allocate_ahead_bytes: 4096,
            record_size_max_bytes: 2000,
            index_file_slots: 50,
            index_file_entries: 200,
            background: Background::Stepped,
            clock: Clock::manual(1_700_000_000_000),
            ..Options::default()
        };
        let store = open(&disk, &options).map_err(|error| error.to_string())?.0;
        let checkpoint_at = if recipe.left == Left::KilledUnchecked { u64::MAX } else { recipe.messages * 3 / 4 };
        for number in 0..recipe.messages {
            append(&store, &format!("kept-{}", number % recipe.topics), number)?;
            if number % 16 == 0 && number < checkpoint_at && checkpoint_at < u64::MAX {
                append(&store, "gone", number)?;
            }
            if number % 7 == 0 {
                catch_up(&store);
            }
            if number == checkpoint_at {
                catch_up(&store);
                store.step(Step::Checkpoint);
                store.delete_topic("gone").map_err(|error| error.to_string())?;
            }
        }
        catch_up(&store);
        let looked_through = recipe.left != Left::KilledUnchecked;
        if looked_through {
            scrub(&store);
        }
        let known = known(&store, recipe)?;
        if recipe.left == Left::Clean {
            store.shutdown().map_err(|error| error.to_string())?;
        }
        drop(store);
        disk.reboot(Reboot::Kill);
        let mut files = Vec::new();
        list(&disk, Path::new(DIR), &mut files).map_err(|error| error.to_string())?;
        Ok(Prepared { disk, options, known, looked_through, files })
    }

    /// A copy of the disk for one trial.
    pub fn fork(&self) -> SimDisk {
        self.disk.fork()
    }

    /// Opens a damaged copy and asks for everything in it, all of which was flushed. Correct content is fine, and so is an error
    /// that names a file or a place. Everything else is a violation, a message that is missing, too.
    ///
    /// `newest_index`: the damaged file is the index file that is still written. It has no checksum, and neither has any index
    /// file before a look for damage has seen it full; so keys may not be found in it, which is counted.
    pub fn judge(&self, disk: &SimDisk, newest_index: bool) -> Result<Tally, String> {
        let (store, report) = match open(disk, &self.options) {
            Ok(opened) => opened,
            Err(error) => return reported(&error.to_string()).map(|()| Tally::one("refused to open")),
        };
        let mut tally = self.compare(&store, &report)?;
        let missing_keys = self.compare_keys(&store)?;
        if missing_keys > 0 {
            // Nothing but a look at every file finds it; then they must be there.
            scrub(&store);
            self.compare(&store, &report)?;
            let keys = self.compare_keys(&store)?;
            let unchecked = newest_index || !self.looked_through;
            if keys > 0 && unchecked {
                tally.add("keys not found in an index file without checksum", keys);
            }
            if keys > 0 && !unchecked {
                return Err("keys are still missing after a scrub".to_owned());
            }
        }
        if tally.get("reported") == 0 && missing_keys == 0 {
            tally.add("as before", 1);
        }
        // Life goes on: what is appended now is there, too, and nothing of before changed by it.
        if append(&store, "later", 0).is_ok() {
            catch_up(&store);
            match store.queue("later", 0).map(|queue| serve(&store, &queue, 0)) {
                Some(Ok(Some(_))) => {}
                Some(Err(error)) => reported(&error)?,
                other => return Err(format!("what is appended to the damaged store is not served: {other:?}")),
            }
        }
        Ok(tally)
    }

    fn compare(&self, store: &Store, report: &RecoveryReport) -> Result<Tally, String> {
        let mut tally = Tally::default();
        for topic in store.topics() {
            let Some(queue) = store.queue(&topic, 0) else { continue };
            let count = self.known.iter().filter(|known| *known.topic == *topic).count() as u64;
            if queue.end().get() > count {
                return Err(format!("{topic} has {} messages, {count} were sent", queue.end().get()));
            }
        }
        for known in &self.known {
            let place = known.entry.physical_offset.0;
            let served = store.queue(&known.topic, 0).map_or(Ok(None), |queue| serve(store, &queue, known.offset));
            match served {
                Ok(Some((entry, record))) if entry == known.entry && record == known.record => {}
                // Were the record right, a filter by tag would pass over it.
                Ok(Some((entry, _))) => {
                    return Err(format!(
                        "{}/{} is served wrong: entry {entry:?}, it was {:?}",
                        known.topic, known.offset, known.entry
                    ));
                }
                Err(error) => {
                    reported(&error)?;
                    tally.add("reported", 1);
                }
                Ok(None) => {
                    return Err(format!("{}/{} at {place} is silently missing; {report:?}", known.topic, known.offset));
                }
            }
        }
        Ok(tally)
    }

    /// How many messages are in a queue and not found by their key, though the index says that it is level.
    fn compare_keys(&self, store: &Store) -> Result<u64, String> {
        let mut missing = 0;
        for _ in 0..1000 {
            if !store.step(Step::Index) {
                break;
            }
        }
        for known in self.known.iter().step_by(5) {
            let end = store.queue(&known.topic, 0).map_or(0, |queue| queue.end().get());
            let key = key(known.offset, &known.topic);
            let query = KeyQuery { topic: &known.topic, key: &key, begin_ms: 0, end_ms: i64::MAX, limit: 8 };
            match store.query(&query) {
                Err(error) => reported(&error.to_string())?,
                Ok(found) if found.count > 1 || (found.count == 1 && found.records != known.record) => {
                    return Err(format!("key {key} finds something else: {} records", found.count));
                }
                Ok(found) if found.count == 0 && known.offset < end && store.index_state() == IndexState::Level => {
                    let readable = store.queue(&known.topic, 0).map(|queue| serve(store, &queue, known.offset));
                    if let Some(Ok(Some(_))) = readable {
                        missing += 1;
                    }
                }
                Ok(_) => {}
            }
        }
        Ok(missing)
    }
}

/// What a consumer gets of a queue at an offset.
fn serve(store: &Store, queue: &Queue, offset: u64) -> Result<Option<(QueueEntry, Vec<u8>)>, String> {
    if offset >= queue.end().get() {
        return Ok(None);
    }
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    let text = |error: ReadError| error.to_string();
    let offset = QueueOffset(offset);
    store.entries(queue, offset, 1, Wait::Allowed, &mut entries).map_err(text)?;
    let Some(entry) = entries.first().copied() else { return Ok(None) };
    let mut picked = vec![(offset, entry)];
    store.read_records(queue, &mut picked, Wait::Allowed, &mut bytes).map_err(text)?;
    Ok(picked.first().map(|(_, entry)| (*entry, bytes)))
}

/// An operator must be able to act on it: it names a file or a place in the log.
fn reported(error: &str) -> Result<(), String> {
    let names = error.contains(DIR) || error.contains("position") || error.contains("offset");
    if names { Ok(()) } else { Err(format!("an error that names neither file nor place: {error}")) }
}

fn open(disk: &SimDisk, options: &Options) -> Result<(Store, RecoveryReport), OpenError> {
    Store::open(Arc::new(disk.clone()), Path::new(DIR), options.clone(), &mut |_| {})
}

fn key(offset: u64, topic: &str) -> String {
    format!("{topic}-{offset}")
}

fn append(store: &Store, topic: &str, number: u64) -> Result<(), String> {
    let queue = store.queue_or_create(topic, 0).map_err(|error| error.to_string())?;
    let body: Vec<u8> = (0..20 + number * 37 % 90).map(|at| (at * 7 + number) as u8).collect();
    let key = key(queue.next_offset().0, topic);
    let properties = format!("TAGS\x01tag{}\x02UNIQ_KEY\x01{key}\x02", number % 3);
    let draft = Draft {
        queue: &queue,
        flag: 0,
        sys_flag: 0,
        born_ms: 1,
        born_host: ([10, 0, 0, 1], 4000).into(),
        store_host: ([10, 0, 0, 2], 10911).into(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: &body,
        properties: &[properties.as_bytes()],
    };
    store.append(&[draft], &mut Vec::new()).map_err(|error| error.to_string())
}

fn catch_up(store: &Store) {
    store.step(Step::Prepare);
    store.step(Step::Flush);
    while store.step(Step::Dispatch) {}
    while store.step(Step::Index) {}
}

fn known(store: &Store, recipe: &Recipe) -> Result<Vec<Known>, String> {
    let mut known = Vec::new();
    for topic in (0..recipe.topics).map(|number| format!("kept-{number}")) {
        let queue = store.queue(&topic, 0).ok_or("a prepared queue is missing")?;
        for offset in 0..queue.end().get() {
            let (entry, record) = serve(store, &queue, offset)?.ok_or("a prepared message is missing")?;
            known.push(Known { topic: topic.clone(), offset, entry, record });
        }
    }
    Ok(known)
}

fn list(disk: &SimDisk, folder: &Path, files: &mut Vec<PreparedFile>) -> std::io::Result<()> {
    for entry in disk.list(folder)? {
        let path = folder.join(entry.name);
        if entry.is_dir {
            list(disk, &path, files)?;
        } else {
            let bytes = read_whole(disk, &path, u64::MAX)?;
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1);
            files.push(PreparedFile { path, len: bytes.len() as u64, written });
        }
    }
    Ok(())
}

/// One look at every file.
fn scrub(store: &Store) {
    for _ in 0..SCRUB_STEPS_MAX {
        if !store.step(Step::Scrub) {
            break;
        }
    }
}

impl Prepared {
    /// Whether it is the index file that is still written.
    pub fn is_newest_index(&self, path: &Path) -> bool {
        self.files.iter().rfind(|file| kind(&file.path) == "index/#").is_some_and(|newest| newest.path == path)
    }
}

/// What a file is, by its place: digits stand for any number.
pub fn kind(path: &Path) -> String {
    let below = path.strip_prefix(DIR).unwrap_or(path).to_string_lossy();
    let mut kind = String::new();
    for character in below.chars() {
        let character = if character.is_ascii_digit() { '#' } else { character };
        if !(character == '#' && kind.ends_with('#')) {
            kind.push(character);
        }
    }
    kind
}
