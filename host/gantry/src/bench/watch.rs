//! What is seen while a benchmark runs, and how it is interrupted.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::ProgressBar;

use super::producer::Run;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows the rate on a terminal and stops the run on Ctrl-C, until it is dropped.
pub(crate) struct Watcher {
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    interrupted: Arc<AtomicBool>,
}

impl Watcher {
    pub(crate) fn start(run: &Arc<Run>, what: &'static str) -> Result<Watcher> {
        let (done, interrupted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (run, finished, signalled) = (run.clone(), done.clone(), interrupted.clone());
        let thread = std::thread::Builder::new().name("bench-watch".into()).spawn(move || {
            runtime.block_on(async {
                let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
                let mut last = (Instant::now(), 0);
                while !finished.load(Ordering::Relaxed) {
                    let tick = tokio::time::timeout(LOOK_EVERY, tokio::signal::ctrl_c()).await;
                    if tick.is_ok() {
                        signalled.store(true, Ordering::Relaxed);
                        run.stop.store(true, Ordering::Relaxed);
                        return;
                    }
                    if let Some(bar) = &bar {
                        let now = (Instant::now(), run.stored.load(Ordering::Relaxed));
                        let rate = (now.1 - last.1) as f64 / (now.0 - last.0).as_secs_f64();
                        bar.set_message(format!("{what}: {} messages, {rate:.0} a second", now.1));
                        bar.tick();
                        last = now;
                    }
                }
                if let Some(bar) = bar {
                    bar.finish_and_clear();
                }
            });
        })?;
        Ok(Watcher { done, thread: Some(thread), interrupted })
    }

    /// Whether Ctrl-C ended the run.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only shows; its panic would change no result.
            let _ = thread.join();
        }
    }
}
