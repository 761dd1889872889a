use gantry_plugin_sdk::{
    prelude::*,
    testing::{TestBalancer, TestHost},
};

use super::ZoneAffinity;

fn open(params: &[(&str, &str)]) -> Result<TestBalancer<ZoneAffinity>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open_balancer()
}

fn broker(name: &str, zone: &str) -> BrokerOffer {
    BrokerOffer::named(name).in_zone(zone)
}

#[test]
fn a_zone_is_drained_unless_nothing_else_can_be_written_to() {
    let brokers = [broker("a", "az1"), broker("b", "az2"), broker("c", "")];
    assert_eq!(open(&[]).unwrap().writable(&brokers), ["a", "b", "c"]);
    let plugin = open(&[("drain", "az2, az3")]).unwrap();
    assert_eq!(plugin.writable(&brokers), ["a", "c"]);
    assert_eq!(plugin.writable(&brokers[1..2]), ["b"]);
    let closed = BrokerOffer { writable: false, ..broker("a", "az1") };
    assert_eq!(plugin.writable(&[closed, broker("b", "az2")]), ["a", "b"]);
}

#[test]
fn a_preferred_zone_gets_everything_while_it_can_be_written_to() {
    let plugin = open(&[("prefer", "az1"), ("drain", "az3")]).unwrap();
    let all = [broker("a", "az1"), broker("b", "az2"), broker("c", "az3")];
    assert_eq!(plugin.writable(&all), ["a"]);
    let closed = BrokerOffer { writable: false, ..broker("a", "az1") };
    assert_eq!(plugin.writable(&[closed, broker("b", "az2"), broker("c", "az3")]), ["a", "b"]);
}

/// How many queues of each zone each member got.
fn counts(answer: &[Vec<u32>], queues: &[QueuePlace], zones: &[&str]) -> Vec<Vec<usize>> {
    let of = |owned: &Vec<u32>, zone: &str| owned.iter().filter(|index| queues[**index as usize].zone == zone).count();
    answer.iter().map(|owned| zones.iter().map(|zone| of(owned, zone)).collect()).collect()
}

#[test]
fn queues_go_to_consumers_of_their_zone_and_the_rest_to_all() {
    let queues = [QueuePlace::of("a", "az1", 4), QueuePlace::of("b", "az2", 4), QueuePlace::of("c", "az3", 4)].concat();
    let members = [Member::new("1", "az1"), Member::new("2", "az1"), Member::new("3", "az2")];
    let answer = open(&[]).unwrap().assign(&queues, &members);
    // Two each of az1, all of az2; the four of az3 even it out: 4, 4, 4.
    assert_eq!(counts(&answer, &queues, &["az1", "az2", "az3"]), [[2, 0, 2], [2, 0, 2], [0, 4, 0]]);
}

#[test]
fn without_zones_all_is_shared_evenly() {
    let queues = QueuePlace::of("a", "", 7);
    let mut sizes: Vec<usize> = open(&[])
        .unwrap()
        .assign(&queues, &[Member::new("1", "az1"), Member::new("2", "")])
        .iter()
        .map(Vec::len)
        .collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [3, 4]);
    assert!(open(&[]).unwrap().assign(&[], &[Member::new("1", "az1")])[0].is_empty());
}

#[test]
fn a_lonely_consumer_of_a_large_zone_can_be_spared() {
    let queues = [QueuePlace::of("a", "az1", 12), QueuePlace::of("b", "az2", 4)].concat();
    let members = [Member::new("1", "az1"), Member::new("2", "az2"), Member::new("3", "az2"), Member::new("4", "az2")];
    let strict = open(&[]).unwrap().assign(&queues, &members);
    assert_eq!(strict[0].len(), 12);
    // A fair share is 4; at most twice that much is of the zone. Eight are left for the others, who have four.
    let spared = open(&[("max_percent", "200")]).unwrap().assign(&queues, &members);
    assert_eq!(spared[0].len(), 8);
    let mut others: Vec<usize> = spared[1..].iter().map(Vec::len).collect();
    others.sort_unstable();
    assert_eq!(others, [2, 3, 3]);
}

#[test]
fn few_queues_change_hands_when_a_consumer_leaves() {
    let queues = [QueuePlace::of("a", "az1", 64), QueuePlace::of("b", "az2", 64)].concat();
    let members: Vec<Member> =
        (0..16).map(|index| Member::new(&format!("c{index}"), if index % 2 == 0 { "az1" } else { "az2" })).collect();
    let plugin = open(&[]).unwrap();
    let owner = |answer: &[Vec<u32>], members: &[Member], queue: u32| {
        let member = answer.iter().position(|owned| owned.contains(&queue)).unwrap();
        members[member].client_id.clone()
    };
    let (before, after) = (plugin.assign(&queues, &members), plugin.assign(&queues, &members[1..]));
    let moved: Vec<u32> =
        (0..128).filter(|queue| owner(&before, &members, *queue) != owner(&after, &members[1..], *queue)).collect();
    // The one that left had 8; the other zone is not concerned.
    assert!((8..=20).contains(&moved.len()), "{}", moved.len());
    assert!(moved.iter().all(|queue| *queue < 64));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let cases: [(&[(&str, &str)], &str); 3] = [
        (&[("zones", "az1")], "unknown parameter `zones`; known are drain, prefer, max_percent"),
        (&[("drain", "az1"), ("prefer", "az2,az1")], "the zone \"az1\" is in `prefer` and in `drain`"),
        (&[("max_percent", "50")], "expected 100 to 100000"),
    ];
    for (params, expected) in cases {
        let error = open(params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
    assert_eq!(open(&[]).unwrap().decides(), (true, false, true));
}
