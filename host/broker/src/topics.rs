//! The topics of this broker: settings and queues, changed rarely, read by every request.
//!
//! Readers take a snapshot without a lock. A change is on disk (`config/topics.json`, RocketMQ's shape) before anybody can
//! see it, so that no message is ever acknowledged for a topic that a restart would not know.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use gantry_base::{
    clock::Clock,
    disk::Disk,
    durable,
    sealed::{self, Seal},
    watermark::Watermark,
};
use gantry_model::{
    delay::LEVELS_MS,
    name::{self, AUTO_CREATE_TOPIC, SCHEDULE_TOPIC},
    topic::{Perm, TopicConfig},
    version::DataVersion,
};
use gantry_protocol::{code::response, loose_json};
use gantry_store::{Queue, Store};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::{
    metrics::{Traffic, counts_as_sent},
    options::BrokerOptions,
    reply::Refusal,
    select::Selector,
};

/// Largest configuration file that is read, in bytes.
pub(crate) const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// One topic: its settings and its queues, `queues[i]` being queue `i`.
pub(crate) struct Topic {
    pub(crate) config: TopicConfig,
    pub(crate) queues: Vec<Arc<Queue>>,
    pub(crate) selector: Arc<Selector>,
    /// What goes through it; outlives a change of the settings.
    pub(crate) traffic: Arc<Traffic>,
    /// Whether what is sent to it counts as coming in.
    pub(crate) counts_as_sent: bool,
}

impl Topic {
    /// A queue that producers or consumers may name.
    pub(crate) fn queue(&self, queue_id: i32) -> Option<&Arc<Queue>> {
        usize::try_from(queue_id).ok().and_then(|id| self.queues.get(id))
    }
}

/// All topics, by name.
pub(crate) type Topics = FxHashMap<String, Arc<Topic>>;

/// `topics.json` as RocketMQ writes it.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TopicsFile {
    data_version: DataVersion,
    topic_config_table: BTreeMap<String, TopicConfig>,
}

/// See the module's documentation.
pub(crate) struct TopicTable {
    topics: ArcSwap<Topics>,
    /// Holds the version; whoever changes the table holds it from the look to the swap.
    change: Mutex<DataVersion>,
    changes: Watermark,
    store: Store,
    disk: Arc<dyn Disk>,
    file: PathBuf,
    clock: Clock,
    topics_max: usize,
    auto_create: bool,
}

impl TopicTable {
    /// Reads `config/topics.json`, adds what every broker has, and opens the queues.
    pub(crate) fn open(store: Store, disk: Arc<dyn Disk>, options: &BrokerOptions) -> io::Result<Self> {
        let file = options.data.join("config").join("topics.json");
        let TopicsFile { data_version, topic_config_table } = read_json(&*disk, &file)?.unwrap_or_default();
        let mut configs = topic_config_table;
        configs.retain(|name, config| {
            let usable = *name == config.topic_name && name::check_topic(name).is_ok();
            if !usable {
                tracing::error!(topic = %name, file = %file.display(), "entry dropped: its key and name differ or are illegal");
            }
            usable
        });
        let schedule = TopicConfig::new(SCHEDULE_TOPIC, LEVELS_MS.len() as u32, Perm::READ_WRITE);
        configs.entry(SCHEDULE_TOPIC.to_owned()).or_insert(schedule);
        if options.auto_create_topics {
            let template = TopicConfig::new(AUTO_CREATE_TOPIC, options.default_topic_queues, Perm::TEMPLATE);
            configs.insert(AUTO_CREATE_TOPIC.to_owned(), template);
        } else {
            configs.remove(AUTO_CREATE_TOPIC);
        }
        let table = TopicTable {
            topics: ArcSwap::from_pointee(Topics::default()),
            change: Mutex::new(data_version),
            changes: Watermark::new(0),
            store,
            disk,
            file,
            clock: options.clock.clone(),
            topics_max: options.topics_max,
            auto_create: options.auto_create_topics,
        };
        let mut topics = Topics::default();
        for config in configs.into_values() {
            let topic = table.open_queues(config, None)?;
            topics.insert(topic.config.topic_name.clone(), topic);
        }
        table.topics.store(Arc::new(topics));
        Ok(table)
    }

    /// The topics now. Hold it for one batch of requests, not longer.
    pub(crate) fn snapshot(&self) -> arc_swap::Guard<Arc<Topics>> {
        self.topics.load()
    }

    /// The topics now, to be held as long as need be.
    pub(crate) fn all(&self) -> Arc<Topics> {
        self.topics.load_full()
    }

    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Topic>> {
        self.topics.load().get(topic).cloned()
    }

    /// Grows with every change; name server registrations follow it.
    pub(crate) fn changes(&self) -> &Watermark {
        &self.changes
    }

    /// Settings of all topics with their version, as they are registered and told to tools.
    pub(crate) fn export(&self) -> (DataVersion, BTreeMap<String, TopicConfig>) {
        let version = self.change.lock();
        let configs = self.topics.load().iter().map(|(name, topic)| (name.clone(), topic.config.clone())).collect();
        (version.clone(), configs)
    }

    /// The topic, made after `template` when it is unknown and that is allowed. Blocks on the disk when it makes one.
    ///
    /// Queues = the sender's wish, at most the template's; permissions = the template's without inherit.
    pub(crate) fn get_or_create(&self, topic: &str, template: &str, queues_wanted: u32) -> Result<Arc<Topic>, Refusal> {
        if let Some(known) = self.get(topic) {
            return Ok(known);
        }
        name::check_topic(topic)?;
        let found = self.auto_create.then(|| self.get(template)).flatten();
        let Some(template) = found.filter(|template| template.config.perm.inheritable()) else {
            return Err(Refusal::no_topic(topic));
        };
        let queues = queues_wanted.clamp(1, template.config.write_queue_nums.max(1));
        self.create(TopicConfig::new(topic, queues, template.config.perm.without_inherit()))
    }

    /// The topic, made with one read-write queue (or `queues`) when it is unknown: retry and dead letter topics.
    pub(crate) fn get_or_create_internal(&self, topic: &str, queues: u32) -> Result<Arc<Topic>, Refusal> {
        match self.get(topic) {
            Some(known) => Ok(known),
            None => {
                name::check_topic(topic)?;
                self.create(TopicConfig::new(topic, queues, Perm::READ_WRITE))
            }
        }
    }

    fn create(&self, config: TopicConfig) -> Result<Arc<Topic>, Refusal> {
        let mut version = self.change.lock();
        // Another request may have made it while this one waited for the lock.
        if let Some(known) = self.get(&config.topic_name) {
            return Ok(known);
        }
        self.put(&mut version, config)
    }

    /// Creates or replaces a topic's settings; queues are only ever added, so that no stored message is lost to a change.
    pub(crate) fn update(&self, config: TopicConfig) -> Result<(), Refusal> {
        let mut version = self.change.lock();
        self.put(&mut version, config).map(drop)
    }

    fn put(&self, version: &mut DataVersion, config: TopicConfig) -> Result<Arc<Topic>, Refusal> {
        let current = self.topics.load_full();
        let before = current.get(&config.topic_name);
        if before.is_none() && current.len() >= self.topics_max {
            let remark = format!("the broker holds {} topics, its limit (topics_max)", current.len());
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        let name = config.topic_name.clone();
        let topic =
            self.open_queues(config, before.map(|topic| &**topic)).map_err(|error| cannot_save(&name, &error))?;
        let mut topics = Topics::clone(&current);
        topics.insert(name.clone(), topic.clone());
        self.publish(version, topics).map_err(|error| cannot_save(&name, &error))?;
        Ok(topic)
    }

    /// Removes a topic and its queues; its messages stay in the log but belong to nothing. `false` when it was unknown.
    pub(crate) fn delete(&self, topic: &str) -> Result<bool, Refusal> {
        let mut version = self.change.lock();
        let mut topics = Topics::clone(&self.topics.load_full());
        if topics.remove(topic).is_none() {
            return Ok(false);
        }
        self.publish(&mut version, topics).map_err(|error| cannot_save(topic, &error))?;
        self.store.delete_topic(topic).map_err(|error| {
            let remark = format!("topic {topic} is removed, but its queues could not be: {error}");
            Refusal::new(response::SYSTEM_ERROR, remark)
        })?;
        Ok(true)
    }

    fn publish(&self, version: &mut DataVersion, topics: Topics) -> io::Result<()> {
        let mut next = version.clone();
        next.bump(self.clock.now_ms());
        let table = topics.iter().map(|(name, topic)| (name.clone(), topic.config.clone())).collect();
        let file = TopicsFile { data_version: next.clone(), topic_config_table: table };
        write_json(&*self.disk, &self.file, &file)?;
        *version = next;
        self.topics.store(Arc::new(topics));
        self.changes.advance(self.changes.get() + 1);
        Ok(())
    }

    fn open_queues(&self, config: TopicConfig, before: Option<&Topic>) -> io::Result<Arc<Topic>> {
        let count = config.read_queue_nums.max(config.write_queue_nums);
        let mut queues = before.map(|topic| topic.queues.clone()).unwrap_or_default();
        for queue_id in queues.len() as u32..count {
            let queue = self.store.queue_or_create(&config.topic_name, queue_id).map_err(io::Error::other)?;
            queues.push(queue);
        }
        let selector = before.map(|topic| topic.selector.clone()).unwrap_or_default();
        let traffic = before.map(|topic| topic.traffic.clone()).unwrap_or_default();
        let counts_as_sent = counts_as_sent(&config.topic_name);
        Ok(Arc::new(Topic { config, queues, selector, traffic, counts_as_sent }))
    }
}

fn cannot_save(name: &str, error: &io::Error) -> Refusal {
    Refusal::new(response::SYSTEM_ERROR, format!("topic {name} could not be saved, nothing was changed: {error}"))
}

/// Reads a configuration file of RocketMQ or of our own; `None` when there is none. Unreadable text is an error: starting
/// with an empty table would silently forget what it held.
pub(crate) fn read_json<T: for<'de> Deserialize<'de>>(disk: &dyn Disk, file: &Path) -> io::Result<Option<T>> {
    let Some(bytes) = durable::read(disk, file, CONFIG_FILE_BYTES_MAX)? else { return Ok(None) };
    // The file of before would be readable too, and older: offsets that go back, topics that are missing. An operator decides.
    if let broken @ Seal::Broken { .. } = sealed::check(&bytes) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{}: {broken}", file.display())));
    }
    let strict = loose_json::to_strict(&bytes).map_err(|error| unreadable(file, &error))?;
    serde_json::from_slice(&strict).map(Some).map_err(|error| unreadable(file, &error))
}

fn unreadable(file: &Path, error: &dyn std::fmt::Display) -> io::Error {
    let advice = "no data is touched; repair it or put the .bak beside it in its place";
    io::Error::new(io::ErrorKind::InvalidData, format!("{} is not readable: {error}; {advice}", file.display()))
}

/// Writes a configuration file durably, with its checksum in it, keeping the one before as `.bak`.
pub(crate) fn write_json(disk: &dyn Disk, file: &Path, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_vec_pretty(value).map_err(io::Error::other)?;
    durable::replace(disk, file, &sealed::seal(&text), true)
}

#[cfg(test)]
mod tests {
    use gantry_base::disk::sim::SimDisk;

    use super::*;

    /// Whatever bit flips in a table, it is not read as another one; and who edits it says so by taking the checksum out.
    #[test]
    fn a_table_is_read_as_it_was_written_or_refused() {
        let disk = SimDisk::new(1);
        let (folder, file) = (Path::new("/config"), Path::new("/config/topics.json"));
        disk.create_dir_all(folder).unwrap();
        let topic = TopicConfig::new("orders", 4, Perm::READ_WRITE);
        let table = TopicsFile {
            data_version: DataVersion::default(),
            topic_config_table: [("orders".to_owned(), topic)].into_iter().collect(),
        };
        write_json(&disk, file, &table).unwrap();
        let read = || read_json::<serde_json::Value>(&disk, file);
        let mut written = read().unwrap().unwrap();
        let handle = disk.open(file, false).unwrap();
        let mut refused = 0;
        for at in 0..handle.len().unwrap() {
            let mut byte = [0];
            handle.read_at(&mut byte, at).unwrap();
            handle.write_at(&[byte[0] ^ (1 << (at % 8))], at).unwrap();
            match read() {
                Err(_) => refused += 1,
                Ok(found) => {
                    let mut found = found.unwrap();
                    for value in [&mut found, &mut written] {
                        value
                            .as_object_mut()
                            .unwrap()
                            .retain(|name, _| name == "dataVersion" || name == "topicConfigTable");
                    }
                    assert_eq!(found, written, "byte {at}");
                }
            }
            handle.write_at(&byte, at).unwrap();
        }
        assert!(refused + 30 > handle.len().unwrap(), "{refused}");
        // Edited by hand.
        let text = String::from_utf8(gantry_base::disk::read_whole(&disk, file, 1 << 20).unwrap()).unwrap();
        let edited = text.replace("orders", "parcels");
        durable::replace(&disk, file, edited.as_bytes(), false).unwrap();
        let said = read().unwrap_err().to_string();
        assert!(said.contains("/config/topics.json") && said.contains("take its line"), "{said}");
        let edited: String = edited.lines().filter(|line| !line.contains("gantryChecksum")).collect();
        durable::replace(&disk, file, edited.as_bytes(), false).unwrap();
        assert!(read().unwrap().unwrap()["topicConfigTable"]["parcels"].is_object());
    }
}
