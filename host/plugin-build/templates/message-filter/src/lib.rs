//! Delivers the orders of one region above an amount.

use gantry_plugin_sdk::prelude::*;

/// What is read of each message; the broker extracts exactly this.
#[derive(Columns)]
struct Order<'m> {
    /// The property "region".
    region: Option<&'m str>,
    /// The property "amount", read as a number.
    amount: Option<i64>,
}

struct Orders {
    region: String,
    above: i64,
}

#[filter]
impl Filter for Orders {
    type Row<'m> = Order<'m>;

    fn open(subscription: &Subscription) -> Result<Self, String> {
        subscription.expect_only(&["region", "above"])?;
        let region = subscription.param("region").unwrap_or("eu").to_owned();
        Ok(Orders { region, above: subscription.parse("above")?.unwrap_or(0) })
    }

    fn keep(&self, order: &Order<'_>) -> bool {
        order.region == Some(&self.region) && order.amount.is_some_and(|amount| amount > self.above)
    }
}

#[cfg(test)]
mod tests {
    use gantry_plugin_sdk::testing::{TestHost, TestMessage};

    use super::*;

    fn order(region: &str, amount: &str) -> TestMessage {
        TestMessage::new().property("region", region).property("amount", amount)
    }

    #[test]
    fn keeps_the_region_above_the_amount() {
        let plugin = TestHost::new().param("region", "eu").param("above", "100").open::<Orders>().unwrap();
        assert!(plugin.keeps(order("eu", "101")));
        assert!(!plugin.keeps(order("eu", "100")));
        assert!(!plugin.keeps(order("us", "500")));
        assert!(!plugin.keeps(TestMessage::new().property("region", "eu")));
    }

    #[test]
    fn a_misspelt_parameter_is_refused() {
        let refusal = TestHost::new().param("regoin", "eu").open::<Orders>().err();
        assert_eq!(refusal.unwrap(), "unknown parameter `regoin`; known are region, above");
    }
}
