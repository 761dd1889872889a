//! The queues of a topic on all brokers, as name servers tell them: what is shared out among a group's members.
//!
//! Source: RocketMQ `TopicRouteInfoManager`. A topic is asked for when somebody needs it first, then every 30 s, and at once
//! when a name server has heard of a change from this broker. When no name server answers, what was known stays.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gantry_balance::AssignQueue;
use gantry_client::{Client, Options};
use gantry_model::{route::TopicRoute, topic::QUEUES_MAX};
use gantry_protocol::code::response;
use parking_lot::Mutex;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{broker::Broker, options::BrokerOptions};

/// How often every topic that is kept is asked for again; RocketMQ's `loadBalancePollNameServerInterval`.
const REFRESH_EVERY: Duration = Duration::from_secs(30);
/// A topic that nobody needed for this long is not kept.
const UNUSED_MAX: Duration = Duration::from_secs(600);
/// Most topics that are kept; beyond it the one that was not needed longest goes.
const TOPICS_MAX: usize = 10_000;
/// A topic that no name server knew is not asked for again before this.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// Questions to name servers at once; more of them wait.
const QUESTIONS_MAX: usize = 8;
/// Longest that a member's request waits for a name server. Java's clients give up after 3 s.
const WAIT_MAX: Duration = Duration::from_millis(2_500);
/// Most queues of one topic on all brokers; one that has more is not shared out here.
const QUEUES_EVERYWHERE_MAX: u64 = 1_000_000;

/// Queues by broker and number.
pub(crate) type Queues = Arc<[AssignQueue]>;

/// What is known of each topic.
pub(crate) struct RouteViews {
    /// `None` without name servers: then this broker is all there is.
    client: Option<Client>,
    views: Mutex<HashMap<String, View>>,
    questions: Semaphore,
}

struct View {
    /// `None`: no name server knew it.
    queues: Option<Queues>,
    asked: Instant,
    used: Instant,
}

impl RouteViews {
    pub(crate) fn new(options: &BrokerOptions) -> Self {
        let servers = &options.name_servers;
        let client = (!servers.is_empty()).then(|| Client::new(servers.clone(), Options::default()));
        RouteViews { client, views: Mutex::default(), questions: Semaphore::new(QUESTIONS_MAX) }
    }

    /// `Some` when it need not be asked for.
    fn known(&self, topic: &str) -> Option<Option<Queues>> {
        let mut views = self.views.lock();
        let view = views.get_mut(topic)?;
        view.used = Instant::now();
        (view.queues.is_some() || view.asked.elapsed() < UNKNOWN_FOR).then(|| view.queues.clone())
    }

    fn keep(&self, topic: &str, queues: Option<Queues>) -> Option<Queues> {
        let mut views = self.views.lock();
        let now = Instant::now();
        if let Some(view) = views.get_mut(topic) {
            view.asked = now;
            // The same queues stay the same value: what follows from them is kept by it.
            if view.queues != queues {
                view.queues = queues;
            }
            return view.queues.clone();
        }
        if views.len() >= TOPICS_MAX {
            let oldest = views.iter().min_by_key(|(_, view)| view.used).map(|(topic, _)| topic.clone());
            oldest.and_then(|topic| views.remove(&topic));
        }
        views.insert(topic.to_owned(), View { queues: queues.clone(), asked: now, used: now });
        queues
    }

    /// Asks the name servers. When none answers, what was known stays.
    async fn ask(&self, client: &Client, topic: &str) -> Option<Queues> {
        match client.route(topic).await.map(|route| queues_of(topic, &route)) {
            Ok(queues) => self.keep(topic, queues),
            Err(error) if error.refusal() == Some(response::TOPIC_NOT_EXIST) => self.keep(topic, None),
            Err(error) => {
                tracing::debug!(%topic, %error, "its route could not be asked for; what was known of it stays");
                self.views.lock().get(topic).and_then(|view| view.queues.clone())
            }
        }
    }
}

/// Queues that consumers see; `None` for more than can be.
fn queues_of(topic: &str, route: &TopicRoute) -> Option<Queues> {
    let readable = || route.queue_datas.iter().filter(|data| data.perm.readable());
    let count: u64 = readable().map(|data| u64::from(data.read_queue_nums.min(QUEUES_MAX))).sum();
    if count > QUEUES_EVERYWHERE_MAX {
        tracing::warn!(%topic, "its route names {count} queues, over {QUEUES_EVERYWHERE_MAX}; they are not shared out");
        return None;
    }
    let mut queues = Vec::with_capacity(count as usize);
    for data in readable() {
        let broker: Arc<str> = data.broker_name.as_str().into();
        let home = route.broker_datas.iter().find(|home| home.broker_name == data.broker_name);
        let zone: Option<Arc<str>> = home.and_then(|home| home.zone_name.as_deref()).map(Arc::from);
        let ids = 0..data.read_queue_nums.min(QUEUES_MAX);
        queues.extend(ids.map(|queue_id| AssignQueue { broker: broker.clone(), queue_id, zone: zone.clone() }));
    }
    queues.sort_unstable();
    Some(queues.into())
}

impl Broker {
    /// The queues of a topic on all brokers; `None` when it is unknown or cannot be asked for.
    pub(crate) async fn queues_everywhere(&self, topic: &str) -> Option<Queues> {
        let Some(client) = &self.views.client else { return self.queues_here(topic) };
        if let Some(known) = self.views.known(topic) {
            return known;
        }
        let asked = async {
            // The semaphore is never closed.
            let _place = self.views.questions.acquire().await.ok()?;
            // Somebody else may have asked meanwhile.
            match self.views.known(topic) {
                Some(known) => known,
                None => self.views.ask(client, topic).await,
            }
        };
        timeout(WAIT_MAX, asked).await.ok().flatten()
    }

    fn queues_here(&self, topic: &str) -> Option<Queues> {
        let count = self.readable_here(topic)?;
        let (broker, zone) = (Arc::<str>::from(&*self.options.name), self.options.zone.as_deref().map(Arc::from));
        Some((0..count).map(|queue_id| AssignQueue { broker: broker.clone(), queue_id, zone: zone.clone() }).collect())
    }

    fn readable_here(&self, topic: &str) -> Option<u32> {
        let topic = self.topics.get(topic)?;
        Some(if topic.config.perm.readable() { topic.config.read_queue_nums } else { 0 })
    }
}

/// Keeps what is known up to date until cancelled.
pub(crate) async fn follow(broker: Arc<Broker>, cancel: CancellationToken) {
    let Some(client) = broker.views.client.clone() else { return };
    let (mut due, mut seen) = (Instant::now() + REFRESH_EVERY, broker.told.mark().get());
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep_until(due) => {}
            Ok(()) = broker.told.mark().reached(seen + 1) => {}
        }
        seen = broker.told.mark().get();
        let all = Instant::now() >= due;
        if all {
            due = Instant::now() + REFRESH_EVERY;
        }
        for topic in broker.stale_views(all) {
            if cancel.run_until_cancelled(broker.views.ask(&client, &topic)).await.is_none() {
                return;
            }
        }
    }
}

impl Broker {
    /// Topics to be asked for again: all that are needed, or those that this broker serves otherwise than what is known.
    fn stale_views(&self, all: bool) -> Vec<String> {
        let mut views = self.views.views.lock();
        views.retain(|_, view| view.used.elapsed() < UNUSED_MAX);
        let differs = |topic: &str, view: &View| {
            let known = view.queues.iter().flat_map(|queues| queues.iter());
            let known = known.filter(|queue| *queue.broker == *self.options.name).count();
            self.readable_here(topic).unwrap_or(0) as usize != known
        };
        views.iter().filter(|(topic, view)| all || differs(topic, view)).map(|(topic, _)| topic.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
