//! Metric sources of a store; a registry above reads them.

use gantry_base::metric::{Counter, Family, Gauge, Sink, Unit};

use crate::{health::Health, store::Store};

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

static FLUSH_TIME: Family =
    Family::counter("gantry_store_flush_seconds_total", "Time spent in flushes of the log.").counted_in(Unit::Seconds);
static RETENTION_TIME: Family =
    Family::counter("gantry_store_retention_seconds_total", "Time spent in passes of retention.")
        .counted_in(Unit::Seconds);
static LOG_BYTES: Family =
    Family::gauge("gantry_store_log_bytes", "Bytes of the log that are kept.").counted_in(Unit::Bytes);
static DISK_USED: Family =
    Family::gauge("gantry_disk_used_percent", "Share of the disk in use, by whomever; -1 when the disk does not say.");
static DAMAGES: Family = Family::gauge("gantry_store_damages", "Places of the log that are known to be damaged.");
static HEALTHY: Family =
    Family::gauge("gantry_store_healthy", "1 while the log takes appends, 0 after a disk error ended it.");

impl Store {
    /// Tells what it counts.
    pub fn collect(&self, out: &mut dyn Sink) {
        let metrics = self.metrics();
        metrics.collect(out);
        let kept = self.appended().get().saturating_sub(self.min_physical_offset().0);
        out.number(&LOG_BYTES, &[], kept as f64);
        out.gauge(&DISK_USED, &metrics.disk_used_percent);
        out.number(&DAMAGES, &[], self.damages_len() as f64);
        out.number(&HEALTHY, &[], f64::from(u8::from(self.health() == Health::Healthy)));
    }
}

impl StoreMetrics {
    fn collect(&self, out: &mut dyn Sink) {
        out.number(&FLUSH_TIME, &[], self.flush_us.get() as f64 / 1e6);
        out.number(&RETENTION_TIME, &[], self.retention_us.get() as f64 / 1e6);
        for (family, counter) in [
            (
                Family::counter("gantry_store_appended_messages_total", "Records appended to the log."),
                &self.appended_messages,
            ),
            (Family::counter("gantry_store_appended_bytes_total", "Bytes appended to the log."), &self.appended_bytes),
            (
                Family::counter("gantry_store_refused_full_total", "Appends refused for want of space."),
                &self.refused_full,
            ),
            (
                Family::counter(
                    "gantry_store_refused_pressure_total",
                    "Appends refused because the disk is over retention.disk_refuse_percent.",
                ),
                &self.refused_pressure,
            ),
            (
                Family::counter(
                    "gantry_store_segments_made_late_total",
                    "Files of the log that an append had to make itself.",
                ),
                &self.segments_made_late,
            ),
            (Family::counter("gantry_store_flushes_total", "Flushes of the log."), &self.flushes),
            (
                Family::counter("gantry_store_dispatched_messages_total", "Entries written to consume queues."),
                &self.dispatched_messages,
            ),
            (
                Family::counter("gantry_store_queue_files_opened_total", "Consume queue files opened."),
                &self.queue_files_opened,
            ),
            (
                Family::counter("gantry_store_queue_files_closed_total", "Consume queue files closed to open others."),
                &self.queue_files_closed,
            ),
            (Family::counter("gantry_store_checkpoints_total", "Checkpoints made."), &self.checkpoints),
            (Family::counter("gantry_store_retention_passes_total", "Passes of retention."), &self.retention_passes),
            (
                Family::counter("gantry_store_segments_deleted_total", "Files of the log deleted."),
                &self.segments_deleted,
            ),
            (Family::counter("gantry_store_deleted_bytes_total", "Bytes of the log deleted."), &self.deleted_bytes),
            (Family::counter("gantry_store_index_keys_total", "Keys put into the index."), &self.index_keys),
            (
                Family::counter("gantry_store_index_lags_total", "Times that the index fell behind dispatch."),
                &self.index_lags,
            ),
            (Family::counter("gantry_store_index_damaged_total", "Index files found damaged."), &self.index_damaged),
            (
                Family::counter(
                    "gantry_store_failed_checks_total",
                    "Reads that met bytes which do not fit each other.",
                ),
                &self.failed_checks,
            ),
            (
                Family::counter(
                    "gantry_store_entries_corrected_total",
                    "Consume queue entries that were wrong and are right again.",
                ),
                &self.entries_corrected,
            ),
            (
                Family::counter("gantry_store_scrubbed_bytes_total", "Bytes looked at for damage in the background."),
                &self.scrubbed_bytes,
            ),
            (
                Family::counter("gantry_store_scrub_passes_total", "Times that everything was looked at for damage."),
                &self.scrub_passes,
            ),
            (
                Family::counter(
                    "gantry_store_skipped_reads_total",
                    "Damaged messages that a read passed over, because an operator gave them up.",
                ),
                &self.skipped_reads,
            ),
        ] {
            out.counter(&family, counter);
        }
    }
}
