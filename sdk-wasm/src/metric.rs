//! What a metric hook is.

use crate::{
    feed::{Feed, SeriesKind},
    params::Params,
};

/// Makes metrics of metrics: asked every few seconds with all series that it wants, it says what its own series are now.
///
/// There is one instance of it on a node. It may remember things between ticks; they are lost when the node ends, and handed
/// to the next version of the plugin by [`snapshot`](Self::snapshot) and [`restore`](Self::restore).
pub trait MetricHook: Sized + 'static {
    /// Begins with the parameters of the configuration. An error is a sentence for the operator.
    fn open(params: &Params) -> Result<Self, String>;

    /// Names of the series that it wants; a name may end with `*`.
    fn wants(&self) -> Vec<String>;

    /// What it derives. The broker shows each with the prefix `gantry_plugin_`.
    fn families(&self) -> Vec<Family>;

    /// Says what its series are now; one that is not set any more is gone.
    fn on_tick(&mut self, feed: &Feed, out: &mut Samples);

    /// What the next version should know; at most 1 MiB. Empty = nothing.
    fn snapshot(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes what a former version, perhaps of other code, left. On an error the plugin begins without it.
    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let _ = state;
        Ok(())
    }

    /// Says why this build must not be put in service, before it is.
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

/// Series of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// a-z, 0-9 and `_`.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What it counts.
    pub kind: SeriesKind,
    /// Names of its labels.
    pub labels: &'static [&'static str],
}

impl Family {
    /// A level.
    pub fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Family { name, help, kind: SeriesKind::Gauge, labels }
    }

    /// A count that only grows.
    pub fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Self {
        Family { name, help, kind: SeriesKind::Counter, labels }
    }
}

/// Takes the values of one tick.
#[derive(Debug, Default)]
pub struct Samples {
    families: Vec<Family>,
    pub(crate) set: Vec<(u32, Vec<String>, f64)>,
}

impl Samples {
    pub(crate) fn of(families: Vec<Family>) -> Self {
        Samples { families, set: Vec::new() }
    }

    /// Sets the series of family `name` with these label values, in the order of the family's labels.
    ///
    /// # Panics
    /// For a family that was not declared, or another number of labels: a mistake of the plugin, which the broker reports.
    pub fn set(&mut self, name: &str, labels: &[&str], value: f64) {
        let family = self.families.iter().position(|family| family.name == name);
        let Some(family) = family else { panic!("the family {name:?} is not among families()") };
        let declared = self.families[family].labels;
        assert!(declared.len() == labels.len(), "{name} has the labels {declared:?}, {labels:?} were given");
        self.set.push((family as u32, labels.iter().map(|&label| label.to_owned()).collect(), value));
    }
}
