//! Faults that a store must not have, compiled in on purpose to show that the campaign notices them.
//!
//! Each sits where an honest mistake would, as a condition of one line. Without the feature `planted-bugs` the condition is a
//! constant `false` and nothing of it is left. Which one is planted is a matter of the thread, so that campaigns can run
//! many stores at once; a stepped store does all its work on its caller's thread.

/// A deliberate fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted-bugs"), allow(unreachable_pub, dead_code, reason = "named at their places"))]
pub enum PlantedBug {
    /// When the log moved to a new segment, the one before is not synced.
    SkipSync,
    /// `flushed` advances before the sync.
    AcknowledgeEarly,
    /// After a failed sync the flusher tries again and believes the second answer.
    RetrySync,
    /// Recovery takes records without checking their checksum.
    SkipCrc,
    /// Recovery takes records whose properties are torn.
    SkipPropertyCrc,
    /// Recovery takes records that were written for another place.
    TakeMisplaced,
    /// Recovery cuts one record too early.
    CutOffByOne,
    /// Recovery does not zero what lies behind the end.
    LeaveBehindEnd,
    /// The cut segment's shorter length is not synced before it grows back.
    CutSyncedOnce,
    /// Segments behind the end of the log stay.
    KeepLaterSegments,
    /// What recovery read is taken for durable.
    SkipRecoverySync,
    /// What recovery read is not written again, as after a failed sync it must be.
    SkipRewrite,
    /// A start after a crash is taken for one after a shutdown.
    CrashTakenForStop,
    /// Dispatch follows `appended` although `visible` is behind.
    DispatchPastVisible,
    /// `appended` advances before the write.
    AppendedBeforeWrite,
    /// A refused append does not give its queue offsets back.
    KeepRefusedOffsets,
    /// What a refused append wrote stays in the file.
    LeaveLitter,
    /// A write that ran out of space counts as done.
    IgnoreFull,
    /// The name of a new segment is not synced.
    SkipSegmentNameSync,
    /// The blank at the end of a segment says that it is shorter than it is.
    ShortBlank,
    /// A queue's end advances before its entries are written.
    EndBeforeEntries,
    /// The last entry of a queue is cut off after a crash.
    TruncateOffByOne,
    /// A queue that ends with half an entry is believed.
    BelieveHalfEntry,
    /// The checkpoint is written before the queues are synced.
    CheckpointBeforeQueues,
    /// The checkpoint counts entries of a piece that is dispatched in part.
    CheckpointTorn,
    /// The checkpoint covers what is dispatched and not flushed.
    CheckpointPastFlushed,
    /// A torn slot of the checkpoint is believed.
    SkipCheckpointCrc,
    /// The checkpoint does not sync the queues.
    SkipQueueSync,
    /// A queue file that was closed before its sync is not synced.
    ForgetClosedQueueFile,
    /// The checkpoint does not sync the names of queue files.
    SkipQueueNameSync,
    /// The last queue written since the last checkpoint is not synced.
    ForgetUnsynced,
    /// Records of a deleted topic are dispatched again.
    RaiseDead,
    /// A deletion covers what is appended where the log was cut.
    KeepTombstonePosition,
    /// The list of deletions is overwritten where it is.
    ReplaceInPlace,
    /// A topic's folder is removed before the deletion is recorded.
    RemoveBeforeTombstone,
    /// The index says that entries are durable before they are.
    MarkBeforeEntries,
    /// Records are found by the hash of a key, whatever their keys are.
    TrustKeyHash,
    /// Retention deletes what a hold still needs.
    IgnoreHold,
    /// Segments go before the queues' minimums move.
    DeleteBeforeMinimum,
    /// A queue's last file goes with its last message.
    RemoveLastQueueFile,
    /// Consume queue entries are not compared with their checksums.
    TrustEntries,
    /// Reads serve records whose checksum is wrong.
    ServeUnchecked,
    /// Reads serve whole records without looking whose they are, nor whether the entries that lead to them are right.
    ServeAnyone,
    /// Reads pass over damaged records that nobody gave up.
    SkipDamaged,
}

#[cfg(feature = "planted-bugs")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<PlantedBug>> = const { std::cell::Cell::new(None) };
}

/// Whether this bug is planted on this thread.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is(bug: PlantedBug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is(_: PlantedBug) -> bool {
    false
}

/// Runs something with a bug planted on this thread; it must not panic.
#[cfg(feature = "planted-bugs")]
pub fn with<T>(bug: PlantedBug, run: impl FnOnce() -> T) -> T {
    PLANTED.set(Some(bug));
    let result = run();
    PLANTED.set(None);
    result
}
