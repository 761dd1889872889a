//! Who holds a topic: asked of a name server, kept for a while, forgotten when it proves wrong.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use gantry_model::{
    name::AUTO_CREATE_TOPIC,
    route::{BrokerData, MASTER_ID, QueueData, TopicRoute},
    topic::QUEUES_MAX,
};
use gantry_protocol::{
    body,
    body::register::{ClusterInfo, TopicList},
    code::{request, response},
    frame::{FrameWriter, OwnedFrame},
};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;

use crate::{Client, ClientError, Queue};

/// Queues that a producer asks for when its topic is made on first use; Java's `defaultTopicQueueNums`.
pub(crate) const DEFAULT_TOPIC_QUEUES: u32 = 4;

/// Routes by topic.
#[derive(Default)]
pub(crate) struct Routes(Mutex<HashMap<String, Cached>>);

#[derive(Clone)]
struct Cached {
    route: Arc<TopicRoute>,
    /// When it was asked for; `None` after it proved wrong.
    asked: Option<Instant>,
}

/// Addresses of every broker that a route named.
#[derive(Default)]
pub(crate) struct Topology(Mutex<HashMap<String, BrokerData>>);

impl Client {
    /// The route of a topic, as the name servers know it now.
    pub async fn route(&self, topic: &str) -> Result<TopicRoute, ClientError> {
        let code = request::GET_ROUTEINFO_BY_TOPIC;
        let (address, answer) = self.ask_name_server(code, |ext| _ = ext.ext("topic", topic)).await?;
        let route: TopicRoute = parse(&address, code, &answer)?;
        let mut brokers = self.0.topology.0.lock();
        for broker in &route.broker_datas {
            brokers.insert(broker.broker_name.clone(), broker.clone());
        }
        drop(brokers);
        Ok(route)
    }

    /// The brokers of the cluster.
    pub async fn cluster_info(&self) -> Result<ClusterInfo, ClientError> {
        let code = request::GET_BROKER_CLUSTER_INFO;
        let (address, answer) = self.ask_name_server(code, |_| ()).await?;
        parse(&address, code, &answer)
    }

    /// All topics that the name servers know.
    pub async fn topics(&self) -> Result<TopicList, ClientError> {
        let code = request::GET_ALL_TOPIC_LIST_FROM_NAMESERVER;
        let (address, answer) = self.ask_name_server(code, |_| ()).await?;
        parse(&address, code, &answer)
    }

    /// The queues that a producer may send to. Like Java's, it takes the template TBW102 for a topic that nobody knows yet.
    pub async fn publish_queues(&self, topic: &str) -> Result<Vec<Queue>, ClientError> {
        let route = match self.cached_route(topic).await {
            Err(error) if error.refusal() == Some(response::TOPIC_NOT_EXIST) => {
                // Not cached: as soon as the first message makes the topic, its own route counts.
                let mut template = self.route(AUTO_CREATE_TOPIC).await.map_err(|_| error)?;
                for queues in &mut template.queue_datas {
                    queues.write_queue_nums = queues.write_queue_nums.min(DEFAULT_TOPIC_QUEUES);
                }
                Arc::new(template)
            }
            other => other?,
        };
        let has_master = |name: &str| {
            route.broker_datas.iter().any(|data| data.broker_name == name && data.broker_addrs.contains_key(&MASTER_ID))
        };
        let queues = queues(topic, &route, |data| {
            if data.perm.writable() && has_master(&data.broker_name) { data.write_queue_nums } else { 0 }
        });
        if queues.is_empty() { Err(no_queue(topic, "send to")) } else { Ok(queues) }
    }

    /// The queues that consumers see.
    pub async fn subscribe_queues(&self, topic: &str) -> Result<Vec<Queue>, ClientError> {
        let route = self.cached_route(topic).await?;
        let queues = queues(topic, &route, |data| if data.perm.readable() { data.read_queue_nums } else { 0 });
        if queues.is_empty() { Err(no_queue(topic, "pull from")) } else { Ok(queues) }
    }

    /// Address of a broker's master, or of its replica with the lowest id while there is no master.
    pub fn broker_address(&self, broker: &str) -> Result<String, ClientError> {
        let brokers = self.0.topology.0.lock();
        let addresses = brokers.get(broker).map(|data| &data.broker_addrs);
        addresses
            .and_then(|addresses| addresses.values().next().cloned())
            .ok_or_else(|| ClientError::NoBroker(broker.to_owned()))
    }

    /// What is cached of a topic proved wrong; it counts only as long as no name server answers.
    pub(crate) fn doubt_route(&self, topic: &str) {
        if let Some(cached) = self.0.routes.0.lock().get_mut(topic) {
            cached.asked = None;
        }
    }

    async fn cached_route(&self, topic: &str) -> Result<Arc<TopicRoute>, ClientError> {
        let cached = self.0.routes.0.lock().get(topic).cloned();
        let age_max = self.0.options.route_age_max;
        if let Some(fresh) = cached.as_ref().filter(|known| known.asked.is_some_and(|at| at.elapsed() < age_max)) {
            return Ok(fresh.route.clone());
        }
        match (self.route(topic).await, cached) {
            (Ok(route), _) => {
                let route = Arc::new(route);
                let cached = Cached { route: route.clone(), asked: Some(Instant::now()) };
                self.0.routes.0.lock().insert(topic.to_owned(), cached);
                Ok(route)
            }
            // Name servers may all be down while brokers serve: what was known is better than nothing.
            (Err(ClientError::NoNameServer { .. }), Some(known)) => Ok(known.route),
            (Err(error), _) => {
                self.0.routes.0.lock().remove(topic);
                Err(error)
            }
        }
    }

    /// Asks the name server that answered last, then the others. An error that a server answers with is the answer.
    async fn ask_name_server<F>(&self, code: i32, ext: F) -> Result<(String, OwnedFrame), ClientError>
    where
        F: Fn(&mut FrameWriter<'_, '_>),
    {
        let servers = &self.0.name_servers;
        let first = self.0.name_server_at.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for at in (0..servers.len()).map(|n| (first + n) % servers.len()) {
            let address = &servers[at];
            match self.ask(address, code, &ext, b"").await {
                Err(error @ (ClientError::Connect(_) | ClientError::Call { .. })) => tried.push(error.to_string()),
                other => {
                    self.0.name_server_at.store(at, Ordering::Relaxed);
                    return other.map(|answer| (address.clone(), answer));
                }
            }
        }
        let tried = if tried.is_empty() { "none is configured".to_owned() } else { tried.join("; ") };
        Err(ClientError::NoNameServer { tried })
    }
}

/// In the order that every client uses: by broker name, then by number.
fn queues(topic: &str, route: &TopicRoute, count: impl Fn(&QueueData) -> u32) -> Vec<Queue> {
    let mut found: Vec<Queue> = Vec::new();
    for data in &route.queue_datas {
        let ids = 0..count(data).min(QUEUES_MAX);
        found.extend(ids.map(|id| Queue { topic: topic.to_owned(), broker: data.broker_name.clone(), id }));
    }
    found.sort_unstable();
    found
}

fn no_queue(topic: &str, purpose: &'static str) -> ClientError {
    ClientError::NoQueue { topic: topic.to_owned(), purpose }
}

/// The answer's body as JSON of type `T`.
pub(crate) fn parse<T: DeserializeOwned>(address: &str, request: i32, answer: &OwnedFrame) -> Result<T, ClientError> {
    body::parse(&answer.body()).map_err(|error| ClientError::answer(address, request, error))
}
