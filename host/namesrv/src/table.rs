//! The route table and its rules. Source: RocketMQ `RouteInfoManager`.
//!
//! Invariants: a broker group has at least one member, no address twice and one cluster; a topic has at least one broker group
//! that serves it, and every such group is known; `entries` counts these pairs.

mod answers;
mod change;

use std::{collections::BTreeMap, sync::Arc};

use gantry_model::{topic::Perm, version::DataVersion};

pub(crate) use change::{Refused, Registration};

/// Everything that a name server knows.
#[derive(Debug, Default)]
pub(crate) struct Table {
    groups: BTreeMap<Arc<str>, Group>,
    /// Per topic, what each broker group serves of it.
    topics: BTreeMap<String, BTreeMap<Arc<str>, Queues>>,
    /// Pairs of topic and broker group.
    entries: usize,
}

/// Brokers that hold the same data.
#[derive(Debug)]
struct Group {
    cluster: String,
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
}

/// A topic's queues on one broker group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Queues {
    perm: Perm,
    read: u32,
    write: u32,
    sys_flag: i32,
}

impl Table {
    /// Notes that a broker lives; the version of its topics if that is known.
    pub(crate) fn heartbeat(&mut self, group: &str, address: &str, now_ms: u64) -> Option<DataVersion> {
        let members = &mut self.groups.get_mut(group)?.members;
        let member = members.values_mut().find(|member| member.address == address)?;
        member.last_seen_ms = now_ms;
        member.version.clone()
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
        let before = queues.len();
        let groups = &self.groups;
        queues.retain(|group, _| {
            let home = groups.get(group).map(|group| group.cluster.as_str());
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
