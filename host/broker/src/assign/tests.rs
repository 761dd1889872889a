//! What members are answered, by the registry and the topics of one broker.

use std::sync::atomic::{AtomicUsize, Ordering};

use gantry_balance::{Fault, Zones};
use gantry_base::access::Networks;
use gantry_model::topic::{Perm, TopicConfig};
use gantry_protocol::body::{assignment::RequestModeConfig, heartbeat::ConsumerData};
use gantry_remoting::Peer;

use super::*;
use crate::{
    clients::Make,
    options::BrokerOptions,
    scripted::{self, Scripted},
};

struct Rig {
    decider: Scripted,
    broker: Arc<Broker>,
}

impl Rig {
    /// A broker with topic `t` of eight queues and members of group `g`; nobody decides.
    fn new(members: &[&str]) -> Rig {
        Rig::with(members, |_| ())
    }

    fn with(members: &[&str], change: impl FnOnce(&mut BrokerOptions)) -> Rig {
        let decider = Scripted::new();
        decider.bind(false);
        let broker = scripted::broker_with(&decider, change);
        broker.topics.update(TopicConfig::new("t", 8, Perm::READ_WRITE)).unwrap();
        broker.topics.update(TopicConfig::new("%RETRY%g", 1, Perm::READ_WRITE)).unwrap();
        broker.groups.get_or_create("g").unwrap();
        let rig = Rig { decider, broker };
        members.iter().for_each(|member| rig.join(member));
        rig
    }

    fn join(&self, client_id: &str) {
        let peer = Peer::detached(([127, 0, 0, 1], 1).into());
        let consumer = ConsumerData { group_name: "g".to_owned(), ..ConsumerData::default() };
        let make = Make { language: "JAVA", version: 0 };
        self.broker.clients.register_consumer(&peer, make, client_id, &consumer, 1).unwrap();
    }

    async fn ask(&self, query: QueryAssignment) -> Option<Vec<(i32, RequestMode)>> {
        let found = self.broker.assignments(&query, Instant::now()).await.unwrap().message_queue_assignments?;
        let expected = (query.topic, self.broker.options.name.clone());
        let queues = found.into_iter().map(|Assignment { message_queue: queue, mode }| {
            assert_eq!((queue.topic, queue.broker_name), expected);
            (queue.queue_id, mode)
        });
        Some(queues.collect())
    }

    /// The queues of a member that pulls.
    async fn of(&self, member: &str, strategy: &str) -> Option<Vec<i32>> {
        let found = self.ask(query(member, strategy)).await?;
        assert!(found.iter().all(|(_, mode)| *mode == RequestMode::Pull));
        Some(found.into_iter().map(|(queue, _)| queue).collect())
    }

    fn pop(&self, more: i32) {
        let config = RequestModeConfig {
            topic: "t".to_owned(),
            consumer_group: "g".to_owned(),
            mode: RequestMode::Pop,
            pop_share_queue_num: more,
        };
        // The table changes on a thread that may block.
        tokio::task::block_in_place(|| self.broker.set_request_mode(config)).unwrap();
    }
}

fn query(member: &str, strategy: &str) -> QueryAssignment {
    let [client_id, strategy_name] = [member, strategy].map(str::to_owned);
    let (consumer_group, topic) = ("g".to_owned(), "t".to_owned());
    QueryAssignment { client_id, consumer_group, topic, strategy_name, message_model: MessageModel::Clustering }
}

#[tokio::test]
async fn members_get_what_their_strategy_gives_by_the_order_of_ids() {
    let rig = Rig::new(&["c3", "c1", "c2"]);
    for (member, average, circle) in
        [("c1", vec![0, 1, 2], vec![0, 3, 6]), ("c2", vec![3, 4, 5], vec![1, 4, 7]), ("c3", vec![6, 7], vec![2, 5])]
    {
        assert_eq!(rig.of(member, "AVG").await, Some(average), "{member}");
        assert_eq!(rig.of(member, "AVG_BY_CIRCLE").await, Some(circle), "{member}");
    }
    assert_eq!(rig.of("stranger", "AVG").await, Some(vec![]), "who is no member has nothing");
    assert_eq!(rig.of("c1", "CONSISTENT_HASH").await, None);
    for (topic, group) in [("unknown", "g"), ("t", "unknown"), ("../t", "g"), ("t", "g g")] {
        let (topic, consumer_group) = (topic.to_owned(), group.to_owned());
        assert_eq!(rig.ask(QueryAssignment { topic, consumer_group, ..query("c1", "AVG") }).await, None);
    }
    let everything = rig.ask(QueryAssignment { message_model: MessageModel::Broadcasting, ..query("c1", "?") }).await;
    assert_eq!(everything.unwrap().len(), 8);
    rig.broker.clients.unregister("c1", None, Some("g"));
    assert_eq!(rig.of("c2", "AVG").await, Some(vec![0, 1, 2, 3]));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_pop_members_share_queues() {
    let rig = Rig::new(&["c1", "c2", "c3", "c4"]);
    let pop = |queues: &[i32]| Some(queues.iter().map(|queue| (*queue, RequestMode::Pop)).collect::<Vec<_>>());
    rig.pop(-1);
    assert_eq!(rig.ask(query("c1", "AVG")).await, pop(&[-1]));
    rig.pop(1);
    assert_eq!(rig.ask(query("c4", "AVG")).await, pop(&[6, 7, 0, 1]));
    assert_eq!(rig.ask(query("c1", "AVG_BY_CIRCLE")).await, pop(&[0, 4, 1, 5]));
    let retries = QueryAssignment { topic: "%RETRY%g".to_owned(), ..query("c1", "AVG") };
    assert_eq!(rig.ask(retries).await, Some(vec![(0, RequestMode::Pull)]));
    let refused = |topic: &str, group: &str| {
        let config = RequestModeConfig {
            topic: topic.to_owned(),
            consumer_group: group.to_owned(),
            ..RequestModeConfig::default()
        };
        rig.broker.set_request_mode(config).unwrap_err().code
    };
    assert_eq!([refused("%RETRY%g", "g"), refused("x", "g"), refused("t", "x")], [16, 17, 26]);
}

#[tokio::test]
async fn a_decider_is_asked_once_for_all_members() {
    let rig = Rig::new(&["c1", "c2"]);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    rig.decider.assign(move |question| {
        count.fetch_add(1, Ordering::SeqCst);
        assert_eq!((&*question.group, &*question.topic, question.queues.len()), ("g", "t", 8));
        let mut shares = vec![Vec::new(); question.members.len()];
        shares[0] = (0..8).collect();
        Ok(shares)
    });
    rig.decider.bind(true);
    for strategy in ["AVG", "CONSISTENT_HASH"] {
        assert_eq!(rig.of("c1", strategy).await, Some((0..8).collect()));
        assert_eq!(rig.of("c2", strategy).await, Some(vec![]));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    rig.join("c0");
    assert_eq!(rig.of("c1", "AVG").await, Some(vec![]), "another member is another question");
    rig.decider.swap();
    assert_eq!(rig.of("c0", "AVG").await, Some((0..8).collect()));
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let retries = QueryAssignment { topic: "%RETRY%g".to_owned(), ..query("c1", "AVG") };
    assert_eq!(rig.ask(retries).await, Some(vec![]), "retries are shared out natively: one queue, the first member's");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_leaves_the_built_in_strategy() {
    let rig = Rig::new(&["c1", "c2"]);
    let faults = || rig.broker.assign.faults.get();
    let answers: [(Vec<Vec<u32>>, &str); 4] = [
        (vec![(0..8).collect()], "a member is left out"),
        (vec![(0..7).collect(), vec![]], "a queue is left out"),
        (vec![(0..8).collect(), vec![7]], "a queue is given twice"),
        (vec![(0..9).collect(), vec![]], "a queue that is none"),
    ];
    for (at, (answer, what)) in answers.into_iter().enumerate() {
        rig.decider.assign(move |_| Ok(answer.clone()));
        rig.decider.bind(true);
        assert_eq!(rig.of("c1", "AVG_BY_CIRCLE").await, Some(vec![0, 2, 4, 6]), "{what}");
        assert_eq!(rig.of("c2", "CONSISTENT_HASH").await, Some(vec![4, 5, 6, 7]), "{what}");
        assert_eq!(faults(), at as u64 + 1, "{what}");
    }
    rig.decider.assign(|_| Err(Fault("out of time".to_owned())));
    rig.of("c1", "AVG").await;
    assert_eq!(faults(), 4, "asked anew a second after a fault");
    tokio::time::advance(FAULT_LASTS).await;
    assert_eq!(rig.of("c1", "AVG").await, Some(vec![0, 1, 2, 3]));
    assert_eq!(faults(), 5);
}

#[tokio::test]
async fn zones_are_those_of_client_ids_and_of_the_broker() {
    let rig = Rig::with(&["10.1.0.1@7", "10.2.0.1@7", "host@7"], |options| {
        options.zone = Some("az1".to_owned());
        options.zones = Zones::new([("az2".into(), Networks::parse(&["10.2.0.0/16"]).unwrap())]);
    });
    let seen = Arc::new(Mutex::new(None));
    let told = seen.clone();
    rig.decider.assign(move |question| {
        *told.lock() = Some(question);
        Err(Fault("only listening".to_owned()))
    });
    rig.decider.bind(true);
    rig.of("host@7", "AVG").await;
    let question = seen.lock().take().unwrap();
    let zones: Vec<Option<&str>> = question.members.iter().map(|member| member.zone.as_deref()).collect();
    assert_eq!(zones, [None, Some("az2"), None]);
    assert!(question.queues.iter().all(|queue| queue.zone.as_deref() == Some("az1") && &*queue.broker == "broker-a"));
}
