//! The tick: what metric and alert plugins are told, and what becomes of what they say.
//!
//! How a plugin is called is the caller's business: it hands in, tick by tick, a [`HookCall`] for each, and two functions that
//! make of series and ticks what its calls take.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gantry_base::metric::{Family, Gauge, Sink};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    alert::{Alert, Alerts},
    derived::{Declared, Derived, DerivedSample},
    feed::{Feed, FeedSeries, FeedTick},
    registry::Registry,
    wants::Wants,
};

static FED: Family = Family::gauge("gantry_feed_series", "Series that metric and alert plugins were shown last.");
static LEFT_OUT: Family = Family::gauge(
    "gantry_feed_left_out_series",
    "Series that they were not shown last, because there are more than telemetry.feed_series_max.",
);

/// Shows a plugin a tick.
type Call<T> = Box<dyn FnOnce(&T) -> Result<Said, String> + Send>;

/// One plugin at one tick.
pub struct HookCall<T> {
    /// Its name: owner of its derived series, source of its alerts.
    pub plugin: String,
    /// Names of metrics that it wants: nothing else need be gathered for its sake, though it may be shown more.
    pub wants: Wants,
    /// Shows it the tick. Runs on a thread that may block, beside those of the other plugins. The error is why it said nothing;
    /// whoever runs plugins has counted and said it.
    pub call: Call<T>,
}

/// What a plugin makes of a tick.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    /// Names, and the series that there are under them now.
    Metrics(Vec<Declared>, Vec<DerivedSample>),
    /// All that is wrong now.
    Alerts(Vec<Alert>),
}

/// Where ticks come from and where it goes what is said.
pub struct Ticks<S, T> {
    registry: Registry,
    derived: Derived,
    alerts: Alerts,
    feed: Feed<S>,
    show: fn(FeedTick<S>) -> T,
    about: Arc<About>,
    /// Plugins whose names were refused, so that it is said once.
    refused: BTreeSet<String>,
}

#[derive(Default)]
struct About {
    fed: Gauge,
    left_out: Gauge,
}

impl<S: Clone, T: Send + Sync + 'static> Ticks<S, T> {
    /// Shows at most `series_max` series; `describe` is called once for each, `show` once a tick.
    pub fn new(
        (registry, derived, alerts): (&Registry, &Derived, &Alerts),
        series_max: usize,
        describe: fn(FeedSeries) -> S,
        show: fn(FeedTick<S>) -> T,
    ) -> Self {
        let about = Arc::new(About::default());
        let told = about.clone();
        registry.register([], move |out: &mut dyn Sink| {
            out.gauge(&FED, &told.fed);
            out.gauge(&LEFT_OUT, &told.left_out);
        });
        let (registry, derived, alerts) = (registry.clone(), derived.clone(), alerts.clone());
        Ticks {
            registry,
            derived,
            alerts,
            feed: Feed::new(series_max, describe),
            show,
            about,
            refused: BTreeSet::new(),
        }
    }

    /// One tick. Nothing is gathered when there is nobody to show it to. Series and alerts of plugins that are not there any
    /// more go. A plugin that said nothing has no series until it says something again, but keeps its alerts: a failing
    /// plugin must not look like an end of what it warned of.
    pub async fn tick(&mut self, calls: Vec<HookCall<T>>) {
        let is_there = |plugin: &str| calls.iter().any(|call| call.plugin == plugin);
        self.derived.retain(is_there);
        self.alerts.retain_sources(is_there);
        if calls.is_empty() {
            return;
        }
        let wants = Wants::together(calls.iter().map(|call| &call.wants));
        let Ok(snapshot) = self.registry.gather_wanted(wants).await else { return };
        let tick = self.feed.tick(&snapshot);
        self.about.fed.set(tick.samples.len() as i64);
        self.about.left_out.set(tick.left_out as i64);
        let shown = Arc::new((self.show)(tick));
        let mut answers = JoinSet::new();
        for HookCall { plugin, call, .. } in calls {
            let shown = shown.clone();
            answers.spawn_blocking(move || (plugin, call(&shown)));
        }
        while let Some(answer) = answers.join_next().await {
            match answer {
                Ok((plugin, Ok(Said::Metrics(declared, samples)))) => self.take_metrics(&plugin, &declared, samples),
                Ok((plugin, Ok(Said::Alerts(alerts)))) => self.alerts.hold(&plugin, alerts),
                Ok((plugin, Err(reason))) => {
                    tracing::debug!(plugin, reason, "said nothing at this tick");
                    self.derived.update(&plugin, Vec::new());
                }
                Err(died) => tracing::error!(%died, "the call of a metric or alert plugin failed within"),
            }
        }
    }

    fn take_metrics(&mut self, plugin: &str, declared: &[Declared], samples: Vec<DerivedSample>) {
        match self.derived.declare(plugin, declared) {
            Ok(()) => {
                self.refused.remove(plugin);
                self.derived.update(plugin, samples);
            }
            Err(problem) => {
                if self.refused.insert(plugin.to_owned()) {
                    tracing::error!(plugin, %problem, "what the plugin derives is not shown");
                }
            }
        }
    }

    /// Ticks until cancelled. `calls` is asked at each tick.
    pub async fn follow(
        mut self,
        every: Duration,
        calls: impl Fn() -> Vec<HookCall<T>> + Send + 'static,
        cancel: CancellationToken,
    ) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            self.tick(calls()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use gantry_base::{clock::Clock, disk::sim::SimDisk, metric::Kind};

    use super::*;
    use crate::{
        RegistryOptions,
        alert::{AlertOptions, Severity},
        snapshot::Value,
    };

    type Shown = FeedTick<Arc<FeedSeries>>;

    struct Rig {
        registry: Registry,
        alerts: Alerts,
        ticks: Ticks<Arc<FeedSeries>, Shown>,
        gathered: Arc<AtomicU64>,
    }

    impl Rig {
        fn new() -> Rig {
            static LAG: Family = Family::gauge("lag", "L.");
            let clock = Clock::manual(1);
            let registry = Registry::new(RegistryOptions { series_max: 100, clock: clock.clone() });
            let (derived, gathered) = (Derived::new(10), Arc::new(AtomicU64::new(0)));
            let (told, counted) = (derived.clone(), gathered.clone());
            registry.register([("node", "n".to_owned())], move |out| {
                out.number(&LAG, &[], 4.0);
                counted.fetch_add(1, SeqCst);
                told.collect(out);
            });
            let options = AlertOptions {
                file: "/alerts.json".into(),
                alerts_max: 10,
                confirm_within: Duration::from_secs(1),
                resend_every: Duration::from_secs(1),
                labels: Vec::new(),
                clock,
            };
            let alerts = Alerts::open(options, Arc::new(SimDisk::new(1)));
            let ticks = Ticks::new((&registry, &derived, &alerts), 100, Arc::new, |tick| tick);
            Rig { registry, alerts, ticks, gathered }
        }

        /// Ticks when what was gathered before is not shown again.
        async fn tick(&mut self, calls: Vec<HookCall<Shown>>) {
            tokio::time::advance(Duration::from_secs(1)).await;
            self.ticks.tick(calls).await;
        }

        async fn series(&self, name: &str) -> Vec<(String, Value)> {
            tokio::time::advance(Duration::from_secs(1)).await;
            let snapshot = self.registry.gather().await.unwrap();
            let samples = snapshot.family(name).into_iter().flat_map(|series| series.samples(0).collect::<Vec<_>>());
            samples.map(|sample| (sample.labels.replace(['\u{1}', '\u{2}'], " "), sample.value.clone())).collect()
        }
    }

    fn value(shown: &Shown, name: &str) -> Option<f64> {
        shown.samples.iter().find(|(series, _)| series.name == name).map(|(_, value)| *value)
    }

    /// Derives twice the lag.
    fn double() -> HookCall<Shown> {
        let call = |shown: &Shown| {
            let declared = Declared { name: "double_lag".to_owned(), kind: Kind::Gauge, help: "Twice.".to_owned() };
            let value = value(shown, "lag").map(|lag| 2.0 * lag).ok_or("no lag")?;
            let sample = DerivedSample { name: "double_lag".to_owned(), labels: Vec::new(), value };
            Ok(Said::Metrics(vec![declared], vec![sample]))
        };
        HookCall { plugin: "double".to_owned(), wants: Wants::new(["lag".to_owned()]), call: Box::new(call) }
    }

    /// Warns of what the other one derives.
    fn watch() -> HookCall<Shown> {
        let call = |shown: &Shown| {
            let high = value(shown, "gantry_plugin_double_lag").filter(|lag| *lag > 5.0);
            let alert = |value| Alert {
                key: "lag".to_owned(),
                severity: Severity::Critical,
                summary: "It is high.".to_owned(),
                labels: Vec::new(),
                value,
                for_ms: 0,
            };
            Ok(Said::Alerts(high.map(alert).into_iter().collect()))
        };
        HookCall { plugin: "watch".to_owned(), wants: Wants::new(["gantry_plugin_*".to_owned()]), call: Box::new(call) }
    }

    fn failing(plugin: &str) -> HookCall<Shown> {
        let wants = Wants::new(["*".to_owned()]);
        HookCall { plugin: plugin.to_owned(), wants, call: Box::new(|_| Err("it trapped".to_owned())) }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_plugin_derives_another_is_warned_by() {
        let mut rig = Rig::new();
        rig.ticks.tick(Vec::new()).await;
        assert_eq!(rig.gathered.load(SeqCst), 0, "nobody looks");
        rig.tick(vec![double(), watch()]).await;
        let shown = [("node n plugin double ".to_owned(), Value::Number(8.0))];
        assert_eq!(rig.series("gantry_plugin_double_lag").await, shown);
        assert!(rig.alerts.list().is_empty(), "it saw the series of before");
        rig.tick(vec![double(), watch()]).await;
        let firing: Vec<(String, f64)> =
            rig.alerts.list().into_iter().map(|one| (one.source, one.alert.value)).collect();
        assert_eq!(firing, [("watch".to_owned(), 8.0)]);

        // Failing, one has nothing to show, and the other takes nothing back.
        rig.tick(vec![failing("double"), failing("watch")]).await;
        assert!(rig.series("gantry_plugin_double_lag").await.is_empty());
        assert_eq!(rig.alerts.list().len(), 1);
        rig.tick(vec![watch()]).await;
        assert!(rig.alerts.list().is_empty(), "it is not high any more");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_plugin_leaves_behind_goes_with_it() {
        let mut rig = Rig::new();
        for _ in 0..2 {
            rig.tick(vec![double(), watch()]).await;
        }
        assert_eq!(rig.alerts.list().len(), 1);
        rig.tick(Vec::new()).await;
        assert!(rig.series("gantry_plugin_double_lag").await.is_empty());
        assert!(rig.alerts.list().is_empty());
    }
}
