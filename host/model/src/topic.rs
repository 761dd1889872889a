//! Settings of a topic. Source: RocketMQ `TopicConfig`, `PermName`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Permission bits of a topic or a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Perm(pub u32);

impl Perm {
    /// Read and write, the usual setting.
    pub const READ_WRITE: Perm = Perm(6);
    /// Read, write, and a template for topics made on first use.
    pub const TEMPLATE: Perm = Perm(7);
    /// Neither: hidden from producers and consumers.
    pub const INHERIT_ONLY: Perm = Perm(1);

    /// Whether consumers may read.
    pub fn readable(self) -> bool {
        self.0 & 4 != 0
    }

    /// Whether producers may write.
    pub fn writable(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether unknown topics may be made after this one.
    pub fn inheritable(self) -> bool {
        self.0 & 1 != 0
    }

    /// The same without the write bit.
    #[must_use]
    pub fn without_write(self) -> Perm {
        Perm(self.0 & !2)
    }

    /// The same without the inherit bit.
    #[must_use]
    pub fn without_inherit(self) -> Perm {
        Perm(self.0 & !1)
    }

    /// Whether this is one of the values that RocketMQ accepts (0 to 7).
    pub fn valid(self) -> bool {
        self.0 <= 7
    }
}

/// `topicFilterType`; the broker only copies it into message flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TopicFilterType {
    /// One tag a message.
    #[default]
    SingleTag,
    /// Several tags a message.
    MultiTag,
}

/// Most queues that a topic may have; RocketMQ has no limit and dies of the file descriptors.
pub const QUEUES_MAX: u32 = 65_536;

/// Settings of one topic on one broker, in the shape of `topics.json` and of a broker's registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicConfig {
    /// `message.type` and others; kept verbatim.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// Marks an ordered topic.
    #[serde(default)]
    pub order: bool,
    /// What may be done with it.
    pub perm: Perm,
    /// Number of queues that consumers see.
    pub read_queue_nums: u32,
    /// Kind of tags.
    #[serde(default)]
    pub topic_filter_type: TopicFilterType,
    /// The topic's name.
    pub topic_name: String,
    /// Unit bits; kept verbatim.
    #[serde(default)]
    pub topic_sys_flag: i32,
    /// Number of queues that producers see.
    pub write_queue_nums: u32,
}

impl TopicConfig {
    /// A plain topic with as many read as write queues.
    pub fn new(name: impl Into<String>, queues: u32, perm: Perm) -> Self {
        TopicConfig {
            attributes: BTreeMap::new(),
            order: false,
            perm,
            read_queue_nums: queues,
            topic_filter_type: TopicFilterType::SingleTag,
            topic_name: name.into(),
            topic_sys_flag: 0,
            write_queue_nums: queues,
        }
    }
}
