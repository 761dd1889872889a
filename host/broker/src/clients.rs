//! Who is connected: producers and the members of consumer groups, by heartbeat.
//!
//! A member lives while its connection is open and its last heartbeat is younger than the expiry. Whoever changes a group's
//! members gets back whom to tell, and tells them outside the lock.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use gantry_model::subscription::Subscription;
use gantry_protocol::{
    body::heartbeat::{ConsumeType, ConsumerData, Heartbeat, MessageModel},
    header::Header,
};
use gantry_remoting::Peer;
use parking_lot::RwLock;

use crate::sql::Compiled;

/// What a client is written in, and which release of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Make {
    /// RocketMQ's name of the language.
    pub(crate) language: &'static str,
    /// Ordinal of the release.
    pub(crate) version: i32,
}

impl Make {
    /// As the header of its heartbeat tells.
    pub(crate) fn of(header: &Header<'_>) -> Self {
        Make { language: header.language.name(), version: header.version }
    }
}

/// One client that takes part in a group.
struct Member {
    peer: Peer,
    make: Make,
    seen_ms: u64,
}

/// Memberships by what distinguishes them in metrics.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    pub(crate) producers: BTreeMap<Make, u64>,
    /// By group and how it consumes: "pull", "push" or "pop".
    pub(crate) consumers: BTreeMap<(String, &'static str, Make), u64>,
}

struct Group {
    members: BTreeMap<String, Member>,
    subscriptions: HashMap<String, Told>,
    message_model: MessageModel,
    consume_type: ConsumeType,
}

/// A subscription as the group's latest heartbeat has it.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) subscription: Arc<Subscription>,
    /// Its SQL92 expression, from the first pull on that needs it until the expression changes.
    pub(crate) sql: Arc<Compiled>,
}

#[derive(Default)]
struct Registry {
    consumers: HashMap<String, Group>,
    producers: HashMap<String, BTreeMap<String, Member>>,
    members: usize,
}

/// The registry. Bounded: at most `members_max` memberships over all groups.
pub(crate) struct Clients {
    registry: RwLock<Registry>,
    members_max: usize,
}

/// A group whose members changed, with the members to be told.
pub(crate) struct Changed {
    pub(crate) group: String,
    pub(crate) tell: Vec<Peer>,
}

/// What a group's heartbeat says of one topic.
pub(crate) enum Subscribed {
    /// No member of the group is connected.
    NoGroup,
    /// The group is there, but does not subscribe to the topic.
    NoTopic,
    /// The subscription.
    To(Told, MessageModel),
}

/// The registry is full.
#[derive(Debug)]
pub(crate) struct Full(pub(crate) usize);

impl Clients {
    pub(crate) fn new(members_max: usize) -> Self {
        Clients { registry: RwLock::default(), members_max }
    }

    /// Takes in the producers of a heartbeat.
    pub(crate) fn register_producers(
        &self,
        peer: &Peer,
        make: Make,
        heartbeat: &Heartbeat,
        now_ms: u64,
    ) -> Result<(), Full> {
        let mut registry = self.registry.write();
        for producer in &heartbeat.producer_data_set {
            let Registry { producers, members, .. } = &mut *registry;
            let group = producers.entry(producer.group_name.clone()).or_default();
            let member = Member { peer: peer.clone(), make, seen_ms: now_ms };
            join(group, members, self.members_max, &heartbeat.client_id, member)?;
        }
        Ok(())
    }

    /// Takes in one consumer group of a heartbeat. `Some` when the members or the subscriptions changed.
    pub(crate) fn register_consumer(
        &self,
        peer: &Peer,
        make: Make,
        client_id: &str,
        consumer: &ConsumerData,
        now_ms: u64,
    ) -> Result<Option<Changed>, Full> {
        let mut registry = self.registry.write();
        let Registry { consumers, members, .. } = &mut *registry;
        let group = consumers.entry(consumer.group_name.clone()).or_insert_with(|| Group {
            members: BTreeMap::new(),
            subscriptions: HashMap::new(),
            message_model: consumer.message_model,
            consume_type: consumer.consume_type,
        });
        let member = Member { peer: peer.clone(), make, seen_ms: now_ms };
        let joined = join(&mut group.members, members, self.members_max, client_id, member)?;
        group.message_model = consumer.message_model;
        group.consume_type = consumer.consume_type;
        let resubscribed = subscribe(&mut group.subscriptions, &consumer.subscription_data_set);
        Ok((joined || resubscribed).then(|| changed(&consumer.group_name, group)))
    }

    /// Takes a client out of the named groups.
    pub(crate) fn unregister(
        &self,
        client_id: &str,
        producer_group: Option<&str>,
        consumer_group: Option<&str>,
    ) -> Option<Changed> {
        let mut registry = self.registry.write();
        if let Some(name) = producer_group {
            registry.leave_producers(name, |id, _| id == client_id);
        }
        consumer_group.and_then(|name| registry.leave_consumers(name, |id, _| id == client_id))
    }

    /// Takes out every membership that came over a connection that closed.
    pub(crate) fn disconnected(&self, peer_id: u64) -> Vec<Changed> {
        self.registry.write().leave_all(|_, member| member.peer.id() == peer_id)
    }

    /// Takes out every member whose last heartbeat is older than `oldest_ms`.
    pub(crate) fn expire(&self, oldest_ms: u64) -> Vec<Changed> {
        self.registry.write().leave_all(|_, member| member.seen_ms < oldest_ms)
    }

    /// Members of all groups.
    pub(crate) fn count(&self) -> usize {
        self.registry.read().members
    }

    /// Every consumer group with each topic that it subscribes to.
    pub(crate) fn subscriptions(&self) -> Vec<(String, String)> {
        let registry = self.registry.read();
        let groups = registry.consumers.iter();
        groups.flat_map(|(name, group)| group.subscriptions.keys().map(|topic| (name.clone(), topic.clone()))).collect()
    }

    /// How many memberships there are of each kind.
    pub(crate) fn connections(&self) -> Connections {
        let registry = self.registry.read();
        let mut connections = Connections::default();
        for member in registry.producers.values().flat_map(BTreeMap::values) {
            *connections.producers.entry(member.make).or_default() += 1;
        }
        for (name, group) in &registry.consumers {
            let mode = match group.consume_type {
                ConsumeType::Actively => "pull",
                ConsumeType::Passively => "push",
                ConsumeType::Pop => "pop",
            };
            for member in group.members.values() {
                *connections.consumers.entry((name.clone(), mode, member.make)).or_default() += 1;
            }
        }
        connections
    }

    /// Client ids of a group's members, sorted.
    pub(crate) fn members(&self, group: &str) -> Vec<String> {
        let registry = self.registry.read();
        registry.consumers.get(group).map(|group| group.members.keys().cloned().collect()).unwrap_or_default()
    }

    /// A group's members with the addresses that they are connected from, by client id.
    pub(crate) fn members_at(&self, group: &str) -> Vec<(String, IpAddr)> {
        let registry = self.registry.read();
        let members = registry.consumers.get(group).into_iter().flat_map(|group| &group.members);
        members.map(|(id, member)| (id.clone(), member.peer.address().ip())).collect()
    }

    /// The groups that have members, each with the topics that it subscribes to.
    pub(crate) fn subscribed(&self) -> Vec<(String, Vec<String>)> {
        let registry = self.registry.read();
        let topics = |group: &Group| group.subscriptions.keys().cloned().collect();
        registry.consumers.iter().map(|(name, group)| (name.clone(), topics(group))).collect()
    }

    /// Whom to tell that a group is to share its queues out anew.
    pub(crate) fn everybody(&self, group: &str) -> Option<Changed> {
        self.registry.read().consumers.get(group).map(|found| changed(group, found))
    }

    /// What the group's latest heartbeat says of `topic`.
    pub(crate) fn subscription(&self, group: &str, topic: &str) -> Subscribed {
        let registry = self.registry.read();
        let Some(group) = registry.consumers.get(group) else { return Subscribed::NoGroup };
        match group.subscriptions.get(topic) {
            Some(told) => Subscribed::To(told.clone(), group.message_model),
            None => Subscribed::NoTopic,
        }
    }
}

impl Registry {
    fn leave_producers(&mut self, name: &str, leaves: impl Fn(&str, &Member) -> bool) {
        if let Some(group) = self.producers.get_mut(name) {
            let before = group.len();
            group.retain(|id, member| !leaves(id, member));
            self.members -= before - group.len();
            if group.is_empty() {
                self.producers.remove(name);
            }
        }
    }

    fn leave_consumers(&mut self, name: &str, leaves: impl Fn(&str, &Member) -> bool) -> Option<Changed> {
        let group = self.consumers.get_mut(name)?;
        let before = group.members.len();
        group.members.retain(|id, member| !leaves(id, member));
        let left = before - group.members.len();
        self.members -= left;
        if group.members.is_empty() {
            self.consumers.remove(name);
            return None;
        }
        (left > 0).then(|| changed(name, group))
    }

    fn leave_all(&mut self, leaves: impl Fn(&str, &Member) -> bool) -> Vec<Changed> {
        let producers: Vec<String> = self.producers.keys().cloned().collect();
        for name in producers {
            self.leave_producers(&name, &leaves);
        }
        let consumers: Vec<String> = self.consumers.keys().cloned().collect();
        consumers.iter().filter_map(|name| self.leave_consumers(name, &leaves)).collect()
    }
}

/// Adds or refreshes a member; `true` when it is new (or came back over another connection).
fn join(
    group: &mut BTreeMap<String, Member>,
    members: &mut usize,
    members_max: usize,
    client_id: &str,
    member: Member,
) -> Result<bool, Full> {
    if let Some(known) = group.get_mut(client_id) {
        let moved = known.peer.id() != member.peer.id();
        *known = member;
        return Ok(moved);
    }
    if *members >= members_max {
        return Err(Full(*members));
    }
    *members += 1;
    group.insert(client_id.to_owned(), member);
    Ok(true)
}

/// Takes the newer of each subscription and drops topics that the heartbeat no longer names; `true` when that changed anything.
fn subscribe(known: &mut HashMap<String, Told>, told: &[Subscription]) -> bool {
    let mut changed = false;
    for subscription in told {
        let old = known.get(&subscription.topic);
        if old.is_some_and(|old| old.subscription.sub_version >= subscription.sub_version) {
            continue;
        }
        // A newer version with the same expression is the client's own bookkeeping, no news for the others.
        let same = old.filter(|old| {
            let old = &*old.subscription;
            old.sub_string == subscription.sub_string && old.expression_type == subscription.expression_type
        });
        changed |= same.is_none();
        let sql = same.map(|old| old.sql.clone()).unwrap_or_default();
        known.insert(subscription.topic.clone(), Told { subscription: Arc::new(subscription.clone()), sql });
    }
    let topics: HashSet<&str> = told.iter().map(|subscription| subscription.topic.as_str()).collect();
    let before = known.len();
    known.retain(|topic, _| topics.contains(topic.as_str()));
    changed || known.len() != before
}

fn changed(name: &str, group: &Group) -> Changed {
    let tell = match group.message_model {
        // Every broadcast consumer reads all queues: membership is no news to it.
        MessageModel::Broadcasting => Vec::new(),
        MessageModel::Clustering => group.members.values().map(|member| member.peer.clone()).collect(),
    };
    Changed { group: name.to_owned(), tell }
}
