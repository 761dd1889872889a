//! The threads of a store: flusher, dispatcher and keeper; retention has one of its own, and so has the look for damage.
//!
//! Each follows a watermark at its own pace. All end when `appended` or `visible` closes: at shutdown, or after a failure.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{dispatch::DispatchError, index::Progress, inner::Inner, options::Flush, retention, scrub};

/// How long a thread waits for its watermark before it looks around; nothing depends on it.
const IDLE: Duration = Duration::from_secs(3600);
/// Under load the dispatcher lets appends gather for this long, so that one look at the log and one write a queue serve many
/// of them; a message that comes alone is dispatched at once.
const GATHER: Duration = Duration::from_micros(500);
/// Consume queues without space are tried again this often.
const FULL_RETRY: Duration = Duration::from_millis(200);

pub(crate) fn start(inner: &Arc<Inner>) -> std::io::Result<Vec<JoinHandle<()>>> {
    let spawn = |name: &str, run: fn(&Inner)| {
        let inner = inner.clone();
        std::thread::Builder::new().name(format!("store-{name}")).spawn(move || {
            let watched = Watched(&inner);
            run(watched.0);
        })
    };
    let mut threads = vec![
        spawn("flush", flush)?,
        spawn("dispatch", dispatch)?,
        spawn("keep", keep)?,
        spawn("index", index)?,
        spawn("retain", retention::follow)?,
    ];
    if inner.options.scrub_bytes_per_s > 0 {
        threads.push(spawn("scrub", scrub::follow)?);
    }
    Ok(threads)
}

/// Stops the log when its thread panics: nobody would move its position any more, and everybody who waits for it would
/// wait for ever.
struct Watched<'a>(&'a Inner);

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(&"a thread of the store panicked; this is a fault of Gantry, please report it with the log");
        }
    }
}

fn flush(inner: &Inner) {
    let marks = &inner.marks;
    loop {
        let waited = match inner.options.flush {
            Flush::Sync => marks.appended.wait_blocking(marks.flushed.get() + 1, IDLE),
            Flush::Async { interval_ms } => {
                let much = marks.flushed.get() + inner.options.async_dirty_max_bytes;
                marks.appended.wait_blocking(much, Duration::from_millis(interval_ms))
            }
        };
        // After a failure positions may still have been reached: that must not make a busy loop.
        if waited.is_err() || inner.flush().is_err() || inner.pulse.failure().is_some() {
            return;
        }
    }
}

fn dispatch(inner: &Inner) {
    let mut full_since: Option<Instant> = None;
    let mut last_news = Instant::now();
    loop {
        match inner.dispatch() {
            Ok(true) => {
                if let Some(since) = full_since.take() {
                    tracing::info!(waited_ms = since.elapsed().as_millis() as u64, "consume queues have space again");
                }
            }
            Ok(false) if inner.pulse.failure().is_some() => return,
            Ok(false) => {
                let next = inner.marks.dispatched.get() + 1;
                if inner.marks.visible.wait_blocking(next, IDLE).is_err() {
                    return;
                }
                if last_news.elapsed() < 2 * GATHER {
                    std::thread::sleep(GATHER);
                }
                last_news = Instant::now();
            }
            Err(error @ DispatchError::Full(_)) => {
                if full_since.is_none() {
                    tracing::error!(%error, "messages stay undelivered until there is space; none is lost");
                    full_since = Some(Instant::now());
                }
                // Waits for nothing but the end of the store.
                if inner.marks.visible.wait_blocking(u64::MAX, FULL_RETRY).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Runs when the index has fallen behind. Far behind it takes half of one processor at most: what it reads is old.
fn index(inner: &Inner) {
    let lags = &inner.index.lags;
    loop {
        let (seen, begun) = (lags.get(), Instant::now());
        let waited = match inner.catch_up_index() {
            Progress::Rests => lags.wait_blocking(seen + 1, IDLE),
            Progress::Full => lags.wait_blocking(u64::MAX, FULL_RETRY),
            Progress::Moved if inner.index.is_level() => lags.wait_blocking(seen + 1, IDLE),
            Progress::Moved => lags.wait_blocking(u64::MAX, begun.elapsed()),
        };
        if waited.is_err() {
            return;
        }
    }
}

fn keep(inner: &Inner) {
    let options = &inner.options;
    let interval = Duration::from_millis(options.checkpoint_interval_ms.max(1));
    let mut last_checkpoint = Instant::now();
    let mut checkpointed = inner.marks.dispatched.get();
    let mut full = false;
    loop {
        match inner.prepare_ahead() {
            Ok(()) => full = false,
            // Appends say so themselves when it comes to that.
            Err(error) if !full => {
                full = true;
                tracing::warn!(%error, "no space can be reserved ahead of the log");
            }
            Err(_) => {}
        }
        let position = inner.marks.appended.get();
        let step = (options.allocate_ahead_bytes / 4).max(1);
        if inner.marks.appended.wait_blocking(position + step, interval).is_err() || inner.pulse.failure().is_some() {
            return;
        }
        let dispatched = inner.marks.dispatched.get();
        let due = last_checkpoint.elapsed() >= interval || dispatched - checkpointed >= options.checkpoint_bytes;
        if due && dispatched > checkpointed {
            if inner.checkpoint().is_err() {
                return;
            }
            last_checkpoint = Instant::now();
            checkpointed = dispatched;
        } else if due {
            // Nothing comes: what the index keeps in memory goes to its file.
            inner.index.checkpoint(true);
        }
    }
}
