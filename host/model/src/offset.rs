//! The two kinds of offset, as types that cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! offset {
    ($(#[$doc:meta])* $name:ident, $step:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            #[doc = concat!("This offset moved on by `count` ", $step, ".")]
            #[must_use]
            pub const fn plus(self, count: u64) -> Self {
                $name(self.0 + count)
            }

            /// The value of the wire's signed 64-bit field; offsets beyond `i64::MAX` cannot occur (8 EiB).
            pub const fn to_wire(self) -> i64 {
                self.0 as i64
            }

            /// The offset of a wire field; `None` when it is negative.
            pub const fn from_wire(value: i64) -> Option<Self> {
                if value < 0 { None } else { Some($name(value as u64)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

offset! {
    /// Nth message of one queue, counted from 0.
    QueueOffset, "messages"
}
offset! {
    /// Byte in the commit log, counted from the first byte ever written.
    PhysicalOffset, "bytes"
}
