//! The version stamp that RocketMQ keeps beside each table, and the release ordinal that it puts in headers.

use serde::{Deserialize, Serialize};

/// Release ordinal that Gantry reports: that of RocketMQ 5.3.3. Java clients refuse SQL filters below 232.
pub const SERVER_VERSION: i32 = 479;

/// Bumped on every change of a table; brokers, name servers and tools compare it to see whether theirs is stale.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataVersion {
    /// Number of changes since it was made.
    pub counter: i64,
    /// Epoch of the broker's role.
    pub state_version: i64,
    /// When it was last changed, ms since 1970.
    pub timestamp: i64,
}

impl DataVersion {
    /// Notes one more change at `now_ms`.
    pub fn bump(&mut self, now_ms: u64) {
        self.counter += 1;
        self.timestamp = now_ms as i64;
    }
}
