//! The node's metrics as a hook sees them: every series that it wants, with its latest value and how fast it moves.

use std::collections::BTreeMap;

/// What a series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKind {
    /// Only grows, until its process starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    id: u32,
    name: String,
    kind: SeriesKind,
    labels: Vec<(String, String)>,
    value: f64,
    previous: Option<f64>,
    rate: Option<f64>,
}

impl Series {
    pub(crate) fn new(name: String, kind: SeriesKind, labels: Vec<(String, String)>) -> Self {
        Series { id: 0, name, kind, labels, value: f64::NAN, previous: None, rate: None }
    }

    /// Its number, as long as it is there.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it counts.
    pub fn kind(&self) -> SeriesKind {
        self.kind
    }

    /// A label; empty when the series has none of this name.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
    }

    /// All its labels.
    pub fn labels(&self) -> &[(String, String)] {
        &self.labels
    }

    /// Its value now.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Its value one tick before; `None` in its first.
    pub fn previous(&self) -> Option<f64> {
        self.previous
    }

    /// By how much it grew a second since the tick before; `None` in its first tick and when a counter began anew.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }
}

/// All series of one tick.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    at_ms: u64,
    series: BTreeMap<u32, Series>,
}

impl Feed {
    /// When the values were taken, ms since 1970.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// Every series, in the order in which they appeared.
    pub fn series(&self) -> impl Iterator<Item = &Series> {
        self.series.values()
    }

    /// Every series of this name, one a set of labels.
    pub fn named<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f Series> {
        self.series().filter(move |series| series.name == name)
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn ids(&self) -> impl Iterator<Item = (u32, &Series)> {
        self.series.iter().map(|(id, series)| (*id, series))
    }

    pub(crate) fn add(&mut self, id: u32, series: Series) {
        self.series.insert(id, Series { id, ..series });
    }

    pub(crate) fn remove(&mut self, ids: &[u32]) {
        ids.iter().for_each(|id| drop(self.series.remove(id)));
    }

    pub(crate) fn apply(&mut self, at_ms: u64, ids: &[u32], values: &[f64]) {
        let seconds = at_ms.saturating_sub(self.at_ms) as f64 / 1e3;
        self.at_ms = at_ms;
        for (id, value) in ids.iter().zip(values) {
            let Some(series) = self.series.get_mut(id) else { continue };
            let grew = (!series.value.is_nan()).then(|| value - series.value);
            let began_anew = series.kind == SeriesKind::Counter && grew.is_some_and(|grew| grew < 0.0);
            series.previous = grew.map(|grew| value - grew);
            series.rate = grew.filter(|_| seconds > 0.0 && !began_anew).map(|grew| grew / seconds);
            series.value = *value;
        }
    }
}
