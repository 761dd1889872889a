//! Bodies: whatever is taken is written and read back the same.
#![no_main]

use std::fmt::Debug;

use gantry_model::route::TopicRoute;
use gantry_protocol::body::{
    self,
    assignment::{Assignments, QueryAssignment, RequestModeConfig},
    client_config::CheckClientConfig,
    consumer_list::ConsumerList,
    group_config::{GroupConfigList, GroupTable},
    heartbeat::Heartbeat,
    lock::{LockBatch, LockedQueues},
    register::{ClusterInfo, RegisterBrokerBody, TopicList},
    topic_config::{TopicConfigList, TopicTable},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((selector, text)) = bytes.split_first() else { return };
    match selector % 16 {
        0 => check::<Heartbeat>(text),
        1 => check::<LockBatch>(text),
        2 => check::<LockedQueues>(text),
        3 => check::<CheckClientConfig>(text),
        4 => check::<ConsumerList>(text),
        5 => check::<GroupTable>(text),
        6 => check::<GroupConfigList>(text),
        7 => check::<RegisterBrokerBody>(text),
        8 => check::<ClusterInfo>(text),
        9 => check::<TopicList>(text),
        10 => check::<TopicTable>(text),
        11 => check::<TopicConfigList>(text),
        12 => check::<QueryAssignment>(text),
        13 => check::<Assignments>(text),
        14 => check::<RequestModeConfig>(text),
        _ => check::<TopicRoute>(text),
    }
});

fn check<T: serde::de::DeserializeOwned + serde::Serialize + PartialEq + Debug>(text: &[u8]) {
    let Ok(value) = body::parse::<T>(text) else { return };
    let written = serde_json::to_vec(&value).unwrap();
    assert_eq!(body::parse::<T>(&written).unwrap(), value);
}
