//! The world `stateful-metric-hook`.

use crate::{
    bindings::metric::exports::gantry::plugin::{feed, metrics as wit},
    export::{Exported, Followed, Identity, hook::hook_exports},
    feed::SeriesKind,
    metric::{Family, MetricHook, Samples},
};

/// The node's one metric hook of this plugin, whatever its type.
trait Running {
    fn wants(&self) -> Vec<String>;
    fn families(&self) -> Vec<Family>;
    fn added(&mut self, id: u32, name: String, counter: bool, labels: Vec<(String, String)>);
    fn removed(&mut self, ids: &[u32]);
    fn tick(&mut self, tick: &feed::Tick) -> Vec<wit::Sample>;
    fn snapshot(&self) -> Vec<u8>;
    fn restore(&mut self, state: &[u8]) -> Result<(), String>;
}

impl<H: MetricHook> Running for Followed<H> {
    fn wants(&self) -> Vec<String> {
        self.hook.wants()
    }

    fn families(&self) -> Vec<Family> {
        self.hook.families()
    }

    fn added(&mut self, id: u32, name: String, counter: bool, labels: Vec<(String, String)>) {
        self.add(id, name, counter, labels);
    }

    fn removed(&mut self, ids: &[u32]) {
        self.feed.remove(ids);
    }

    fn tick(&mut self, tick: &feed::Tick) -> Vec<wit::Sample> {
        self.feed.apply(tick.at_millis, &tick.ids, &tick.values);
        let mut out = Samples::of(self.hook.families());
        self.hook.on_tick(&self.feed, &mut out);
        out.set.into_iter().map(|(family, labels, value)| wit::Sample { family, labels, value }).collect()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.hook.snapshot()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        self.hook.restore(state)
    }
}

hook_exports!(metric, MetricHook, Running, HOOK);

impl<H: MetricHook + Identity> wit::Guest for Exported<H> {
    fn families() -> Vec<wit::Family> {
        let family = |family: Family| wit::Family {
            name: family.name.into(),
            help: family.help.into(),
            kind: match family.kind {
                SeriesKind::Counter => feed::SeriesKind::Counter,
                SeriesKind::Gauge => feed::SeriesKind::Gauge,
            },
            label_names: family.labels.iter().map(|&label| label.to_owned()).collect(),
        };
        running(|hook| hook.families()).into_iter().map(family).collect()
    }

    fn on_tick(tick: feed::Tick) -> Vec<wit::Sample> {
        running(|hook| hook.tick(&tick))
    }
}
