//! Metric sources of a store; a registry above reads them.

use gantry_base::metric::{Counter, Gauge};

/// Counts since the store was opened.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Records appended.
    pub appended_messages: Counter,
    /// Bytes appended, blanks included.
    pub appended_bytes: Counter,
    /// Appends refused for want of space.
    pub refused_full: Counter,
    /// Appends refused because the disk is over `disk_refuse_percent`.
    pub refused_pressure: Counter,
    /// Segments that an append had to make itself because none was ready: each is a pause of milliseconds.
    pub segments_made_late: Counter,
    /// Flushes of the log.
    pub flushes: Counter,
    /// Time spent in them, in microseconds.
    pub flush_us: Counter,
    /// Entries written to consume queues.
    pub dispatched_messages: Counter,
    /// Consume queue files opened.
    pub queue_files_opened: Counter,
    /// Consume queue files closed to open others. When it grows about as fast as pulls come, a larger
    /// [`queue_files_open_max`](crate::Options::queue_files_open_max) saves work.
    pub queue_files_closed: Counter,
    /// Checkpoints made.
    pub checkpoints: Counter,
    /// Passes of retention.
    pub retention_passes: Counter,
    /// Time spent in them, in microseconds.
    pub retention_us: Counter,
    /// Segments of the log deleted.
    pub segments_deleted: Counter,
    /// Bytes of them.
    pub deleted_bytes: Counter,
    /// Share of the disk in use, in percent, by whomever; -1 when the disk does not say.
    pub disk_used_percent: Gauge,
    /// Keys put into the index.
    pub index_keys: Counter,
    /// How often the index fell behind dispatch: a file was full, or slots or space were missing.
    pub index_lags: Counter,
    /// Index files found damaged; they are built again from the log.
    pub index_damaged: Counter,
    /// Reads that met bytes which do not fit each other, entry or record; each was looked into.
    pub failed_checks: Counter,
    /// Consume queue entries that were wrong and are right again.
    pub entries_corrected: Counter,
    /// Bytes that were looked at for damage in the background.
    pub scrubbed_bytes: Counter,
    /// Times that everything was looked at.
    pub scrub_passes: Counter,
    /// Damaged messages that a read passed over, because an operator gave them up.
    pub skipped_reads: Counter,
}
