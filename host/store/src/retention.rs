//! Retention: which part of the log may go, and when.
//!
//! The store alone decides what is to be deleted, and says so ahead through a watermark,
//! [`Store::expiring`](crate::Store::expiring). Whoever still needs records holds them: a [`Hold`] is a position that its
//! owner moves on, and no segment that reaches past any of them is deleted, however full the disk is.

use gantry_base::watermark::Watermark;

/// A part of the log that its owner still needs: everything from `position` on.
///
/// The owner advances the position when it is done with what lies before, durably: a segment goes for good. A hold that
/// stands still keeps the log from being shortened, and is named when the disk is in need.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Who holds, in words for an operator: "timers", "consumer offsets".
    pub name: &'static str,
    /// First byte of the log that is needed.
    pub position: Watermark,
}

impl Hold {
    /// A hold at `position`.
    pub fn new(name: &'static str, position: Watermark) -> Self {
        Hold { name, position }
    }
}
