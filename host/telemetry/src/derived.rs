//! Series that plugins derive from others. They appear beside those of the host, under names that the plugin declared and no
//! other one has, behind a prefix that no name of the host begins with, and with a label that says whose they are.

use std::{
    borrow::Cow,
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use gantry_base::metric::{Counter, Family, Kind, Sink};
use parking_lot::Mutex;

/// Names that one plugin may declare.
pub const DERIVED_FAMILIES_MAX: usize = 100;
/// Longest name and longest label value, in bytes; a sample with a longer one is left out.
const TEXT_LEN_MAX: usize = 256;
/// Most labels of one series.
const LABELS_MAX: usize = 16;
/// What the names of derived series begin with.
pub const DERIVED_PREFIX: &str = "gantry_plugin_";
/// The label that says whose a series is.
const OWNER: &str = "plugin";

static REFUSED: Family = Family::counter(
    "gantry_derived_refused_samples_total",
    "Samples of plugins that were left out: not declared, malformed, or over telemetry.derived_series_max.",
);

/// A name that a plugin uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The name, without the prefix; a counter's should end in `_total`.
    pub name: String,
    /// Counter or gauge.
    pub kind: Kind,
    /// What it says, in a sentence.
    pub help: String,
}

/// One value of a derived series.
#[derive(Debug, Clone, PartialEq)]
pub struct DerivedSample {
    /// A declared name.
    pub name: String,
    /// Labels.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// A plugin cannot have a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameProblem {
    /// It is none.
    #[error("{0:?} is no metric name: letters, digits and _, not beginning with a digit, at most {TEXT_LEN_MAX} bytes")]
    Malformed(String),
    /// Another plugin has it, or the same one twice.
    #[error("{name} is declared by plugin {owner} already; a name means one thing")]
    Taken {
        /// The name.
        name: String,
        /// Whose it is.
        owner: String,
    },
    /// There are histograms of the host only.
    #[error("{0} is declared as a histogram; a plugin has counters and gauges")]
    Histogram(String),
    /// Too many.
    #[error("{0} names are declared, at most {DERIVED_FAMILIES_MAX} are allowed")]
    TooMany(usize),
}

/// The derived series of a node. Clones are the same.
#[derive(Clone)]
pub struct Derived(Arc<Inner>);

struct Inner {
    series_max: usize,
    plugins: Mutex<BTreeMap<String, Of>>,
    refused: Counter,
}

/// What one plugin has.
struct Of {
    families: Vec<Family>,
    /// By place in `families`, then labels by name.
    series: BTreeMap<(usize, Vec<(String, String)>), f64>,
}

impl Of {
    /// Where a name without its prefix stands in `families`.
    fn place(&self, name: &str) -> Option<usize> {
        self.families.iter().position(|family| family.name.strip_prefix(DERIVED_PREFIX) == Some(name))
    }
}

impl Derived {
    /// None yet. Each plugin may have at most `series_max` series.
    pub fn new(series_max: usize) -> Self {
        Derived(Arc::new(Inner { series_max, plugins: Mutex::default(), refused: Counter::default() }))
    }

    /// Makes these the names of a plugin. Series under names that it keeps stay; after an error everything does.
    pub fn declare(&self, plugin: &str, declared: &[Declared]) -> Result<(), NameProblem> {
        let mut plugins = self.0.plugins.lock();
        if declared.len() > DERIVED_FAMILIES_MAX {
            return Err(NameProblem::TooMany(declared.len()));
        }
        for (index, one) in declared.iter().enumerate() {
            check_name(one)?;
            let others = plugins.iter().filter(|(owner, _)| *owner != plugin);
            let mut others = others.filter(|(_, of)| of.place(&one.name).is_some());
            let owner = others.next().map(|(owner, _)| owner.clone());
            let twice = declared[..index].iter().any(|before| before.name == one.name).then(|| plugin.to_owned());
            if let Some(owner) = owner.or(twice) {
                return Err(NameProblem::Taken { name: one.name.clone(), owner });
            }
        }
        let families: Vec<Family> = declared
            .iter()
            .map(|one| {
                let unit = gantry_base::metric::Unit::None;
                let name = Cow::Owned(format!("{DERIVED_PREFIX}{}", one.name));
                Family { name, kind: one.kind, unit, help: Cow::Owned(one.help.clone()) }
            })
            .collect();
        let former = plugins.remove(plugin);
        let mut series = BTreeMap::new();
        if let Some(former) = former {
            for ((at, labels), value) in former.series {
                if let Some(now) = families.iter().position(|family| *family == former.families[at]) {
                    series.insert((now, labels), value);
                }
            }
        }
        plugins.insert(plugin.to_owned(), Of { families, series });
        Ok(())
    }

    /// Makes these the series of a plugin; of two with the same labels the later one counts. Returns how many samples were
    /// left out.
    pub fn update(&self, plugin: &str, samples: Vec<DerivedSample>) -> u64 {
        let mut plugins = self.0.plugins.lock();
        let mut refused = samples.len() as u64;
        if let Some(of) = plugins.get_mut(plugin) {
            of.series.clear();
            for DerivedSample { name, mut labels, value } in samples {
                let Some(at) = of.place(&name) else { continue };
                labels.sort_unstable();
                let twice = labels.windows(2).any(|pair| pair[0].0 == pair[1].0);
                if twice || labels.len() > LABELS_MAX || !labels.iter().all(is_label) {
                    continue;
                }
                let len = of.series.len();
                match of.series.entry((at, labels)) {
                    Entry::Occupied(mut there) => _ = there.insert(value),
                    Entry::Vacant(_) if len >= self.0.series_max => continue,
                    Entry::Vacant(free) => _ = free.insert(value),
                }
                refused -= 1;
            }
        }
        self.0.refused.add(refused);
        refused
    }

    /// Takes away what belongs to plugins that are gone.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.0.plugins.lock().retain(|plugin, _| keep(plugin));
    }

    /// Tells all of them.
    pub fn collect(&self, out: &mut dyn Sink) {
        for (plugin, of) in &*self.0.plugins.lock() {
            for ((at, labels), value) in &of.series {
                let mut all = vec![(OWNER, plugin.as_str())];
                all.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
                out.number(&of.families[*at], &all, *value);
            }
        }
        out.counter(&REFUSED, &self.0.refused);
    }
}

fn check_name(declared: &Declared) -> Result<(), NameProblem> {
    let name = &declared.name;
    if !is_name(name) || name.len() > TEXT_LEN_MAX {
        return Err(NameProblem::Malformed(name.chars().take(TEXT_LEN_MAX).collect()));
    }
    match declared.kind {
        Kind::Histogram => Err(NameProblem::Histogram(name.clone())),
        Kind::Counter | Kind::Gauge => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    name.bytes()
        .enumerate()
        .all(|(at, byte)| byte == b'_' || byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()))
        && !name.is_empty()
}

/// Labels that begin with two underscores are Prometheus' own, and `le` is a histogram's.
fn is_label((name, value): &(String, String)) -> bool {
    is_name(name)
        && !name.starts_with("__")
        && name != "le"
        && name != OWNER
        && name.len().max(value.len()) <= TEXT_LEN_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Collector, Snapshot, Value};

    fn gauge(name: &str) -> Declared {
        Declared { name: name.to_owned(), kind: Kind::Gauge, help: "H.".to_owned() }
    }

    fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> DerivedSample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        DerivedSample { name: name.to_owned(), labels, value }
    }

    fn told(derived: &Derived) -> Snapshot {
        let mut collector = Collector::new(1_000, None, 0);
        derived.collect(&mut collector);
        collector.snapshot
    }

    fn values(derived: &Derived, name: &str) -> Vec<(String, f64)> {
        let snapshot = told(derived);
        let samples = snapshot.family(name).into_iter().flat_map(|series| series.samples(0).collect::<Vec<_>>());
        samples
            .map(|sample| {
                let Value::Number(value) = sample.value else { panic!() };
                (sample.labels.replace(['\u{1}', '\u{2}'], " "), *value)
            })
            .collect()
    }

    #[test]
    fn names_are_checked() {
        let derived = Derived::new(10);
        derived.declare("skew", &[gauge("queue_skew")]).unwrap();
        let problem = |declared: Declared| derived.declare("other", &[declared]).unwrap_err();
        assert!(matches!(problem(gauge("queue_skew")), NameProblem::Taken { owner, .. } if owner == "skew"));
        for bad in ["", "9lives", "a-b", "ä", &"n".repeat(257)] {
            assert!(matches!(problem(gauge(bad)), NameProblem::Malformed(_)), "{bad}");
        }
        assert!(matches!(problem(Declared { kind: Kind::Histogram, ..gauge("sent") }), NameProblem::Histogram(_)));
        assert!(derived.declare("other", &[gauge("a"), gauge("a")]).is_err());
        derived.declare("skew", &[gauge("queue_skew"), gauge("b")]).expect("its own names are free to it");
        derived.retain(|plugin| plugin != "skew");
        derived.declare("other", &[gauge("queue_skew")]).expect("the plugin that had it is gone");
    }

    #[test]
    fn series_are_bounded_and_replaced_each_time() {
        let derived = Derived::new(2);
        derived.declare("p", &[gauge("lag_s")]).unwrap();
        let refused = derived.update(
            "p",
            vec![
                sample("lag_s", &[("group", "a")], 1.0),
                sample("lag_s", &[("group", "a")], 2.0),
                sample("undeclared", &[], 1.0),
                sample("lag_s", &[("le", "1")], 1.0),
                sample("lag_s", &[("plugin", "q")], 1.0),
                sample("lag_s", &[("group", "a"), ("group", "b")], 1.0),
                sample("lag_s", &[("group", "b")], 3.0),
                sample("lag_s", &[("group", "c")], 4.0),
            ],
        );
        assert_eq!(refused, 5);
        let expected = [("plugin p group a ".to_owned(), 2.0), ("plugin p group b ".to_owned(), 3.0)];
        assert_eq!(values(&derived, "gantry_plugin_lag_s"), expected);
        assert_eq!(values(&derived, "gantry_derived_refused_samples_total"), [(String::new(), 5.0)]);
        assert_eq!(derived.update("p", vec![sample("lag_s", &[], 7.0)]), 0);
        assert_eq!(values(&derived, "gantry_plugin_lag_s"), [("plugin p ".to_owned(), 7.0)]);
        assert_eq!(derived.update("stranger", vec![sample("lag_s", &[], 7.0)]), 1);
    }
}
