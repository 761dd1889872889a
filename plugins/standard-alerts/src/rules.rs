//! The rules.

mod broker_down;
mod consumer_lag;
mod disk_watermark;
mod dlq_growth;
mod hot_queue;
mod plugin_failing;
mod send_failures;

use gantry_plugin_sdk::prelude::*;

use crate::{ignore::Ignore, rule::Rule};

/// A rule with its parameters read, or what is wrong with them.
pub(crate) type Opened = Result<Box<dyn Rule>, String>;

/// A rule that can be switched on.
pub(crate) struct Offer {
    pub(crate) name: &'static str,
    /// Its parameters.
    pub(crate) params: &'static [&'static str],
    pub(crate) open: fn(&Params, &Ignore) -> Opened,
}

pub(crate) const ALL: [Offer; 7] = [
    consumer_lag::OFFER,
    disk_watermark::OFFER,
    dlq_growth::OFFER,
    send_failures::OFFER,
    broker_down::OFFER,
    hot_queue::OFFER,
    plugin_failing::OFFER,
];
