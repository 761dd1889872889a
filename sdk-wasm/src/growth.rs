//! How much counters grew lately.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::feed::{Feed, Series};

/// Parts into which a window is cut: what grew leaves it a part at a time.
const PARTS: u64 = 60;
/// How long a counter that went away is remembered, ms: one that was only left out of a few ticks did not begin anew.
const REMEMBERED_MS: u64 = 3_600_000;
/// Counters that went away and are remembered; beyond it the memory begins anew.
const REMEMBERED_MAX: usize = 10_000;
/// Most bytes of a snapshot: a hook that counts three things stays below the 1 MiB that it may hand over.
const SNAPSHOT_BYTES_MAX: usize = 256 << 10;

/// The increase of every counter of one name over the last while. Follow the feed at each tick, then ask.
///
/// What counters had counted before the first tick is not growth; a counter that appears later began at zero. One that falls
/// began anew with its process.
///
/// ```
/// # use std::time::Duration;
/// # use gantry_plugin_sdk::{Feed, Growth, prelude::*};
/// # use gantry_plugin_sdk::testing::{TestFeed, TestHost};
/// # struct Rate { sent: Growth }
/// # #[metric_hook]
/// # impl MetricHook for Rate {
/// #     fn open(_: &Params) -> Result<Self, String> { Ok(Rate { sent: Growth::of("sent_total", Duration::from_secs(60)) }) }
/// #     fn wants(&self) -> Vec<String> { vec!["sent_total".into()] }
/// #     fn families(&self) -> Vec<Family> { vec![Family::gauge("sent_per_second", &["topic"], "Sent a second.")] }
/// fn on_tick(&mut self, feed: &Feed, out: &mut Samples) {
///     self.sent.follow(feed);
///     for series in feed.named("sent_total") {
///         out.set("sent_per_second", &[series.label("topic")], self.sent.per_second(series));
///     }
/// }
/// # }
/// # let mut hook = TestHost::new().open_metrics::<Rate>().unwrap();
/// # hook.tick(0, &TestFeed::new().counter("sent_total", &[("topic", "a")], 100.0));
/// # let rates = hook.tick(10_000, &TestFeed::new().counter("sent_total", &[("topic", "a")], 150.0));
/// # assert_eq!(rates, [("sent_per_second{topic=\"a\"}".to_owned(), 5.0)]);
/// ```
#[derive(Debug)]
pub struct Growth {
    name: String,
    window_ms: u64,
    now_ms: u64,
    /// The first tick.
    since_ms: Option<u64>,
    /// By number of the series.
    counters: BTreeMap<u32, Counted>,
    /// Those that went away, by name and labels, with the time of their last tick. Also what a former version handed over.
    gone: BTreeMap<String, (u64, Counted)>,
}

#[derive(Debug, Clone, PartialEq)]
struct Counted {
    identity: String,
    last: f64,
    /// When and by how much it grew, oldest first; no two in one part of the window.
    grew: VecDeque<(u64, f64)>,
}

impl Growth {
    /// Of the counters called `name`, over `window`.
    pub fn of(name: &str, window: Duration) -> Self {
        let window_ms = (window.as_millis() as u64).max(1);
        Growth {
            name: name.into(),
            window_ms,
            now_ms: 0,
            since_ms: None,
            counters: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }

    /// Takes the values of a tick.
    pub fn follow(&mut self, feed: &Feed) {
        self.now_ms = feed.at_ms();
        let is_first = self.since_ms.is_none();
        self.since_ms.get_or_insert(self.now_ms);
        let mut before = std::mem::take(&mut self.counters);
        for series in feed.named(&self.name).filter(|series| series.value().is_finite()) {
            let known = before.remove(&series.id()).or_else(|| {
                // Looked for only when a series is new: its text is made of all its labels.
                let (_, counted) = self.gone.remove(&identity(series))?;
                Some(counted)
            });
            let begins_at = if is_first { series.value() } else { 0.0 };
            let mut counted = known.unwrap_or_else(|| Counted::new(identity(series), begins_at));
            counted.take(series.value(), self.now_ms, self.window_ms);
            self.counters.insert(series.id(), counted);
        }
        if self.gone.len() + before.len() > REMEMBERED_MAX {
            self.gone.clear();
        }
        for counted in before.into_values().take(REMEMBERED_MAX) {
            self.gone.insert(counted.identity.clone(), (self.now_ms, counted));
        }
        let now_ms = self.now_ms;
        self.gone.retain(|_, (last_ms, _)| now_ms.saturating_sub(*last_ms) <= REMEMBERED_MS);
    }

    /// By how much the counter grew within the window; 0 for a series of another name.
    pub fn within(&self, series: &Series) -> f64 {
        self.counters.get(&series.id()).map_or(0.0, |counted| counted.grew.iter().map(|(_, by)| by).sum())
    }

    /// The same a second, over the window or over what has been seen of it; 0 in the first tick.
    pub fn per_second(&self, series: &Series) -> f64 {
        let seen_ms = self.now_ms.saturating_sub(self.since_ms.unwrap_or(self.now_ms));
        match seen_ms.min(self.window_ms) {
            0 => 0.0,
            over_ms => self.within(series) * 1e3 / over_ms as f64,
        }
    }

    /// What a hook hands to its next version: one line a counter. Those that do not fit are left out.
    pub fn snapshot(&self) -> String {
        let since_ms = self.since_ms.unwrap_or(0);
        let mut text = format!("growth 1 {since_ms} {}\n", self.now_ms);
        for counted in self.counters.values().filter(|counted| !counted.identity.contains('\n')) {
            let grew: Vec<String> = counted.grew.iter().map(|(at_ms, by)| format!("{at_ms}:{by}")).collect();
            let line = format!("{} {} {}\n", counted.last, grew.join(","), counted.identity);
            if text.len() + line.len() > SNAPSHOT_BYTES_MAX {
                break;
            }
            text.push_str(&line);
        }
        text
    }

    /// Goes on where [`snapshot`](Self::snapshot) stopped.
    pub fn restore(&mut self, snapshot: &str) -> Result<(), String> {
        let mut lines = snapshot.lines();
        let head = lines.next().and_then(|head| head.strip_prefix("growth 1 ")).and_then(|times| times.split_once(' '));
        let times = head.and_then(|(since, now)| Some((since.parse().ok()?, now.parse().ok()?)));
        let Some((since_ms, now_ms)): Option<(u64, u64)> = times else {
            return Err("this is no snapshot of growth".into());
        };
        let gone: Option<_> = lines.map(|line| Some((line, Counted::read(line)?))).collect::<Option<Vec<_>>>();
        let Some(gone) = gone else { return Err("a line of the snapshot does not read".into()) };
        self.since_ms = (now_ms > 0).then_some(since_ms);
        self.now_ms = now_ms;
        self.counters.clear();
        self.gone = gone.into_iter().map(|(_, counted)| (counted.identity.clone(), (now_ms, counted))).collect();
        Ok(())
    }
}

impl Counted {
    fn new(identity: String, last: f64) -> Self {
        Counted { identity, last, grew: VecDeque::new() }
    }

    fn take(&mut self, value: f64, now_ms: u64, window_ms: u64) {
        let by = if value < self.last { value } else { value - self.last };
        self.last = value;
        while self.grew.front().is_some_and(|(at_ms, _)| now_ms.saturating_sub(*at_ms) >= window_ms) {
            self.grew.pop_front();
        }
        if by > 0.0 {
            let part = |at_ms: u64| at_ms / window_ms.div_ceil(PARTS);
            match self.grew.back_mut() {
                Some((at_ms, grew)) if part(*at_ms) == part(now_ms) => *grew += by,
                _ => self.grew.push_back((now_ms, by)),
            }
        }
    }

    /// A line of a snapshot.
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, ' ');
        let last: f64 = parts.next()?.parse().ok()?;
        let grew = parts.next()?;
        let identity = parts.next()?.to_owned();
        let one = |pair: &str| {
            let (at_ms, by) = pair.split_once(':')?;
            Some((at_ms.parse().ok()?, by.parse().ok()?))
        };
        let grew = grew.split(',').filter(|pair| !pair.is_empty()).map(one).collect::<Option<_>>()?;
        Some(Counted { identity, last, grew })
    }
}

/// Name and labels as one text.
fn identity(series: &Series) -> String {
    let mut text = series.name().to_owned();
    for (name, value) in series.labels() {
        text.push_str(&format!("|{name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::SeriesKind;

    struct Rig {
        feed: Feed,
        growth: Growth,
    }

    impl Rig {
        fn new(window_s: u64) -> Self {
            Rig { feed: Feed::default(), growth: Growth::of("sent_total", Duration::from_secs(window_s)) }
        }

        fn add(&mut self, id: u32, topic: &str) {
            let labels = vec![("topic".to_owned(), topic.to_owned())];
            self.feed.add(id, Series::new("sent_total".into(), SeriesKind::Counter, labels));
        }

        /// Growth of each series, in their order.
        fn tick(&mut self, at_s: u64, values: &[(u32, f64)]) -> Vec<f64> {
            let (ids, values): (Vec<u32>, Vec<f64>) = values.iter().copied().unzip();
            self.feed.apply(at_s * 1_000, &ids, &values);
            self.growth.follow(&self.feed);
            self.feed.series().map(|series| self.growth.within(series)).collect()
        }
    }

    #[test]
    fn what_was_before_is_no_growth_and_what_leaves_the_window_is_forgotten() {
        let mut rig = Rig::new(60);
        rig.add(1, "a");
        assert_eq!(rig.tick(100, &[(1, 500.0)]), [0.0]);
        assert_eq!(rig.tick(110, &[(1, 503.0)]), [3.0]);
        rig.add(2, "b");
        assert_eq!(rig.tick(120, &[(1, 504.0), (2, 2.0)]), [4.0, 2.0], "a counter that appears began at zero");
        assert_eq!(rig.growth.per_second(rig.feed.series().next().unwrap()), 0.2, "4 in the 20 s that were seen");
        assert_eq!(rig.tick(169, &[(1, 504.0), (2, 2.0)]), [4.0, 2.0]);
        assert_eq!(rig.tick(170, &[(1, 504.0), (2, 2.0)]), [1.0, 2.0]);
        assert_eq!(rig.tick(180, &[(1, 504.0), (2, 2.0)]), [0.0, 0.0]);
    }

    #[test]
    fn a_counter_that_began_anew_grew_by_what_it_says() {
        let mut rig = Rig::new(60);
        rig.add(1, "a");
        rig.tick(0, &[(1, 500.0)]);
        assert_eq!(rig.tick(10, &[(1, 7.0)]), [7.0]);
    }

    #[test]
    fn a_series_that_was_left_out_of_a_tick_goes_on() {
        let mut rig = Rig::new(60);
        rig.add(1, "a");
        rig.tick(0, &[(1, 500.0)]);
        rig.feed.remove(&[1]);
        rig.tick(10, &[]);
        rig.add(9, "a");
        assert_eq!(rig.tick(20, &[(9, 501.0)]), [1.0]);
        rig.feed.remove(&[9]);
        rig.tick(30, &[]);
        rig.tick(3_631, &[]);
        rig.add(10, "a");
        assert_eq!(rig.tick(3_640, &[(10, 501.0)]), [501.0], "after an hour it is another one");
    }

    #[test]
    fn the_next_version_goes_on() {
        let mut rig = Rig::new(60);
        rig.add(1, "a b");
        rig.tick(0, &[(1, 500.0)]);
        rig.tick(10, &[(1, 502.5)]);
        let mut next = Rig::new(60);
        next.growth.restore(&rig.growth.snapshot()).unwrap();
        next.add(77, "a b");
        assert_eq!(next.tick(20, &[(77, 503.5)]), [3.5]);
        assert_eq!(next.tick(70, &[(77, 503.5)]), [1.0]);
        for bad in ["", "growth 2 0 0\n", "growth 1 0 0\nx y z\n", "growth 1 0 0\n1 2:3\n"] {
            assert!(next.growth.restore(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_long_window_keeps_few_parts() {
        let mut rig = Rig::new(600);
        rig.add(1, "a");
        let mut last = Vec::new();
        for second in 0..1_200 {
            last = rig.tick(second, &[(1, second as f64)]);
        }
        assert!((590.0..=600.0).contains(&last[0]), "{last:?}");
        let kept = rig.growth.counters[&1].grew.len() as u64;
        assert!(kept <= PARTS + 1, "{kept}");
    }
}
