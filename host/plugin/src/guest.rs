//! What a guest can reach: its limits, the log, its counters, and the batch that it is judging.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_base::clock::Clock;
use gantry_model::message::MessageView;
use parking_lot::Mutex;

use crate::{
    limits::{Deadline, Limits},
    wit::filter::gantry::plugin::{
        host::{self, Level},
        message_access,
    },
};

/// Longest line of a guest in the log; the rest is cut.
pub(crate) const LOG_LINE_MAX_BYTES: usize = 1024;
/// Lines of one plugin in the log within [`LOG_WINDOW`]; more are counted and dropped.
const LOG_LINES_MAX: u32 = 100;
const LOG_WINDOW: Duration = Duration::from_secs(10);
/// Names that one plugin may count under.
const COUNTERS_MAX: usize = 64;
const COUNTER_NAME_MAX_BYTES: usize = 64;

/// The messages of the batch being judged on this thread. A guest runs on the thread that calls it, so that lazy access
/// needs neither a copy of the batch nor a lifetime in the store.
#[derive(Clone, Copy)]
pub(crate) struct Judged<'a> {
    pub(crate) messages: &'a [MessageView<'a>],
    /// Index of each message of the batch in `messages`.
    pub(crate) picked: &'a [usize],
}

scoped_tls_hkt::scoped_thread_local!(pub(crate) static JUDGED: for<'a> Judged<'a>);

/// Data of one store.
pub(crate) struct Guest {
    pub(crate) limits: Limits,
    pub(crate) deadline: Deadline,
    /// What the guest last logged as an error, usually the text of the panic that follows as a trap.
    pub(crate) last_error: Option<String>,
    shared: Arc<Shared>,
}

/// What all instances of one plugin share.
pub(crate) struct Shared {
    plugin: Arc<str>,
    clock: Clock,
    lines: Mutex<Lines>,
    counters: Mutex<BTreeMap<String, u64>>,
}

struct Lines {
    since: Instant,
    written: u32,
    dropped: u64,
}

impl Guest {
    pub(crate) fn new(shared: Arc<Shared>, memory_limit_bytes: u64) -> Self {
        let (limits, deadline) = (Limits::new(memory_limit_bytes), Deadline::default());
        Guest { limits, deadline, last_error: None, shared }
    }
}

impl Shared {
    pub(crate) fn new(plugin: Arc<str>) -> Self {
        let lines = Mutex::new(Lines { since: Instant::now(), written: 0, dropped: 0 });
        Shared { plugin, clock: Clock::system(), lines, counters: Mutex::default() }
    }

    /// The same plugin's, for a trial: what its instances log and count there is not seen.
    pub(crate) fn apart(&self) -> Self {
        let silent = Lines { since: Instant::now(), written: LOG_LINES_MAX, dropped: 0 };
        Shared { lines: Mutex::new(silent), ..Shared::new(self.plugin.clone()) }
    }

    pub(crate) fn counters(&self) -> BTreeMap<String, u64> {
        self.counters.lock().clone()
    }

    /// Whether one more line may be written; the first of a window also says how many were dropped before it.
    fn admit_line(&self) -> bool {
        let mut lines = self.lines.lock();
        if lines.since.elapsed() >= LOG_WINDOW {
            if lines.dropped > 0 {
                tracing::warn!(
                    plugin = &*self.plugin,
                    dropped = lines.dropped,
                    "the plugin logs too much, lines were dropped"
                );
            }
            *lines = Lines { since: Instant::now(), written: 0, dropped: 0 };
        }
        if lines.written < LOG_LINES_MAX {
            lines.written += 1;
            return true;
        }
        lines.dropped += 1;
        false
    }
}

impl host::Host for Guest {
    fn log(&mut self, level: Level, message: String) {
        let line = cut(&message, LOG_LINE_MAX_BYTES);
        if level == Level::Error {
            self.last_error = Some(line.to_owned());
        }
        if !self.shared.admit_line() {
            return;
        }
        let plugin = &*self.shared.plugin;
        match level {
            Level::Debug => tracing::debug!(plugin, "{line}"),
            Level::Info => tracing::info!(plugin, "{line}"),
            Level::Warn => tracing::warn!(plugin, "{line}"),
            Level::Error => tracing::error!(plugin, "{line}"),
        }
    }

    fn now_millis(&mut self) -> u64 {
        self.shared.clock.now_ms()
    }

    fn count(&mut self, name: String, delta: u64) {
        let mut counters = self.shared.counters.lock();
        if let Some(counter) = counters.get_mut(&name) {
            *counter = counter.saturating_add(delta);
        } else if counters.len() < COUNTERS_MAX && !name.is_empty() && name.len() <= COUNTER_NAME_MAX_BYTES {
            counters.insert(name, delta);
        }
    }
}

impl message_access::Host for Guest {
    fn body(&mut self, index: u32, offset: u32, max_len: u32) -> Vec<u8> {
        let part = |message: &MessageView<'_>| {
            let rest = message.body.get(offset as usize..).unwrap_or_default();
            rest[..rest.len().min(max_len as usize)].to_vec()
        };
        judged(index, part).unwrap_or_default()
    }

    fn property(&mut self, index: u32, name: String) -> Option<String> {
        judged(index, |message| message.property(&name).map(str::to_owned)).flatten()
    }
}

impl crate::wit::shapes::Host for Guest {}
impl crate::wit::balancer::gantry::plugin::types::Host for Guest {}
impl crate::wit::metric::gantry::plugin::types::Host for Guest {}
impl crate::wit::alert::gantry::plugin::types::Host for Guest {}

fn judged<R>(index: u32, read: impl FnOnce(&MessageView<'_>) -> R) -> Option<R> {
    if !JUDGED.is_set() {
        return None;
    }
    JUDGED.with(|batch| {
        let message = *batch.picked.get(index as usize)?;
        batch.messages.get(message).map(read)
    })
}

/// At most `max` bytes of `text`, on a character's edge; control characters would let a guest forge log lines.
pub(crate) fn cut(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Guest {
        Guest::new(Arc::new(Shared::new("p".into())), 1 << 20)
    }

    #[test]
    fn guests_cannot_fill_the_log_or_the_counters() {
        use crate::wit::filter::gantry::plugin::host::Host as _;
        let mut guest = guest();
        for line in 0..1_000 {
            guest.log(Level::Debug, format!("line {line}"));
            guest.count(format!("c{line}"), 1);
        }
        guest.count("c0".into(), u64::MAX);
        guest.count("n".repeat(65), 1);
        let lines = guest.shared.lines.lock();
        assert_eq!((lines.written, lines.dropped), (LOG_LINES_MAX, 900));
        let counters = guest.shared.counters();
        assert_eq!((counters.len(), counters["c0"]), (COUNTERS_MAX, u64::MAX));
    }

    #[test]
    fn lines_are_cut_on_characters_and_stay_one_line() {
        assert_eq!(cut("aä\nb", 2), "a");
        assert_eq!(cut("aä\nb", 4), "aä ");
    }

    #[test]
    fn without_a_batch_lazy_access_is_empty() {
        use crate::wit::filter::gantry::plugin::message_access::Host as _;
        assert_eq!((guest().body(0, 0, 10), guest().property(0, "p".into())), (Vec::new(), None));
    }
}
