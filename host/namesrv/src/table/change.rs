//! Registrations: what is checked before anything changes, and the change itself.

use std::{collections::BTreeMap, sync::Arc};

use gantry_model::{
    name::{self, check_label},
    route::{MASTER_ID, QueueData},
    topic::{Perm, QUEUES_MAX, TopicConfig},
    version::DataVersion,
};

use super::{Group, Member, Queues, Table};
use crate::NameServerOptions;

/// Longest `host:port` that is taken, in bytes: a DNS name and a port.
const ADDRESS_LEN_MAX: usize = 261;
/// Longest silence that a broker may ask for, in ms. RocketMQ has no bound, and a dead entry would stay for good.
const EXPIRY_MS_MAX: u64 = 3_600_000;

/// What a broker tells of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Registration<'a> {
    /// Cluster.
    pub(crate) cluster: &'a str,
    /// Broker group.
    pub(crate) group: &'a str,
    /// 0 = master.
    pub(crate) id: u64,
    /// `host:port` for clients.
    pub(crate) address: &'a str,
    /// `host:port` for replicas, may be empty.
    pub(crate) ha_address: &'a str,
    /// Zone that it stands in.
    pub(crate) zone: Option<&'a str>,
    /// How long the entry lives without another word; `None` or 0 for the name server's own time.
    pub(crate) expiry_ms: Option<u64>,
    /// Connection that this came over.
    pub(crate) connection: u64,
    /// Version of its topics.
    pub(crate) version: &'a DataVersion,
    /// Its topics by name.
    pub(crate) topics: &'a BTreeMap<String, TopicConfig>,
}

/// Why a registration is not taken; a sentence for the broker's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// What a registration that was taken did, and what the broker is told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Registered {
    /// Whether the broker was not known before.
    pub(crate) new: bool,
    /// Address of another broker that had its id.
    pub(crate) replaced: Option<String>,
    /// For a replica whose master is known: the master's address and where to copy from.
    pub(crate) master: Option<(String, String)>,
}

/// Queues that differ from what is known; made by [`Table::check`], so they are legal and within the limits.
pub(crate) struct Changes<'a>(Vec<(&'a str, Queues)>);

impl Table {
    /// Checks a registration against the rules and the limits, and finds what it changes.
    ///
    /// Topics that it leaves out stay until the broker group is gone, as in RocketMQ. A replica's topics are its master's.
    pub(crate) fn check<'a>(
        &self,
        options: &NameServerOptions,
        registration: &Registration<'a>,
    ) -> Result<Changes<'a>, Refused> {
        check_label("cluster name", registration.cluster).map_err(refused)?;
        check_label("broker name", registration.group).map_err(refused)?;
        check_address("broker address", registration.address)?;
        if let Some(zone) = registration.zone {
            check_label("zone", zone).map_err(refused)?;
        }
        if !registration.ha_address.is_empty() {
            check_address("replication address", registration.ha_address)?;
        }
        match self.groups.get(registration.group) {
            None if self.groups.len() >= options.brokers_max => {
                return refuse(format!(
                    "{} broker groups are registered, the limit (brokers_max)",
                    options.brokers_max
                ));
            }
            None => {}
            Some(group) => group.check(options, registration)?,
        }
        let topics = if registration.id == MASTER_ID { Some(registration.topics) } else { None };
        let told = topics.into_iter().flatten().map(|(topic, config)| {
            // Old brokers leave the name out of the settings; one that says two names would be known by an unchecked one.
            if config.topic_name != *topic && !config.topic_name.is_empty() {
                return refuse(format!("topic {topic:?} is called {:?} in its own settings", config.topic_name));
            }
            Ok((topic.as_str(), Queues::of_config(config)))
        });
        self.changes(options, registration.group, told)
    }

    /// Checks a topic's queues on one group, as a tool tells them; nothing changes when that group is not known.
    pub(crate) fn check_topic<'a>(
        &self,
        options: &NameServerOptions,
        topic: &'a str,
        queues: &QueueData,
    ) -> Result<Changes<'a>, Refused> {
        let known = self.groups.contains_key(queues.broker_name.as_str());
        let entry = self.topics.get(topic).and_then(|groups| groups.get(queues.broker_name.as_str()));
        let order = entry.is_some_and(|entry| entry.order);
        let told = known.then(|| Ok((topic, Queues::of_data(queues, order))));
        self.changes(options, &queues.broker_name, told.into_iter())
    }

    fn changes<'a>(
        &self,
        options: &NameServerOptions,
        group: &str,
        told: impl Iterator<Item = Result<(&'a str, Queues), Refused>>,
    ) -> Result<Changes<'a>, Refused> {
        let (mut changes, mut new_topics, mut new_entries) = (Vec::new(), 0, 0);
        for item in told {
            let (topic, queues) = item?;
            let known = self.topics.get(topic);
            let entry = known.and_then(|known| known.get(group));
            if entry == Some(&queues) {
                continue;
            }
            name::check_topic(topic).map_err(|error| Refused(format!("topic {topic:?}: {error}")))?;
            queues.check(topic)?;
            new_topics += usize::from(known.is_none());
            new_entries += usize::from(entry.is_none());
            changes.push((topic, queues));
        }
        if self.topics.len() + new_topics > options.topics_max {
            let known = self.topics.len();
            return refuse(format!("{known} topics are known and {new_topics} more would pass the limit (topics_max)"));
        }
        if self.entries + new_entries > options.queue_entries_max {
            let limit = options.queue_entries_max;
            return refuse(format!("topics of all brokers together would pass {limit}, the limit (queue_entries_max)"));
        }
        Ok(Changes(changes))
    }

    /// Takes a registration that was checked, with its changes.
    pub(crate) fn register(
        &mut self,
        options: &NameServerOptions,
        registration: &Registration<'_>,
        changes: Changes<'_>,
    ) -> Registered {
        let default_ms = u64::try_from(options.broker_expiry.as_millis()).unwrap_or(EXPIRY_MS_MAX);
        let name: Arc<str> = match self.groups.get_key_value(registration.group) {
            Some((name, _)) => name.clone(),
            None => registration.group.into(),
        };
        let group = self.groups.entry(name).or_default();
        let same_place = *group.cluster == *registration.cluster && group.zone.as_deref() == registration.zone;
        if !same_place {
            (group.cluster, group.zone) = (registration.cluster.into(), registration.zone.map(Arc::from));
        }
        // One address has one id: a broker that changed its role leaves its old place.
        let id = registration.id;
        let moved =
            group.members.extract_if(.., |other, member| *other != id && member.address == registration.address);
        let moved = moved.count() > 0;
        let before = group.members.remove(&id);
        let same = before.as_ref().is_some_and(|member| member.address == registration.address);
        let (labels, load) = match &before {
            Some(member) if same => (member.labels.clone(), member.load),
            _ => Default::default(),
        };
        let replaced = before.filter(|_| !same).map(|member| member.address);
        let known = same || moved;
        // It was restarted: what an operator took for that time is given back.
        group.wiped &= known || id != MASTER_ID;
        // A broker that is new and tells one topic is telling what changed, not what it has: unless its version stays
        // unknown here, it would take QUERY_DATA_VERSION's answer for "nothing to tell". RocketMQ refuses it instead.
        let complete = known || registration.topics.len() != 1;
        group.members.insert(
            id,
            Member {
                address: registration.address.to_owned(),
                ha_address: registration.ha_address.to_owned(),
                last_seen_ms: options.clock.now_ms(),
                expiry_ms: registration.expiry_ms.filter(|ms| *ms > 0).unwrap_or(default_ms).min(EXPIRY_MS_MAX),
                version: complete.then(|| registration.version.clone()),
                connection: registration.connection,
                labels,
                load,
            },
        );
        let master = group.members.get(&MASTER_ID).filter(|_| id != MASTER_ID);
        let master = master.map(|master| (master.address.clone(), master.ha_address.clone()));
        self.stamp.changes += u64::from(!same || !same_place);
        self.put(registration.group, changes);
        Registered { new: !known, replaced, master }
    }

    /// Puts queues in; a group that is not known (any more) is passed over.
    pub(crate) fn put(&mut self, group: &str, changes: Changes<'_>) {
        let Some((name, _)) = self.groups.get_key_value(group) else { return };
        self.stamp.changes += changes.0.len() as u64;
        for (topic, queues) in changes.0 {
            // Names are shared: a topic's entry costs a pointer, not a copy of the group's name.
            let groups = match self.topics.get_mut(topic) {
                Some(groups) => groups,
                None => self.topics.entry(topic.to_owned()).or_default(),
            };
            self.entries += usize::from(groups.insert(name.clone(), queues).is_none());
        }
    }
}

impl Group {
    fn check(&self, options: &NameServerOptions, registration: &Registration<'_>) -> Result<(), Refused> {
        let (name, limit) = (registration.group, options.addresses_per_broker_max);
        let Some(member) = self.members.get(&registration.id) else {
            return match self.members.len() >= limit {
                true => refuse(format!("broker {name} has {limit} addresses, the limit (addresses_per_broker_max)")),
                false => Ok(()),
            };
        };
        let newer = member.version.as_ref().map_or(0, |version| version.state_version);
        let told = registration.version.state_version;
        if member.address != registration.address && newer > told {
            let (id, holder) = (registration.id, &member.address);
            return refuse(format!(
                "broker {name} with id {id} is {holder} since epoch {newer}; a registration of epoch {told} is out of date"
            ));
        }
        Ok(())
    }
}

impl Queues {
    fn of_config(config: &TopicConfig) -> Self {
        Queues {
            perm: config.perm,
            read: config.read_queue_nums,
            write: config.write_queue_nums,
            sys_flag: config.topic_sys_flag,
            order: config.order,
        }
    }

    /// `order` is what is known besides: tools do not say it.
    fn of_data(data: &QueueData, order: bool) -> Self {
        Queues {
            perm: data.perm,
            read: data.read_queue_nums,
            write: data.write_queue_nums,
            sys_flag: data.topic_sys_flag,
            order,
        }
    }

    fn check(self, topic: &str) -> Result<(), Refused> {
        if self.read.max(self.write) > QUEUES_MAX {
            return refuse(format!("topic {topic} has more than {QUEUES_MAX} queues"));
        }
        if !self.perm.valid() {
            let Perm(found) = self.perm;
            return refuse(format!("topic {topic} has the permission {found}, known are 0 to 7"));
        }
        Ok(())
    }
}

fn refuse<T>(sentence: String) -> Result<T, Refused> {
    Err(Refused(sentence))
}

fn refused(error: name::NameError) -> Refused {
    Refused(error.to_string())
}

/// Clients dial an address, split it at its last colon, and Go cuts it out of the raw JSON.
fn check_address(what: &str, address: &str) -> Result<(), Refused> {
    let (host, port) = address.rsplit_once(':').unwrap_or_default();
    let dialable = address.len() <= ADDRESS_LEN_MAX
        && !host.is_empty()
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'))
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|port| port > 0);
    match dialable {
        true => Ok(()),
        false => refuse(format!("the {what} {:?} is no host:port", shown(address))),
    }
}

/// The beginning of a text that a peer chose.
fn shown(text: &str) -> String {
    text.chars().take(ADDRESS_LEN_MAX).collect()
}
