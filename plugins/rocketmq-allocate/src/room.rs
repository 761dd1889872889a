//! Who shares what: indexes of queues and of the members that they are for.

use std::collections::BTreeMap;

use gantry_plugin_sdk::prelude::*;

pub(crate) struct Room {
    pub(crate) queues: Vec<usize>,
    pub(crate) members: Vec<usize>,
}

/// All queues for all members.
pub(crate) fn whole(question: &Assignment) -> Room {
    Room { queues: (0..question.queues.len()).collect(), members: (0..question.members.len()).collect() }
}

/// A room for each zone that has queues: for its own members, else for all.
pub(crate) fn nearby(question: &Assignment) -> Vec<Room> {
    let mut queues: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, queue) in question.queues.iter().enumerate() {
        queues.entry(&queue.zone).or_default().push(index);
    }
    let room = |(zone, queues): (&str, Vec<usize>)| {
        let all = 0..question.members.len();
        let own: Vec<usize> =
            all.clone().filter(|member| !zone.is_empty() && question.members[*member].zone == zone).collect();
        Room { queues, members: if own.is_empty() { all.collect() } else { own } }
    };
    queues.into_iter().map(room).collect()
}
