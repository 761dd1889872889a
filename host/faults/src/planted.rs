//! The test of the test: bugs that are compiled into the store on purpose, and what of the campaign notices each.
//!
//! Nothing is made for a single bug: each goes through the parts of a slice until the oracle protests.

use std::time::{Duration, Instant};

use gantry_store::{PlantedBug, with_planted};

use crate::campaign::Part;

/// A bug and what it breaks.
#[derive(Debug, Clone, Copy)]
pub struct Planted {
    /// The bug.
    pub bug: PlantedBug,
    /// What goes wrong with it, in a few words.
    pub breaks: &'static str,
}

/// What noticed a bug.
#[derive(Debug, Clone)]
pub struct Noticed {
    /// Name of the part.
    pub part: &'static str,
    /// Number of the trial, to replay it.
    pub trial: u64,
    /// Trials until then, those of earlier parts included.
    pub after: u64,
    /// What the oracle said.
    pub violation: String,
    /// How long it took.
    pub elapsed: Duration,
}

/// Trials of each part that are run before more of any.
const TRIALS_FIRST: u64 = 400;

/// Every bug.
pub const ALL: &[Planted] = &[
    planted(PlantedBug::SkipSync, "acknowledged messages of the segment before are lost"),
    planted(PlantedBug::AcknowledgeEarly, "acknowledged messages that the sync did not reach are lost"),
    planted(PlantedBug::RetrySync, "messages that the kernel dropped after a failed sync are acknowledged"),
    planted(PlantedBug::SkipCrc, "torn records are served"),
    planted(PlantedBug::SkipPropertyCrc, "records with torn properties are served"),
    planted(PlantedBug::CutOffByOne, "the last acknowledged record is cut off"),
    planted(PlantedBug::LeaveBehindEnd, "records of an earlier life follow the new ones"),
    planted(PlantedBug::CutSyncedOnce, "what was cut off comes back with the next power loss"),
    planted(PlantedBug::KeepLaterSegments, "segments of an earlier life follow the new ones"),
    planted(PlantedBug::SkipRecoverySync, "what recovery found and announced is lost with the next power loss"),
    planted(PlantedBug::SkipRewrite, "pages that a failed sync left clean never reach the disk"),
    planted(PlantedBug::SkipSegmentNameSync, "a segment with acknowledged messages has no name after a power loss"),
    planted(PlantedBug::CrashTakenForStop, "nothing is cut and nothing synced after a crash"),
    planted(PlantedBug::DispatchPastVisible, "a consumer has seen what a power loss takes back"),
    planted(PlantedBug::AppendedBeforeWrite, "a refused message is acknowledged"),
    planted(PlantedBug::KeepRefusedOffsets, "a queue has a gap behind a refused message"),
    planted(PlantedBug::LeaveLitter, "refused messages rise after a crash"),
    planted(PlantedBug::IgnoreFull, "messages that found no space are acknowledged"),
    planted(PlantedBug::ShortBlank, "recovery does not find the next segment"),
    planted(PlantedBug::EndBeforeEntries, "a consumer finds no entry below a queue's end"),
    planted(PlantedBug::TruncateOffByOne, "a queue loses its last entry after a crash"),
    planted(PlantedBug::BelieveHalfEntry, "a torn entry counts as one, and the queue's end is wrong"),
    planted(PlantedBug::CheckpointBeforeQueues, "entries before the checkpoint are lost"),
    planted(PlantedBug::CheckpointTorn, "entries are counted that no record of the log stands for"),
    planted(PlantedBug::ForgetClosedQueueFile, "entries in queue files that were closed before their sync are lost"),
    planted(PlantedBug::SkipQueueSync, "entries before the checkpoint are lost"),
    planted(PlantedBug::SkipQueueNameSync, "queue files before the checkpoint are lost"),
    planted(PlantedBug::ForgetUnsynced, "entries of one queue before the checkpoint are lost"),
    planted(PlantedBug::CheckpointPastFlushed, "recovery begins behind the end of the log"),
    planted(PlantedBug::TrustEntries, "a consumer by tag passes over a message whose entry has a flipped bit"),
    planted(PlantedBug::MarkBeforeEntries, "keys of durable messages are not found"),
    planted(PlantedBug::TrustKeyHash, "messages with other keys are found"),
    planted(PlantedBug::RaiseDead, "messages of a deleted topic rise"),
    planted(PlantedBug::KeepTombstonePosition, "messages of a topic made anew are taken for deleted"),
    planted(PlantedBug::ReplaceInPlace, "the store does not open: its list of deletions is torn"),
    planted(PlantedBug::RemoveBeforeTombstone, "half a topic is deleted"),
];

const fn planted(bug: PlantedBug, breaks: &'static str) -> Planted {
    Planted { bug, breaks }
}

/// Runs the parts of a slice with the bug planted until one protests that does not without it: some trials of each, then the rest.
pub fn notice(bug: PlantedBug, parts: &[Part]) -> Option<Noticed> {
    let begun = Instant::now();
    let mut after = 0;
    for rest in [false, true] {
        for part in parts {
            let some = part.trials.min(TRIALS_FIRST);
            let trials = if rest { some..part.trials } else { 0..some };
            for trial in trials.map(|index| part.first + index) {
                after += 1;
                let Err(violation) = with_planted(bug, || part.trial(trial)) else { continue };
                if part.trial(trial).is_ok() {
                    return Some(Noticed { part: part.name, trial, after, violation, elapsed: begun.elapsed() });
                }
            }
        }
    }
    None
}
