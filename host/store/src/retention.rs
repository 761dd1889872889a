//! Retention: which part of the log may go, and when.
//!
//! The store alone decides what is to be deleted, and says so ahead through a watermark,
//! [`Store::expiring`](crate::Store::expiring). Whoever still needs records holds them: a [`Hold`] is a position that its
//! owner moves on, and no segment that reaches past any of them is deleted, however full the disk is.

mod pass;
mod policy;
mod pressure;

use std::{fmt, sync::Arc};

use gantry_base::{disk::Space, watermark::Watermark};

pub(crate) use self::{
    pass::{Keeping, follow},
    pressure::Pressure,
};

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

/// What is kept, and for how long. All of it is about whole segments of the log, oldest first; the one that is being written
/// always stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionOptions {
    /// A segment goes when its newest record is older, in ms; 0 = age deletes nothing. Default 72 h, RocketMQ's
    /// `fileReservedTime`. RocketMQ asks the file's time of modification; here it is the store time of the record that
    /// followed the segment's last one, which copying the files does not change.
    pub age_ms: u64,
    /// Most bytes of the commit log that are kept; 0 = no bound, the default.
    pub size_bytes: u64,
    /// Local hours of the day in which age deletes; empty = any. Default 4 o'clock, RocketMQ's `deleteWhen`.
    pub hours: Vec<u8>,
    /// From this use of the disk on, in percent, what is old goes at any hour; default 75, RocketMQ's `diskMaxUsedSpaceRatio`.
    pub disk_clean_percent: u8,
    /// From this use on segments go whatever their age; default 85, RocketMQ's `diskSpaceCleanForciblyRatio`.
    pub disk_force_percent: u8,
    /// From this use on appends are refused; default 90, RocketMQ's `diskSpaceWarningLevelRatio`.
    pub disk_refuse_percent: u8,
    /// Segments that one pass deletes at most; default 10.
    pub segments_per_pass_max: u32,
    /// Time between two passes in ms; default 10000.
    pub interval_ms: u64,
}

impl Default for RetentionOptions {
    fn default() -> Self {
        RetentionOptions {
            age_ms: 72 * 3_600_000,
            size_bytes: 0,
            hours: vec![4],
            disk_clean_percent: 75,
            disk_force_percent: 85,
            disk_refuse_percent: 90,
            segments_per_pass_max: 10,
            interval_ms: 10_000,
        }
    }
}

impl RetentionOptions {
    pub(crate) fn check(&self) -> Result<(), String> {
        let levels = [self.disk_clean_percent, self.disk_force_percent, self.disk_refuse_percent];
        if levels.iter().any(|level| !(levels[0].max(1)..=101).contains(level)) {
            return Err(format!(
                "disk_clean_percent, disk_force_percent and disk_refuse_percent are {levels:?}, they must be from 1 to 101, the \
                 latter two not below the first"
            ));
        }
        if let Some(hour) = self.hours.iter().find(|hour| **hour > 23) {
            return Err(format!("delete_hours has {hour}, hours are 0 to 23"));
        }
        if self.segments_per_pass_max == 0 || self.interval_ms == 0 {
            return Err("segments_per_pass_max and interval_ms must be at least 1".to_owned());
        }
        Ok(())
    }
}

/// Why segments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// They are old, and it is the hour.
    Age,
    /// The log is over its size.
    Size,
    /// They are old, and the disk is over `disk_clean_percent`.
    DiskClean,
    /// The disk is over `disk_force_percent`.
    DiskForced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Age => "old",
            Reason::Size => "over the log's size",
            Reason::DiskClean => "old, and the disk is over disk_clean_percent",
            Reason::DiskForced => "the disk is over disk_force_percent",
        })
    }
}

/// What retention does, for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetentionStatus {
    /// First byte of the log that is kept.
    pub min: u64,
    /// Up to where the log is to be deleted; over `min` when something holds it.
    pub expiring: u64,
    /// What everybody holds: name and position.
    pub holds: Vec<(&'static str, u64)>,
    /// Whose hold kept the last pass from deleting what was due.
    pub held_by: Option<&'static str>,
    /// How full the disk was when it was last asked, every second.
    pub space: Option<Space>,
    /// Why appends are refused.
    pub refusing: Option<Arc<str>>,
}
