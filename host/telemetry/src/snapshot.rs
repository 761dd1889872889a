//! All series at one moment.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{Hash, Hasher},
    ops::Range,
};

use gantry_base::metric::{Distribution, Family, Kind, Labels, Sink};

use rustc_hash::{FxHashSet, FxHasher};

use crate::{labels, wants::Wants};

/// Text of the labels of one snapshot, in bytes; beyond it series are dropped, as beyond the limit of series.
const TEXT_BYTES_MAX: usize = 1 << 30;

/// All series at one moment, by family, families by name.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When they were gathered, ms since 1970.
    pub at_ms: u64,
    families: BTreeMap<Cow<'static, str>, Gathered>,
    text: String,
    series: usize,
    dropped: u64,
    repeated: u64,
}

#[derive(Debug)]
struct Gathered {
    family: Family,
    samples: Vec<(Range<u32>, Value)>,
}

/// What a series is at one moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram.
    Distribution(Box<Distribution>),
}

/// One family with its series.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// What they measure.
    pub family: &'a Family,
    gathered: &'a Gathered,
    text: &'a str,
}

/// One series.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Its labels, see [`pairs`](crate::pairs).
    pub labels: &'a str,
    /// Its value.
    pub value: &'a Value,
}

impl<'a> Series<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.gathered.samples.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.gathered.samples.is_empty()
    }

    /// The series from the nth on.
    pub fn samples(&self, from: usize) -> impl Iterator<Item = Sample<'a>> + use<'a> {
        let text = self.text;
        let samples = self.gathered.samples.get(from..).unwrap_or_default().iter();
        samples.map(move |(labels, value)| Sample { labels: &text[labels.start as usize..labels.end as usize], value })
    }
}

impl Snapshot {
    /// Every family, by name.
    pub fn families(&self) -> impl Iterator<Item = Series<'_>> {
        self.families.values().map(|gathered| self.series(gathered))
    }

    /// The families whose name comes behind `name`.
    pub(crate) fn behind(&self, name: Option<&str>) -> impl Iterator<Item = Series<'_>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        self.families.range::<str, _>((from, Unbounded)).map(|(_, gathered)| self.series(gathered))
    }

    /// The family of this name.
    pub fn family(&self, name: &str) -> Option<Series<'_>> {
        self.families.get(name).map(|gathered| self.series(gathered))
    }

    fn series<'a>(&'a self, gathered: &'a Gathered) -> Series<'a> {
        Series { family: &gathered.family, gathered, text: &self.text }
    }

    /// Series in it; each bound of a histogram is one.
    pub fn len(&self) -> usize {
        self.series
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.series == 0
    }

    /// Series that were left out, because there are more than the limit.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Series that were left out, because they were told before: Prometheus would refuse all for the sake of one.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }
}

/// Fills a snapshot. What is told while common labels are set gets those in front of its own that it does not have itself:
/// a series that a plugin made of a broker's keeps saying which broker that is.
pub(crate) struct Collector<'a> {
    pub(crate) snapshot: Snapshot,
    series_max: usize,
    wants: Option<&'a Wants>,
    common: String,
    /// Of the name and labels of every series.
    seen: FxHashSet<u64>,
}

impl<'a> Collector<'a> {
    pub(crate) fn new(series_max: usize, wants: Option<&'a Wants>, at_ms: u64) -> Self {
        let snapshot = Snapshot { at_ms, ..Snapshot::default() };
        Collector { snapshot, series_max, wants, common: String::new(), seen: FxHashSet::default() }
    }

    /// Labels of everything that is told from now on.
    pub(crate) fn set_common(&mut self, labels: &[(String, String)]) {
        self.common.clear();
        for (name, value) in labels {
            labels::push(&mut self.common, &[(name, value)]);
        }
    }

    fn add(&mut self, family: &Family, labels: Labels<'_>, value: Value) {
        let weight = match &value {
            Value::Number(_) => 1,
            // Each bound, the sum and the count.
            Value::Distribution(distribution) => distribution.counts.len() + 2,
        };
        let snapshot = &mut self.snapshot;
        if snapshot.series + weight > self.series_max || snapshot.text.len() > TEXT_BYTES_MAX {
            snapshot.dropped += weight as u64;
            return;
        }
        let gathered = match snapshot.families.get_mut(&*family.name) {
            Some(known) => known,
            None => {
                let empty = Gathered { family: family.clone(), samples: Vec::new() };
                snapshot.families.entry(family.name.clone()).or_insert(empty)
            }
        };
        // One name means one thing: who tells another kind under it is not heard.
        if gathered.family.kind != family.kind {
            snapshot.dropped += weight as u64;
            return;
        }
        let start = snapshot.text.len() as u32;
        let common = labels::pairs(&self.common);
        let own = |name: &str| labels.iter().any(|(label, _)| *label == name);
        if common.clone().any(|(name, _)| own(name)) {
            common.filter(|(name, _)| !own(name)).for_each(|pair| labels::push(&mut snapshot.text, &[pair]));
        } else {
            snapshot.text.push_str(&self.common);
        }
        labels::push(&mut snapshot.text, labels);
        let mut hasher = FxHasher::default();
        (&family.name, &snapshot.text[start as usize..]).hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            snapshot.text.truncate(start as usize);
            snapshot.repeated += weight as u64;
            return;
        }
        gathered.samples.push((start..snapshot.text.len() as u32, value));
        snapshot.series += weight;
    }
}

impl Sink for Collector<'_> {
    fn number(&mut self, family: &Family, labels: Labels<'_>, value: f64) {
        debug_assert!(family.kind != Kind::Histogram, "{} is a histogram", family.name);
        if self.wants(family) {
            self.add(family, labels, Value::Number(value));
        }
    }

    fn distribution(&mut self, family: &Family, labels: Labels<'_>, value: &Distribution) {
        debug_assert!(family.kind == Kind::Histogram, "{} is no histogram", family.name);
        if self.wants(family) {
            self.add(family, labels, Value::Distribution(Box::new(value.clone())));
        }
    }

    fn wants(&self, family: &Family) -> bool {
        self.wants.is_none_or(|wants| wants.matches_family(family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_series_is_there_twice() {
        static LOAD: Family = Family::gauge("load", "L.");
        let mut collector = Collector::new(10, None, 0);
        collector.number(&LOAD, &[("cpu", "0")], 1.0);
        collector.number(&LOAD, &[("cpu", "0")], 2.0);
        collector.number(&LOAD, &[("cpu", "1")], 3.0);
        let snapshot = collector.snapshot;
        let values: Vec<&Value> = snapshot.family("load").unwrap().samples(0).map(|sample| sample.value).collect();
        assert_eq!(values, [&Value::Number(1.0), &Value::Number(3.0)]);
        assert_eq!((snapshot.len(), snapshot.repeated(), snapshot.dropped()), (2, 1, 0));
    }

    #[test]
    fn no_label_is_there_twice() {
        static LOAD: Family = Family::gauge("load", "L.");
        let mut collector = Collector::new(10, None, 0);
        collector.set_common(&[("cluster".to_owned(), "c".to_owned()), ("node_id".to_owned(), "n".to_owned())]);
        collector.number(&LOAD, &[("topic", "t")], 1.0);
        collector.number(&LOAD, &[("node_id", "broker-a"), ("topic", "t")], 2.0);
        let snapshot = collector.snapshot;
        let samples = snapshot.family("load").unwrap().samples(0);
        let found: Vec<Vec<(&str, &str)>> = samples.map(|sample| labels::pairs(sample.labels).collect()).collect();
        let expected = [("cluster", "c"), ("node_id", "n"), ("topic", "t")];
        assert_eq!(found[0], expected);
        assert_eq!(found[1], [("cluster", "c"), ("node_id", "broker-a"), ("topic", "t")]);
    }
}
