//! Series as a plugin gets them: each is described once under a number, and then only numbers and values travel.
//!
//! A feed belongs to one instance of one plugin: a new instance knows no series, so it gets a new feed.

use rustc_hash::FxHashMap;

use crate::{
    labels::pairs,
    snapshot::{Snapshot, Value},
    wants::{HISTOGRAM_PARTS, Wants},
};
use gantry_base::metric::Kind;

/// What a plugin is told of a series once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSeries {
    /// Its number, for as long as it is there.
    pub id: u32,
    /// Its name; the parts of a histogram end in `_bucket`, `_sum` and `_count`.
    pub name: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// What its values do.
    pub kind: FeedKind,
}

/// What the values of a fed series do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedKind {
    /// They grow.
    Counter,
    /// They go up and down.
    Gauge,
    /// They grow, and count what is at most the label `le`.
    HistogramBucket,
}

/// What a plugin is told at one tick, in this order: series that are gone, new series, values.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FeedTick {
    /// When the values were gathered, ms since 1970.
    pub at_ms: u64,
    /// Numbers of series that are gone; they may come to mean others later.
    pub removed: Vec<u32>,
    /// Series that are new.
    pub added: Vec<FeedSeries>,
    /// Every series that is there.
    pub ids: Vec<u32>,
    /// Its value, in the same order.
    pub values: Vec<f64>,
    /// Series that were left out, because the feed is at its limit.
    pub left_out: u64,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Feed {
    wants: Wants,
    series_max: usize,
    known: FxHashMap<Box<str>, Known>,
    /// Numbers that are free below `next`.
    free: Vec<u32>,
    next: u32,
    tick: u64,
    /// Name and labels of the series at hand, kept for its memory.
    key: String,
}

#[derive(Debug)]
struct Known {
    id: u32,
    /// The last tick that it was in.
    seen: u64,
}

/// Between name and labels of a key.
const NAME_END: char = '\u{3}';

impl Feed {
    /// A feed of what is wanted, with at most so many series.
    pub fn new(wants: Wants, series_max: usize) -> Self {
        let known = FxHashMap::default();
        Feed { wants, series_max, known, free: Vec::new(), next: 0, tick: 0, key: String::new() }
    }

    /// What it wants.
    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    /// The next tick, with what changed since the one before.
    pub fn tick(&mut self, snapshot: &Snapshot) -> FeedTick {
        self.tick += 1;
        let mut tick = FeedTick { at_ms: snapshot.at_ms, ..FeedTick::default() };
        for series in snapshot.families() {
            let name = &*series.family.name;
            let whole = self.wants.matches(name);
            if series.family.kind != Kind::Histogram {
                if whole {
                    let kind = if series.family.kind == Kind::Counter { FeedKind::Counter } else { FeedKind::Gauge };
                    for sample in series.samples(0) {
                        let Value::Number(value) = sample.value else { continue };
                        self.feed(&mut tick, name, "", sample.labels, None, kind, *value);
                    }
                }
                continue;
            }
            let [bucket, sum, count] =
                HISTOGRAM_PARTS.map(|part| whole || self.wants.matches(&format!("{name}{part}")));
            for sample in series.samples(0) {
                let Value::Distribution(distribution) = sample.value else { continue };
                for (bound, below) in distribution.cumulative().filter(|_| bucket) {
                    let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
                    let kind = FeedKind::HistogramBucket;
                    self.feed(&mut tick, name, "_bucket", sample.labels, Some(&bound), kind, below as f64);
                }
                for (wanted, part, value) in [(sum, "_sum", distribution.sum), (count, "_count", distribution.count())]
                {
                    if wanted {
                        self.feed(&mut tick, name, part, sample.labels, None, FeedKind::Counter, value as f64);
                    }
                }
            }
        }
        self.forget(&mut tick);
        tick
    }

    #[expect(clippy::too_many_arguments, reason = "a series is this much, and is put together nowhere else")]
    fn feed(
        &mut self,
        tick: &mut FeedTick,
        name: &str,
        part: &str,
        labels: &str,
        bound: Option<&str>,
        kind: FeedKind,
        value: f64,
    ) {
        self.key.clear();
        self.key.push_str(name);
        self.key.push_str(part);
        self.key.push(NAME_END);
        self.key.push_str(labels);
        if let Some(bound) = bound {
            crate::labels::push(&mut self.key, &[("le", bound)]);
        }
        if let Some(known) = self.known.get_mut(&*self.key) {
            known.seen = self.tick;
            tick.ids.push(known.id);
            tick.values.push(value);
            return;
        }
        if self.known.len() >= self.series_max {
            tick.left_out += 1;
            return;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.known.insert(self.key.as_str().into(), Known { id, seen: self.tick });
        let (name, labels) = self.key.split_once(NAME_END).unwrap_or_default();
        let labels = pairs(labels).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        tick.added.push(FeedSeries { id, name: name.to_owned(), labels, kind });
        tick.ids.push(id);
        tick.values.push(value);
    }

    fn forget(&mut self, tick: &mut FeedTick) {
        let now = self.tick;
        self.known.retain(|_, known| {
            let there = known.seen == now;
            if !there {
                tick.removed.push(known.id);
            }
            there
        });
        // Free from the next tick on: within one, a number means one series.
        self.free.extend(&tick.removed);
    }
}

#[cfg(test)]
mod tests {
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

    fn feed(wants: &[&str], series_max: usize) -> Feed {
        Feed::new(Wants::new(wants.iter().map(|name| (*name).to_owned())), series_max)
    }

    #[test]
    fn series_are_described_once_and_keep_their_number() {
        let mut feed = feed(&["lag", "sent*"], 100);
        let both = |lag: f64| {
            snapshot(move |out| {
                out.number(&LAG, &[("group", "a")], lag);
                out.number(&LAG, &[("group", "b")], 2.0);
                out.number(&SENT, &[], 3.0);
            })
        };
        let first = feed.tick(&both(1.0));
        let named: Vec<(u32, &str, FeedKind)> =
            first.added.iter().map(|series| (series.id, &*series.name, series.kind)).collect();
        let expected = [(0, "lag", FeedKind::Gauge), (1, "lag", FeedKind::Gauge), (2, "sent_total", FeedKind::Counter)];
        assert_eq!(named, expected);
        assert_eq!(first.added[1].labels, [("group".to_owned(), "b".to_owned())]);
        assert_eq!((first.ids, first.values, first.at_ms), (vec![0, 1, 2], vec![1.0, 2.0, 3.0], 5));

        let second = feed.tick(&both(9.0));
        assert!(second.added.is_empty() && second.removed.is_empty());
        assert_eq!((second.ids, second.values), (vec![0, 1, 2], vec![9.0, 2.0, 3.0]));

        let third = feed.tick(&snapshot(|out| out.number(&LAG, &[("group", "b")], 2.0)));
        let mut removed = third.removed.clone();
        removed.sort_unstable();
        assert_eq!((removed, third.ids), (vec![0, 2], vec![1]));
        let fourth = feed.tick(&both(1.0));
        assert_eq!(fourth.added.len(), 2);
        let mut ids = fourth.ids;
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2], "numbers are used again, each once");
    }

    #[test]
    fn parts_of_a_histogram_are_series() {
        let histogram = Histogram::new(&[1, 10]);
        [0, 5, 50].iter().for_each(|value| histogram.record(*value));
        let told = snapshot(|out| out.distribution(&TOOK, &[("code", "10")], &histogram.read()));
        let whole = feed(&["took"], 100).tick(&told);
        let named: Vec<&str> = whole.added.iter().map(|series| &*series.name).collect();
        assert_eq!(named, ["took_bucket", "took_bucket", "took_bucket", "took_sum", "took_count"]);
        assert_eq!(whole.added[2].labels[1], ("le".to_owned(), "+Inf".to_owned()));
        assert_eq!(whole.values, [1.0, 2.0, 3.0, 55.0, 3.0]);
        let count = feed(&["took_count"], 100).tick(&told);
        assert_eq!((count.added.len(), count.values), (1, vec![3.0]));
    }

    #[test]
    fn a_feed_is_bounded() {
        let many = snapshot(|out| {
            for group in 0..10 {
                out.number(&LAG, &[("group", &group.to_string())], 1.0);
            }
        });
        let mut feed = feed(&["*"], 4);
        for _ in 0..3 {
            let tick = feed.tick(&many);
            assert_eq!((tick.ids.len(), tick.left_out), (4, 6));
        }
    }
}
