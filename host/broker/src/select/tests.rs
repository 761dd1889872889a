//! Where messages go, by boards that are made when a test says so.

use std::collections::BTreeMap;

use gantry_balance::{BoardQueue, Fault, QueueBoard, Weighing};
use gantry_model::{
    offset::QueueOffset,
    topic::{Perm, TopicConfig},
};

use super::{board::Seen, *};
use crate::{
    broker::Broker,
    message::Outgoing,
    scripted::{self, Scripted, settle},
};

struct Rig {
    decider: Scripted,
    broker: Arc<Broker>,
    seen: Seen,
}

impl Rig {
    fn new(topics: &[(&str, u32)]) -> Rig {
        let decider = Scripted::new();
        let broker = scripted::broker(&decider);
        for (topic, queues) in topics {
            broker.topics.update(TopicConfig::new(*topic, *queues, Perm::READ_WRITE)).unwrap();
        }
        Rig { decider, broker, seen: Seen::default() }
    }

    /// What the next second brings.
    fn board(&mut self) {
        board::refresh(&self.broker, &mut self.seen);
    }

    fn place(&self, topic: &str, named: Option<u32>, key: Option<&str>) -> Place {
        self.broker.topics.get(topic).unwrap().place(&self.broker.select, named, || key.map(str::as_bytes), 10)
    }

    /// Stores a message where it belongs; its queue.
    fn send(&self, topic: &str, named: Option<u32>, key: Option<&str>) -> u32 {
        let Place { queue_id, ticket } = self.place(topic, named, key);
        let queue = self.broker.topics.get(topic).unwrap().queues[queue_id as usize].clone();
        let placed =
            Outgoing::internal(&self.broker.options, b"x".to_vec()).append(&self.broker.store, &queue).unwrap();
        if let Some(ticket) = ticket {
            ticket.stored(placed.queue_offset.0);
        }
        settle(&self.broker);
        queue_id
    }

    fn counts(&self, topic: &str, messages: u32) -> Vec<u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..messages {
            *counts.entry(self.place(topic, None, None).queue_id).or_insert(0) += 1;
        }
        (0..4).map(|queue| counts.get(&queue).copied().unwrap_or(0)).collect()
    }

    fn consume(&self, topic: &str, group: &str, queue: u32, offset: u64) {
        self.broker.offsets.commit(topic, group, queue, QueueOffset(offset));
    }

    fn faults(&self) -> u64 {
        self.broker.select.faults.get()
    }
}

fn weights(weights: &[u32]) -> impl Fn(QueueBoard) -> Result<Weighing, Fault> + Send + Sync + 'static {
    let weights = weights.to_vec();
    move |_| Ok(Weighing::Weights(weights.clone()))
}

#[test]
fn queues_are_taken_in_turn_until_somebody_decides() {
    let mut rig = Rig::new(&[("t", 4)]);
    assert_eq!(rig.counts("t", 40), [10, 10, 10, 10]);
    rig.decider.weigh(weights(&[0, 3, 1, 0]));
    rig.board();
    let counts = rig.counts("t", 400);
    assert!(counts[1].abs_diff(300) < 5 && counts[2] == 400 - counts[1], "{counts:?}");
    rig.decider.bind(false);
    rig.board();
    assert_eq!(rig.counts("t", 40), [10, 10, 10, 10]);
    assert_eq!(rig.faults(), 0);
}

#[test]
fn a_board_tells_what_is_there() {
    let mut rig = Rig::new(&[("t", 2), ("%RETRY%g", 1)]);
    let boards = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = boards.clone();
    rig.decider.weigh(move |board| {
        told.lock().push(board);
        Ok(Weighing::Weights(vec![1, 1]))
    });
    rig.board();
    let queue = |queue_id, depth, in_flight, messages_in| BoardQueue {
        queue_id,
        depth,
        in_flight,
        send_micros: 0,
        messages_in,
    };
    for _ in 0..3 {
        rig.send("t", Some(1), None);
    }
    rig.board();
    rig.consume("t", "fast", 1, 3);
    rig.consume("t", "slow", 1, 1);
    rig.consume("other", "slow", 0, 0);
    // One more, which nobody can read yet.
    let queue_1 = rig.broker.topics.get("t").unwrap().queues[1].clone();
    Outgoing::internal(&rig.broker.options, b"x".to_vec()).append(&rig.broker.store, &queue_1).unwrap();
    rig.board();
    let expected = [
        [queue(0, 0, 0, 0), queue(1, 0, 0, 0)],
        [queue(0, 0, 0, 0), queue(1, 0, 0, 3)],
        [queue(0, 0, 0, 0), queue(1, 2, 1, 1)],
    ];
    let found: Vec<(String, Vec<BoardQueue>)> =
        boards.lock().drain(..).map(|board: QueueBoard| (board.topic.to_string(), board.queues)).collect();
    assert_eq!(found, expected.map(|queues| ("t".to_owned(), queues.to_vec())), "no board of a retry topic");
}

#[test]
fn a_topic_at_rest_is_not_asked_about() {
    let mut rig = Rig::new(&[("t", 4)]);
    rig.decider.weigh(weights(&[1, 0, 0, 0]));
    let asked_after = |rig: &mut Rig| {
        rig.board();
        rig.board();
        rig.broker.select.asked.get()
    };
    assert_eq!(asked_after(&mut rig), 1);
    rig.send("t", Some(3), None);
    assert_eq!(asked_after(&mut rig), 2);
    rig.decider.swap();
    assert_eq!(asked_after(&mut rig), 3);
    assert_eq!(rig.counts("t", 8), [8, 0, 0, 0]);
}

#[test]
fn what_is_no_answer_leaves_the_queues_in_turn() {
    let mut rig = Rig::new(&[("t", 4)]);
    let mut faults = 0;
    for answer in [vec![1, 1, 1], vec![0; 4], vec![]] {
        rig.decider.weigh(weights(&[1, 0, 0, 0]));
        rig.decider.swap();
        rig.board();
        rig.decider.weigh(weights(&answer));
        rig.decider.swap();
        rig.board();
        assert_eq!(rig.counts("t", 8), [2; 4], "{answer:?}");
        faults += 1;
        assert_eq!(rig.faults(), faults);
    }
    // Of each message.
    rig.decider.weigh(|_| Ok(Weighing::PerMessage));
    rig.decider.select(|_| Ok(Some(4)));
    rig.decider.swap();
    rig.board();
    let found: Vec<u32> = ["a", "b", "c", "d"].map(|key| rig.place("t", None, Some(key)).queue_id).into();
    assert_eq!(found, [0, 1, 2, 3]);
    assert_eq!(rig.faults(), faults + 4);
}

#[test]
fn weights_for_more_queues_than_there_are_left_name_none_that_is_gone() {
    let mut rig = Rig::new(&[("t", 4)]);
    rig.decider.weigh(weights(&[0, 0, 1, 1]));
    rig.board();
    let config = TopicConfig { write_queue_nums: 2, ..TopicConfig::new("t", 4, Perm::READ_WRITE) };
    rig.broker.topics.update(config).unwrap();
    assert_eq!(rig.counts("t", 8), [4, 4, 0, 0]);
}

#[test]
fn a_key_keeps_its_queue_until_everybody_has_consumed_it() {
    let mut rig = Rig::new(&[("t", 4)]);
    rig.decider.weigh(|_| Ok(Weighing::PerMessage));
    rig.decider.select(|key| Ok(Some(u32::from(key == b"b"))));
    rig.board();
    assert_eq!([rig.send("t", None, Some("a")), rig.send("t", None, Some("b"))], [0, 1]);
    // Another version that would have them elsewhere.
    rig.decider.select(|_| Ok(Some(3)));
    rig.decider.swap();
    rig.board();
    assert_eq!([rig.send("t", None, Some("a")), rig.send("t", None, Some("b"))], [0, 1], "nobody consumes at all");
    rig.consume("t", "fast", 0, 2);
    rig.consume("t", "slow", 0, 1);
    rig.consume("t", "fast", 1, 2);
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 0, "the slow group has one to go");
    assert_eq!(rig.send("t", None, Some("new")), 3, "a key without messages is free");
    rig.consume("t", "slow", 0, 3);
    rig.consume("t", "fast", 0, 3);
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 3);
    assert_eq!(rig.send("t", None, Some("b")), 1, "the slow group has not begun this queue");
    assert_eq!(rig.faults(), 0);
}

#[test]
fn a_message_on_its_way_holds_its_key_and_one_that_fails_does_not() {
    let mut rig = Rig::new(&[("t", 4)]);
    rig.decider.weigh(|_| Ok(Weighing::PerMessage));
    rig.decider.select(|_| Ok(Some(2)));
    rig.board();
    let on_its_way = rig.place("t", None, Some("a"));
    rig.decider.select(|_| Ok(Some(3)));
    assert_eq!(rig.place("t", None, Some("a")).queue_id, 2);
    drop(on_its_way);
    assert_eq!(rig.place("t", None, Some("a")).queue_id, 3, "nothing of it was stored");
}

#[test]
fn the_end_of_a_plan_moves_no_order_either() {
    let mut rig = Rig::new(&[("t", 4)]);
    assert_eq!(
        [0, 1].map(|_| rig.send("t", None, Some("k"))),
        [0, 1],
        "in turn, as RocketMQ places it, before any plan"
    );
    rig.decider.weigh(weights(&[0, 0, 0, 1]));
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 3, "weights place keys, too");
    rig.decider.weigh(weights(&[1, 0, 0, 0]));
    rig.decider.swap();
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 3);
    rig.decider.bind(false);
    rig.board();
    assert_eq!([0; 3].map(|_| rig.send("t", None, Some("a"))), [3, 3, 3]);
    for queue in 0..4 {
        rig.consume("t", "g", queue, 9);
    }
    rig.board();
    let found = [0; 4].map(|_| rig.send("t", None, Some("a")));
    assert!(found.iter().any(|queue| *queue != 3), "in turn again: {found:?}");
}

#[test]
fn a_queue_that_is_not_read_any_more_holds_no_key() {
    let mut rig = Rig::new(&[("t", 4)]);
    rig.decider.weigh(weights(&[0, 0, 0, 1]));
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 3);
    rig.broker.topics.update(TopicConfig::new("t", 2, Perm::READ_WRITE)).unwrap();
    rig.decider.weigh(weights(&[0, 1]));
    rig.board();
    assert_eq!(rig.send("t", None, Some("a")), 1);
}

#[test]
fn only_topics_that_opted_in_are_retargeted_and_no_order_ever() {
    let mut rig = Rig::new(&[("t", 4), ("ordered", 4)]);
    let ordered = TopicConfig { order: true, ..TopicConfig::new("ordered", 4, Perm::READ_WRITE) };
    rig.broker.topics.update(ordered).unwrap();
    rig.decider.weigh(weights(&[0, 0, 0, 1]));
    rig.board();
    assert_eq!(rig.place("t", Some(0), None).queue_id, 0, "it did not opt in");
    rig.decider.retarget(true);
    rig.board();
    assert_eq!(rig.place("t", Some(0), None).queue_id, 3);
    assert_eq!(rig.place("t", Some(3), None).queue_id, 3);
    assert_eq!(rig.place("t", Some(0), Some("key")).queue_id, 0);
    assert_eq!(rig.place("ordered", Some(0), None).queue_id, 0);
    assert_eq!(rig.broker.select.retargeted.get(), 1);
    // Without weights there is nothing to move it by.
    rig.decider.weigh(|_| Ok(Weighing::PerMessage));
    rig.decider.swap();
    rig.board();
    assert_eq!(rig.place("t", Some(0), None).queue_id, 0);
}
