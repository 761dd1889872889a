//! One file a command: its arguments and what it does with them.

pub(crate) mod alert;
pub(crate) mod bench;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod plugin;
pub(crate) mod reload;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod store;
