//! Metric and alert plugins at a tick: from the registry's shapes to the plugin host's and back.

use std::sync::Arc;

use gantry_base::metric::Kind;
use gantry_plugin::{
    Hook, PluginHost, World,
    feed::{Feed, Series, SeriesKind},
    hook,
};
use gantry_telemetry::{
    Declared, DerivedSample, FeedSeries, FeedTick, HookCall, Said, Wants,
    alert::{Alert, Severity},
};

/// A series as plugins are told it, once.
pub(super) fn describe(series: FeedSeries) -> Arc<Series> {
    let FeedSeries { id, name, grows, labels } = series;
    Arc::new(Series { id, name, kind: if grows { SeriesKind::Counter } else { SeriesKind::Gauge }, labels })
}

/// A tick as they are shown it.
pub(super) fn show(tick: FeedTick<Arc<Series>>) -> Feed {
    Feed { at_ms: tick.at_ms, samples: tick.samples }
}

/// One call for each hook that is configured.
pub(super) fn calls(host: &PluginHost) -> Vec<HookCall<Feed>> {
    host.hooks().into_iter().map(call).collect()
}

fn call(hook: Hook) -> HookCall<Feed> {
    HookCall {
        plugin: hook.plugin().to_owned(),
        wants: Wants::new(hook.wants()),
        call: Box::new(move |feed| ask(&hook, feed).map_err(|error| error.to_string())),
    }
}

fn ask(hook: &Hook, feed: &Feed) -> Result<Said, gantry_plugin::CallError> {
    if hook.world() == World::AlertHook {
        return Ok(Said::Alerts(hook.alerts(feed)?.into_iter().map(alert).collect()));
    }
    let derived = hook.metrics(feed)?;
    let declared = derived.families.iter().map(|family| Declared {
        name: family.name.clone(),
        kind: match family.kind {
            SeriesKind::Counter => Kind::Counter,
            SeriesKind::Gauge => Kind::Gauge,
        },
        help: family.help.clone(),
    });
    let sample = |sample: hook::Sample| {
        let family = derived.families.get(sample.family)?;
        let labels = family.labels.iter().cloned().zip(sample.labels).collect();
        Some(DerivedSample { name: family.name.clone(), labels, value: sample.value })
    };
    let samples = derived.samples.into_iter().filter_map(sample).collect();
    Ok(Said::Metrics(declared.collect(), samples))
}

fn alert(alert: hook::Alert) -> Alert {
    Alert {
        key: alert.key,
        severity: match alert.severity {
            hook::Severity::Info => Severity::Info,
            hook::Severity::Warning => Severity::Warning,
            hook::Severity::Critical => Severity::Critical,
        },
        summary: alert.summary,
        labels: alert.labels.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        value: alert.value,
        for_ms: alert.for_millis,
    }
}
