//! Gives consumers their queues by the strategies of RocketMQ's client: groups that used to share them out by themselves get the
//! same queues when the broker does it.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `strategy` | `AVG` | `AVG`, `AVG_BY_CIRCLE`, `CONSISTENT_HASH` or `MACHINE_ROOM_NEARBY` |
//! | `virtual_nodes` | 10 | points of each consumer on the ring of `CONSISTENT_HASH`, 1 to 200 |
//! | `within` | `AVG` | how `MACHINE_ROOM_NEARBY` shares out the queues of a zone: `AVG`, `AVG_BY_CIRCLE` or `CONSISTENT_HASH` |
//!
//! - `AVG`: blocks of neighbouring queues, the first consumers one queue more when it does not come out even.
//! - `AVG_BY_CIRCLE`: one queue each in turn.
//! - `CONSISTENT_HASH`: the consumer that follows the queue on a ring of MD5 hashes. Consumers may have very different numbers of
//!   queues; `consistent-hash` is the plugin that bounds them.
//! - `MACHINE_ROOM_NEARBY`: zones are the machine rooms. Queues of a zone with consumers go to these, queues of each other zone to
//!   all. RocketMQ refuses brokers and consumers without a machine room; here they are in a room of their own, which all share.
//!
//! Source of the behaviour: RocketMQ 5.3 `org.apache.rocketmq.client.consumer.rebalance` and `ConsistentHashRouter`.

mod ring;
mod room;
mod strategy;

use gantry_plugin_sdk::prelude::*;
use strategy::Strategy;

struct RocketmqAllocate {
    strategy: Strategy,
    /// Whether queues stay in their zone.
    nearby: bool,
}

#[balancer]
impl Balancer for RocketmqAllocate {
    fn open(binding: &Binding) -> Result<Self, String> {
        binding.expect_only(&["strategy", "virtual_nodes", "within"])?;
        let nearby = binding.param("strategy") == Some("MACHINE_ROOM_NEARBY");
        if !nearby && binding.param("within").is_some() {
            return Err("`within` is of MACHINE_ROOM_NEARBY; set `strategy` to it, or take `within` out".into());
        }
        let parameter = if nearby { "within" } else { "strategy" };
        Ok(RocketmqAllocate { strategy: Strategy::read(binding, parameter)?, nearby })
    }

    fn assign(&self, question: &Assignment) -> Result<Vec<Vec<u32>>, String> {
        let mut owned = vec![Vec::new(); question.members.len()];
        let rooms = if self.nearby { room::nearby(question) } else { vec![room::whole(question)] };
        for room in rooms {
            self.strategy.share_out(question, &room, &mut owned);
        }
        Ok(owned)
    }
}

#[cfg(test)]
mod tests;
