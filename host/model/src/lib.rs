//! The values that every part of Gantry talks about: names and topic settings, the two kinds of offset, a message as it is
//! read, its properties and flags, subscriptions, routes. No I/O, no async, no bytes of the wire.
//!
//! Types that RocketMQ writes as JSON (topic and group settings, routes, subscriptions) carry their serde shape here, so
//! that the wire and the configuration files cannot drift apart.

pub mod delay;
pub mod group;
pub mod labels;
pub mod load;
pub mod message;
pub mod name;
pub mod offset;
pub mod properties;
pub mod route;
pub mod subscription;
pub mod sys_flag;
pub mod tag;
pub mod topic;
pub mod version;
