//! A metric or alert hook as whoever gathers metrics calls it, once a tick, off the runtime's workers.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

pub use crate::wit::alert::exports::gantry::plugin::alerts::{Alert, Severity};
use crate::{
    balancer::settled,
    binding::{Binding, CallError},
    feed::{Feed, SeriesKind},
    guest::cut,
    slot::{Cause, Fault, Slot},
    spec::World,
    version::Version,
    wit::metric::exports::gantry::plugin::{feed, metrics},
};

/// Most families of a metric hook.
pub const FAMILIES_MAX: usize = 32;
/// Most label names of a family.
pub const FAMILY_LABELS_MAX: usize = 8;
/// Most series that a metric hook may derive.
pub const DERIVED_MAX: usize = 10_000;
/// Most alerts of a hook that may hold at a time.
pub const ALERTS_MAX: usize = 1_000;
/// Longest value of a label, key or name of a hook, bytes; longer ones are cut.
pub const LABEL_BYTES_MAX: usize = 256;
/// Longest summary of an alert, bytes; longer ones are cut.
pub const SUMMARY_BYTES_MAX: usize = 1_024;
/// Most labels of an alert.
const ALERT_LABELS_MAX: usize = 32;

/// A hook in the configuration.
#[derive(Clone)]
pub struct Hook(pub(crate) Arc<Binding>);

/// What a metric hook derives under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// `[a-z_][a-z0-9_]*`, not prefixed yet.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// What it counts.
    pub kind: SeriesKind,
    /// Names of its labels.
    pub labels: Vec<String>,
}

/// One derived series.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Index of its family.
    pub family: usize,
    /// A value for each label of the family.
    pub labels: Vec<String>,
    /// Its value.
    pub value: f64,
}

/// What a metric hook made of a tick.
#[derive(Debug, Clone)]
pub struct Derived {
    /// The plugin's families.
    pub families: Arc<[Family]>,
    /// Each series once.
    pub samples: Vec<Sample>,
}

impl Hook {
    /// Name of the plugin.
    pub fn plugin(&self) -> &str {
        self.0.plugin()
    }

    /// Whether it makes metrics or alerts.
    pub fn world(&self) -> World {
        self.0.plugin.report().world
    }

    /// Names of the series that the version that serves wants, `*` at an end meaning any; none while nothing serves.
    pub fn wants(&self) -> Vec<String> {
        let version = self.0.plugin.current();
        let plan = version.as_ref().and_then(|version| version.hook_plan(self.0.id));
        plan.map(|plan| plan.wants.patterns()).unwrap_or_default()
    }

    /// Shows a metric hook one tick. Takes at most the plugin's deadline.
    pub fn metrics(&self, shown: &Feed) -> Result<Derived, CallError> {
        self.ask(|slot, version| {
            let Some(plan) = version.hook_plan(self.0.id) else { return Err(not_a_hook()) };
            let samples = slot.tick_metrics(version.runtime(), version.wiring.deadline, shown, &plan.wants)?;
            let samples = check_samples(samples, &plan.families).map_err(wrong)?;
            Ok(Derived { families: plan.families.clone(), samples })
        })
    }

    /// Shows an alert hook one tick: the alerts that hold now, each key once.
    pub fn alerts(&self, shown: &Feed) -> Result<Vec<Alert>, CallError> {
        self.ask(|slot, version| {
            let Some(plan) = version.hook_plan(self.0.id) else { return Err(not_a_hook()) };
            let alerts = slot.tick_alerts(version.runtime(), version.wiring.deadline, shown, &plan.wants)?;
            check_alerts(alerts).map_err(wrong)
        })
    }

    fn ask<T>(&self, ask: impl FnOnce(&mut Slot, &Version) -> Result<T, Fault>) -> Result<T, CallError> {
        let mut held = self.0.admit()?;
        let version = held.version.clone();
        let (started, stats) = (Instant::now(), &self.0.stats);
        stats.calls.add(1);
        let answer = version.slot().with(|slot| ask(slot, &version));
        stats.nanoseconds.add(started.elapsed().as_nanos() as u64);
        settled(&mut held, answer)
    }
}

fn wrong(text: String) -> Fault {
    Fault { cause: Cause::Result, text }
}

fn not_a_hook() -> Fault {
    wrong("a plugin of this world is not shown metrics".to_owned())
}

/// Families as a plugin declares them; the error is a sentence that follows "it".
pub(crate) fn check_families(families: Vec<metrics::Family>) -> Result<Vec<Family>, String> {
    if families.len() > FAMILIES_MAX {
        return Err(format!("declares {} families, at most {FAMILIES_MAX} are allowed", families.len()));
    }
    let mut names = BTreeSet::new();
    let mut checked = Vec::with_capacity(families.len());
    for metrics::Family { name, help, kind, label_names } in families {
        if !legal_name(&name) {
            return Err(format!("declares the family {name:?}; a name is of a-z, 0-9 and _"));
        }
        if !names.insert(name.clone()) {
            return Err(format!("declares the family {name} twice"));
        }
        let mut labels = BTreeSet::new();
        if label_names.len() > FAMILY_LABELS_MAX
            || label_names.iter().any(|label| !legal_name(label) || !labels.insert(label.as_str()))
        {
            return Err(format!(
                "gives {name} the labels {label_names:?}; at most {FAMILY_LABELS_MAX} names of a-z, 0-9 and _ are allowed"
            ));
        }
        let kind = match kind {
            feed::SeriesKind::Counter => SeriesKind::Counter,
            feed::SeriesKind::Gauge => SeriesKind::Gauge,
        };
        checked.push(Family { name, help: cut(&help, SUMMARY_BYTES_MAX), kind, labels: label_names });
    }
    Ok(checked)
}

fn legal_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.len() <= LABEL_BYTES_MAX
        && name.chars().all(legal)
}

fn check_samples(samples: Vec<metrics::Sample>, families: &[Family]) -> Result<Vec<Sample>, String> {
    if samples.len() > DERIVED_MAX {
        return Err(format!("it derived {} series, at most {DERIVED_MAX} are allowed", samples.len()));
    }
    let mut checked: Vec<Sample> = Vec::with_capacity(samples.len());
    let mut seen = BTreeSet::new();
    for metrics::Sample { family, labels, value } in samples {
        let family = family as usize;
        let Some(declared) = families.get(family) else {
            return Err(format!("it derived a series of family {family}, it declared {}", families.len()));
        };
        if declared.labels.len() != labels.len() {
            let (name, wanted) = (&declared.name, declared.labels.len());
            return Err(format!("it gave {} labels to {name}, which has {wanted}", labels.len()));
        }
        let labels: Vec<String> = labels.iter().map(|label| cut(label, LABEL_BYTES_MAX)).collect();
        if !seen.insert((family, labels.clone())) {
            return Err(format!("it set {} with the labels {labels:?} twice", declared.name));
        }
        checked.push(Sample { family, labels, value });
    }
    Ok(checked)
}

fn check_alerts(mut alerts: Vec<Alert>) -> Result<Vec<Alert>, String> {
    if alerts.len() > ALERTS_MAX {
        return Err(format!("it named {} alerts, at most {ALERTS_MAX} are allowed", alerts.len()));
    }
    let mut keys = BTreeSet::new();
    for alert in &mut alerts {
        if alert.key.is_empty() || alert.key.len() > LABEL_BYTES_MAX {
            return Err(format!("a key of its alerts has {} bytes, expected 1 to {LABEL_BYTES_MAX}", alert.key.len()));
        }
        if !keys.insert(alert.key.clone()) {
            return Err(format!("it named the alert {:?} twice", alert.key));
        }
        if alert.labels.len() > ALERT_LABELS_MAX {
            let count = alert.labels.len();
            return Err(format!(
                "its alert {:?} has {count} labels, at most {ALERT_LABELS_MAX} are allowed",
                alert.key
            ));
        }
        alert.summary = cut(&alert.summary, SUMMARY_BYTES_MAX);
        for label in &mut alert.labels {
            (label.name, label.value) = (cut(&label.name, LABEL_BYTES_MAX), cut(&label.value, LABEL_BYTES_MAX));
        }
    }
    Ok(alerts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(name: &str, labels: &[&str]) -> metrics::Family {
        let label_names = labels.iter().map(|&label| label.into()).collect();
        metrics::Family { name: name.into(), help: "h".into(), kind: feed::SeriesKind::Gauge, label_names }
    }

    #[test]
    fn families_have_names_that_can_be_shown() {
        assert!(check_families(vec![family("lag_s", &["group", "topic"])]).is_ok());
        for (families, expected) in [
            (vec![family("Lag", &[])], "a name is of"),
            (vec![family("1st", &[])], "a name is of"),
            (vec![family("", &[])], "a name is of"),
            (vec![family("a", &[]), family("a", &[])], "twice"),
            (vec![family("a", &["x", "x"])], "at most 8 names"),
            (vec![family("a", &["le\""])], "at most 8 names"),
        ] {
            let error = check_families(families).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn samples_are_those_of_declared_families() {
        let families = check_families(vec![family("lag_s", &["group"])]).unwrap();
        let sample = |family, labels: &[&str]| metrics::Sample {
            family,
            labels: labels.iter().map(|&label| label.into()).collect(),
            value: 1.0,
        };
        assert_eq!(check_samples(vec![sample(0, &["g"]), sample(0, &["h"])], &families).unwrap().len(), 2);
        for (samples, expected) in [
            (vec![sample(1, &["g"])], "family 1"),
            (vec![sample(0, &[])], "0 labels"),
            (vec![sample(0, &["g"]), sample(0, &["g"])], "twice"),
            (vec![sample(0, &["g"]); DERIVED_MAX + 1], "at most 10000"),
        ] {
            let error = check_samples(samples, &families).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
