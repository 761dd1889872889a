//! The route table and its rules. Source: RocketMQ `RouteInfoManager`.
//!
//! Invariants: a broker group has at least one member, no address twice and one cluster; a topic has at least one broker group
//! that serves it, and every such group is known; `entries` counts these pairs.

mod answers;
mod change;
mod question;

use std::{collections::BTreeMap, sync::Arc};

use gantry_model::{labels::Labels, load::BrokerLoad, topic::Perm, version::DataVersion};

pub(crate) use change::{Refused, Registration};

/// Everything that a name server knows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    stamp: Stamp,
    groups: BTreeMap<Arc<str>, Group>,
    /// Per topic, what each broker group serves of it.
    topics: BTreeMap<String, BTreeMap<Arc<str>, Queues>>,
    /// Pairs of topic and broker group.
    entries: usize,
}

/// Grows with the table: who kept an answer knows from it whether that still holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Changes of what routes are made of, zones and labels included.
    pub(crate) changes: u64,
    /// Changes of how busy brokers are.
    pub(crate) loads: u64,
}

/// Brokers that hold the same data.
#[derive(Debug, Default)]
struct Group {
    cluster: Arc<str>,
    /// Where it stands, as its last registration said.
    zone: Option<Arc<str>>,
    /// An operator took its permission to be written to, on all topics.
    wiped: bool,
    /// By broker id; 0 is the master.
    members: BTreeMap<u64, Member>,
}

/// One broker.
#[derive(Debug)]
struct Member {
    address: String,
    /// Where replicas copy from, may be empty.
    ha_address: String,
    last_seen_ms: u64,
    expiry_ms: u64,
    /// Version of the topics that it told; `None` when it did not tell all of them.
    version: Option<DataVersion>,
    /// Connection that it registered over; its end is the broker's end.
    connection: u64,
    /// What its operator calls it.
    labels: Labels,
    /// How busy it is and when it said so, in ms since 1970.
    load: Option<(BrokerLoad, u64)>,
}

/// A topic's queues on one broker group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queues {
    perm: Perm,
    read: u32,
    write: u32,
    sys_flag: i32,
    /// Whether clients place its messages in an order of their own.
    order: bool,
}

impl Table {
    /// Notes that a broker lives; the version of its topics if that is known.
    pub(crate) fn heartbeat(&mut self, group: &str, address: &str, now_ms: u64) -> Option<DataVersion> {
        let members = &mut self.groups.get_mut(group)?.members;
        let member = members.values_mut().find(|member| member.address == address)?;
        member.last_seen_ms = now_ms;
        member.version.clone()
    }

    /// Notes what a broker says of itself, over the connection that it registered over: nobody else may speak for it.
    pub(crate) fn note(
        &mut self,
        (group, address, connection): (&str, &str, u64),
        labels: Labels,
        load: Option<BrokerLoad>,
        now_ms: u64,
    ) {
        let Some(group) = self.groups.get_mut(group) else { return };
        let member = group.members.values_mut().find(|member| member.address == address);
        let Some(member) = member.filter(|member| member.connection == connection) else { return };
        if member.labels != labels {
            member.labels = labels;
            self.stamp.changes += 1;
        }
        self.stamp.loads += u64::from(member.load.map(|(load, _)| load) != load);
        member.load = load.map(|load| (load, now_ms));
    }

    /// When it changed last.
    pub(crate) fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Takes the permission to write from a broker group on all its topics, or gives it back; how many topics it has.
    ///
    /// RocketMQ overwrites the permissions of its table, so that taking back grants what was never allowed, and a change of any
    /// topic undoes the taking. Here it is a mark of the group, which lasts until it is given back or the master
    /// has been away.
    pub(crate) fn wipe(&mut self, group: &str, wiped: bool) -> usize {
        let Some(known) = self.groups.get_mut(group) else { return 0 };
        known.wiped = wiped;
        self.stamp.changes += 1;
        self.topics.values().filter(|queues| queues.contains_key(group)).count()
    }

    /// Takes a broker out at its own wish.
    pub(crate) fn unregister(&mut self, group: &str, address: &str) {
        self.remove_where(|name, member| name == group && member.address == address);
    }

    /// Takes out every broker that registered over a connection that ended; their addresses.
    pub(crate) fn disconnected(&mut self, connection: u64) -> Vec<String> {
        self.remove_where(|_, member| member.connection == connection)
    }

    /// Takes out every broker that was silent too long; their addresses.
    pub(crate) fn expire(&mut self, now_ms: u64) -> Vec<String> {
        self.remove_where(|_, member| now_ms.saturating_sub(member.last_seen_ms) > member.expiry_ms)
    }

    fn remove_where(&mut self, gone: impl Fn(&str, &Member) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        let mut group_gone = false;
        self.groups.retain(|name, group| {
            let leaving = group.members.extract_if(.., |_, member| gone(name, member));
            removed.extend(leaving.map(|(_, member)| member.address));
            group_gone |= group.members.is_empty();
            !group.members.is_empty()
        });
        self.stamp.changes += removed.len() as u64;
        if group_gone {
            let groups = &self.groups;
            self.entries = 0;
            self.topics.retain(|_, queues| {
                queues.retain(|group, _| groups.contains_key(group));
                self.entries += queues.len();
                !queues.is_empty()
            });
        }
        removed
    }

    /// Forgets a topic, everywhere or in one cluster, until a broker registers it again.
    pub(crate) fn delete_topic(&mut self, topic: &str, cluster: Option<&str>) {
        let Some(queues) = self.topics.get_mut(topic) else { return };
        self.stamp.changes += 1;
        let before = queues.len();
        let groups = &self.groups;
        queues.retain(|group, _| {
            let home = groups.get(group).map(|group| &*group.cluster);
            cluster.is_some_and(|cluster| home != Some(cluster))
        });
        self.entries -= before - queues.len();
        if queues.is_empty() {
            self.topics.remove(topic);
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
