//! What a plugin may ask of the broker. In native tests the answers come from [`TestHost`](crate::testing::TestHost).

#[cfg(target_family = "wasm")]
use crate::bindings::filter::gantry::plugin::host as wit;
#[cfg(not(target_family = "wasm"))]
use crate::testing::host as wit;

pub use crate::bindings::filter::gantry::plugin::host::Level;

/// Writes one line to the broker's log, cut at 1 KiB; the broker keeps only so many a second.
pub fn log(level: Level, message: &str) {
    wit::log(level, message);
}

/// Writes an informational line to the broker's log.
pub fn info(message: &str) {
    log(Level::Info, message);
}

/// Writes a warning to the broker's log.
pub fn warn(message: &str) {
    log(Level::Warn, message);
}

/// Adds to a counter that the broker shows beside the plugin's own figures; at most 64 names of at most 64 bytes.
pub fn count(name: &str, delta: u64) {
    wit::count(name, delta);
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    wit::now_millis()
}
