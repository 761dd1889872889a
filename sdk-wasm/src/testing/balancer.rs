//! Balancers under test.

use crate::{
    balancer::{Assignment, Balancer, BrokerOffer, Decides, Load, Member, Placement, QueuePlace, QueueState, SendHint},
    bindings::filter::gantry::plugin::types::Pair,
    export,
};

/// An opened balancer under test.
#[derive(Debug)]
pub struct TestBalancer<B> {
    pub(super) balancer: B,
    pub(super) topic: String,
    pub(super) group: String,
}

impl<B: Balancer + Decides> TestBalancer<B> {
    /// Which decisions it takes: route, placement, assignment.
    pub fn decides(&self) -> (bool, bool, bool) {
        let decisions = export::decisions::<B>();
        (decisions.route, decisions.placement, decisions.assignment)
    }

    /// Names of the brokers that stay writable.
    ///
    /// # Panics
    /// When the plugin refuses, or answers for another number of brokers, which the host would not accept.
    pub fn writable<'b>(&self, brokers: &'b [BrokerOffer]) -> Vec<&'b str> {
        let answer = self.balancer.route(&self.topic, brokers).expect("the plugin answers");
        assert_eq!(answer.len(), brokers.len(), "one answer a broker");
        brokers.iter().zip(answer).filter(|(_, stays)| *stays).map(|(broker, _)| broker.name.as_str()).collect()
    }

    /// How it spreads messages over queues.
    pub fn place(&mut self, queues: &[QueueState]) -> Result<Placement, String> {
        self.balancer.place(&self.topic, queues)
    }

    /// The weights by which it spreads messages over queues.
    ///
    /// # Panics
    /// When the plugin refuses, wants to be asked for each message, or answers for another number of queues.
    pub fn weights(&mut self, queues: &[QueueState]) -> Vec<u32> {
        match self.place(queues).expect("the plugin answers") {
            Placement::Weights(weights) => {
                assert_eq!(weights.len(), queues.len(), "one weight a queue");
                weights
            }
            Placement::PerMessage => panic!("it wants to be asked for each message"),
        }
    }

    /// Its queue for a message of 100 bytes with this sharding key.
    pub fn select(&self, sharding_key: Option<&str>) -> Option<u32> {
        self.balancer.select(&self.topic, &SendHint { sharding_key: sharding_key.map(str::to_owned), size: 100 })
    }

    /// Queue numbers of each member, checked as the host does.
    ///
    /// # Panics
    /// When the plugin refuses, leaves a queue out, or gives one twice.
    pub fn assign(&self, queues: &[QueuePlace], members: &[Member]) -> Vec<Vec<u32>> {
        let question = Assignment {
            group: self.group.clone(),
            topic: self.topic.clone(),
            queues: queues.to_vec(),
            members: members.to_vec(),
        };
        let answer = self.balancer.assign(&question).expect("the plugin answers");
        assert_eq!(answer.len(), members.len(), "one answer a member");
        let mut given: Vec<u32> = answer.iter().flatten().copied().collect();
        given.sort_unstable();
        assert_eq!(given, (0..queues.len() as u32).collect::<Vec<_>>(), "each queue exactly once");
        answer
    }
}

impl BrokerOffer {
    /// A broker with 8 queues that is configured to be written to, in no zone, without labels and load.
    pub fn named(name: &str) -> Self {
        BrokerOffer {
            name: name.into(),
            zone: String::new(),
            labels: Vec::new(),
            writable: true,
            read_queues: 8,
            write_queues: 8,
            load: None,
        }
    }

    /// The same broker in a zone.
    #[must_use]
    pub fn in_zone(self, zone: &str) -> Self {
        BrokerOffer { zone: zone.into(), ..self }
    }

    /// The same broker with one label more.
    #[must_use]
    pub fn labelled(mut self, name: &str, value: &str) -> Self {
        self.labels.push(Pair { name: name.into(), value: value.into() });
        self
    }

    /// The same broker, so busy.
    #[must_use]
    pub fn loaded(self, load: Load) -> Self {
        BrokerOffer { load: Some(load), ..self }
    }
}

impl Load {
    /// A broker that does nothing.
    pub fn idle() -> Self {
        Load {
            in_flight: 0,
            send_micros: 0,
            backlog_bytes: 0,
            disk_used_percent: 0,
            messages_per_second: 0,
            recent_errors: 0,
        }
    }
}

impl QueueState {
    /// Queue `queue_id` with so many messages to consume, and nothing else going on.
    pub fn with_depth(queue_id: u32, depth: u64) -> Self {
        QueueState { queue_id, depth, in_flight: 0, messages_per_second: 0 }
    }
}

impl QueuePlace {
    /// Queues 0 to `count` of a broker.
    pub fn of(broker: &str, zone: &str, count: u32) -> Vec<Self> {
        (0..count).map(|queue_id| QueuePlace { broker: broker.into(), queue_id, zone: zone.into() }).collect()
    }
}

impl Member {
    /// A consumer.
    pub fn new(client_id: &str, zone: &str) -> Self {
        Member { client_id: client_id.into(), zone: zone.into() }
    }
}
