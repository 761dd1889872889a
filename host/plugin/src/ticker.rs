//! The clock that bounds guests: raises the engine's epoch every millisecond, but only while some guest runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use wasmtime::Engine;

/// One tick of the epoch.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// Idle ticks before it rests, so that a steady trickle of calls does not wake a thread for each of them.
const LINGER_TICKS: u32 = 10;

/// Owner of the ticking thread; dropping it ends the thread.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    in_flight: AtomicUsize,
    resting: AtomicBool,
    stopped: AtomicBool,
}

/// While it lives, epochs pass.
pub(crate) struct InFlight<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ticking = shared.clone();
        let thread = thread::Builder::new().name("plugin-epoch".into()).spawn(move || ticking.run(&engine))?;
        Ok(Ticker { shared, thread: Some(thread) })
    }

    /// To be held around every call into a guest.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        self.shared.in_flight.fetch_add(1, SeqCst);
        // Either this sees that the thread rests, or the thread sees the call before it rests: both orders are total.
        if self.shared.resting.load(SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
        InFlight(&self.shared)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stopped.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Only a panic of the ticking loop makes an error, and it has been reported by then.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, engine: &Engine) {
        let mut idle_ticks = 0;
        while !self.stopped.load(SeqCst) {
            idle_ticks = if self.in_flight.load(SeqCst) > 0 { 0 } else { idle_ticks + 1 };
            if idle_ticks > LINGER_TICKS {
                self.rest();
                idle_ticks = 0;
            }
            thread::sleep(TICK);
            engine.increment_epoch();
        }
    }

    fn rest(&self) {
        self.resting.store(true, SeqCst);
        while self.in_flight.load(SeqCst) == 0 && !self.stopped.load(SeqCst) {
            thread::park();
        }
        self.resting.store(false, SeqCst);
    }
}
