//! The meaning of each request: one file a request family, over tables that survive a restart.
//!
//! [`Broker::open`] reads the tables, [`Broker::service`] serves requests, [`Broker::start`] runs what happens without a
//! request. The way of a message: [`send`] puts it into the store; [`pull`] finds it again with [`scan`], which asks the
//! subscription and the bound plugin.
//!
//! [`Broker::collect`] tells what it counts.
//!
//! It opens no socket and no log itself: both are handed in.

mod admin;
mod assign;
mod broker;
mod clients;
mod consumer_offsets;
mod filter_costs;
mod flow;
mod groups;
mod holds;
mod load;
mod membership;
mod message;
mod metrics;
mod offsets;
mod options;
mod pull;
mod query;
mod queue_locks;
mod registration;
mod reply;
mod scan;
mod schedule;
#[cfg(test)]
mod scripted;
mod select;
mod send;
mod send_back;
mod serve;
mod sql;
mod timer;
mod topics;
mod unique_key;
mod waiting;

pub use assign::AssignMetrics;
pub use broker::Broker;
pub use filter_costs::FilterCost;
pub use flow::FlowLevel;
pub use holds::Holds;
pub use metrics::BrokerMetrics;
pub use options::BrokerOptions;
pub use reply::Refusal;
pub use select::SelectMetrics;
pub use serve::BrokerService;
pub use timer::TimerMetrics;
