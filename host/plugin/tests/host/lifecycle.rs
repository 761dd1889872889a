//! Before a version serves, and after: cases, the shadow run, probation, going back, taking out of service, pins and restarts.

use std::fs;

use gantry_plugin::{
    BindingSpec, BreakerOptions, HostOptions, PluginConfig, PluginHost, PluginSpec, PluginState,
    Verdict::{Deliver, Skip},
    What, cases_file,
};

use crate::rig::{Message, Rig, guests, sha256, variant};

const EU: [(&str, &str); 2] = [("property", "region"), ("equals", "eu")];

fn regions() -> Vec<Message> {
    ["eu", "us"].map(|region| Message::new(&[("region", region)])).into()
}

fn good() -> &'static [u8] {
    &guests().property_filter
}

fn serving() -> Rig {
    let rig = Rig::default();
    let file = rig.put("p.wasm", good());
    rig.bind(&file, &EU);
    rig.until_serving(good());
    rig
}

#[test]
fn a_version_that_fails_its_own_cases_is_not_put_in_service() {
    let rig = serving();
    let case = |expect: &str| {
        format!(
            r#"[{{ "name": "eu passes", "params": {{ "property": "region", "equals": "eu" }}, "message": {{ "properties": {{ "region": "eu" }} }}, "expect": "deliver" }},
                {{ "name": "us", "params": {{ "property": "region", "equals": "eu" }}, "message": {{ "properties": {{ "region": "us" }} }}, "expect": "{expect}" }},
                {{ "name": "by tag", "params": {{ "property": "TAGS", "equals": "a" }},
                  "message": {{ "tag": "a", "body": "x" }}, "expect": "deliver" }}]"#
        )
    };
    fs::write(cases_file(&rig.file("p.wasm")), case("deliver")).unwrap();
    let second = variant(good(), 2);
    let before = rig.status().refusals;
    rig.put("p.wasm", &second);
    let status = rig.until_refused(before);
    let refusal = status.refusal.unwrap();
    assert_eq!(refusal, "it fails its case \"us\": it answered \"skip\", expected \"deliver\"");
    assert_eq!(status.sha256.as_deref(), Some(sha256(good()).as_str()), "the old one serves on");

    fs::write(cases_file(&rig.file("p.wasm")), case("skip")).unwrap();
    assert!(rig.host.reload("p").is_ok());
    rig.until_serving(&second);
    fs::write(cases_file(&rig.file("p.wasm")), "[{}]").unwrap();
    rig.put("p.wasm", &variant(good(), 3));
    let refusal = rig.until_refused(before + 1).refusal.unwrap();
    assert!(refusal.contains("its cases cannot be read") && refusal.contains("p.cases.json"), "{refusal}");
}

#[test]
fn a_shadow_run_says_what_a_new_version_would_change() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    // The hostile guest delivers everything.
    rig.bind(&file, &EU);
    rig.until_serving(&guests().hostile);
    assert_eq!(rig.judge(&regions()).0, [Deliver, Deliver]);
    rig.put("p.wasm", good());
    let shadow = rig.until_serving(good()).shadow.unwrap();
    assert_eq!((shadow.messages, shadow.newly_skipped, shadow.newly_delivered), (2, 1, 0));
    assert_eq!(shadow.first.as_deref(), Some("offset 1 of queue 3 of t"));

    let strict = PluginSpec { shadow_differs_max_percent: Some(10), ..PluginSpec::new("p", &file) };
    let strict = EU.iter().fold(strict, |spec, (name, value)| spec.with_param(name, value));
    let config = PluginConfig::of_filters(vec![strict], vec![BindingSpec::new("t", "g", "p")]);
    rig.host.apply(config).unwrap();
    // Behind the configuration, which it therefore follows.
    rig.host.reload("p").unwrap();
    let before = rig.status().refusals;
    rig.put("p.wasm", &guests().hostile);
    let refusal = rig.until_refused(before).refusal.unwrap();
    assert!(refusal.contains("newly delivered, 0 newly skipped") && refusal.contains("allows 10 %"), "{refusal}");
}

#[test]
fn an_operator_goes_back_and_the_file_is_not_loaded_again_by_itself() {
    let rig = serving();
    let second = variant(good(), 2);
    rig.put("p.wasm", &second);
    assert_eq!(rig.until_serving(&second).kept, [sha256(good())]);
    let label = rig.host.rollback("p", None).unwrap();
    assert_eq!(label, format!("p@{}", &sha256(good())[..12]));
    assert_eq!(rig.judge(&regions()).0, [Deliver, Skip]);
    // Whatever makes the loader look, it is not taken; other bytes are.
    rig.bind(&rig.file("p.wasm"), &[("property", "region"), ("equals", "us")]);
    rig.until("the new parameters count", |_| rig.judge(&regions()).0 == [Skip, Deliver]);
    assert_eq!(rig.status().sha256.unwrap(), sha256(good()));
    let status = rig.status();
    assert_eq!(status.kept, [sha256(&second)], "one can go forward again");
    assert_eq!(status.history.last().unwrap().what, What::RolledBack);
    let third = variant(good(), 3);
    rig.put("p.wasm", &third);
    rig.until_serving(&third);
    assert_eq!(rig.host.rollback("p", Some(&sha256(&second)[..8])).unwrap(), format!("p@{}", &sha256(&second)[..12]));
    assert_eq!(rig.status().kept, [sha256(good()), sha256(&third)], "what serves is nothing to go back to");
    let refusal = rig.host.rollback("p", Some("ffff")).unwrap_err();
    assert!(refusal.contains("no such version is kept"), "{refusal}");
    assert!(rig.host.reload("p").unwrap().contains(&sha256(&third)[..12]), "asked for by name it is loaded");
}

#[test]
fn a_version_that_fails_on_probation_is_replaced_by_the_one_before() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    rig.bind(&file, &[("at", "evaluate"), ("do", "trap")]);
    rig.until_serving(&guests().hostile);
    let second = variant(&guests().hostile, 2);
    rig.put("p.wasm", &second);
    rig.until_serving(&second);
    let poison = [Message::new(&[("poison", "yes")])];
    // Five messages that cannot be decided open the breaker; the version is new, so it goes.
    (0..5).for_each(|_| drop(rig.judge(&poison)));
    let status = rig.until("the version before serves", |status| {
        status.sha256.as_deref() == Some(sha256(&guests().hostile).as_str())
    });
    let event = status.history.last().unwrap();
    assert_eq!(event.what, What::FailedProbation);
    assert!(event.detail.as_ref().unwrap().contains("as told"), "{event:?}");
}

#[test]
fn a_disabled_plugin_holds_until_it_is_enabled() {
    let rig = serving();
    rig.host.disable("p").unwrap();
    assert_eq!(rig.status().state, PluginState::Disabled);
    let held = rig.binding().pin().err().unwrap();
    assert!(!held.soon && held.reason.contains("it is disabled"), "{held:?}");
    assert!(rig.host.reload("p").unwrap_err().contains("gantry plugin enable"));
    let second = variant(good(), 2);
    rig.put("p.wasm", &second);
    assert!(rig.host.enable("p").unwrap().starts_with("p@"));
    rig.until_serving(&second);
    assert_eq!(rig.judge(&regions()).0, [Deliver, Skip]);
    assert!(rig.host.disable("q").unwrap_err().contains("there is no plugin"));
}

#[test]
fn a_pinned_plugin_is_that_file_or_nothing() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", good());
    let pinned = |sha256: String| {
        let spec = PluginSpec { sha256: Some(sha256), ..PluginSpec::new("p", &file) };
        EU.iter().fold(spec, |spec, (name, value)| spec.with_param(name, value))
    };
    let bind = |spec: PluginSpec| {
        rig.host.apply(PluginConfig::of_filters(vec![spec], vec![BindingSpec::new("t", "g", "p")])).unwrap();
    };
    bind(pinned(sha256(b"other")));
    let refusal = rig.until_refused(0).refusal.unwrap();
    assert!(refusal.contains(&sha256(good())) && refusal.contains("the configuration pins"), "{refusal}");
    bind(pinned(sha256(good())));
    rig.until_serving(good());
}

#[test]
fn what_an_operator_decided_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.wasm");
    let options = HostOptions {
        shelf: Some(folder.path().join("shelf")),
        breaker: BreakerOptions::default(),
        ..HostOptions::default()
    };
    let start = || {
        let rig = Rig::with(options.clone());
        rig.bind(&file, &EU);
        rig
    };
    let second = variant(good(), 2);
    fs::write(&file, good()).unwrap();
    let rig = start();
    rig.until_serving(good());
    fs::write(&file, &second).unwrap();
    rig.host.reload("p").unwrap();
    rig.host.rollback("p", None).unwrap();
    drop(rig);

    // The file on disk is the one that was given up: what served before it serves.
    let rig = start();
    let status = rig.until_serving(good());
    assert_eq!(status.kept, [sha256(&second)]);
    assert!(status.history.iter().any(|event| event.what == What::RolledBack), "{:?}", status.history);
    assert_eq!(rig.judge(&regions()).0, [Deliver, Skip]);
    rig.host.rollback("p", Some(&sha256(&second))).unwrap();
    rig.host.disable("p").unwrap();
    drop(rig);

    let rig = start();
    let status = rig.until("it is known", |status| status.state == PluginState::Disabled);
    assert_eq!(status.sha256, None);
    assert!(rig.host.enable("p").unwrap().contains(&sha256(&second)[..12]));
}

#[test]
fn subscriptions_call_filters_by_name() {
    let rig = serving();
    let call = |arg| rig.host.function("p", "t", "another", arg);
    // The property filter knows no parameter `arg`.
    let refused = call(Some("x")).unwrap();
    let plain = call(None).unwrap();
    rig.until("the call without an argument is open", |_| plain.pin().is_ok());
    let mut verdicts = Vec::new();
    plain.pin().unwrap().judge(&crate::rig::views(&regions()), &mut verdicts);
    assert_eq!(verdicts, [Deliver, Skip]);
    let problem = refused.pin().err().unwrap();
    assert!(!problem.soon && problem.reason.contains("unknown parameter `arg`"), "{problem:?}");
    assert!(std::sync::Arc::ptr_eq(&plain, &call(None).unwrap()), "one call, one binding");
    assert_eq!(rig.status().bindings.len(), 3);
    drop((plain, refused));
    assert_eq!(rig.status().bindings.len(), 1);
    assert!(rig.host.function("q", "t", "g", None).unwrap_err().contains("there is no plugin"));
}

/// Only a host with a shelf keeps compiled code.
#[test]
fn compiled_code_is_kept_for_the_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let shelf = folder.path().join("shelf");
    let options = HostOptions { shelf: Some(shelf.clone()), ..HostOptions::default() };
    let host = PluginHost::start(options).unwrap();
    drop(host);
    let mode = fs::metadata(shelf.join("compiled")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn what_is_pushed_serves_and_becomes_the_file() {
    let rig = serving();
    let second = variant(good(), 2);
    let label = rig.host.push("p", second.clone(), None).unwrap();
    assert_eq!(label, format!("p@{}", &sha256(&second)[..12]));
    assert_eq!(fs::read(rig.file("p.wasm")).unwrap(), second);
    let refusal = rig.host.push("p", b"no plugin".to_vec(), None).unwrap_err();
    assert!(refusal.starts_with("this is not WebAssembly"), "{refusal}");
    assert_eq!(fs::read(rig.file("p.wasm")).unwrap(), second, "what is refused changes nothing");
    assert_eq!(rig.status().sha256.unwrap(), sha256(&second));
    assert_eq!(rig.judge(&regions()).0, [Deliver, Skip]);
}
