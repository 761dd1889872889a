//! Metric and alert hooks under test.

use std::collections::BTreeMap;

use crate::{
    alert::{Alert, AlertHook},
    feed::{Feed, Series, SeriesKind},
    metric::{MetricHook, Samples},
};

/// The series of one tick, as a test states them.
#[derive(Debug, Clone, Default)]
pub struct TestFeed(Vec<(Series, f64)>);

impl TestFeed {
    /// No series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a level.
    #[must_use]
    pub fn gauge(self, name: &str, labels: &[(&str, &str)], value: f64) -> Self {
        self.with(name, SeriesKind::Gauge, labels, value)
    }

    /// Adds a count.
    #[must_use]
    pub fn counter(self, name: &str, labels: &[(&str, &str)], value: f64) -> Self {
        self.with(name, SeriesKind::Counter, labels, value)
    }

    fn with(mut self, name: &str, kind: SeriesKind, labels: &[(&str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        self.0.push((Series::new(name.into(), kind, labels), value));
        self
    }
}

/// Makes `feed` what the hook sees, as the host does: series that are new are added, those that are gone removed.
fn follow(known: &mut Feed, next_id: &mut u32, wants: &[String], at_ms: u64, feed: &TestFeed) {
    let wanted = |name: &str| {
        wants.iter().any(|want| match want.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => want == name,
        })
    };
    type Identity = (String, Vec<(String, String)>);
    let identity = |series: &Series| -> Identity { (series.name().into(), series.labels().into()) };
    let mut before: BTreeMap<Identity, u32> = known.ids().map(|(id, series)| (identity(series), id)).collect();
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    for (series, value) in feed.0.iter().filter(|(series, _)| wanted(series.name())) {
        let id = before.remove(&identity(series)).unwrap_or_else(|| {
            *next_id += 1;
            known.add(*next_id, series.clone());
            *next_id
        });
        ids.push(id);
        values.push(*value);
    }
    known.remove(&before.into_values().collect::<Vec<_>>());
    known.apply(at_ms, &ids, &values);
}

/// An opened metric hook under test.
#[derive(Debug)]
pub struct TestMetrics<H> {
    pub(super) hook: H,
    pub(super) feed: Feed,
    pub(super) next_id: u32,
}

impl<H: MetricHook> TestMetrics<H> {
    /// One tick; the series that it sets, as `name{label="value"}` with their values.
    pub fn tick(&mut self, at_ms: u64, feed: &TestFeed) -> Vec<(String, f64)> {
        follow(&mut self.feed, &mut self.next_id, &self.hook.wants(), at_ms, feed);
        let families = self.hook.families();
        let mut out = Samples::of(families.clone());
        self.hook.on_tick(&self.feed, &mut out);
        let name = |family: u32, values: &[String]| {
            let family = &families[family as usize];
            let labels: Vec<String> =
                family.labels.iter().zip(values).map(|(label, value)| format!("{label}={value:?}")).collect();
            if labels.is_empty() { family.name.to_owned() } else { format!("{}{{{}}}", family.name, labels.join(",")) }
        };
        out.set.iter().map(|(family, labels, value)| (name(*family, labels), *value)).collect()
    }

    /// Hands its state to another instance, as a swap does.
    pub fn hand_over<N: MetricHook>(&self, next: &mut TestMetrics<N>) -> Result<(), String> {
        next.hook.restore(&self.hook.snapshot())
    }
}

/// An opened alert hook under test.
#[derive(Debug)]
pub struct TestAlerts<H> {
    pub(super) hook: H,
    pub(super) feed: Feed,
    pub(super) next_id: u32,
}

impl<H: AlertHook> TestAlerts<H> {
    /// One tick; the alerts that hold.
    pub fn tick(&mut self, at_ms: u64, feed: &TestFeed) -> Vec<Alert> {
        follow(&mut self.feed, &mut self.next_id, &self.hook.wants(), at_ms, feed);
        self.hook.on_tick(&self.feed)
    }

    /// Hands its state to another instance, as a swap does.
    pub fn hand_over<N: AlertHook>(&self, next: &mut TestAlerts<N>) -> Result<(), String> {
        next.hook.restore(&self.hook.snapshot())
    }
}
