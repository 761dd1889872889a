//! Who is asked, and how often.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use gantry_base::{
    clock::Clock,
    metric::{Counter, Family, Sink, Unit},
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    snapshot::{Collector, Snapshot},
    wants::Wants,
};

static SERIES: Family = Family::gauge("gantry_metrics_series", "Series gathered last.");
static DROPPED: Family = Family::counter(
    "gantry_metrics_dropped_series_total",
    "Series left out, each time that they were gathered, because there are more than telemetry.series_max.",
);
static REPEATED: Family = Family::counter(
    "gantry_metrics_repeated_series_total",
    "Series left out, each time that they were gathered, because they were told before: a mistake of this program.",
);
static FAILED: Family =
    Family::counter("gantry_metrics_failed_sources_total", "Times that a source failed within and was left out.");
static TOOK: Family =
    Family::gauge("gantry_metrics_gather_seconds", "Time that gathering took last.").counted_in(Unit::Seconds);

/// How long a snapshot is shown again instead of gathering anew: what several scrapers and plugins ask for at about the same
/// time is gathered once.
const FRESH_FOR: Duration = Duration::from_millis(250);

/// Bounds of a registry.
#[derive(Debug, Clone)]
pub struct RegistryOptions {
    /// Most series of a snapshot; what is told beyond it is left out and counted.
    pub series_max: usize,
    /// Time.
    pub clock: Clock,
}

/// A source: it tells the sink everything. It runs on a thread that may block, one gathering at a time.
type Source = Box<dyn Fn(&mut dyn Sink) + Send + Sync>;

/// Sources could not be asked: the runtime shuts down.
#[derive(Debug, thiserror::Error)]
#[error("metrics could not be gathered: {0}")]
pub struct GatherError(#[from] tokio::task::JoinError);

/// The sources of a node. Clones are the same one.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    options: RegistryOptions,
    sources: Mutex<Arc<Vec<Registered>>>,
    /// Held while gathering.
    last: tokio::sync::Mutex<Option<(Instant, Arc<Snapshot>)>>,
    about: About,
}

struct Registered {
    labels: Vec<(String, String)>,
    source: Arc<Source>,
}

/// What the registry says of itself.
#[derive(Default)]
struct About {
    dropped: Counter,
    repeated: Counter,
    failed: Counter,
    /// Of the gathering before: series, and seconds that it took.
    last: Mutex<(usize, f64)>,
}

impl Registry {
    /// One without sources.
    pub fn new(options: RegistryOptions) -> Self {
        Registry(Arc::new(Inner {
            options,
            sources: Mutex::default(),
            last: tokio::sync::Mutex::default(),
            about: About::default(),
        }))
    }

    /// Asks `source` from now on. `labels` go in front of those of everything that it tells.
    pub fn register(
        &self,
        labels: impl IntoIterator<Item = (&'static str, String)>,
        source: impl Fn(&mut dyn Sink) + Send + Sync + 'static,
    ) {
        let labels = labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut sources = self.0.sources.lock();
        let mut more: Vec<Registered> = sources.iter().map(Registered::shared).collect();
        more.push(Registered { labels, source: Arc::new(Box::new(source)) });
        *sources = Arc::new(more);
    }

    /// All series now, or as they were a moment ago. The sources run off the runtime's workers.
    pub async fn gather(&self) -> Result<Arc<Snapshot>, GatherError> {
        let mut last = self.0.last.lock().await;
        if let Some((_, snapshot)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH_FOR) {
            return Ok(snapshot.clone());
        }
        let inner = self.0.clone();
        let snapshot = Arc::new(tokio::task::spawn_blocking(move || inner.ask(None)).await?);
        *last = Some((Instant::now(), snapshot.clone()));
        Ok(snapshot)
    }

    /// The series of some families, gathered for this call alone unless it is all of them; costly ones that are not wanted are
    /// not even read.
    pub async fn gather_wanted(&self, wants: Wants) -> Result<Arc<Snapshot>, GatherError> {
        if wants.is_everything() {
            return self.gather().await;
        }
        let _one_at_a_time = self.0.last.lock().await;
        let inner = self.0.clone();
        Ok(Arc::new(tokio::task::spawn_blocking(move || inner.ask(Some(&wants))).await?))
    }
}

impl Registered {
    fn shared(&self) -> Self {
        Registered { labels: self.labels.clone(), source: self.source.clone() }
    }
}

impl Inner {
    fn ask(&self, wants: Option<&Wants>) -> Snapshot {
        let begun = std::time::Instant::now();
        let sources = self.sources.lock().clone();
        let mut collector = Collector::new(self.options.series_max, wants, self.options.clock.now_ms());
        // First, so that they are there when something else fills it.
        self.about.tell(&mut collector);
        for Registered { labels, source } in &*sources {
            collector.set_common(labels);
            if catch_unwind(AssertUnwindSafe(|| source(&mut collector))).is_err() {
                // The panic said itself what was wrong.
                tracing::error!("a source of metrics failed within; the others go on");
                self.about.failed.add(1);
            }
        }
        let snapshot = collector.snapshot;
        self.about.dropped.add(snapshot.dropped());
        self.about.repeated.add(snapshot.repeated());
        if wants.is_none() {
            *self.about.last.lock() = (snapshot.len(), begun.elapsed().as_secs_f64());
        }
        snapshot
    }
}

impl About {
    fn tell(&self, out: &mut dyn Sink) {
        let (series, took_s) = *self.last.lock();
        out.number(&SERIES, &[], series as f64);
        out.number(&TOOK, &[], took_s);
        out.counter(&DROPPED, &self.dropped);
        out.counter(&REPEATED, &self.repeated);
        out.counter(&FAILED, &self.failed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;
    use crate::snapshot::Value;

    static LOAD: Family = Family::gauge("load", "Load.");

    fn registry(series_max: usize) -> Registry {
        Registry::new(RegistryOptions { series_max, clock: Clock::manual(7) })
    }

    fn value(snapshot: &Snapshot, name: &str) -> Vec<(String, f64)> {
        let family = snapshot.family(name).unwrap();
        let number = |value: &Value| if let Value::Number(number) = value { *number } else { f64::NAN };
        family.samples(0).map(|sample| (sample.labels.replace(['\u{1}', '\u{2}'], " "), number(sample.value))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_is_gathered_once_and_a_failing_source_is_left_out() {
        let (registry, asked) = (registry(1_000), Arc::new(AtomicUsize::new(0)));
        let asked_too = asked.clone();
        registry.register([("node", "a".to_owned())], move |out| {
            out.number(&LOAD, &[("cpu", "0")], asked_too.fetch_add(1, SeqCst) as f64);
        });
        registry.register([], |_| panic!("planted: this source fails"));
        registry.register([("node", "b".to_owned())], |out| out.number(&LOAD, &[], 5.0));
        let (first, second) = tokio::join!(registry.gather(), registry.gather());
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(asked.load(SeqCst), 1);
        assert_eq!(value(&first, "load"), [("node a cpu 0 ".to_owned(), 0.0), ("node b ".to_owned(), 5.0)]);
        assert_eq!(first.at_ms, 7);
        tokio::time::sleep(FRESH_FOR).await;
        let third = registry.gather().await.unwrap();
        assert_eq!(value(&third, "load")[0].1, 1.0);
        assert_eq!(value(&third, "gantry_metrics_failed_sources_total")[0].1, 1.0, "said in the gathering after it");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_the_limit_is_dropped_and_counted() {
        let registry = registry(10);
        registry.register([], |out| {
            for cpu in 0..100 {
                out.number(&LOAD, &[("cpu", &cpu.to_string())], 1.0);
            }
        });
        let snapshot = registry.gather().await.unwrap();
        assert_eq!((snapshot.len(), snapshot.dropped()), (10, 95));
        tokio::time::sleep(FRESH_FOR).await;
        let next = registry.gather().await.unwrap();
        assert_eq!(value(&next, "gantry_metrics_dropped_series_total")[0].1, 95.0);
    }

    #[tokio::test]
    async fn what_is_not_wanted_is_not_read() {
        static OTHER: Family = Family::gauge("other", "Other.");
        let registry = registry(100);
        registry.register([], |out| {
            assert!(!out.wants(&LOAD));
            out.number(&LOAD, &[], 1.0);
            out.number(&OTHER, &[], 2.0);
        });
        let snapshot = registry.gather_wanted(Wants::new(["oth*".to_owned()])).await.unwrap();
        assert_eq!(snapshot.families().map(|series| &*series.family.name).collect::<Vec<_>>(), ["other"]);
    }
}
