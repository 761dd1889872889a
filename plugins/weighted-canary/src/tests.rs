use gantry_plugin_sdk::{
    prelude::*,
    testing::{TestBalancer, TestHost},
};

use super::WeightedCanary;

fn open(topic: &str, params: &[(&str, &str)]) -> Result<TestBalancer<WeightedCanary>, String> {
    params.iter().fold(TestHost::new().topic(topic), |host, (name, value)| host.param(name, value)).open_balancer()
}

fn weights(params: &[(&str, &str)], ids: &[u32]) -> Vec<u32> {
    let queues: Vec<_> = ids.iter().map(|id| QueueState::with_depth(*id, 0)).collect();
    open("t", params).unwrap().weights(&queues)
}

#[test]
fn the_canary_gets_its_percent_however_many_queues_it_has() {
    let five = [("queues", "6-7"), ("percent", "5")];
    // 2 queues of 8: 500 x 6 each, the others 9,500 x 2; together 6,000 of 120,000, which is 5 %.
    let drawn = weights(&five, &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(drawn, [19_000, 19_000, 19_000, 19_000, 19_000, 19_000, 3_000, 3_000]);
    assert_eq!(drawn[6..].iter().sum::<u32>() * 20, drawn.iter().sum::<u32>());
    // 0.25 % for one of two.
    assert_eq!(weights(&[("queues", "1"), ("percent", "0.25")], &[0, 1]), [9_975, 25]);
    assert_eq!(weights(&[("queues", "0, 2-3"), ("percent", "0")], &[0, 1, 2, 3]), [0, 30_000, 0, 0]);
    assert_eq!(weights(&five, &[0, 1]), [1, 1], "none of them is here");
    assert_eq!(weights(&five, &[6, 7]), [1, 1], "there are no others");
}

fn brokers() -> [BrokerOffer; 2] {
    [BrokerOffer::named("old"), BrokerOffer::named("new").labelled("canary", "true")]
}

#[test]
fn brokers_with_the_label_are_offered_for_topics_of_the_canary() {
    let canary = [("label", "canary=true"), ("topics", "orders, bills")];
    for (topic, expected) in [("orders", &["old", "new"][..]), ("bills", &["old", "new"]), ("other", &["old"])] {
        assert_eq!(open(topic, &canary).unwrap().writable(&brokers()), expected, "{topic}");
    }
    let other = open("other", &[("label", "canary=false"), ("topics", "orders")]).unwrap();
    assert_eq!(other.writable(&brokers()), ["old", "new"], "the label has another value");
}

#[test]
fn a_percentage_of_topics_only_grows() {
    let takes = |percent: &str, topic: &str| {
        let plugin = open(topic, &[("label", "canary=true"), ("topics_percent", percent)]).unwrap();
        plugin.writable(&brokers()).len() == 2
    };
    let topics: Vec<String> = (0..400).map(|index| format!("topic-{index}")).collect();
    let taken = |percent: &str| topics.iter().filter(|topic| takes(percent, topic)).collect::<Vec<_>>();
    let (ten, twenty) = (taken("10"), taken("20"));
    assert!((25..56).contains(&ten.len()) && (60..101).contains(&twenty.len()), "{} {}", ten.len(), twenty.len());
    assert!(ten.iter().all(|topic| twenty.contains(topic)));
    assert_eq!((taken("0").len(), taken("100").len()), (0, 400));
}

#[test]
fn each_half_leaves_the_other_decision_as_it_was() {
    let queues = open("t", &[("queues", "0"), ("percent", "5")]).unwrap();
    assert_eq!(queues.writable(&brokers()), ["old", "new"]);
    assert_eq!(weights(&[("label", "a=b"), ("topics", "t")], &[0, 1, 2]), [1, 1, 1]);
    assert_eq!(queues.decides(), (true, true, false));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], "there is no canary"),
        (&[("queue", "1")], "unknown parameter `queue`"),
        (&[("queues", "1")], "`queues` and `percent` go together"),
        (&[("queues", "1"), ("percent", "101")], "expected 0 to 100"),
        (&[("queues", "7-6"), ("percent", "5")], "`queues` is \"7-6\", expected numbers and ranges"),
        (&[("topics", "orders")], "`label` is missing"),
        (&[("label", "canary"), ("topics", "orders")], "expected name=value"),
        (&[("label", "canary=true")], "`label` needs `topics` or `topics_percent`"),
        (&[("label", "canary=true"), ("topics_percent", "-1")], "expected 0 to 100"),
    ];
    for (params, expected) in cases {
        let error = open("t", params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
