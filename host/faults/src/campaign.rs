//! Running many trials on all cores, with progress, counts and the command that replays what went wrong.

use std::{
    collections::BTreeMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// A part stops after so many violations: one is enough to look at.
const VIOLATIONS_MAX: usize = 3;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// What trials did, by name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// One of something.
    pub fn one(what: &'static str) -> Self {
        let mut tally = Tally::default();
        tally.add(what, 1);
        tally
    }

    /// Counts.
    pub fn add(&mut self, what: &'static str, count: u64) {
        *self.0.entry(what).or_default() += count;
    }

    /// The count of something; 0 when there was none.
    pub fn get(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    fn merge(&mut self, other: Tally) {
        for (what, count) in other.0 {
            self.add(what, count);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.0.iter().map(|(what, count)| format!("{what} {count}")).collect();
        f.write_str(&shown.join(", "))
    }
}

/// A part of the campaign: trials by number, each the same whenever it is run.
pub struct Part {
    /// For `--only`.
    pub name: &'static str,
    /// What it does, for the summary.
    pub about: &'static str,
    /// Number of the first trial.
    pub first: u64,
    /// How many there are.
    pub trials: u64,
    /// Runs one; the error is what the oracle found.
    pub run: Box<dyn Fn(u64) -> Result<Tally, String> + Send + Sync>,
}

/// What came of a part.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Trials that were run.
    pub trials: u64,
    /// What they did.
    pub tally: Tally,
    /// Trial and finding.
    pub violations: Vec<(u64, String)>,
    /// Time it took.
    pub elapsed: Duration,
}

impl Part {
    /// Runs every trial on `threads` threads; tells progress to standard error when `loud`.
    pub fn run_all(&self, threads: usize, loud: bool) -> Outcome {
        let begun = Instant::now();
        let (next, done, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let work = || {
            let (mut tally, mut violations) = (Tally::default(), Vec::new());
            let mut told = Instant::now();
            while !stop.load(Ordering::Relaxed) {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.trials {
                    break;
                }
                match self.trial(self.first + index) {
                    Ok(did) => tally.merge(did),
                    Err(violation) => violations.push((self.first + index, violation)),
                }
                if violations.len() >= VIOLATIONS_MAX {
                    stop.store(true, Ordering::Relaxed);
                }
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if loud && told.elapsed() > PROGRESS_EVERY {
                    told = Instant::now();
                    let rate = done as f64 / begun.elapsed().as_secs_f64();
                    eprintln!("  {}: {done} of {} trials, {rate:.0} a second", self.name, self.trials);
                }
            }
            (tally, violations)
        };
        let results: Vec<_> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
            workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
        });
        let mut outcome = Outcome { trials: done.into_inner(), elapsed: begun.elapsed(), ..Outcome::default() };
        for (tally, violations) in results {
            outcome.tally.merge(tally);
            outcome.violations.extend(violations);
        }
        outcome.violations.sort();
        outcome
    }

    /// Runs one trial; a panic is a finding, too.
    pub fn trial(&self, number: u64) -> Result<Tally, String> {
        catch_unwind(AssertUnwindSafe(|| (self.run)(number))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(format!("a panic: {}", text.unwrap_or("of unknown kind")))
        })
    }
}
