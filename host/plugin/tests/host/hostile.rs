//! Plugins that are broken, careless or malicious: each is refused or contained with one clear sentence, and whatever served
//! before goes on serving.

use std::{
    fs,
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use crate::rig::{Message, PATIENCE, Rig, guests, sha256, variant, views};
use gantry_plugin::{
    BindingSpec, BreakerState, FILE_MAX_BYTES, OnError, PluginConfig, PluginSpec, PluginState, Verdict,
};

use Verdict::{Deliver, Skip, Undecided};

const EU: [(&str, &str); 2] = [("property", "region"), ("equals", "eu")];

fn region(region: &str) -> Message {
    Message::new(&[("region", region)])
}

/// A rig whose property filter keeps region eu.
fn serving() -> Rig {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().property_filter);
    rig.bind(&file, &EU);
    rig.until_serving(&guests().property_filter);
    rig
}

fn assert_serves(rig: &Rig, why: &str) {
    let (verdicts, fault) = rig.judge(&[region("eu"), region("us")]);
    assert_eq!((verdicts, fault), (vec![Deliver, Skip], None), "{why}");
}

fn replaced(module: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = module.to_vec();
    let mut found = 0;
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from.as_bytes()) {
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is in the module");
    bytes
}

#[test]
fn files_that_cannot_serve_are_refused_and_the_old_version_serves_on() {
    let rig = serving();
    let good = &guests().property_filter;
    let cases: [(&str, Vec<u8>, &str); 9] = [
        (
            "text",
            b"hello, I am a plugin".to_vec(),
            "this is not WebAssembly (20 bytes that begin with \"hello, I am a pl\")",
        ),
        ("empty", Vec::new(), "this is not WebAssembly (0 bytes"),
        ("half written", good[..good.len() / 2].to_vec(), "the WebAssembly is damaged or incomplete at byte"),
        ("no interface", b"\0asm\x01\0\0\0".to_vec(), "it does not describe its interface"),
        ("wrong world", b"\0asm\x0d\0\x01\0".to_vec(), "this is no message-filter plugin: it exports nothing"),
        (
            "another world",
            replaced(good, "gantry:plugin/filter@", "gantry:plugin/metric@"),
            "this is no message-filter plugin: it exports gantry:plugin/",
        ),
        (
            "wrong version",
            replaced(good, "@0.2.0", "@0.1.0"),
            "it speaks version 0.1.0 of gantry:plugin, this broker speaks 0.2.0",
        ),
        (
            "missing export",
            replaced(good, "#evaluate", "#evaluatx"),
            "it lacks the export gantry:plugin/filter@0.2.0#evaluate",
        ),
        (
            "forbidden import",
            replaced(good, "gantry:plugin/host@", "gantry:plugin/root@"),
            "it imports gantry:plugin/root@0.2.0, which is not offered",
        ),
    ];
    for (name, bytes, expected) in cases {
        let before = rig.status().refusals;
        rig.put("p.wasm", &bytes);
        let refusal = rig.until_refused(before).refusal.unwrap();
        assert!(refusal.contains(expected) && !refusal.contains('\n'), "{name}: {refusal:?} should say {expected:?}");
        assert_serves(&rig, name);
    }
    // A later good file is taken, and the refusals are forgotten.
    let newer = variant(good, 1);
    rig.put("p.wasm", &newer);
    assert_eq!(rig.until_serving(&newer).refusal, None);
    assert_serves(&rig, "newer");
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let rig = serving();
    fs::File::create(rig.file("big")).unwrap().set_len(FILE_MAX_BYTES + 1).unwrap();
    fs::rename(rig.file("big"), rig.file("p.wasm")).unwrap();
    let refusal = rig.until_refused(0).refusal.unwrap();
    assert!(refusal.contains("at most 67108864 are read"), "{refusal}");
    assert_serves(&rig, "too large");
}

#[test]
fn a_plugin_that_fails_before_the_swap_never_serves() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    rig.bind(&file, &[]);
    rig.until_serving(&guests().hostile);
    let cases = [
        ("init", "loop", "it failed in init: it used more than 1000 ms of processor time and was stopped"),
        ("init", "hoard", "it failed in init: it asked for 1"),
        ("init", "recurse", "it failed in init: wasm trap: call stack exhausted"),
        ("init", "refuse", "it refused in init: I do not want to"),
        (
            "self-check",
            "trap",
            "it failed in self-check: wasm trap: wasm `unreachable` instruction executed in hostile::misbehave < ",
        ),
        ("self-check", "refuse", "it refused in self-check: I do not want to"),
        ("open", "refuse", "it refused in open for topic \"t\", group \"g\": I do not want to"),
        ("open", "trap", "it failed in open: wasm trap"),
    ];
    for (at, what, expected) in cases {
        let before = rig.bound().problem.is_some();
        assert!(!before);
        rig.bind(&file, &[("at", at), ("do", what)]);
        let status = rig.until("it is refused", |status| {
            status.refusal.is_some() || status.bindings.iter().any(|binding| binding.problem.is_some())
        });
        let refusal = status.refusal.or_else(|| status.bindings[0].problem.clone()).unwrap();
        assert!(
            refusal.contains(expected) && !refusal.contains('\n'),
            "{at} {what}: {refusal:?} should say {expected:?}"
        );
        assert_eq!(rig.judge(&[region("eu")]), (vec![Deliver], None), "{at} {what}");
        rig.bind(&file, &[]);
        rig.until("it is well again", |status| status.refusal.is_none() && status.bindings[0].problem.is_none());
    }
    rig.bind(&file, &[("columns", "65")]);
    let status = rig.until("the plan is refused", |status| status.bindings[0].problem.is_some());
    assert!(status.bindings[0].problem.as_ref().unwrap().contains("it asks for 65 columns, at most 64 are given"));
}

#[test]
fn a_plugin_that_needs_more_memory_than_its_limit_does_not_start() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let spec = PluginSpec { memory_limit_bytes: 1 << 20, ..PluginSpec::new("p", &file) };
    rig.host.apply(PluginConfig::of_filters(vec![spec], vec![BindingSpec::new("t", "g", "p")])).unwrap();
    let refusal = rig.until_refused(0).refusal.unwrap();
    assert!(refusal.contains("it failed in instantiation: it asked for 11"), "{refusal}");
    assert!(refusal.contains("bytes of memory, its limit is 1048576"), "{refusal}");
}

#[test]
fn a_fault_is_traced_to_its_message() {
    let cases = [
        ("loop", "it used more than 5 ms of processor time"),
        ("trap", "wasm trap: wasm `unreachable` instruction executed in hostile::misbehave < "),
        ("recurse", "wasm trap: call stack exhausted"),
        ("hoard", "bytes of memory, its limit is 16777216"),
        ("short", "it answered 0 verdicts for 1 messages"),
        ("nonsense", "it answered the verdict 7, expected 0, 1 or 2"),
        ("undecided", "says that it cannot decide the message"),
    ];
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let poison = || Message::new(&[("poison", "1")]);
    for (what, expected) in cases {
        let swaps = rig.host.status().first().map_or(0, |status| status.swaps);
        rig.bind(&file, &[("at", "evaluate"), ("do", what)]);
        rig.until("it is in service", |status| status.swaps > swaps);
        // Two batches of 32, the fault in the middle of the second.
        let mut messages = vec![region("eu"); 64];
        messages[45] = poison();
        let (verdicts, fault) = rig.judge(&messages);
        let fault = fault.unwrap_or_else(|| panic!("{what}: no fault"));
        assert_eq!(verdicts[..45], [Deliver; 45], "{what}: what comes before it is decided");
        assert_eq!(verdicts[45..], [Undecided], "{what}");
        assert!(fault.contains(expected), "{what}: {fault:?} should say {expected:?}");
        assert!(fault.contains("message at queue offset 45 of queue 3") && !fault.contains('\n'), "{what}: {fault}");
        assert_eq!(rig.judge(&messages[46..]).0, [Deliver; 18], "{what}: what comes after it can be judged");
    }
    let faults = rig.bound().faults;
    // Each fault is met in its batch and once more alone.
    assert_eq!((faults.deadline, faults.trap, faults.memory, faults.result), (2, 4, 2, 4));
}

#[test]
fn a_version_that_used_up_a_deadline_leaves_the_workers_until_it_is_clean() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    rig.bind(&file, &[("at", "evaluate"), ("do", "loop")]);
    rig.until_serving(&guests().hostile);
    assert!(!rig.pin().wants_blocking());
    assert_eq!(rig.judge(&[Message::new(&[("poison", "1")])]).0, [Undecided]);
    assert!(rig.pin().wants_blocking());
    let clean = vec![region("eu"); 32 * 1_000];
    assert_eq!(rig.judge(&clean).0.len(), clean.len());
    assert!(!rig.pin().wants_blocking());
}

#[test]
fn one_groups_poison_does_not_stop_another_group_and_the_breaker_tries_again() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    let plugin = PluginSpec::new("p", &file).with_param("at", "evaluate").with_param("do", "trap");
    let bindings = vec![
        BindingSpec::new("t", "g", "p"),
        BindingSpec { on_error: OnError::Deliver, ..BindingSpec::new("t", "h", "p") },
    ];
    rig.host.apply(PluginConfig::of_filters(vec![plugin], bindings)).unwrap();
    rig.until_serving(&guests().hostile);
    let poison = [Message::new(&[("poison", "1")])];
    for _ in 0..5 {
        assert_eq!(rig.judge(&poison).0, [Undecided]);
    }
    let refused = rig.binding().pin().err().unwrap();
    assert!(refused.reason.contains("failed too often and rests") && !refused.soon, "{refused:?}");
    assert_eq!(rig.bound().breaker, BreakerState::Open);
    let other = rig.host.binding("t", "h").unwrap();
    let mut verdicts = Vec::new();
    other.pin().unwrap().judge(&views(&[region("eu")]), &mut verdicts);
    assert_eq!((verdicts, other.on_error()), (vec![Deliver], OnError::Deliver));
    // The pause passes, held pulls are woken, and a good batch closes the breaker.
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = rig.host.generation().get();
        if rig.binding().pin().is_ok() {
            break;
        }
        assert!(Instant::now() < deadline && rig.host.generation().wait_blocking(seen + 1, PATIENCE).unwrap() > seen);
    }
    assert_eq!(rig.judge(&[region("eu")]).0, [Deliver]);
    assert_eq!(rig.bound().breaker, BreakerState::Closed);
}

#[test]
fn a_shouting_plugin_serves_and_lazy_access_ends_with_the_batch() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    rig.bind(&file, &[("at", "open"), ("do", "shout")]);
    rig.until_serving(&guests().hostile);
    rig.bind(&file, &[("do", "peek")]);
    rig.until("it reads lazily", |status| status.swaps == 2);
    let messages = [
        Message::default().body(b"..yes"),
        Message::default().body(b"..no"),
        Message::new(&[("also", "yes")]),
        Message::default(),
    ];
    assert_eq!(rig.judge(&messages), (vec![Deliver, Skip, Deliver, Skip], None));
}

#[test]
fn messages_without_a_tag_of_the_plan_never_reach_the_plugin() {
    let rig = Rig::default();
    let file = rig.put("p.wasm", &guests().hostile);
    rig.bind(&file, &[("tags", "Aa paid"), ("at", "evaluate"), ("do", "trap")]);
    rig.until_serving(&guests().hostile);
    let tagged = |tag: &str, poison: &str| Message::new(&[("TAGS", tag), ("poison", poison)]);
    let run = rig.pin();
    let admits = |tag: &str| run.tags().unwrap().admits_code(gantry_model::tag::tag_code(Some(tag)));
    assert!(admits("Aa") && admits("paid") && !admits("open"));
    // "BB" has the code of "Aa": its record is read, and skipped by its text. Poison there is never seen.
    let messages =
        [tagged("paid", ""), tagged("BB", "1"), region("eu"), tagged("Aa", ""), tagged("paid", "1"), tagged("Aa", "")];
    let (verdicts, fault) = rig.judge(&messages);
    assert_eq!(verdicts, [Deliver, Skip, Skip, Deliver, Undecided]);
    assert!(fault.unwrap().contains("queue offset 4"));
    assert_eq!(rig.judge(&[tagged("BB", "1"), region("eu")]).0, [Skip, Skip]);
}

#[test]
fn every_way_to_replace_a_file_is_noticed() {
    let rig = serving();
    let (base, good) = (rig.folder.path().to_path_buf(), &guests().property_filter);
    let file = rig.file("p.wasm");

    // In place, in two halves: the first half may be looked at and refused, the whole is taken.
    let bytes = variant(good, 1);
    fs::write(&file, &bytes[..1_000]).unwrap();
    rig.until_refused(0);
    assert_serves(&rig, "half written");
    fs::write(&file, &bytes).unwrap();
    rig.until_serving(&bytes);

    // Deleted: the old version serves on and the status says so. The same bytes back: all is well, nothing is swapped.
    fs::remove_file(&file).unwrap();
    let status = rig.until("the file is missed", |status| status.note.is_some());
    assert!(status.note.unwrap().contains("is not there"));
    assert_serves(&rig, "deleted");
    fs::write(&file, &bytes).unwrap();
    let back = rig.until("the file is back", |status| status.note.is_none() && status.refusal.is_none());
    assert_eq!(back.swaps, status.swaps);

    // An editor's way: the old file moved aside, a new one written under the name.
    let bytes = variant(good, 2);
    fs::rename(&file, rig.file("p.wasm~")).unwrap();
    fs::write(&file, &bytes).unwrap();
    rig.until_serving(&bytes);

    // A mounted volume's way: the file is a link into a folder that is a link, and that link is swapped.
    for (release, number) in [("..one", 3), ("..two", 4)] {
        let bytes = variant(good, number);
        fs::create_dir(base.join(release)).unwrap();
        fs::write(base.join(release).join("p.wasm"), &bytes).unwrap();
        symlink(release, base.join("..data.new")).unwrap();
        fs::rename(base.join("..data.new"), base.join("..data")).unwrap();
        if number == 3 {
            symlink("..data/p.wasm", base.join("link")).unwrap();
            fs::rename(base.join("link"), &file).unwrap();
        }
        rig.until_serving(&bytes);
        assert_serves(&rig, release);
    }
    // What the link leads to, written in place.
    let bytes = variant(good, 5);
    fs::write(base.join("..two/p.wasm"), &bytes).unwrap();
    rig.until_serving(&bytes);
}

#[test]
fn a_file_may_come_after_its_configuration() {
    let rig = Rig::default();
    let file = rig.file("later/p.wasm");
    rig.bind(&file, &EU);
    rig.until("it is missed", |status| status.state == PluginState::Refused);
    let waiting = rig.binding().pin().err().unwrap();
    assert!(waiting.reason.contains("is not in service"), "{waiting:?}");
    fs::create_dir(rig.file("later")).unwrap();
    rig.put("later/p.wasm", &guests().property_filter);
    rig.until_serving(&guests().property_filter);
    assert_serves(&rig, "came later");
}

#[test]
fn a_stuck_loader_does_not_stop_serving_and_a_shutdown_ends_it() {
    let rig = serving();
    let run = rig.pin();
    rig.host.shutdown();
    assert_serves(&rig, "after the shutdown of the loader");
    assert!(run.label().starts_with("p@") && run.label().ends_with(&sha256(&guests().property_filter)[..12]));
    assert_eq!(rig.host.reload("p"), Err("the plugin host has shut down".to_owned()));
    assert!(rig.host.generation().wait_blocking(u64::MAX, Duration::from_secs(1)).is_err());
}
