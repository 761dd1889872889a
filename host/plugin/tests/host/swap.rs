//! Versions and bindings that change while messages are judged.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::rig::{Message, PATIENCE, Rig, guests, sha256, variant, views};
use gantry_plugin::{BindingSpec, PlanReport, PluginConfig, PluginSpec, Run, Verdict, check_file};

use Verdict::{Deliver, Skip};

const EU: [(&str, &str); 2] = [("property", "region"), ("equals", "eu")];

fn regions() -> Vec<Message> {
    ["eu", "us", "eu", "uk", "eu"].iter().cycle().take(40).map(|region| Message::new(&[("region", region)])).collect()
}

/// Judges and compares with the verdicts of the version that the run names.
fn audit(mut run: Run, messages: &[Message], keeps_all: &BTreeMap<String, bool>) -> Result<(), String> {
    let hash = run.label().split('@').nth(1).unwrap_or_default().to_owned();
    let all = *keeps_all.get(&hash).ok_or_else(|| format!("{hash} was never put in place"))?;
    let mut verdicts = Vec::new();
    run.judge(&views(messages), &mut verdicts);
    let expected: Vec<_> = messages
        .iter()
        .map(|message| if all || message.properties.ends_with(b"eu\x02") { Deliver } else { Skip })
        .collect();
    if verdicts == expected { Ok(()) } else { Err(format!("{hash} answered {verdicts:?}; {:?}", run.fault())) }
}

#[test]
fn each_run_is_judged_by_the_one_version_that_it_names() {
    // Two kinds of code that answer differently to the same parameters, each version with bytes of its own.
    let (keeps_eu, keeps_all) = (&guests().property_filter, &guests().hostile);
    let versions: Vec<(Vec<u8>, bool)> = (0..12)
        .map(|number| {
            let all = number % 2 == 1;
            (variant(if all { keeps_all } else { keeps_eu }, number), all)
        })
        .collect();
    let by_hash: BTreeMap<String, bool> =
        versions.iter().map(|(bytes, all)| (sha256(bytes)[..12].to_owned(), *all)).collect();

    let rig = Rig::default();
    let file = rig.put("p.wasm", &versions[0].0);
    rig.bind(&file, &EU);
    rig.until_serving(&versions[0].0);
    let (stop, judged) = (AtomicBool::new(false), AtomicU64::new(0));
    let binding = rig.binding();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let messages = regions();
                while !stop.load(Relaxed) {
                    audit(binding.pin().unwrap(), &messages, &by_hash).unwrap();
                    judged.fetch_add(1, Relaxed);
                }
            });
        }
        for (bytes, _) in &versions[1..] {
            let (before, started) = (judged.load(Relaxed), Instant::now());
            rig.put("p.wasm", bytes);
            rig.until_serving(bytes);
            println!("swapped in {:?}, {} runs meanwhile", started.elapsed(), judged.load(Relaxed) - before);
        }
        stop.store(true, Relaxed);
    });
    let status = rig.status();
    assert_eq!((status.swaps, status.refusals, status.suspect), (versions.len() as u64, 0, false));
    let bound = rig.bound();
    assert_eq!(bound.faults, gantry_plugin::Faults::default());
    assert_eq!(bound.messages, judged.load(Relaxed) * 40);
}

#[test]
fn bindings_come_change_and_go_without_a_restart() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().property_filter);
    let plugin = || PluginSpec::new("p", &file).with_param("property", "region");
    let binding = |group: &str, region: &str| BindingSpec::new("t", group, "p").with_param("equals", region);
    let apply = |bindings: Vec<BindingSpec>| rig.host.apply(PluginConfig::of_filters(vec![plugin()], bindings));
    let judge = |group: &str| {
        let mut verdicts = Vec::new();
        let mut run = rig.host.binding("t", group).unwrap().pin().map_err(|not_ready| not_ready.reason)?;
        run.judge(&views(&regions()[..2]), &mut verdicts);
        Ok::<_, String>(verdicts)
    };
    apply(vec![binding("g", "eu")]).unwrap();
    rig.until_serving(&guests().property_filter);
    assert_eq!(judge("g").unwrap(), [Deliver, Skip]);

    // A second binding, and new parameters for the first; nothing is compiled again.
    apply(vec![binding("g", "us"), binding("h", "eu")]).unwrap();
    rig.until("both are open", |status| status.swaps == 2);
    assert_eq!((judge("g").unwrap(), judge("h").unwrap()), (vec![Skip, Deliver], vec![Deliver, Skip]));

    // A binding that the plugin refuses fails alone; one whose new parameters it refuses keeps the old ones.
    let typo = BindingSpec::new("t", "h", "p").with_param("equal", "eu");
    apply(vec![binding("g", "us"), typo, BindingSpec::new("t", "i", "p")]).unwrap();
    let status = rig.until("three are tried", |status| status.swaps == 3);
    let problems: Vec<_> = status.bindings.iter().map(|binding| binding.problem.as_deref().unwrap_or("none")).collect();
    assert!(problems[0] == "none" && problems[1].contains("unknown parameter `equal`"), "{problems:?}");
    assert_eq!((judge("g").unwrap(), judge("h").unwrap()), (vec![Skip, Deliver], vec![Deliver, Skip]));
    assert!(judge("i").unwrap_err().contains("no test is given"));

    // A set with a problem changes nothing.
    let problems = apply(vec![BindingSpec::new("t", "g", "q")]).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "filter of topic \"t\" for group \"g\": there is no plugin \"q\"; add a [[plugin]] of this name"
    );
    assert_eq!(judge("g").unwrap(), [Skip, Deliver]);

    // Unbound: gone for whoever asks, and a pull that still holds it is told to ask again.
    let (held, run) = (rig.host.binding("t", "g").unwrap(), rig.pin());
    let seen = rig.host.generation().get();
    rig.host.apply(PluginConfig::default()).unwrap();
    assert!(rig.host.binding("t", "g").is_none() && rig.host.status().is_empty());
    assert!(held.pin().err().unwrap().soon);
    assert!(rig.host.generation().get() > seen);
    let mut verdicts = Vec::new();
    { run }.judge(&views(&regions()[..2]), &mut verdicts);
    assert_eq!(verdicts, [Skip, Deliver], "whoever holds a version finishes with it");
}

#[test]
fn a_new_file_that_refuses_a_served_group_waits_for_its_parameters() {
    let rig = Rig::default();
    let (old, new) = (&guests().hostile, &guests().property_filter);
    let file = rig.put("p.wasm", old);
    rig.bind(&file, &[("answer", "skip")]);
    rig.until_serving(old);
    rig.put("p.wasm", new);
    let refusal = rig.until_refused(0).refusal.unwrap();
    assert!(
        refusal.contains("it refused in open") && refusal.contains("the parameter `property` is missing"),
        "{refusal}"
    );
    assert_eq!(rig.judge(&regions()[..2]).0, [Skip, Skip], "the old code serves on");
    // The parameters that the new file needs: it is tried again, though it did not change.
    rig.bind(&file, &EU);
    let status = rig.until_serving(new);
    assert_eq!((status.refusal, status.bindings[0].problem.clone()), (None, None));
    assert_eq!(rig.judge(&regions()[..2]).0, [Deliver, Skip]);
}

#[test]
fn a_plugin_that_is_not_compiled_yet_holds_and_then_serves() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().property_filter);
    rig.bind(&file, &EU);
    let (binding, deadline) = (rig.binding(), Instant::now() + PATIENCE);
    let mut run = loop {
        let seen = rig.host.generation().get();
        match binding.pin() {
            Ok(run) => break run,
            Err(not_ready) => assert!(not_ready.soon && Instant::now() < deadline, "{not_ready:?}"),
        }
        rig.host.generation().wait_blocking(seen + 1, Duration::from_secs(1)).unwrap();
    };
    let mut verdicts = Vec::new();
    run.judge(&views(&regions()), &mut verdicts);
    assert_eq!(verdicts.len(), 40);
}

#[test]
fn a_check_reports_what_a_broker_would_find() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().property_filter);
    let binding = BindingSpec::new("t", "g", "p").with_param("region.equals", "eu").with_param("amount.min", "101");
    let report = check_file(&PluginSpec::new("p", &file), &binding).unwrap();
    assert_eq!((report.world, report.abi, report.kind), ("message-filter", "0.2.0", "core module"));
    assert_eq!(report.guest, "property-filter 0.1.0 (rust)");
    let plan = report.plan.unwrap();
    let columns = vec!["region: text".to_owned(), "amount: int".to_owned()];
    assert_eq!(plan, PlanReport::Filter { columns, tags: Vec::new(), max_batch: 32 });
    let without = check_file(&PluginSpec::new("p", &file), &BindingSpec::new("t", "g", "p")).unwrap();
    assert!(without.plan.unwrap_err().contains("no test is given"));
    fs::write(&file, b"nothing").unwrap();
    let refusal = check_file(&PluginSpec::new("p", &file), &binding).err().unwrap();
    assert!(refusal.to_string().starts_with("this is not WebAssembly"));
}
