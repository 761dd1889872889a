//! The stream of orders.

use std::time::Duration;

use gantry_base::metric::Counter;
use gantry_client::{Client, ClientError, Message, ReceivedMessage};
use tokio::time::{MissedTickBehavior, interval};

/// Where they go.
pub(super) const TOPIC: &str = "orders";
const REGIONS: [&str; 4] = ["eu", "us", "asia", "africa"];

/// One order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Order {
    pub(super) number: u64,
    pub(super) region: String,
    pub(super) amount: u64,
}

impl Order {
    /// The nth order. Numbers look random and are the same in every run.
    pub(super) fn nth(number: u64) -> Order {
        let scrambled = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Order {
            number,
            region: REGIONS[scrambled as usize % REGIONS.len()].to_owned(),
            amount: (scrambled >> 2) % 500 + 1,
        }
    }

    fn message(&self) -> Message {
        let (region, amount) = (self.region.as_str(), self.amount.to_string());
        let text = format!("order {}: {amount} to {region}", self.number);
        Message::new(TOPIC, text).keys(&self.number.to_string()).property("region", region).property("amount", &amount)
    }

    /// The order of a message, if it is one.
    pub(super) fn of(message: &ReceivedMessage) -> Option<Order> {
        Some(Order {
            number: message.keys()?.parse().ok()?,
            region: message.property("region")?.to_owned(),
            amount: message.property("amount")?.parse().ok()?,
        })
    }
}

/// Sends orders at `rate` a second for as long as it is polled, and counts them.
pub(super) async fn produce(client: Client, rate: u32, sent: &Counter) -> Result<(), ClientError> {
    let producer = client.producer("order-entry");
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let order = Order::nth(sent.get());
        producer.send(&order.message()).await?;
        sent.add(1);
    }
}
