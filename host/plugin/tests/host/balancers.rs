//! Balancers: what they answer reaches the caller checked, and whatever they do wrong is one clear error, so that the caller
//! goes its own way.

use gantry_balance::{ANY, Decision};
use gantry_plugin::{
    BalancerSpec, PluginConfig, PluginSpec, World,
    balancer::{Assignment, Balancer, BrokerOffer, Member, Placement, QueuePlace, QueueState, SendHint},
};

use crate::rig::{Rig, guests};

fn balancing(params: &[(&str, &str)]) -> (Rig, Balancer) {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let plugin = PluginSpec::of(World::QueueBalancer, "p", &file);
    let plugin = params.iter().fold(plugin, |spec, (name, value)| spec.with_param(name, value));
    let config =
        PluginConfig { plugins: vec![plugin], balancers: vec![BalancerSpec::new("p")], ..PluginConfig::default() };
    rig.host.apply(config).unwrap();
    rig.until_serving(&guests().hostile);
    let balancer = rig.host.balancer(Decision::Route, "t", "g").unwrap();
    (rig, balancer)
}

fn brokers() -> Vec<BrokerOffer> {
    let offer = |name: &str| BrokerOffer {
        name: name.into(),
        zone: String::new(),
        labels: Vec::new(),
        writable: true,
        read_queues: 4,
        write_queues: 4,
        load: None,
    };
    ["a", "b", "c"].map(offer).into()
}

fn queues() -> Vec<QueueState> {
    (0..4).map(|queue_id| QueueState { queue_id, depth: 0, in_flight: 0, messages_per_second: 0 }).collect()
}

fn question() -> Assignment {
    let place = |queue_id| QueuePlace { broker: "a".into(), queue_id, zone: String::new() };
    let member = |id: &str| Member { client_id: id.into(), zone: String::new() };
    Assignment {
        group: "g".into(),
        topic: "t".into(),
        queues: (0..4).map(place).collect(),
        members: ["c1", "c2"].map(member).into(),
    }
}

fn hint() -> SendHint {
    SendHint { sharding_key: Some("k".into()), size: 10 }
}

#[test]
fn every_decision_is_answered_by_the_version_that_serves() {
    let (_rig, balancer) = balancing(&[("placement", "per-message")]);
    let decisions = balancer.decisions();
    assert!(decisions.route && decisions.placement && decisions.assignment);
    let routed = balancer.route("t", &brokers()).unwrap();
    assert_eq!(routed.answer, [false, true, true]);
    assert!(routed.label.starts_with("p@"), "{}", routed.label);
    let board = balancer.place("t", queues()).unwrap();
    assert_eq!(*board.placement(), Placement::PerMessage);
    assert_eq!(balancer.select(&board, &hint()), Ok(Some(1)));
    assert_eq!(balancer.assign(&question()).unwrap().answer, [vec![0, 1, 2, 3], vec![]]);
}

#[test]
fn weights_are_one_for_each_queue() {
    let (_rig, balancer) = balancing(&[]);
    assert_eq!(*balancer.place("t", queues()).unwrap().placement(), Placement::Weights(vec![1; 4]));
}

#[test]
fn whatever_it_does_wrong_is_one_error_and_it_is_asked_again() {
    for (at, how, expected) in [
        ("route", "nonsense", "it answered for 4 brokers, there are 3"),
        ("route", "refuse", "it refused: I do not want to"),
        ("route", "trap", "it said: panicked at"),
        ("route", "loop", "it used more than 5 ms of processor time"),
        ("route", "flood", "it used more than 5 ms of processor time"),
        ("route", "hoard", "bytes of memory, its limit is"),
        ("route", "recurse", "call stack exhausted"),
        ("place", "nonsense", "it answered for 5 queues, there are 4"),
        ("place", "trap", "it said: panicked at"),
        ("select", "nonsense", "it chose queue 1000 of 4"),
        ("select", "loop", "it used more than 5 ms of processor time"),
        ("assign", "twice", "queue 0 is given twice"),
        ("assign", "loop", "it used more than 250 ms of processor time"),
    ] {
        let (_rig, balancer) = balancing(&[("at", at), ("do", how), ("placement", "per-message")]);
        // Twice: a fault ends an instance, not the plugin.
        for _ in 0..2 {
            let failed = match at {
                "route" => balancer.route("t", &brokers()).err(),
                "assign" => balancer.assign(&question()).err(),
                _ => balancer.place("t", queues()).and_then(|board| balancer.select(&board, &hint())).err(),
            };
            let failed = failed.unwrap_or_else(|| panic!("{how} in {at} is an error")).to_string();
            assert!(failed.starts_with("p@") && failed.contains(expected), "{how} in {at}: {failed}");
        }
    }
}

#[test]
fn a_balancer_that_keeps_failing_rests() {
    let (rig, balancer) = balancing(&[("at", "route"), ("do", "trap")]);
    (0..5).for_each(|_| assert!(balancer.route("t", &brokers()).is_err()));
    let rests = balancer.route("t", &brokers()).unwrap_err().to_string();
    assert!(rests.contains("failed too often and rests"), "{rests}");
    let bound = rig.status().bindings.remove(0);
    assert_eq!((bound.kind, bound.faults.trap, bound.calls), ("balancer", 5, 5));
}

#[test]
fn the_most_particular_balancer_is_asked() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let plugin = |name: &str| PluginSpec::of(World::QueueBalancer, name, &file);
    let balancer = |plugin: &str, topic: &str, group: &str, decides: &[Decision]| BalancerSpec {
        topic: topic.into(),
        group: group.into(),
        decides: decides.iter().copied().collect(),
        ..BalancerSpec::new(plugin)
    };
    let config = PluginConfig {
        plugins: ["any", "topic", "group", "both"].map(plugin).into(),
        balancers: vec![
            balancer("any", ANY, ANY, &[Decision::Assign, Decision::Route]),
            balancer("topic", "t", ANY, &[Decision::Assign]),
            balancer("group", ANY, "g", &[Decision::Assign]),
            balancer("both", "t", "g", &[Decision::Assign]),
        ],
        ..PluginConfig::default()
    };
    rig.host.apply(config).unwrap();
    let asked = |decision, topic, group| {
        rig.host.balancer(decision, topic, group).map(|balancer| balancer.plugin().to_owned()).unwrap_or_default()
    };
    assert_eq!(asked(Decision::Assign, "t", "g"), "both");
    assert_eq!(asked(Decision::Assign, "t", "h"), "topic");
    assert_eq!(asked(Decision::Assign, "u", "g"), "group");
    assert_eq!(asked(Decision::Assign, "u", "h"), "any");
    assert_eq!(asked(Decision::Route, "t", "g"), "any");
    assert_eq!(asked(Decision::SelectQueue, "t", "g"), "");
}
