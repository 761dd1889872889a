use gantry_plugin_sdk::{
    prelude::*,
    testing::{TestBalancer, TestHost},
};

use super::ConsistentHash;

fn open(slack_percent: &str) -> TestBalancer<ConsistentHash> {
    TestHost::new().param("slack_percent", slack_percent).open_balancer().unwrap()
}

fn queues(ids: &[u32]) -> Vec<QueueState> {
    ids.iter().map(|id| QueueState::with_depth(*id, 0)).collect()
}

#[test]
fn a_key_goes_to_its_queue_and_no_key_is_left_to_the_broker() {
    let mut plugin = open("25");
    assert_eq!(plugin.select(Some("order-1")), None, "no queues were shown yet");
    assert!(matches!(plugin.place(&queues(&[0, 1, 2, 3, 4, 5, 6, 7])), Ok(Placement::PerMessage)));
    // By stable_hash and the paper's code in Python.
    assert_eq!(["order-1", "order-2", "order-3"].map(|key| plugin.select(Some(key))), [Some(4), Some(2), Some(5)]);
    assert_eq!(plugin.select(None), None);
    plugin.place(&queues(&[3, 2, 1, 0])).unwrap();
    // Queues 0, 2 and 3, which are shown at other places now.
    assert_eq!(["order-1", "order-2", "order-3"].map(|key| plugin.select(Some(key))), [Some(3), Some(1), Some(0)]);
}

#[test]
fn a_new_queue_takes_its_part_from_all_others_and_nothing_else_moves() {
    let mut plugin = open("25");
    let keys: Vec<String> = (0..9_000).map(|key| format!("customer-{key}")).collect();
    let mut places = |count: u32| -> Vec<Option<u32>> {
        plugin.place(&queues(&(0..count).collect::<Vec<_>>())).unwrap();
        keys.iter().map(|key| plugin.select(Some(key))).collect()
    };
    let (eight, nine) = (places(8), places(9));
    let moved: Vec<_> = eight.iter().zip(&nine).filter(|(before, after)| before != after).collect();
    assert!((850..1_150).contains(&moved.len()), "{} of 9,000 keys moved, a ninth is 1,000", moved.len());
    assert!(moved.iter().all(|(_, after)| **after == Some(8)));
}

fn owners(plugin: &TestBalancer<ConsistentHash>, queues: &[QueuePlace], members: &[Member]) -> Vec<String> {
    let answer = plugin.assign(queues, members);
    let owner = |queue: u32| answer.iter().position(|owned| owned.contains(&queue)).unwrap();
    (0..queues.len() as u32).map(|queue| members[owner(queue)].client_id.clone()).collect()
}

#[test]
fn when_one_of_n_consumers_leaves_about_one_queue_in_n_changes_hands() {
    let queues: Vec<QueuePlace> =
        (0..8).flat_map(|broker| QueuePlace::of(&format!("broker-{broker}"), "", 16)).collect();
    let members: Vec<Member> = (0..16).map(|index| Member::new(&format!("10.0.0.{index}@4711"), "")).collect();
    for (slack, at_most) in [("25", 14), ("0", 24)] {
        let plugin = open(slack);
        let before = owners(&plugin, &queues, &members);
        for gone in 0..members.len() {
            let mut fewer = members.clone();
            fewer.remove(gone);
            let after = owners(&plugin, &queues, &fewer);
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let owned = before.iter().filter(|owner| **owner == members[gone].client_id).count();
            assert!(moved >= owned);
            // A sixteenth of 128 is 8.
            assert!(moved <= at_most, "slack {slack}: {moved} moved, {owned} were its own");
        }
    }
}

#[test]
fn nobody_has_more_than_the_slack_allows() {
    let queues = QueuePlace::of("a", "", 64);
    let members: Vec<Member> = (0..8).map(|index| Member::new(&format!("c{index}"), "")).collect();
    let largest = |slack: &str| open(slack).assign(&queues, &members).iter().map(Vec::len).max();
    assert_eq!(largest("0"), Some(8));
    assert!(largest("25") <= Some(10));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("slack", "5", "unknown parameter `slack`; known are slack_percent"),
        ("slack_percent", "-1", "the parameter `slack_percent` is \"-1\""),
        ("slack_percent", "1001", "expected 0 to 1000"),
    ] {
        let error = TestHost::new().param(name, value).open_balancer::<ConsistentHash>().err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
    assert_eq!(open("25").decides(), (false, true, true));
}
