//! The process itself, under the names that Prometheus' own libraries use, from Linux's `/proc`.

use std::fs;

use gantry_base::metric::{Family, Sink, Unit};

static CPU: Family = Family::counter("process_cpu_seconds_total", "Processor time used, by the process and for it.")
    .counted_in(Unit::Seconds);
static RESIDENT: Family =
    Family::gauge("process_resident_memory_bytes", "Memory in use that is not swapped out.").counted_in(Unit::Bytes);
static VIRTUAL: Family = Family::gauge("process_virtual_memory_bytes", "Address space in use.").counted_in(Unit::Bytes);
static STARTED: Family = Family::gauge("process_start_time_seconds", "When the process began, in seconds since 1970.")
    .counted_in(Unit::Seconds);
static THREADS: Family = Family::gauge("process_threads", "Threads.");
static OPEN_FILES: Family = Family::gauge("process_open_fds", "Open files and sockets.");
static OPEN_FILES_MAX: Family = Family::gauge("process_max_fds", "How many may be open.");

/// The process that this code runs in.
#[derive(Debug, Clone)]
pub struct Process {
    started_ms: u64,
}

impl Process {
    /// It began at `started_ms`, ms since 1970.
    pub fn new(started_ms: u64) -> Self {
        Process { started_ms }
    }

    /// Tells what the system says of it; what the system does not say is left out.
    pub fn collect(&self, out: &mut dyn Sink) {
        out.number(&STARTED, &[], self.started_ms as f64 / 1e3);
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
            out.number(&CPU, &[], stat.cpu_ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
            out.number(&THREADS, &[], stat.threads as f64);
            out.number(&VIRTUAL, &[], stat.virtual_bytes as f64);
            out.number(&RESIDENT, &[], stat.resident_pages as f64 * rustix::param::page_size() as f64);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the listing's own.
            out.number(&OPEN_FILES, &[], open.count().saturating_sub(1) as f64);
        }
        if let Some(limit) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
            out.number(&OPEN_FILES_MAX, &[], limit as f64);
        }
    }
}

/// What is wanted of `/proc/PID/stat`. Source: proc(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in brackets and may hold anything; the third one follows the last bracket.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Stat {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "42 (a) 1 2 (b) S 1 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 7 0 1234 8192000 300 18446744073709551615 1";
        let expected = Stat { cpu_ticks: 300, threads: 7, virtual_bytes: 8_192_000, resident_pages: 300 };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("42 (a"), None);
        assert_eq!(Stat::parse("42 (a) S 1"), None);
    }
}
