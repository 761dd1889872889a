//! Metric and alert hooks: what they are shown, what they may answer, and what survives a swap.

use std::sync::Arc;

use gantry_plugin::{
    Hook, PluginConfig, PluginSpec, World,
    feed::{Feed, Series, SeriesKind},
};

use crate::rig::{Rig, guests, variant};

fn hooked(world: World, params: &[(&str, &str)]) -> (Rig, Hook) {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let plugin = PluginSpec::of(world, "p", &file);
    let plugin = params.iter().fold(plugin, |spec, (name, value)| spec.with_param(name, value));
    rig.host.apply(PluginConfig { plugins: vec![plugin], ..PluginConfig::default() }).unwrap();
    rig.until("something came of it", |status| status.sha256.is_some() || status.refusal.is_some());
    let hook = rig.host.hooks().remove(0);
    (rig, hook)
}

fn feed(samples: &[(u32, &str, f64)]) -> Feed {
    let series = |id, name: &str| Series { id, name: name.into(), kind: SeriesKind::Gauge, labels: Vec::new() };
    let samples = samples.iter().map(|(id, name, value)| (Arc::new(series(*id, name)), *value)).collect();
    Feed { at_ms: 1_000, samples }
}

/// The one line that the guest tells of a tick.
fn told(hook: &Hook, shown: &Feed) -> String {
    hook.metrics(shown).unwrap().samples.remove(0).labels.remove(0)
}

#[test]
fn a_hook_is_shown_what_it_wants_and_told_of_each_series_once() {
    let (_rig, hook) = hooked(World::MetricHook, &[]);
    let derived = hook.metrics(&feed(&[(1, "test_a", 1.0), (2, "other", 2.0), (3, "test_b", 3.0)])).unwrap();
    assert_eq!(
        (derived.families[0].name.as_str(), derived.families[0].labels.as_slice()),
        ("told", ["line".into()].as_slice())
    );
    assert_eq!(derived.samples[0].labels, ["tick 1: test_a=1 test_b=3"]);
    assert_eq!(told(&hook, &feed(&[(1, "test_a", 4.0), (3, "test_b", 5.0)])), "tick 2: test_a=4 test_b=5");
    assert_eq!(told(&hook, &feed(&[(3, "test_b", 5.5)])), "tick 3: test_b=5.5", "one is gone");
    // The same name again is another series with another id; the guest had forgotten the first.
    assert_eq!(told(&hook, &feed(&[(3, "test_b", 5.5), (9, "test_a", 1.0)])), "tick 4: test_b=5.5 test_a=1");
}

#[test]
fn alerts_are_what_holds_now() {
    let (_rig, hook) = hooked(World::AlertHook, &[]);
    let alerts = hook.alerts(&feed(&[(1, "test_a", 1.0)])).unwrap();
    assert_eq!((alerts[0].key.as_str(), alerts[0].summary.as_str()), ("told", "tick 1: test_a=1"));
}

#[test]
fn state_is_carried_over_a_swap_and_series_are_told_anew() {
    let (rig, hook) = hooked(World::MetricHook, &[]);
    let shown = feed(&[(1, "test_a", 1.0)]);
    assert_eq!(told(&hook, &shown), "tick 1: test_a=1");
    let other = variant(&guests().hostile, 2);
    rig.put("p.wasm", &other);
    rig.until_serving(&other);
    assert_eq!(told(&hook, &shown), "tick 2: test_a=1");
}

#[test]
fn a_state_that_cannot_be_carried_costs_the_state_alone() {
    for (at, how) in [("snapshot", "trap"), ("snapshot", "many"), ("restore", "refuse"), ("restore", "loop")] {
        let (rig, hook) = hooked(World::MetricHook, &[("at", at), ("do", how)]);
        let shown = feed(&[(1, "test_a", 1.0)]);
        assert_eq!(told(&hook, &shown), "tick 1: test_a=1");
        let other = variant(&guests().hostile, 2);
        rig.put("p.wasm", &other);
        rig.until_serving(&other);
        assert_eq!(told(&hook, &shown), "tick 1: test_a=1", "{how} in {at}");
    }
}

#[test]
fn a_tick_that_goes_wrong_is_one_error() {
    for (world, how, expected) in [
        (World::MetricHook, "nonsense", "a series of family 9, it declared 1"),
        (World::MetricHook, "twice", "twice"),
        (World::MetricHook, "many", "it derived 20000 series, at most 10000"),
        (World::MetricHook, "loop", "it used more than 500 ms"),
        (World::MetricHook, "hoard", "bytes of memory, its limit is"),
        (World::AlertHook, "nonsense", "a key of its alerts has 0 bytes"),
        (World::AlertHook, "twice", "it named the alert \"told\" twice"),
        (World::AlertHook, "many", "it named 2000 alerts, at most 1000"),
        (World::AlertHook, "trap", "it said: panicked at"),
        (World::AlertHook, "flood", "it used more than 500 ms"),
        (World::AlertHook, "recurse", "call stack exhausted"),
    ] {
        let (_rig, hook) = hooked(world, &[("at", "tick"), ("do", how)]);
        let shown = feed(&[(1, "test_a", 1.0)]);
        let failed = match world {
            World::AlertHook => hook.alerts(&shown).err(),
            _ => hook.metrics(&shown).err(),
        };
        let failed = failed.unwrap_or_else(|| panic!("{how} is an error")).to_string();
        assert!(failed.starts_with("p@") && failed.contains(expected), "{how}: {failed}");
    }
}

#[test]
fn a_hook_that_cannot_begin_is_refused() {
    for (at, how, expected) in [
        ("init", "refuse", "it refused in init: I do not want to"),
        ("init", "loop", "it failed in init"),
        ("wants", "trap", "it failed in open"),
        ("wants", "many", "it wants series by 1000 names, at most 64"),
        ("families", "nonsense", "it declares the family \"No Name\""),
    ] {
        let (rig, hook) = hooked(World::MetricHook, &[("at", at), ("do", how)]);
        let status = rig.status();
        let found = [status.refusal, status.bindings[0].problem.clone()].into_iter().flatten().collect::<String>();
        assert!(found.contains(expected), "{how} in {at}: {found}");
        assert!(hook.metrics(&feed(&[])).is_err(), "{how} in {at}");
    }
}
