//! What is known of topics elsewhere, with a name server that says what a test wants.

use gantry_model::topic::{Perm, TopicConfig};
use gantry_protocol::{
    frame::{Frame, FrameWriter},
    header::Head,
};
use gantry_remoting::{Limits, Peer, Replies, Server, Service};

use super::*;
use crate::scripted::{self, Scripted};

/// Answers every question with this route, or with TOPIC_NOT_EXIST.
#[derive(Clone, Default)]
struct Names(Arc<Mutex<(Option<String>, usize)>>);

impl Service for Names {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        for request in requests {
            let mut state = self.0.lock();
            state.1 += 1;
            let (code, body) = match &state.0 {
                Some(route) => (response::SUCCESS, route.as_str()),
                None => (response::TOPIC_NOT_EXIST, ""),
            };
            let head = Head::response(code, request.header.opaque, None);
            FrameWriter::new(replies.now(), request.header.codec, &head).finish(body.as_bytes());
        }
    }

    fn close(&self, (): ()) {}
}

impl Names {
    /// Serves; a broker that asks it.
    fn start(&self) -> (Arc<Broker>, CancellationToken) {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Limits::default()).unwrap();
        let address = server.local_addr().to_string();
        let cancel = CancellationToken::new();
        tokio::spawn(server.serve(Arc::new(self.clone()), cancel.clone()));
        (scripted::broker_with(&Scripted::new(), |options| options.name_servers = vec![address]), cancel)
    }

    fn say(&self, route: Option<&str>) {
        self.0.lock().0 = route.map(str::to_owned);
    }

    fn asked(&self) -> usize {
        self.0.lock().1
    }
}

fn route(queues: &[(&str, u32, u32)]) -> String {
    let brokers = queues.iter().map(|(name, ..)| {
        format!(r#"{{"brokerAddrs":{{"0":"127.0.0.1:1"}},"brokerName":"{name}","cluster":"c","zoneName":"z-{name}"}}"#)
    });
    let queues = queues.iter().map(|(name, perm, read)| {
        format!(r#"{{"brokerName":"{name}","perm":{perm},"readQueueNums":{read},"writeQueueNums":1}}"#)
    });
    let [brokers, queues] = [brokers.collect::<Vec<_>>(), queues.collect()].map(|parts| parts.join(","));
    format!(r#"{{"brokerDatas":[{brokers}],"queueDatas":[{queues}]}}"#)
}

fn names(queues: &Queues) -> Vec<(&str, u32, &str)> {
    queues.iter().map(|queue| (&*queue.broker, queue.queue_id, queue.zone.as_deref().unwrap_or("-"))).collect()
}

#[tokio::test]
async fn queues_of_all_brokers_are_sorted_and_asked_for_once() {
    let name_server = Names::default();
    name_server.say(Some(&route(&[("b", 6, 2), ("hidden", 2, 4), ("a", 4, 1)])));
    let (broker, _cancel) = name_server.start();
    let found = broker.queues_everywhere("t").await.unwrap();
    assert_eq!(
        names(&found),
        [("a", 0, "z-a"), ("b", 0, "z-b"), ("b", 1, "z-b")],
        "and a broker that cannot be read has none"
    );
    assert!(Arc::ptr_eq(&found, &broker.queues_everywhere("t").await.unwrap()));
    assert_eq!(name_server.asked(), 1);
    // Asked again because it is time: the same answer is the same value, another one is not.
    let client = broker.views.client.clone().unwrap();
    assert_eq!(broker.stale_views(true), ["t"]);
    assert!(Arc::ptr_eq(&found, &broker.views.ask(&client, "t").await.unwrap()));
    name_server.say(Some(&route(&[("b", 6, 1)])));
    assert_eq!(names(&broker.views.ask(&client, "t").await.unwrap()), [("b", 0, "z-b")]);
}

#[tokio::test]
async fn an_unknown_topic_is_asked_for_once_a_second() {
    let name_server = Names::default();
    let (broker, _cancel) = name_server.start();
    for _ in 0..5 {
        assert_eq!(broker.queues_everywhere("t").await, None);
    }
    assert_eq!(name_server.asked(), 1);
    name_server.say(Some(&route(&[("b", 6, 1)])));
    broker.views.views.lock().get_mut("t").unwrap().asked = Instant::now() - UNKNOWN_FOR;
    assert_eq!(broker.queues_everywhere("t").await.unwrap().len(), 1);
    // A topic that is gone is unknown; without a name server what was known stays.
    let client = broker.views.client.clone().unwrap();
    name_server.say(Some("nonsense"));
    assert_eq!(broker.views.ask(&client, "t").await.unwrap().len(), 1);
    name_server.say(None);
    assert_eq!(broker.views.ask(&client, "t").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_this_broker_is_asked_for_as_soon_as_it_is_told() {
    let name_server = Names::default();
    name_server.say(Some(&route(&[("broker-a", 6, 2), ("b", 6, 4)])));
    let (broker, cancel) = name_server.start();
    broker.topics.update(TopicConfig::new("t", 2, Perm::READ_WRITE)).unwrap();
    assert_eq!(broker.queues_everywhere("t").await.unwrap().len(), 6);
    assert!(broker.stale_views(false).is_empty());
    let following = tokio::spawn(follow(broker.clone(), cancel.clone()));
    broker.topics.update(TopicConfig::new("t", 3, Perm::READ_WRITE)).unwrap();
    assert_eq!(broker.stale_views(false), ["t"]);
    name_server.say(Some(&route(&[("broker-a", 6, 3), ("b", 6, 4)])));
    let deadline = Instant::now() + Duration::from_secs(20);
    while broker.queues_everywhere("t").await.unwrap().len() != 7 {
        assert!(Instant::now() < deadline);
        // As a registration does; the first may come before somebody waits for it.
        broker.told.again();
        tokio::task::yield_now().await;
    }
    cancel.cancel();
    following.await.unwrap();
}

#[test]
fn what_is_kept_is_bounded() {
    let views = RouteViews::new(&crate::options::BrokerOptions::new("c", "b", ([127, 0, 0, 1], 1).into(), "/d".into()));
    for topic in 0..=TOPICS_MAX {
        views.keep(&format!("t{topic}"), None);
        views.known("t0");
    }
    let kept = views.views.lock();
    assert_eq!(kept.len(), TOPICS_MAX);
    assert!(kept.contains_key("t0") && !kept.contains_key("t1"), "the one that was not needed longest goes");
    let huge = route(&[("a", 6, u32::MAX); 16]);
    assert_eq!(queues_of("t", &serde_json::from_str(&huge).unwrap()), None);
    let large = queues_of("t", &serde_json::from_str(&route(&[("a", 6, u32::MAX)])).unwrap()).unwrap();
    assert_eq!(large.len(), QUEUES_MAX as usize);
}
