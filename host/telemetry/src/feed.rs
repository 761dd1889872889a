//! Series as plugins get them: each has a number for as long as it is there, and is described once.
//!
//! The feed does not know what a plugin wants to be told; it is given a function that makes of a description whatever the caller
//! hands on, keeps that, and gives it back with each value.

use gantry_base::metric::Kind;
use rustc_hash::FxHashMap;

use crate::{
    labels::pairs,
    snapshot::{Snapshot, Value},
    wants::HISTOGRAM_PARTS,
};

/// A series, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSeries {
    /// Its number. A series that went and came back has another one, and no number is used again.
    pub id: u32,
    /// Its name; the parts of a histogram end in `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Whether it only grows; the parts of a histogram do.
    pub grows: bool,
    /// Its labels; a bucket has `le` among them.
    pub labels: Vec<(String, String)>,
}

/// All series at one tick.
#[derive(Debug, Clone, PartialEq)]
pub struct FeedTick<S> {
    /// When the values were gathered, ms since 1970.
    pub at_ms: u64,
    /// What was made of each series, with its value.
    pub samples: Vec<(S, f64)>,
    /// Series that were left out, because the feed is at its limit.
    pub left_out: u64,
}

/// See the module's documentation. `S` is what the caller makes of a series; cheap to clone.
pub struct Feed<S> {
    describe: fn(FeedSeries) -> S,
    series_max: usize,
    known: FxHashMap<Box<str>, Known<S>>,
    next: u32,
    tick: u64,
    /// Name and labels of the series at hand, kept for its memory.
    key: String,
}

struct Known<S> {
    series: S,
    /// The last tick that it was in.
    seen: u64,
}

/// Between name and labels of a key.
const NAME_END: char = '\u{3}';

impl<S: Clone> Feed<S> {
    /// A feed of at most so many series.
    pub fn new(series_max: usize, describe: fn(FeedSeries) -> S) -> Self {
        Feed { describe, series_max, known: FxHashMap::default(), next: 0, tick: 0, key: String::new() }
    }

    /// Everything in the snapshot.
    pub fn tick(&mut self, snapshot: &Snapshot) -> FeedTick<S> {
        self.tick += 1;
        let mut tick = FeedTick { at_ms: snapshot.at_ms, samples: Vec::with_capacity(self.known.len()), left_out: 0 };
        for series in snapshot.families() {
            let (name, grows) = (&*series.family.name, series.family.kind != Kind::Gauge);
            for sample in series.samples(0) {
                match sample.value {
                    Value::Number(value) => self.feed(&mut tick, [name, ""], sample.labels, None, grows, *value),
                    Value::Distribution(distribution) => {
                        let [bucket, sum, count] = HISTOGRAM_PARTS;
                        for (bound, below) in distribution.cumulative() {
                            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
                            self.feed(&mut tick, [name, bucket], sample.labels, Some(&bound), true, below as f64);
                        }
                        for (part, value) in [(sum, distribution.sum), (count, distribution.count())] {
                            self.feed(&mut tick, [name, part], sample.labels, None, true, value as f64);
                        }
                    }
                }
            }
        }
        let now = self.tick;
        self.known.retain(|_, known| known.seen == now);
        tick
    }

    fn feed(
        &mut self,
        tick: &mut FeedTick<S>,
        name: [&str; 2],
        labels: &str,
        bound: Option<&str>,
        grows: bool,
        value: f64,
    ) {
        self.key.clear();
        name.iter().for_each(|part| self.key.push_str(part));
        self.key.push(NAME_END);
        self.key.push_str(labels);
        if let Some(bound) = bound {
            crate::labels::push(&mut self.key, &[("le", bound)]);
        }
        if let Some(known) = self.known.get_mut(&*self.key) {
            known.seen = self.tick;
            tick.samples.push((known.series.clone(), value));
            return;
        }
        let next = self.next.checked_add(1).filter(|_| self.known.len() < self.series_max);
        let Some(next) = next else {
            tick.left_out += 1;
            return;
        };
        let id = std::mem::replace(&mut self.next, next);
        let (name, labels) = self.key.split_once(NAME_END).unwrap_or_default();
        let labels = pairs(labels).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let series = (self.describe)(FeedSeries { id, name: name.to_owned(), grows, labels });
        self.known.insert(self.key.as_str().into(), Known { series: series.clone(), seen: self.tick });
        tick.samples.push((series, value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gantry_base::metric::{Family, Histogram, Sink};

    use super::*;
    use crate::snapshot::Collector;

    static LAG: Family = Family::gauge("lag", "L.");
    static SENT: Family = Family::counter("sent_total", "S.");
    static TOOK: Family = Family::histogram("took", "T.");

    fn snapshot(tell: impl FnOnce(&mut dyn Sink)) -> Snapshot {
        let mut collector = Collector::new(1_000, None, 5);
        tell(&mut collector);
        collector.snapshot
    }

    fn numbers(tick: &FeedTick<Arc<FeedSeries>>) -> Vec<(u32, f64)> {
        tick.samples.iter().map(|(series, value)| (series.id, *value)).collect()
    }

    #[test]
    fn series_are_described_once_and_keep_their_number_while_they_are_there() {
        let mut feed = Feed::new(100, Arc::new);
        let both = |lag: f64| {
            snapshot(move |out| {
                out.number(&LAG, &[("group", "a")], lag);
                out.number(&LAG, &[("group", "b")], 2.0);
                out.number(&SENT, &[], 3.0);
            })
        };
        let first = feed.tick(&both(1.0));
        assert_eq!((first.at_ms, numbers(&first)), (5, vec![(0, 1.0), (1, 2.0), (2, 3.0)]));
        let expected = FeedSeries {
            id: 1,
            name: "lag".to_owned(),
            grows: false,
            labels: vec![("group".to_owned(), "b".to_owned())],
        };
        assert_eq!(*first.samples[1].0, expected);
        assert!(first.samples[2].0.grows);

        let second = feed.tick(&both(9.0));
        assert_eq!(numbers(&second), [(0, 9.0), (1, 2.0), (2, 3.0)]);
        assert!(Arc::ptr_eq(&first.samples[0].0, &second.samples[0].0));

        assert_eq!(numbers(&feed.tick(&snapshot(|out| out.number(&LAG, &[("group", "b")], 2.0)))), [(1, 2.0)]);
        assert_eq!(numbers(&feed.tick(&both(1.0))), [(3, 1.0), (1, 2.0), (4, 3.0)], "no number is used again");
    }

    #[test]
    fn parts_of_a_histogram_are_series() {
        let histogram = Histogram::new(&[1, 10]);
        [0, 5, 50].iter().for_each(|value| histogram.record(*value));
        let told = snapshot(|out| out.distribution(&TOOK, &[("code", "10")], &histogram.read()));
        let tick = Feed::new(100, Arc::new).tick(&told);
        let named: Vec<(&str, f64)> = tick.samples.iter().map(|(series, value)| (&*series.name, *value)).collect();
        let buckets = [1.0, 2.0, 3.0].map(|value| ("took_bucket", value));
        assert_eq!(named, [&buckets[..], &[("took_sum", 55.0), ("took_count", 3.0)]].concat());
        assert!(tick.samples.iter().all(|(series, _)| series.grows));
        assert_eq!(tick.samples[2].0.labels[1], ("le".to_owned(), "+Inf".to_owned()));
    }

    #[test]
    fn a_feed_is_bounded() {
        let many = snapshot(|out| {
            for group in 0..10 {
                out.number(&LAG, &[("group", &group.to_string())], 1.0);
            }
        });
        let mut feed = Feed::new(4, Arc::new);
        for _ in 0..3 {
            let tick = feed.tick(&many);
            assert_eq!((tick.samples.len(), tick.left_out), (4, 6));
        }
    }
}
