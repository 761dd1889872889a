//! How groups consume topics, where that was said (`config/messageRequestMode.json`, RocketMQ's shape): by pulls, unless an
//! operator chose POP.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::PathBuf,
    sync::Arc,
};

use arc_swap::ArcSwap;
use gantry_base::disk::Disk;
use gantry_model::name::{self, RETRY_PREFIX};
use gantry_protocol::{
    body::assignment::{RequestMode, RequestModeConfig},
    code::response,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    broker::Broker,
    options::BrokerOptions,
    reply::Refusal,
    topics::{read_json, write_json},
};

/// Most pairs of topic and group; more are refused.
const MODES_MAX: usize = 100_000;

/// By topic, then by group.
type Modes = HashMap<String, HashMap<String, RequestModeConfig>>;

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ModesFile {
    message_request_mode_map: BTreeMap<String, BTreeMap<String, RequestModeConfig>>,
}

/// See the module's documentation. Read without a lock; a change is on disk before it shows.
pub(crate) struct ModeTable {
    modes: ArcSwap<Modes>,
    change: Mutex<()>,
    disk: Arc<dyn Disk>,
    file: PathBuf,
}

impl ModeTable {
    pub(crate) fn open(disk: Arc<dyn Disk>, options: &BrokerOptions) -> io::Result<Self> {
        let file = options.data.join("config").join("messageRequestMode.json");
        let found: ModesFile = read_json(&*disk, &file)?.unwrap_or_default();
        let modes =
            found.message_request_mode_map.into_iter().map(|(topic, groups)| (topic, groups.into_iter().collect()));
        Ok(ModeTable { modes: ArcSwap::from_pointee(modes.collect()), change: Mutex::new(()), disk, file })
    }

    /// How a group consumes a topic, and with POP how many members' queues a member takes from besides its own.
    pub(crate) fn of(&self, topic: &str, group: &str) -> (RequestMode, i32) {
        let modes = self.modes.load();
        let config = modes.get(topic).and_then(|groups| groups.get(group));
        config.map_or((RequestMode::Pull, 0), |config| (config.mode, config.pop_share_queue_num))
    }

    /// Blocks on the disk.
    fn set(&self, config: RequestModeConfig) -> Result<(), Refusal> {
        let _one = self.change.lock();
        let mut modes = Modes::clone(&self.modes.load_full());
        let groups = modes.entry(config.topic.clone()).or_default();
        let new = groups.insert(config.consumer_group.clone(), config).is_none();
        let count: usize = modes.values().map(HashMap::len).sum();
        if new && count > MODES_MAX {
            let remark = format!("the broker holds {MODES_MAX} message request modes, the most that it keeps");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        self.publish(modes)
    }

    /// Forgets what is said of a deleted topic or group. Blocks on the disk when anything is.
    pub(crate) fn forget(&self, topic: Option<&str>, group: Option<&str>) -> Result<(), Refusal> {
        let _one = self.change.lock();
        let mut modes = Modes::clone(&self.modes.load_full());
        let before: usize = modes.values().map(HashMap::len).sum();
        modes.retain(|of_topic, groups| {
            groups.retain(|of_group, _| Some(of_group.as_str()) != group);
            !groups.is_empty() && Some(of_topic.as_str()) != topic
        });
        let after: usize = modes.values().map(HashMap::len).sum();
        if before == after { Ok(()) } else { self.publish(modes) }
    }

    fn publish(&self, modes: Modes) -> Result<(), Refusal> {
        let by_name = modes.iter().map(|(topic, groups)| {
            let groups = groups.iter().map(|(group, config)| (group.clone(), config.clone()));
            (topic.clone(), groups.collect())
        });
        let file = ModesFile { message_request_mode_map: by_name.collect() };
        write_json(&*self.disk, &self.file, &file).map_err(|error| {
            let remark = format!("the message request mode could not be saved, nothing was changed: {error}");
            Refusal::new(response::SYSTEM_ERROR, remark)
        })?;
        self.modes.store(Arc::new(modes));
        Ok(())
    }
}

impl Broker {
    /// SET_MESSAGE_REQUEST_MODE (401). Members learn of it when they ask for their queues the next time.
    pub(crate) fn set_request_mode(&self, config: RequestModeConfig) -> Result<(), Refusal> {
        if config.topic.starts_with(RETRY_PREFIX) {
            return Err(Refusal::new(response::NO_PERMISSION, "retry topic is not allowed to set mode"));
        }
        name::check_topic(&config.topic)?;
        name::check_group(&config.consumer_group)?;
        if self.topics.get(&config.topic).is_none() {
            return Err(Refusal::no_topic(&config.topic));
        }
        if self.groups.get(&config.consumer_group).is_none() {
            return Err(Refusal::no_group(&config.consumer_group));
        }
        tokio::task::block_in_place(|| self.modes.set(config))
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::{disk::sim::SimDisk, durable};

    use super::*;

    fn config(topic: &str, group: &str, pop_share_queue_num: i32) -> RequestModeConfig {
        let (topic, consumer_group) = (topic.to_owned(), group.to_owned());
        RequestModeConfig { topic, consumer_group, mode: RequestMode::Pop, pop_share_queue_num }
    }

    fn open(disk: &SimDisk) -> ModeTable {
        let options = BrokerOptions::new("c", "b", ([127, 0, 0, 1], 1).into(), "/data".into());
        disk.create_dir_all(&options.data.join("config")).unwrap();
        ModeTable::open(Arc::new(disk.clone()), &options).unwrap()
    }

    #[test]
    fn modes_last_until_their_topic_or_group_goes() {
        let disk = SimDisk::new(1);
        let table = open(&disk);
        assert_eq!(table.of("t", "g"), (RequestMode::Pull, 0));
        for (topic, group, share) in [("t", "g", 3), ("t", "h", -1), ("u", "g", 0)] {
            table.set(config(topic, group, share)).unwrap();
        }
        table.set(config("t", "g", 4)).unwrap();
        let again = open(&disk);
        for table in [&table, &again] {
            assert_eq!(table.of("t", "g"), (RequestMode::Pop, 4));
            assert_eq!(table.of("t", "h"), (RequestMode::Pop, -1));
            assert_eq!(table.of("u", "h"), (RequestMode::Pull, 0));
        }
        table.forget(None, Some("g")).unwrap();
        assert_eq!([("t", "g"), ("u", "g"), ("t", "h")].map(|(t, g)| table.of(t, g).0), {
            [RequestMode::Pull, RequestMode::Pull, RequestMode::Pop]
        });
        table.forget(Some("t"), None).unwrap();
        assert_eq!(open(&disk).of("t", "h"), (RequestMode::Pull, 0));
    }

    /// What RocketMQ's broker has written, members in another order and one of them left out.
    #[test]
    fn rocketmqs_file_is_read() {
        let disk = SimDisk::new(1);
        drop(open(&disk));
        let text = "{\n\t\"messageRequestModeMap\":{\"TopicTest\":{\n\t\t\t\"cg\":{\n\t\t\t\t\"consumerGroup\":\"cg\",\n\t\t\t\t\"mode\":\"POP\",\n\t\t\t\t\"popShareQueueNum\":2,\n\t\t\t\t\"topic\":\"TopicTest\"\n\t\t\t},\"ch\":{\"mode\":\"PULL\"}\n\t\t}\n\t}\n}";
        durable::replace(&disk, "/data/config/messageRequestMode.json".as_ref(), text.as_bytes(), false).unwrap();
        let table = open(&disk);
        assert_eq!(table.of("TopicTest", "cg"), (RequestMode::Pop, 2));
        assert_eq!(table.of("TopicTest", "ch"), (RequestMode::Pull, 0));
    }
}
