//! Write Gantry plugins in Rust: say which columns of a message you read, decide, compile with
//! plain `cargo build --target wasm32-unknown-unknown --release`.
//!
//! ```
//! use gantry_plugin_sdk::prelude::*;
//!
//! #[derive(Columns)]
//! struct Order<'m> {
//!     region: Option<&'m str>, // the property "region"
//!     amount: Option<i64>,     // the property "amount", read as a number by the broker
//! }
//!
//! struct EuOrders {
//!     region: String,
//!     above: i64,
//! }
//!
//! #[filter]
//! impl Filter for EuOrders {
//!     type Row<'m> = Order<'m>;
//!
//!     fn open(subscription: &Subscription) -> Result<Self, String> {
//!         subscription.expect_only(&["region", "above"])?;
//!         let above = subscription.parse("above")?.unwrap_or(0);
//!         Ok(EuOrders { region: subscription.require("region")?.to_owned(), above })
//!     }
//!
//!     fn keep(&self, order: &Order<'_>) -> bool {
//!         order.region == Some(&self.region) && order.amount.is_some_and(|amount| amount > self.above)
//!     }
//! }
//! # let host = gantry_plugin_sdk::testing::TestHost::new().param("region", "eu").open::<EuOrders>().unwrap();
//! # use gantry_plugin_sdk::testing::TestMessage;
//! # assert!(host.keeps(TestMessage::new().property("region", "eu").property("amount", "7")));
//! # assert!(!host.keeps(TestMessage::new().property("region", "us").property("amount", "7")));
//! ```
//!
//! The same code runs natively in `cargo test` against [`testing::TestHost`]. The contract itself is `wit/plugin.wit`; this
//! crate only makes it pleasant. It holds no policy: what happens to an undecided message is the broker's matter.

//!
//! Balancers, metric hooks and alert hooks are written alike: [`Balancer`] with `#[balancer]`, [`MetricHook`] with
//! `#[metric_hook]`, [`AlertHook`] with `#[alert_hook]`.

#![warn(missing_docs)]

pub mod alert;
pub mod balancer;
// Not for plugins to use: what the macros expand to names it.
#[doc(hidden)]
#[allow(missing_docs)]
pub mod bindings;
mod column;
#[doc(hidden)]
pub mod export;
mod feed;
mod filter;
mod growth;
pub mod hash;
pub mod host;
mod message;
pub mod metric;
mod params;
pub mod rendezvous;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use alert::AlertHook;
pub use balancer::Balancer;
pub use column::{Cells, Column, Columns, Field, Shape, Source, SystemField};
pub use feed::{Feed, Series, SeriesKind};
pub use filter::{Filter, Subscription, Verdict};
pub use gantry_plugin_macros::{Columns, alert_hook, balancer, filter, metric_hook};
pub use growth::Growth;
pub use message::Message;
pub use metric::MetricHook;
pub use params::Params;

/// What a plugin's file begins with.
pub mod prelude {
    pub use crate::{
        AlertHook, Balancer, Cells, Column, Columns, Feed, Filter, Message, MetricHook, Params, Series, SeriesKind,
        Shape, Source, Subscription, SystemField, Verdict,
        alert::{Alert, Severity},
        alert_hook, balancer,
        balancer::{Assignment, Binding, BrokerOffer, Load, Member, Placement, QueuePlace, QueueState, SendHint},
        filter, host,
        metric::{Family, Samples},
        metric_hook,
    };
}
