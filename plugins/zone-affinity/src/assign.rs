//! Queues to the consumers of their zone.

use std::collections::BTreeSet;

use gantry_plugin_sdk::{hash::stable_hash, prelude::*, rendezvous::share};

pub(crate) struct Nearby {
    max_percent: Option<usize>,
}

impl Nearby {
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        match params.parse("max_percent")? {
            Some(percent) if !(100..=100_000).contains(&percent) => {
                Err(format!("`max_percent` is {percent}, expected 100 to 100000; 100 is a fair share"))
            }
            max_percent => Ok(Nearby { max_percent }),
        }
    }

    pub(crate) fn assign(&self, question: &Assignment) -> Vec<Vec<u32>> {
        let (queues, members) = (&question.queues, &question.members);
        let mut given = Given {
            queues: queues.iter().map(|queue| queue_hash(&question.topic, queue)).collect(),
            members: members.iter().map(|member| stable_hash(member.client_id.as_bytes())).collect(),
            owned: vec![Vec::new(); members.len()],
        };
        let mut left: Vec<usize> = (0..queues.len()).collect();
        let zones: BTreeSet<&str> =
            members.iter().map(|member| member.zone.as_str()).filter(|zone| !zone.is_empty()).collect();
        for zone in zones {
            let near: Vec<usize> = (0..members.len()).filter(|member| members[*member].zone == zone).collect();
            let (mut here, others): (Vec<usize>, _) = left.into_iter().partition(|queue| queues[*queue].zone == zone);
            left = others;
            if let Some(percent) = self.max_percent {
                let each = (queues.len() * percent).div_ceil(100 * members.len());
                left.extend(here.split_off(here.len().min(each * near.len())));
            }
            given.share(&here, &near);
        }
        given.share(&left, &(0..members.len()).collect::<Vec<_>>());
        given.owned
    }
}

/// What is to be given, by hash, and what each member got so far.
struct Given {
    queues: Vec<u64>,
    members: Vec<u64>,
    owned: Vec<Vec<u32>>,
}

impl Given {
    fn share(&mut self, queues: &[usize], members: &[usize]) {
        let hashes = |all: &[u64], some: &[usize]| some.iter().map(|index| all[*index]).collect::<Vec<u64>>();
        let held: Vec<usize> = members.iter().map(|member| self.owned[*member].len()).collect();
        let owners = share(&hashes(&self.queues, queues), &hashes(&self.members, members), &held, 0);
        for (queue, owner) in queues.iter().zip(owners) {
            self.owned[members[owner]].push(*queue as u32);
        }
    }
}

/// Of topic, broker and number, so that the first queues of all topics do not fall to one consumer.
fn queue_hash(topic: &str, queue: &QueuePlace) -> u64 {
    stable_hash(format!("{topic}\0{}\0{}", queue.broker, queue.queue_id).as_bytes())
}
