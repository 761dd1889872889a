//! Which alerts there are. Time is handed in, and nothing here waits or tells anybody: what is news is given back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Alert, Change, Severity};

/// Longest key, label name and label value, in bytes.
const NAME_LEN_MAX: usize = 256;
/// Longest summary, in bytes; the rest is cut off.
const SUMMARY_LEN_MAX: usize = 1024;
/// Most labels; those behind are left out.
const LABELS_MAX: usize = 16;

/// Where an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is so, but not for long enough.
    Pending,
    /// It is told.
    Firing,
}

/// An alert as it is listed and kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Listed {
    /// Who raised it.
    pub source: String,
    /// The alert in its source's latest words.
    #[serde(flatten)]
    pub alert: Alert,
    /// Where it stands.
    pub state: State,
    /// Since when it is so, ms since 1970.
    pub since_ms: u64,
    /// When it was last raised, ms since 1970.
    pub updated_ms: u64,
    /// Grows with each change that must be told: of its state, severity or labels.
    #[serde(skip)]
    pub version: u64,
    /// It is from before the last start, and its source did not speak of it yet.
    #[serde(skip)]
    pub unconfirmed: bool,
}

/// News of an alert.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum News {
    /// It fires, or it does with another severity or other labels.
    Fires(Listed),
    /// What fired is over, or is told under other labels from now on.
    Over { was: Listed, at_ms: u64, version: u64 },
}

/// All alerts, by source and key.
#[derive(Debug)]
pub(super) struct Book {
    alerts: BTreeMap<(String, String), Listed>,
    alerts_max: usize,
    version: u64,
    /// Changed since it was last saved.
    pub(super) unsaved: bool,
    /// Alerts not taken because there are so many, or because the key is none.
    pub(super) refused: u64,
}

impl Book {
    /// Goes on with what was kept.
    pub(super) fn new(kept: Vec<Listed>, alerts_max: usize) -> Self {
        let mut book = Book { alerts: BTreeMap::new(), alerts_max, version: 0, unsaved: false, refused: 0 };
        for kept in kept.into_iter().take(alerts_max) {
            book.version += 1;
            let listed = Listed { version: book.version, unconfirmed: true, ..kept };
            book.alerts.insert((listed.source.clone(), listed.alert.key.clone()), listed);
        }
        book
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listed> + Clone {
        self.alerts.values()
    }

    /// Takes in what a source says.
    pub(super) fn apply(&mut self, source: &str, change: Change, now_ms: u64, news: &mut Vec<News>) {
        match change {
            Change::Raise(alert) => self.raise(source, clean(alert), now_ms, news),
            Change::Clear { key } => {
                let cleared = self.alerts.remove(&(source.to_owned(), key));
                self.over(cleared, now_ms, news);
            }
        }
    }

    fn raise(&mut self, source: &str, alert: Alert, now_ms: u64, news: &mut Vec<News>) {
        let place = (source.to_owned(), alert.key.clone());
        if let Some(known) = self.alerts.get_mut(&place) {
            let told_alike = known.alert.severity == alert.severity && known.alert.labels == alert.labels;
            if known.state == State::Firing && !told_alike {
                // Whoever is told knows an alert by its labels: the former ones are over.
                self.version += 2;
                news.push(News::Over { was: known.clone(), at_ms: now_ms, version: self.version - 1 });
                known.version = self.version;
                self.unsaved = true;
            }
            (known.alert, known.updated_ms, known.unconfirmed) = (alert, now_ms, false);
            if known.state == State::Firing && !told_alike {
                news.push(News::Fires(known.clone()));
            }
        } else if self.alerts.len() >= self.alerts_max || place.1.is_empty() || place.1.len() > NAME_LEN_MAX {
            self.refused += 1;
            return;
        } else {
            let (state, source) = (State::Pending, place.0.clone());
            let listed =
                Listed { source, alert, state, since_ms: now_ms, updated_ms: now_ms, version: 0, unconfirmed: false };
            self.alerts.insert(place.clone(), listed);
            self.unsaved = true;
        }
        self.fire_if_due(&place, now_ms, news);
    }

    fn fire_if_due(&mut self, place: &(String, String), now_ms: u64, news: &mut Vec<News>) {
        let Some(listed) = self.alerts.get_mut(place) else { return };
        // A clock that went back makes nothing wait longer than it says.
        listed.since_ms = listed.since_ms.min(now_ms);
        if listed.state == State::Pending && now_ms - listed.since_ms >= listed.alert.for_ms {
            self.version += 1;
            (listed.state, listed.version) = (State::Firing, self.version);
            self.unsaved = true;
            news.push(News::Fires(listed.clone()));
        }
    }

    fn over(&mut self, was: Option<Listed>, now_ms: u64, news: &mut Vec<News>) {
        let Some(was) = was else { return };
        self.unsaved = true;
        if was.state == State::Firing {
            self.version += 1;
            news.push(News::Over { was, at_ms: now_ms, version: self.version });
        }
    }

    /// Takes in all that holds for a source: what it does not name is over.
    pub(super) fn hold(&mut self, source: &str, alerts: Vec<Alert>, now_ms: u64, news: &mut Vec<News>) {
        let named: BTreeSet<&str> = alerts.iter().map(|alert| alert.key.as_str()).collect();
        self.remove_where(|known| known.source == source && !named.contains(&*known.alert.key), now_ms, news);
        for alert in alerts {
            self.raise(source, clean(alert), now_ms, news);
        }
    }

    /// Lets time pass: what is pending for long enough fires; what is from before the start and was not spoken of by
    /// `confirmed_by_ms` is over, because its source may not know of it any more.
    pub(super) fn advance(&mut self, now_ms: u64, confirmed_by_ms: u64, news: &mut Vec<News>) {
        let late = |listed: &Listed| listed.unconfirmed && now_ms >= confirmed_by_ms;
        self.remove_where(late, now_ms, news);
        let pending = |listed: &Listed| listed.state == State::Pending && !listed.unconfirmed;
        let pending = self.alerts.iter().filter(|(_, listed)| pending(listed));
        let pending: Vec<_> = pending.map(|(place, _)| place.clone()).collect();
        for place in pending {
            self.fire_if_due(&place, now_ms, news);
        }
    }

    /// Ends what these sources raised.
    pub(super) fn remove_sources(&mut self, keep: impl Fn(&str) -> bool, now_ms: u64, news: &mut Vec<News>) {
        self.remove_where(|listed| !keep(&listed.source), now_ms, news);
    }

    fn remove_where(&mut self, gone: impl Fn(&Listed) -> bool, now_ms: u64, news: &mut Vec<News>) {
        let gone: Vec<_> =
            self.alerts.iter().filter(|(_, listed)| gone(listed)).map(|(place, _)| place.clone()).collect();
        for place in gone {
            let was = self.alerts.remove(&place);
            self.over(was, now_ms, news);
        }
    }

    /// How many there are, by state and severity.
    pub(super) fn count(&self, state: State, severity: Severity) -> usize {
        self.iter().filter(|listed| listed.state == state && listed.alert.severity == severity).count()
    }
}

/// The alert within its bounds.
fn clean(mut alert: Alert) -> Alert {
    let cut = |text: &mut String, len: usize| {
        let end = (0..=len.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    };
    cut(&mut alert.summary, SUMMARY_LEN_MAX);
    alert.labels.retain(|(name, _)| is_label(name));
    alert.labels.sort();
    alert.labels.dedup_by(|later, earlier| later.0 == earlier.0);
    alert.labels.truncate(LABELS_MAX);
    alert.labels.iter_mut().for_each(|(_, value)| cut(value, NAME_LEN_MAX));
    if !alert.value.is_finite() {
        // What JSON cannot say would keep the others from being kept.
        alert.value = 0.0;
    }
    alert
}

fn is_label(name: &str) -> bool {
    let letters =
        |(at, byte): (usize, u8)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
    !name.is_empty() && name.len() <= NAME_LEN_MAX && !name.starts_with("__") && name.bytes().enumerate().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(key: &str, for_ms: u64) -> Alert {
        Alert {
            key: key.to_owned(),
            severity: Severity::Warning,
            summary: "the lag grows".to_owned(),
            labels: vec![("topic".to_owned(), "orders".to_owned())],
            value: 3.0,
            for_ms,
        }
    }

    struct Rig(Book);

    impl Rig {
        fn new() -> Self {
            Rig(Book::new(Vec::new(), 3))
        }

        fn raise(&mut self, alert: Alert, now_ms: u64) -> Vec<String> {
            self.apply("lag", Change::Raise(alert), now_ms)
        }

        fn apply(&mut self, source: &str, change: Change, now_ms: u64) -> Vec<String> {
            let mut news = Vec::new();
            self.0.apply(source, change, now_ms, &mut news);
            told(&news)
        }

        fn advance(&mut self, now_ms: u64) -> Vec<String> {
            let mut news = Vec::new();
            self.0.advance(now_ms, u64::MAX, &mut news);
            told(&news)
        }

        fn clear(&mut self, key: &str, now_ms: u64) -> Vec<String> {
            self.apply("lag", Change::Clear { key: key.to_owned() }, now_ms)
        }
    }

    fn told(news: &[News]) -> Vec<String> {
        let one = |news: &News| match news {
            News::Fires(listed) => format!("{} {} fires", listed.alert.key, listed.alert.severity.name()),
            News::Over { was, at_ms, .. } => format!("{} {} over at {at_ms}", was.alert.key, was.alert.severity.name()),
        };
        news.iter().map(one).collect()
    }

    #[test]
    fn it_fires_once_when_it_was_so_for_long_enough() {
        let mut rig = Rig::new();
        assert!(rig.raise(alert("a", 1_000), 0).is_empty());
        assert!(rig.raise(alert("a", 1_000), 999).is_empty());
        assert_eq!(rig.raise(alert("a", 1_000), 1_000), ["a warning fires"]);
        assert!(rig.raise(alert("a", 1_000), 2_000).is_empty(), "saying it again is no news");
        assert_eq!(rig.clear("a", 3_000), ["a warning over at 3000"]);
        assert!(rig.clear("a", 3_000).is_empty());
        // Cleared while pending: nobody hears of it, and its time begins anew.
        assert!(rig.raise(alert("b", 1_000), 0).is_empty());
        assert!(rig.clear("b", 900).is_empty());
        assert!(rig.raise(alert("b", 1_000), 901).is_empty());
        assert!(rig.advance(1_900).is_empty());
        assert_eq!(rig.advance(1_901), ["b warning fires"], "also when its source does not say it again");
        assert_eq!(rig.raise(alert("c", 0), 5), ["c warning fires"]);
    }

    #[test]
    fn another_severity_is_another_alert_to_whoever_is_told() {
        let mut rig = Rig::new();
        rig.raise(alert("a", 0), 0);
        let worse = Alert { severity: Severity::Critical, ..alert("a", 0) };
        assert_eq!(rig.raise(worse.clone(), 10), ["a warning over at 10", "a critical fires"]);
        assert!(rig.raise(Alert { value: 9.0, summary: "more".to_owned(), ..worse.clone() }, 20).is_empty());
        let listed = rig.0.iter().next().unwrap();
        assert_eq!((listed.alert.value, listed.since_ms, listed.updated_ms), (9.0, 0, 20));
        let other = Alert { labels: vec![("topic".to_owned(), "parcels".to_owned())], ..worse };
        assert_eq!(rig.raise(other, 30), ["a critical over at 30", "a critical fires"]);
    }

    #[test]
    fn what_no_longer_holds_is_over() {
        let mut rig = Rig::new();
        rig.apply("disk", Change::Raise(alert("a", 0)), 0);
        let mut hold = |alerts: Vec<Alert>, now_ms| {
            let mut news = Vec::new();
            rig.0.hold("lag", alerts, now_ms, &mut news);
            told(&news)
        };
        assert_eq!(hold(vec![alert("a", 0), alert("b", 1_000)], 0), ["a warning fires"]);
        assert!(hold(vec![alert("a", 0), alert("b", 1_000)], 500).is_empty());
        assert_eq!(hold(vec![alert("b", 1_000)], 1_000), ["a warning over at 1000", "b warning fires"]);
        assert_eq!(hold(Vec::new(), 2_000), ["b warning over at 2000"]);
        assert_eq!(rig.0.iter().count(), 1, "the other source's stays");
    }

    #[test]
    fn sources_do_not_see_each_other_and_there_is_a_bound() {
        let mut rig = Rig::new();
        rig.raise(alert("a", 0), 0);
        assert_eq!(rig.apply("disk", Change::Raise(alert("a", 0)), 0), ["a warning fires"]);
        assert!(rig.apply("other", Change::Clear { key: "a".to_owned() }, 0).is_empty());
        rig.raise(alert("b", 0), 0);
        assert!(rig.raise(alert("c", 0), 0).is_empty());
        assert!(rig.raise(alert("", 0), 0).is_empty());
        assert_eq!((rig.0.iter().count(), rig.0.refused), (3, 2));
        let mut news = Vec::new();
        rig.0.remove_sources(|source| source == "lag", 7, &mut news);
        assert_eq!(told(&news), ["a warning over at 7"]);
    }

    #[test]
    fn what_was_kept_must_be_confirmed() {
        let mut rig = Rig::new();
        rig.raise(alert("firing", 0), 100);
        rig.raise(alert("pending", 1_000), 100);
        rig.raise(alert("gone", 0), 100);
        let kept = rig.0.iter().cloned().collect();
        let mut rig = Rig(Book::new(kept, 3));
        assert!(rig.advance(900).is_empty());
        assert!(rig.raise(alert("firing", 0), 900).is_empty(), "it was told before the start");
        assert_eq!(rig.raise(alert("pending", 1_000), 1_100), ["pending warning fires"], "its time went on");
        let mut news = Vec::new();
        rig.0.advance(5_000, 5_000, &mut news);
        assert_eq!(told(&news), ["gone warning over at 5000"]);
        assert_eq!(rig.0.iter().count(), 2);
    }

    #[test]
    fn a_clock_that_goes_back_makes_nothing_wait_longer() {
        let mut rig = Rig::new();
        rig.raise(alert("a", 1_000), 1_000_000);
        assert!(rig.advance(10).is_empty());
        assert_eq!(rig.advance(1_010), ["a warning fires"]);
    }

    #[test]
    fn words_are_kept_within_bounds() {
        let mut rig = Rig::new();
        let labels = [("ok", "v"), ("9bad", "v"), ("__name__", "v"), ("", "v"), ("ok", "twice")];
        let mut labels: Vec<_> = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        labels.push(("long".to_owned(), "ä".repeat(500)));
        rig.raise(Alert { labels, summary: "ö".repeat(2_000), value: f64::NAN, ..alert("a", 0) }, 0);
        let listed = rig.0.iter().next().unwrap();
        let names: Vec<&str> = listed.alert.labels.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["long", "ok"]);
        assert_eq!((listed.alert.labels[0].1.len(), listed.alert.summary.len(), listed.alert.value), (256, 1_024, 0.0));
    }
}
