//! The strategies, by RocketMQ's names.

use gantry_plugin_sdk::prelude::*;

use crate::{ring::Ring, room::Room};

/// Most points of a consumer on the ring: a hundred consumers then take about 15 ms.
const VIRTUAL_NODES_MAX: u32 = 200;

pub(crate) enum Strategy {
    Average,
    Circle,
    ConsistentHash { virtual_nodes: u32 },
}

impl Strategy {
    pub(crate) fn read(params: &Params, parameter: &str) -> Result<Self, String> {
        let strategy = match params.param(parameter).unwrap_or("AVG") {
            "AVG" => Strategy::Average,
            "AVG_BY_CIRCLE" => Strategy::Circle,
            "CONSISTENT_HASH" => {
                let virtual_nodes = params.parse("virtual_nodes")?.unwrap_or(10);
                if !(1..=VIRTUAL_NODES_MAX).contains(&virtual_nodes) {
                    return Err(format!("`virtual_nodes` is {virtual_nodes}, expected 1 to {VIRTUAL_NODES_MAX}"));
                }
                Strategy::ConsistentHash { virtual_nodes }
            }
            other => {
                let nearby = if parameter == "strategy" { ", MACHINE_ROOM_NEARBY" } else { "" };
                return Err(format!(
                    "`{parameter}` is {other:?}, expected AVG, AVG_BY_CIRCLE, CONSISTENT_HASH{nearby}"
                ));
            }
        };
        match (params.param("virtual_nodes"), &strategy) {
            (Some(_), Strategy::Average | Strategy::Circle) => {
                Err("`virtual_nodes` is of CONSISTENT_HASH, which is not the strategy; take it out".into())
            }
            _ => Ok(strategy),
        }
    }

    /// Adds the room's queues to what its members own.
    pub(crate) fn share_out(&self, question: &Assignment, room: &Room, owned: &mut [Vec<u32>]) {
        let (queues, members) = (&room.queues, &room.members);
        if members.is_empty() {
            return;
        }
        let owner: Box<dyn Fn(usize) -> usize + '_> = match self {
            Strategy::Average => {
                // The first `longer` members have one more than the others: so many queues lie before the first shorter block.
                let (each, longer) = (queues.len() / members.len(), queues.len() % members.len());
                let before_shorter = longer * (each + 1);
                Box::new(move |place| match place.checked_sub(before_shorter) {
                    Some(behind) => longer + behind / each.max(1),
                    None => place / (each + 1),
                })
            }
            Strategy::Circle => {
                let count = members.len();
                Box::new(move |place| place % count)
            }
            Strategy::ConsistentHash { virtual_nodes } => {
                let ids = members.iter().map(|member| question.members[*member].client_id.as_str());
                let ring = Ring::new(ids, *virtual_nodes);
                Box::new(move |place| ring.owner(&question.topic, &question.queues[queues[place]]))
            }
        };
        for (place, queue) in queues.iter().enumerate() {
            owned[members[owner(place)]].push(*queue as u32);
        }
    }
}
