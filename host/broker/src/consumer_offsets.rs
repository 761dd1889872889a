//! How far each consumer group has come: `topic@group` and queue → offset of the next message to consume.
//!
//! Commits arrive often and small. They change memory at once; every [`JOURNAL_EVERY_MS`] what changed since is appended to
//! the log as one record of a system topic, so the log's flush and recovery carry it. `config/consumerOffset.json`
//! (RocketMQ's shape) is a snapshot with the place in that topic up to which it holds everything. After a kill the loss is
//! what was committed in the last fraction of a second: consumers see those messages again, none is skipped.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
};

use gantry_base::disk::Disk;
use gantry_model::{offset::QueueOffset, version::DataVersion};
use gantry_protocol::record::RecordView;
use gantry_store::{Queue, Store, Wait};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    message::Outgoing,
    options::BrokerOptions,
    topics::{read_json, write_json},
};

/// Topic of the journal; only the broker writes it, no client sees it in a route.
pub(crate) const JOURNAL_TOPIC: &str = "rmq_sys_gantry_offsets";
/// How often changed offsets are journalled.
pub(crate) const JOURNAL_EVERY_MS: u64 = 200;
/// How often the snapshot is written when something changed; a start replays the journal since then.
pub(crate) const SNAPSHOT_EVERY_MS: u64 = 30_000;
/// Offsets in one journal record; more changes become several records. With the longest names it stays below 1 MiB.
const JOURNAL_RECORD_ENTRIES_MAX: usize = 2_000;

/// Offsets of one `topic@group` by queue.
type ByQueue = BTreeMap<u32, u64>;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OffsetsFile {
    data_version: DataVersion,
    /// Ours: journal entries before this queue offset are contained. RocketMQ ignores it, and what RocketMQ has written is
    /// without it: then the whole journal is older.
    gantry_journal_offset: Option<u64>,
    offset_table: HashMap<String, ByQueue>,
}

#[derive(Default)]
struct State {
    table: HashMap<String, ByQueue>,
    /// Keys of `table` by topic.
    keys_of: HashMap<String, Vec<String>>,
    changed: HashMap<String, ByQueue>,
    since_snapshot: bool,
    version: DataVersion,
    /// The keys of `table`, gathered when somebody asks and none came or went since.
    keys: Option<Arc<[String]>>,
}

/// See the module's documentation.
pub(crate) struct ConsumerOffsets {
    state: Mutex<State>,
    /// One journaller or snapshot at a time: a snapshot must not claim a record that is still being appended.
    journalling: Mutex<()>,
    store: Store,
    journal: Arc<Queue>,
    disk: Arc<dyn Disk>,
    file: PathBuf,
    options: Arc<BrokerOptions>,
}

fn key(topic: &str, group: &str) -> String {
    format!("{topic}@{group}")
}

/// The keys of a table by topic.
fn by_topic(table: &HashMap<String, ByQueue>) -> HashMap<String, Vec<String>> {
    let mut keys_of: HashMap<String, Vec<String>> = HashMap::new();
    for key in table.keys() {
        if let Some((topic, _)) = key.rsplit_once('@') {
            keys_of.entry(topic.to_owned()).or_default().push(key.clone());
        }
    }
    keys_of
}

impl ConsumerOffsets {
    /// Reads the snapshot and replays the journal behind it.
    pub(crate) fn open(store: Store, disk: Arc<dyn Disk>, options: Arc<BrokerOptions>) -> io::Result<Self> {
        let file = options.data.join("config").join("consumerOffset.json");
        let found: Option<OffsetsFile> = read_json(&*disk, &file)?;
        let journal = store.queue_or_create(JOURNAL_TOPIC, 0).map_err(io::Error::other)?;
        let end = journal.end().get();
        let contained = found.as_ref().map_or(0, |snapshot| snapshot.gantry_journal_offset.unwrap_or(end));
        let by_another = found.as_ref().is_some_and(|snapshot| snapshot.gantry_journal_offset.is_none());
        let snapshot = found.unwrap_or_default();
        let mut table = snapshot.offset_table;
        replay(&store, &journal, contained.min(end), &mut table)?;
        // Under asynchronous flush a power loss can take journal records back that the snapshot counts as contained. Then the
        // snapshot is written anew, or later records at those places would be passed over by the next start.
        // Written anew, too, when it is RocketMQ's: what is journalled from now on is not contained. And when it lacks some,
        // because the journal's part of the log is kept until it does not.
        let since_snapshot = contained != end || by_another;
        let keys_of = by_topic(&table);
        let state = State { table, keys_of, version: snapshot.data_version, since_snapshot, ..State::default() };
        let state = Mutex::new(state);
        let offsets = ConsumerOffsets { state, journalling: Mutex::new(()), store, journal, disk, file, options };
        match offsets.snapshot() {
            // What it lacks is in the journal, and a full disk must not keep the broker from serving.
            Err(error) if contained <= end && !by_another => {
                tracing::warn!(%error, "consumer offsets were read but not saved; it is tried again");
            }
            saved => saved?,
        }
        Ok(offsets)
    }

    pub(crate) fn get(&self, topic: &str, group: &str, queue_id: u32) -> Option<QueueOffset> {
        let state = self.state.lock();
        state.table.get(&key(topic, group))?.get(&queue_id).copied().map(QueueOffset)
    }

    /// Every `topic@group` that has an offset.
    pub(crate) fn keys(&self) -> Arc<[String]> {
        let State { table, keys, .. } = &mut *self.state.lock();
        keys.get_or_insert_with(|| table.keys().cloned().collect()).clone()
    }

    /// All offsets of a group in a topic, by queue.
    pub(crate) fn by_queue(&self, topic: &str, group: &str) -> BTreeMap<u32, u64> {
        self.state.lock().table.get(&key(topic, group)).cloned().unwrap_or_default()
    }

    /// Stores what the group says, even when it goes back: a reset does.
    pub(crate) fn commit(&self, topic: &str, group: &str, queue_id: u32, offset: QueueOffset) {
        let mut state = self.state.lock();
        let key = key(topic, group);
        let known = state.table.get(&key).and_then(|queues| queues.get(&queue_id)).copied();
        if known == Some(offset.0) {
            return;
        }
        if !state.table.contains_key(&key) {
            state.keys_of.entry(topic.to_owned()).or_default().push(key.clone());
            state.keys = None;
        }
        state.table.entry(key.clone()).or_default().insert(queue_id, offset.0);
        state.changed.entry(key).or_default().insert(queue_id, offset.0);
    }

    /// For each queue of a topic the lowest offset that any group with offsets in the topic has; a group without one there
    /// counts as having consumed nothing: `begins`, the queues' first offsets. `None` when no group has any.
    pub(crate) fn slowest(&self, topic: &str, begins: &[u64]) -> Option<Vec<u64>> {
        let state = self.state.lock();
        let groups = state.keys_of.get(topic)?.iter().filter_map(|key| state.table.get(key));
        let of_group = |queues: &ByQueue| -> Vec<u64> {
            let offset = |(id, begin): (u32, &u64)| queues.get(&id).copied().unwrap_or(*begin);
            (0..).zip(begins).map(offset).collect()
        };
        groups.map(of_group).reduce(|slowest, group| slowest.iter().zip(&group).map(|(a, b)| *a.min(b)).collect())
    }

    /// Forgets every offset that `forget(topic, group)` names, durably.
    pub(crate) fn remove_where(&self, forget: impl Fn(&str, &str) -> bool) -> io::Result<()> {
        let keep = |key: &String| key.rsplit_once('@').is_none_or(|(topic, group)| !forget(topic, group));
        {
            let mut state = self.state.lock();
            state.keys = None;
            state.table.retain(|key, _| keep(key));
            state.keys_of = by_topic(&state.table);
            state.changed.retain(|key, _| keep(key));
            state.since_snapshot = true;
        }
        // The journal still holds the removed entries: only a snapshot behind them makes the removal last.
        self.snapshot()
    }

    /// Appends what changed to the journal. Blocks on the log.
    pub(crate) fn journal(&self) -> io::Result<()> {
        let _one = self.journalling.lock();
        self.journal_changes()
    }

    fn journal_changes(&self) -> io::Result<()> {
        let changed = {
            let mut state = self.state.lock();
            if state.changed.is_empty() {
                return Ok(());
            }
            state.since_snapshot = true;
            std::mem::take(&mut state.changed)
        };
        for record in journal_records(&changed) {
            let body = serde_json::to_vec(&record).map_err(io::Error::other)?;
            if let Err(error) = Outgoing::internal(&self.options, body).append_own(&self.store, &self.journal) {
                // Tried again next time; newer commits of the same queue win.
                let mut state = self.state.lock();
                for (key, queues) in changed {
                    let later = state.changed.entry(key).or_default();
                    for (queue_id, offset) in queues {
                        later.entry(queue_id).or_insert(offset);
                    }
                }
                return Err(io::Error::other(error));
            }
        }
        Ok(())
    }

    /// Journals what changed, then writes the snapshot if anything changed since the last one. `Ok`: one of the two has
    /// everything. Blocks on the disk.
    pub(crate) fn snapshot(&self) -> io::Result<()> {
        let _one = self.journalling.lock();
        // The snapshot holds what the journal does not take, and needs less space than it.
        let journalled = self.journal_changes();
        // Nobody else writes to the journal meanwhile.
        let contained = self.store.appended().get();
        let file = {
            let mut state = self.state.lock();
            if !state.since_snapshot && journalled.is_ok() {
                self.options.holds.consumer_offsets.advance(contained);
                return Ok(());
            }
            state.since_snapshot = false;
            state.version.bump(self.options.clock.now_ms());
            OffsetsFile {
                data_version: state.version.clone(),
                gantry_journal_offset: Some(self.journal.next_offset().0),
                offset_table: state.table.clone(),
            }
        };
        write_json(&*self.disk, &self.file, &file).inspect_err(|_| self.state.lock().since_snapshot = true)?;
        self.options.holds.consumer_offsets.advance(contained);
        Ok(())
    }

    /// The snapshot at the end; an error says what is lost.
    pub(crate) fn save(&self) -> io::Result<()> {
        self.snapshot().map_err(|error| {
            let lost: usize = self.state.lock().changed.values().map(BTreeMap::len).sum();
            io::Error::other(format!(
                "{error}; {lost} consumer offsets that were committed last are not on disk: their groups get those messages \
                 once more, none is skipped"
            ))
        })
    }
}

/// Splits what changed into pieces that fit a record each.
fn journal_records(changed: &HashMap<String, ByQueue>) -> Vec<BTreeMap<&str, ByQueue>> {
    let mut records: Vec<BTreeMap<&str, ByQueue>> = Vec::new();
    let mut room = 0;
    for (key, queues) in changed {
        for (queue_id, offset) in queues {
            if room == 0 {
                records.push(BTreeMap::new());
                room = JOURNAL_RECORD_ENTRIES_MAX;
            }
            room -= 1;
            if let Some(record) = records.last_mut() {
                record.entry(key).or_default().insert(*queue_id, *offset);
            }
        }
    }
    records
}

fn replay(store: &Store, journal: &Queue, from: u64, table: &mut HashMap<String, ByQueue>) -> io::Result<()> {
    let mut next = QueueOffset(from.max(journal.min_offset().0));
    let mut entries = Vec::new();
    let mut bytes = Vec::new();
    loop {
        entries.clear();
        store.entries(journal, next, 1_000, Wait::Allowed, &mut entries).map_err(io::Error::other)?;
        if entries.is_empty() {
            return Ok(());
        }
        for entry in &entries {
            bytes.clear();
            store
                .read_records(journal, &mut vec![(next, *entry)], Wait::Allowed, &mut bytes)
                .map_err(io::Error::other)?;
            if bytes.is_empty() {
                // Damaged and given up: consumers may see messages again.
                next = next.plus(1);
                continue;
            }
            let record = RecordView::parse(&bytes).map_err(io::Error::other)?;
            match serde_json::from_slice::<HashMap<String, ByQueue>>(record.body()) {
                Ok(changes) => {
                    for (key, queues) in changes {
                        table.entry(key).or_default().extend(queues);
                    }
                }
                Err(error) => {
                    tracing::error!(physical_offset = %entry.physical_offset, %error, "journalled consumer offsets are unreadable and skipped; consumers may see messages again");
                }
            }
            next = next.plus(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;
    use gantry_store::Options;

    use super::*;

    fn open(disk: &SimDisk) -> ConsumerOffsets {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = Arc::new(BrokerOptions::new("c", "b", ([127, 0, 0, 1], 1).into(), "/data".into()));
        disk.create_dir_all(&options.data.join("config")).unwrap();
        let (store, _) = Store::open(disk.clone(), &options.data, Options::default(), &mut |_| {}).unwrap();
        ConsumerOffsets::open(store, disk, options).unwrap()
    }

    /// Also of offsets that were there at the start, and not of those that are gone.
    #[test]
    fn the_slowest_group_of_each_queue_counts() {
        let disk = SimDisk::new(1);
        let offsets = open(&disk);
        assert_eq!(offsets.slowest("t", &[0, 0]), None, "nobody consumes");
        for (topic, group, queue_id, offset) in
            [("t", "fast", 0, 9), ("t", "fast", 1, 8), ("t", "slow", 0, 3), ("other", "slow", 1, 1)]
        {
            offsets.commit(topic, group, queue_id, QueueOffset(offset));
        }
        assert_eq!(offsets.slowest("t", &[1, 2]), Some(vec![3, 2]), "the slow group has not begun queue 1");
        offsets.commit("t", "slow", 0, QueueOffset(5));
        assert_eq!(offsets.slowest("t", &[0]), Some(vec![5]));
        offsets.save().unwrap();
        offsets.store.shutdown().unwrap();
        let again = open(&disk);
        assert_eq!(again.slowest("t", &[0, 0]), Some(vec![5, 0]));
        again.remove_where(|_, group| group == "slow").unwrap();
        assert_eq!(again.slowest("t", &[0, 0]), Some(vec![9, 8]));
        again.remove_where(|topic, _| topic == "t").unwrap();
        assert_eq!(again.slowest("t", &[0, 0]), None);
    }

    #[test]
    fn a_journal_record_has_a_bounded_number_of_offsets() {
        let queues = |count: u32| (0..count).map(|id| (id, u64::from(id) + 7)).collect::<ByQueue>();
        let changed: HashMap<_, _> =
            [("few@g", 3), ("many@g", 65_536), ("some@g", 2_500)].map(|(key, n)| (key.to_owned(), queues(n))).into();
        let records = journal_records(&changed);
        let sizes = records.iter().map(|record| record.values().map(BTreeMap::len).sum::<usize>());
        assert!(sizes.clone().all(|size| (1..=JOURNAL_RECORD_ENTRIES_MAX).contains(&size)));
        assert_eq!(sizes.sum::<usize>(), 3 + 65_536 + 2_500);
        let mut together: HashMap<String, ByQueue> = HashMap::new();
        for (key, queues) in records.into_iter().flatten() {
            together.entry(key.to_owned()).or_default().extend(queues);
        }
        assert!(together == changed);
        assert!(journal_records(&HashMap::new()).is_empty());
    }
}
