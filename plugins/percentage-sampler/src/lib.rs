//! Delivers a share of the messages, always the same ones: a canary group sees 5 % of the customers, and all of their messages.
//!
//! | parameter | default | |
//! |---|---|---|
//! | `percent` | (must be given) | the share, 0 to 100, with decimals as you like |
//! | `property` | the keys | the property that holds the key; without it the message's keys as one text |
//! | `salt` | empty | another salt chooses other keys, so that two canaries do not fall on the same customers |
//! | `rest` | `false` | `true`: delivers exactly the messages that the same filter without it does not |
//!
//! As `wasm('percentage-sampler', '5')` in a subscription the argument is `percent`.
//!
//! A key is in the sample when `fraction(stable_hash(salt + key)) < percent / 100`, with both functions of `gantry_plugin_sdk::hash`,
//! which never change: the choice outlives restarts, other brokers and later versions of this plugin, and a larger share keeps
//! every key of a smaller one. In Python:
//!
//! ```python
//! def is_sampled(key: bytes, percent: float, salt: bytes = b"") -> bool:
//!     h = 0xcbf29ce484222325                                  # FNV-1a, 64 bits
//!     for byte in salt + key:
//!         h = (h ^ byte) * 0x100000001b3 % 2**64
//!     h = (h ^ h >> 33) * 0xff51afd7ed558ccd % 2**64          # MurmurHash3's finaliser
//!     h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53 % 2**64
//!     h = h ^ h >> 33
//!     return (h >> 11) / 2**53 < percent / 100
//! ```
//!
//! A message without a key is in no sample; it belongs to the rest.

use gantry_plugin_sdk::{
    hash::{fraction, stable_hash},
    prelude::*,
};

struct PercentageSampler {
    property: Option<String>,
    salt: Vec<u8>,
    /// From 0 to 1.
    share: f64,
    rest: bool,
}

#[filter]
impl Filter for PercentageSampler {
    type Row<'m> = Cells<'m>;

    fn open(subscription: &Subscription) -> Result<Self, String> {
        subscription.expect_only(&["percent", "property", "salt", "rest", "arg"])?;
        let percent = match (subscription.param("arg"), subscription.param("percent")) {
            (Some(_), _) => subscription.parse("arg")?,
            (None, Some(_)) => subscription.parse("percent")?,
            (None, None) => None,
        };
        let percent: f64 = percent.ok_or("the parameter `percent` is missing")?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("`percent` is {percent}, expected 0 to 100"));
        }
        let rest = subscription.parse("rest")?.unwrap_or(false);
        let salt = subscription.param("salt").unwrap_or_default().as_bytes().to_vec();
        let property = subscription.param("property").map(str::to_owned);
        Ok(PercentageSampler { property, salt, share: percent / 100.0, rest })
    }

    fn columns(&self) -> Vec<Column> {
        let source = match &self.property {
            Some(name) => Source::Property(name.clone()),
            None => Source::System(SystemField::Keys),
        };
        vec![Column { source, shape: Shape::Text }]
    }

    fn keep(&self, row: &Cells<'_>) -> bool {
        let is_sampled = row.bytes(0).is_some_and(|key| self.takes(key));
        is_sampled != self.rest
    }
}

impl PercentageSampler {
    fn takes(&self, key: &[u8]) -> bool {
        let hash = match self.salt.as_slice() {
            [] => stable_hash(key),
            salt => stable_hash(&[salt, key].concat()),
        };
        fraction(hash) < self.share
    }
}

#[cfg(test)]
mod tests;
