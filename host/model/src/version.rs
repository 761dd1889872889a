//! The version stamp that RocketMQ keeps beside each table, and the release ordinal that it puts in headers.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// Release ordinal that Gantry reports: that of RocketMQ 5.3.3. Java clients refuse SQL filters below 232.
pub const SERVER_VERSION: i32 = 479;

/// Ordinals from here on are regular: ten releases of each minor version, ten minor versions of each major one, and before
/// each release its snapshot. This is 4.0.0's snapshot.
const FIRST_REGULAR: i32 = 212;
/// The last major version that is told apart.
const LAST_MAJOR: i32 = 9;

/// Name of a client's release, as RocketMQ's metrics spell it: `v5_3_3`, `v4_9_4_snapshot`; `older` before 4.0.0 and
/// `higher_version` beyond what can be told. The ordinal comes from the client. Source: `MQVersion`.
pub fn release_name(ordinal: i32) -> Cow<'static, str> {
    let Some(step) = ordinal.checked_sub(FIRST_REGULAR).filter(|step| *step >= 0) else { return "older".into() };
    let (release, is_release) = (step / 2, step % 2 == 1);
    let (major, minor, patch) = (4 + release / 100, release / 10 % 10, release % 10);
    if major > LAST_MAJOR {
        return "higher_version".into();
    }
    format!("v{major}_{minor}_{patch}{}", if is_release { "" } else { "_snapshot" }).into()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_are_releases() {
        // Ordinals of RocketMQ's MQVersion.Version.
        for (ordinal, name) in [
            (SERVER_VERSION, "v5_3_3"),
            (232, "v4_1_0_snapshot"),
            (212, "v4_0_0_snapshot"),
            (211, "older"),
            (0, "older"),
            (-7, "older"),
            (i32::MIN, "older"),
            (i32::MAX, "higher_version"),
        ] {
            assert_eq!(release_name(ordinal), name, "{ordinal}");
        }
    }
}
