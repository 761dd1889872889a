//! Requests that look at or change topics and groups, as mqadmin and the clients' own `createTopic` send them.
//!
//! Changes are taken from loopback and from `admin.allow` only; there is no authentication yet.

use std::{collections::BTreeMap, time::Instant};

use gantry_model::{
    group::GroupConfig,
    name,
    topic::{QUEUES_MAX, TopicConfig},
};
use gantry_protocol::{
    body::{
        group_config::{GroupConfigList, GroupTable},
        topic_config::{TopicConfigList, TopicTable},
    },
    code::response,
    loose_json,
    request::admin::{PluginPush, UpdateTopic},
};
use gantry_remoting::Peer;
use serde::Serialize;

use crate::{
    broker::Broker,
    membership::malformed,
    metrics::{Creations, is_system_group},
    reply::Refusal,
};

impl Broker {
    /// Refuses a change from anywhere but loopback and the allowed addresses.
    pub(crate) fn check_admin(&self, peer: &Peer) -> Result<(), Refusal> {
        if self.options.admin.allows(peer.address().ip()) {
            return Ok(());
        }
        let remark = format!(
            "{} may not change anything here: add its address to admin.allow of the cluster file",
            peer.address().ip()
        );
        Err(Refusal::new(response::NO_PERMISSION, remark))
    }

    /// Puts a pushed plugin in service. Compiling takes a thread of the blocking pool and no place among the pulls: the loader
    /// does one at a time.
    pub(crate) fn push_plugin(
        &self,
        request: PluginPush,
        bytes: Vec<u8>,
    ) -> impl Future<Output = Result<String, Refusal>> + Send + use<> {
        let plugins = self.plugins.clone();
        async move {
            let PluginPush { plugin, signature } = request;
            let push = move || plugins.push(&plugin, bytes, signature.map(String::into_bytes));
            match tokio::task::spawn_blocking(push).await {
                Ok(pushed) => pushed.map_err(|problem| Refusal::new(response::SYSTEM_ERROR, problem)),
                Err(stopped) => Err(Refusal::stopped(&stopped)),
            }
        }
    }

    /// Creates a topic or replaces its settings.
    pub(crate) fn update_topic(&self, request: UpdateTopic) -> Result<(), Refusal> {
        let mut config = request.config;
        let known = self.topics.get(&config.topic_name);
        config.attributes = alter(known.map(|topic| topic.config.attributes.clone()), &request.attribute_changes)?;
        self.put_topic_timed(config)
    }

    /// Creates or replaces several topics; stops at the first that is refused.
    pub(crate) fn update_topics(&self, body: &[u8]) -> Result<(), Refusal> {
        let list = TopicConfigList::parse(body).map_err(|error| malformed("topic list", &error))?;
        list.topic_config_list.into_iter().try_for_each(|config| self.put_topic_timed(config))
    }

    fn put_topic_timed(&self, config: TopicConfig) -> Result<(), Refusal> {
        let system = name::is_system_topic(&config.topic_name);
        self.timed(&self.metrics.topic_creations, system, |broker| broker.put_topic(config))
    }

    fn put_topic(&self, config: TopicConfig) -> Result<(), Refusal> {
        name::check_topic(&config.topic_name)?;
        let illegal = |remark: String| Err(Refusal::new(response::INVALID_PARAMETER, remark));
        if name::is_system_topic(&config.topic_name) {
            return illegal(format!("The topic[{}] is conflict with system topic.", config.topic_name));
        }
        let queues = config.read_queue_nums.max(config.write_queue_nums);
        if queues == 0 || queues > QUEUES_MAX || !config.perm.valid() {
            return illegal(format!(
                "{queues} queues and perm {}: allowed are 1 to {QUEUES_MAX} and 0 to 7",
                config.perm.0
            ));
        }
        tokio::task::block_in_place(|| self.topics.update(config))
    }

    /// Carries out a request to make or change something and notes how long that took.
    fn timed(
        &self,
        creations: &Creations,
        system: bool,
        change: impl FnOnce(&Self) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let begun = Instant::now();
        let changed = change(self);
        creations.record(changed.is_ok(), system, begun.elapsed());
        changed
    }

    /// Removes a topic with its queues and the groups' offsets in it.
    pub(crate) fn delete_topic(&self, topic: &str) -> Result<(), Refusal> {
        name::check_topic(topic)?;
        if name::is_system_topic(topic) {
            let remark = format!("The topic[{topic}] is conflict with system topic.");
            return Err(Refusal::new(response::INVALID_PARAMETER, remark));
        }
        tokio::task::block_in_place(|| {
            self.topics.delete(topic)?;
            self.modes.forget(Some(topic), None)?;
            self.offsets.remove_where(|found, _| found == topic).map_err(not_saved)
        })
    }

    pub(crate) fn update_group(&self, body: &[u8]) -> Result<(), Refusal> {
        let config: GroupConfig = parse(body, "subscription group")?;
        self.put_group(config)
    }

    pub(crate) fn update_groups(&self, body: &[u8]) -> Result<(), Refusal> {
        let list: GroupConfigList = parse(body, "list of subscription groups")?;
        list.group_config_list.into_iter().try_for_each(|config| self.put_group(config))
    }

    fn put_group(&self, config: GroupConfig) -> Result<(), Refusal> {
        let system = is_system_group(&config.group_name);
        self.timed(&self.metrics.group_creations, system, |broker| {
            tokio::task::block_in_place(|| broker.groups.update(config))
        })
    }

    /// Removes a group, with `clean_offset` its offsets too.
    pub(crate) fn delete_group(&self, group: &str, clean_offset: bool) -> Result<(), Refusal> {
        tokio::task::block_in_place(|| {
            self.groups.delete(group)?;
            self.modes.forget(None, Some(group))?;
            match clean_offset {
                true => self.offsets.remove_where(|_, found| found == group).map_err(not_saved),
                false => Ok(()),
            }
        })
    }

    pub(crate) fn topic_config(&self, topic: &str) -> Result<Vec<u8>, Refusal> {
        let found = self.topics.get(topic).ok_or_else(|| Refusal::no_topic(topic))?;
        json(&found.config)
    }

    pub(crate) fn group_config(&self, group: &str) -> Result<Vec<u8>, Refusal> {
        let found = self.groups.get(group).ok_or_else(|| Refusal::no_group(group))?;
        json(&*found)
    }

    pub(crate) fn all_topic_configs(&self) -> Result<Vec<u8>, Refusal> {
        let (data_version, topic_config_table) = self.topics.export();
        json(&TopicTable { data_version, topic_config_table })
    }

    pub(crate) fn all_group_configs(&self) -> Result<Vec<u8>, Refusal> {
        let (data_version, subscription_group_table) = self.groups.export();
        json(&GroupTable { data_version, subscription_group_table })
    }
}

/// Applies mqadmin's `+key=value,-key` to a topic's attributes.
fn alter(known: Option<BTreeMap<String, String>>, changes: &str) -> Result<BTreeMap<String, String>, Refusal> {
    let illegal = |change: &str| {
        let remark = format!("attribute change {change:?} is neither +key=value nor -key");
        Refusal::new(response::INVALID_PARAMETER, remark)
    };
    let mut attributes = known.unwrap_or_default();
    for change in changes.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        if let Some(key) = change.strip_prefix('-') {
            attributes.remove(key);
        } else {
            let (key, value) =
                change.strip_prefix('+').and_then(|rest| rest.split_once('=')).ok_or_else(|| illegal(change))?;
            attributes.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(attributes)
}

fn parse<T: serde::de::DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Refusal> {
    let strict = loose_json::to_strict(body).map_err(|error| malformed(what, &error))?;
    serde_json::from_slice(&strict).map_err(|error| malformed(what, &error))
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, Refusal> {
    serde_json::to_vec(value).map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))
}

fn not_saved(error: std::io::Error) -> Refusal {
    let remark =
        format!("removed, but the consumer offsets could not be saved: {error}; they may come back after a restart");
    Refusal::new(response::SYSTEM_ERROR, remark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attribute_changes() {
        let known = || Some(BTreeMap::from([("a".to_owned(), "1".to_owned())]));
        let pairs = |map: BTreeMap<String, String>| map.into_iter().collect::<Vec<_>>();
        let text = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(pairs(alter(known(), "+message.type=FIFO,-a").unwrap()), [text("message.type", "FIFO")]);
        assert_eq!(pairs(alter(known(), "").unwrap()), [text("a", "1")]);
        assert!(alter(None, "message.type=FIFO").is_err());
        assert!(alter(None, "+novalue").is_err());
    }
}
