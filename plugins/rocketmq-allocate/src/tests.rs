//! What the classes of rocketmq-client 5.3.3 answer for the same queues and consumers, run with its jar.

use gantry_plugin_sdk::{
    prelude::*,
    testing::{TestBalancer, TestHost},
};

use super::RocketmqAllocate;

fn open(params: &[(&str, &str)]) -> Result<TestBalancer<RocketmqAllocate>, String> {
    params.iter().fold(TestHost::new().topic("orders"), |host, (name, value)| host.param(name, value)).open_balancer()
}

/// Three brokers of four queues, each in a zone; five consumers, of which two are in the first zone and three in the second.
fn assign(params: &[(&str, &str)]) -> Vec<Vec<u32>> {
    let queues = [
        QueuePlace::of("broker-a", "az1", 4),
        QueuePlace::of("broker-b", "az2", 4),
        QueuePlace::of("broker-c", "az3", 4),
    ];
    let zones = ["az1", "az1", "az2", "az2", "az2"];
    let members = zones.iter().zip(1..).map(|(zone, host)| Member::new(&format!("10.0.0.{host}@100"), zone));
    sorted(open(params).unwrap().assign(&queues.concat(), &members.collect::<Vec<_>>()))
}

fn sorted(mut answer: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    answer.iter_mut().for_each(|owned| owned.sort_unstable());
    answer
}

#[test]
fn avg_gives_blocks() {
    let expected = [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7], vec![8, 9], vec![10, 11]];
    assert_eq!(assign(&[]), expected);
    assert_eq!(assign(&[("strategy", "AVG")]), expected);
}

#[test]
fn avg_leaves_consumers_without_a_queue_when_there_are_more_of_them() {
    let members: Vec<Member> = (0..14).map(|index| Member::new(&format!("c{index:02}"), "")).collect();
    let answer = open(&[]).unwrap().assign(&QueuePlace::of("a", "", 12), &members);
    let expected: Vec<Vec<u32>> = (0..14).map(|member| if member < 12 { vec![member] } else { vec![] }).collect();
    assert_eq!(answer, expected);
}

#[test]
fn avg_by_circle_gives_one_each_in_turn() {
    let expected = [vec![0, 5, 10], vec![1, 6, 11], vec![2, 7], vec![3, 8], vec![4, 9]];
    assert_eq!(assign(&[("strategy", "AVG_BY_CIRCLE")]), expected);
}

#[test]
fn consistent_hash_is_rocketmqs_ring() {
    let ten = [vec![1, 2, 6, 7, 8, 9, 11], vec![], vec![0, 3], vec![], vec![4, 5, 10]];
    assert_eq!(assign(&[("strategy", "CONSISTENT_HASH")]), ten);
    let hundred = [vec![0, 3, 4, 11], vec![8], vec![], vec![1, 2], vec![5, 6, 7, 9, 10]];
    assert_eq!(assign(&[("strategy", "CONSISTENT_HASH"), ("virtual_nodes", "100")]), hundred);
}

#[test]
fn machine_room_nearby_keeps_queues_in_their_zone() {
    let average = [vec![0, 1, 8], vec![2, 3, 9], vec![4, 5, 10], vec![6, 11], vec![7]];
    assert_eq!(assign(&[("strategy", "MACHINE_ROOM_NEARBY")]), average);
    let ring = [vec![1, 2, 3, 8, 9, 11], vec![0], vec![], vec![], vec![4, 5, 6, 7, 10]];
    assert_eq!(assign(&[("strategy", "MACHINE_ROOM_NEARBY"), ("within", "CONSISTENT_HASH")]), ring);
}

/// Where RocketMQ throws.
#[test]
fn what_has_no_zone_is_shared_by_all() {
    let queues = [QueuePlace::of("a", "", 2), QueuePlace::of("b", "az1", 2)].concat();
    let members = [Member::new("1", ""), Member::new("2", "az1")];
    let answer = open(&[("strategy", "MACHINE_ROOM_NEARBY")]).unwrap().assign(&queues, &members);
    assert_eq!(sorted(answer), [vec![0], vec![1, 2, 3]]);
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[("stategy", "AVG")], "unknown parameter `stategy`"),
        (
            &[("strategy", "avg")],
            "`strategy` is \"avg\", expected AVG, AVG_BY_CIRCLE, CONSISTENT_HASH, MACHINE_ROOM_NEARBY",
        ),
        (&[("within", "AVG")], "`within` is of MACHINE_ROOM_NEARBY"),
        (
            &[("strategy", "MACHINE_ROOM_NEARBY"), ("within", "MACHINE_ROOM_NEARBY")],
            "`within` is \"MACHINE_ROOM_NEARBY\"",
        ),
        (&[("strategy", "CONSISTENT_HASH"), ("virtual_nodes", "0")], "expected 1 to 200"),
        (&[("virtual_nodes", "10")], "`virtual_nodes` is of CONSISTENT_HASH"),
    ];
    for (params, expected) in cases {
        let error = open(params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
    assert_eq!(open(&[]).unwrap().decides(), (false, false, true));
}
