use gantry_plugin_sdk::{
    prelude::*,
    testing::{TestBalancer, TestHost},
};

use super::LeastBacklog;

fn open(params: &[(&str, &str)]) -> Result<TestBalancer<LeastBacklog>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open_balancer()
}

fn weights(params: &[(&str, &str)], depths: &[u64]) -> Vec<u32> {
    let queues: Vec<_> = depths.iter().zip(0..).map(|(depth, id)| QueueState::with_depth(id, *depth)).collect();
    open(params).unwrap().weights(&queues)
}

#[test]
fn twice_the_backlog_is_half_the_messages() {
    // The least counts as 1,000: 1000/1000, 1000/1000, 1000/2000, 1000/8000 in thousandths.
    assert_eq!(weights(&[], &[0, 1_000, 2_000, 8_000]), [1_000, 1_000, 500, 125]);
    assert_eq!(weights(&[("even_up_to_messages", "0")], &[0, 4]), [1_000, 250]);
    // 5 % of the fullest share is the least.
    assert_eq!(weights(&[], &[0, u64::MAX]), [1_000, 50]);
    assert_eq!(weights(&[("min_share_percent", "20")], &[0, 1_000_000]), [1_000, 200]);
    assert!(weights(&[], &[]).is_empty());
}

#[test]
fn what_was_delivered_and_not_acknowledged_counts_as_backlog() {
    let mut plugin = open(&[]).unwrap();
    let busy = QueueState { in_flight: 4_000, ..QueueState::with_depth(1, 10) };
    assert_eq!(plugin.weights(&[QueueState::with_depth(0, 10), busy]), [1_000, 250]);
}

fn broker(name: &str, load: Load) -> BrokerOffer {
    BrokerOffer::named(name).loaded(load)
}

#[test]
fn a_broker_far_busier_than_the_middle_one_is_withdrawn() {
    let plugin = open(&[]).unwrap();
    let sends = |name: &str, in_flight: u32| broker(name, Load { in_flight, ..Load::idle() });
    // The middle one has 500: the limit is 2,000.
    assert_eq!(plugin.writable(&[sends("a", 400), sends("b", 500), sends("c", 2_000)]), ["a", "b"]);
    assert_eq!(plugin.writable(&[sends("a", 400), sends("b", 500), sends("c", 1_999)]), ["a", "b", "c"]);
    // Four times nothing is nothing, but below the floor nobody is busy.
    assert_eq!(plugin.writable(&[sends("a", 0), sends("b", 0), sends("c", 999)]), ["a", "b", "c"]);
    assert_eq!(plugin.writable(&[sends("a", 0), sends("b", 1_000)]), ["a"]);
    let slow = broker("b", Load { send_micros: 60_000, ..Load::idle() });
    assert_eq!(plugin.writable(&[sends("a", 0), slow]), ["a"]);
    let behind = broker("b", Load { backlog_bytes: 64 << 20, ..Load::idle() });
    assert_eq!(plugin.writable(&[sends("a", 0), behind]), ["a"]);
    let failing = broker("b", Load { recent_errors: 100, ..Load::idle() });
    assert_eq!(plugin.writable(&[sends("a", 0), failing]), ["a"]);
}

#[test]
fn a_full_disk_withdraws_but_half_of_the_brokers_stay() {
    let plugin = open(&[("disk_percent", "80")]).unwrap();
    let disk = |name: &str, used: u32| broker(name, Load { disk_used_percent: used, ..Load::idle() });
    assert_eq!(plugin.writable(&[disk("a", 80), disk("b", 79)]), ["b"]);
    assert_eq!(plugin.writable(&[disk("a", 90), disk("b", 95), disk("c", 99), disk("d", 85)]), ["a", "d"]);
    assert_eq!(plugin.writable(&[disk("a", 99)]), ["a"], "the only one stays");
    // Without a load nothing is known; a broker that is not written to is no way out.
    assert_eq!(plugin.writable(&[disk("a", 99), BrokerOffer::named("b")]), ["b"]);
    let readonly = BrokerOffer { writable: false, ..BrokerOffer::named("b") };
    assert_eq!(plugin.writable(&[disk("a", 99), readonly]), ["a", "b"]);
}

#[test]
fn it_decides_routes_and_placement() {
    assert_eq!(open(&[]).unwrap().decides(), (true, true, false));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("overload", "4", "unknown parameter `overload`"),
        ("overload_factor", "0.5", "`overload_factor` is 0.5, expected 1 to 1000"),
        ("overload_factor", "NaN", "expected 1 to 1000"),
        ("min_share_percent", "101", "expected 0 to 100"),
        ("disk_percent", "0", "expected 1 to 100"),
        ("even_up_to_messages", "few", "the parameter `even_up_to_messages` is \"few\""),
    ] {
        let error = open(&[(name, value)]).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
