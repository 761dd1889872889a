//! The tick: what metric and alert plugins are told, and what becomes of what they say.
//!
//! Everything that goes in or out is a value. The caller says which hooks there are, carries a tick to each of them, and brings
//! back samples or changes; it alone knows how a plugin is called.

use std::collections::BTreeMap;

use crate::{
    derived::Derived,
    feed::{Feed, FeedTick},
    registry::{GatherError, Registry},
    wants::Wants,
};

/// A plugin that wants ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name; also the owner of its derived series and the source of its alerts.
    pub name: String,
    /// Changes with every new instance: a new one knows no series, so all are described to it.
    pub instance: u64,
    /// The metrics that it wants.
    pub wants: Wants,
}

/// Feeds of all hooks.
pub struct Ticker {
    registry: Registry,
    derived: Derived,
    series_max: usize,
    feeds: BTreeMap<String, (u64, Feed)>,
}

impl Ticker {
    /// Without hooks. Each may be fed at most `series_max` series.
    pub fn new(registry: Registry, derived: Derived, series_max: usize) -> Self {
        Ticker { registry, derived, series_max, feeds: BTreeMap::new() }
    }

    /// One tick for each hook, in the order of their names: the series that it wants as they are now, what derived ones were
    /// after the last tick among them. Gathers once, and only what anybody wants; nothing without hooks. A hook that is not
    /// named any more loses its derived series.
    pub async fn tick(&mut self, hooks: Vec<Hook>) -> Result<Vec<(String, FeedTick)>, GatherError> {
        self.feeds.retain(|name, _| hooks.iter().any(|hook| hook.name == *name));
        self.derived.retain(|plugin| hooks.iter().any(|hook| hook.name == plugin));
        for Hook { name, instance, wants } in hooks {
            let known = self.feeds.get(&name).is_some_and(|(of, feed)| *of == instance && *feed.wants() == wants);
            if !known {
                self.feeds.insert(name, (instance, Feed::new(wants, self.series_max)));
            }
        }
        if self.feeds.is_empty() {
            return Ok(Vec::new());
        }
        let wants = Wants::together(self.feeds.values().map(|(_, feed)| feed.wants()));
        let snapshot = self.registry.gather_wanted(wants).await?;
        Ok(self.feeds.iter_mut().map(|(name, (_, feed))| (name.clone(), feed.tick(&snapshot))).collect())
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::{
        clock::Clock,
        metric::{Family, Kind},
    };

    use super::*;
    use crate::{Declared, DerivedSample, RegistryOptions};

    static LAG: Family = Family::gauge("lag", "L.");

    fn hook(name: &str, instance: u64, wants: &str) -> Hook {
        Hook { name: name.to_owned(), instance, wants: Wants::new([wants.to_owned()]) }
    }

    #[tokio::test]
    async fn what_a_plugin_derives_is_there_for_the_next_tick_and_goes_with_it() {
        let registry = Registry::new(RegistryOptions { series_max: 100, clock: Clock::manual(1) });
        let derived = Derived::new(10);
        registry.register([], |out| out.number(&LAG, &[], 4.0));
        let told = derived.clone();
        registry.register([("node", "n".to_owned())], move |out| told.collect(out));
        let mut ticker = Ticker::new(registry.clone(), derived.clone(), 10);
        assert!(ticker.tick(Vec::new()).await.unwrap().is_empty());

        let hooks = || vec![hook("double", 1, "lag"), hook("watch", 1, "double_*")];
        let ticks = ticker.tick(hooks()).await.unwrap();
        let [(double, first), (watch, nothing)] = ticks.as_slice() else { panic!("{ticks:?}") };
        assert_eq!((&**double, &*first.values, &**watch, nothing.ids.len()), ("double", &[4.0][..], "watch", 0));
        let declared = Declared { name: "double_lag".to_owned(), kind: Kind::Gauge, help: "Twice.".to_owned() };
        derived.declare("double", &[declared]).unwrap();
        let sample = DerivedSample { name: "double_lag".to_owned(), labels: Vec::new(), value: 2.0 * first.values[0] };
        assert_eq!(derived.update("double", vec![sample]), 0);

        let ticks = ticker.tick(hooks()).await.unwrap();
        assert_eq!(ticks[1].1.values, [8.0]);
        let labels = [("node", "n"), ("plugin", "double")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(ticks[1].1.added[0].labels, labels);
        assert!(ticks[0].1.added.is_empty(), "described already");

        // A new instance of one plugin is told everything again, the other one nothing; then the first is gone.
        let ticks = ticker.tick(vec![hook("double", 2, "lag"), hook("watch", 1, "double_*")]).await.unwrap();
        assert_eq!((ticks[0].1.added.len(), ticks[1].1.added.len()), (1, 0));
        let ticks = ticker.tick(vec![hook("watch", 1, "double_*")]).await.unwrap();
        assert_eq!((ticks[0].1.removed.len(), ticks[0].1.ids.len()), (1, 0));
    }
}
