//! `wasm(...)` in SQL92 subscriptions, with real guests: which messages reach which plugin, and what becomes of those that
//! nobody can decide.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use gantry_filter::{
    Selector, Verdict,
    sql::{CompileError, SqlCost, SqlFilter},
};
use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_plugin::{Binding, BindingSpec, HostOptions, OnError, PluginConfig, PluginHost, PluginSpec};
use gantry_plugin_build::{Output, Toolchain};

use Verdict::{Deliver, Skip, Undecided};

/// A host whose bindings serve as functions: topic = name of the function, group = "g".
///
/// `eu` and `big` decide by region and amount; `stuck`, `stuck2` and `through` cannot decide messages with the property
/// poison, and `through` is to deliver those; `broken` is no plugin at all.
struct Rig {
    host: PluginHost,
    plugins: Vec<PluginSpec>,
    bindings: Vec<BindingSpec>,
    _folder: tempfile::TempDir,
}

fn build(project: &Path) -> Vec<u8> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/plugins");
    let toolchain =
        Toolchain::find(project).unwrap_or_else(|missing| panic!("this test runs wasm guests, but {missing}"));
    let built = toolchain.build(project, Some(&target), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
    let wanted = |name: &str| name == "property-filter" || name == "hostile";
    fs::read(&built.iter().find(|built| wanted(&built.package)).unwrap().file).unwrap()
}

impl Rig {
    fn new() -> Rig {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let file = folder.path().join(name);
            fs::write(&file, bytes).unwrap();
            file
        };
        let plugins = vec![
            PluginSpec::new("p", file("p.wasm", &build(&here.join("../../plugins")))),
            PluginSpec::new("h", file("h.wasm", &build(&here.join("../plugin/tests/guests/hostile")))),
            PluginSpec::new("broken", file("broken.wasm", b"no plugin")),
        ];
        let stuck =
            |name: &str| BindingSpec::new(name, "g", "h").with_param("at", "evaluate").with_param("do", "undecided");
        let bindings = vec![
            BindingSpec::new("eu", "g", "p").with_param("region.equals", "eu"),
            BindingSpec::new("big", "g", "p").with_param("amount.min", "100"),
            stuck("stuck"),
            stuck("stuck2"),
            BindingSpec { on_error: OnError::Deliver, ..stuck("through") },
            BindingSpec::new("broken", "g", "broken"),
        ];
        let host = PluginHost::start(HostOptions::default()).unwrap();
        let rig = Rig { host, plugins, bindings, _folder: folder };
        rig.apply();
        rig
    }

    /// Applies all bindings, and waits until each serves or is known not to.
    fn apply(&self) {
        self.host.apply(PluginConfig::of_filters(self.plugins.clone(), self.bindings.clone())).unwrap();
        for spec in &self.bindings {
            let binding = self.function(&spec.topic).unwrap();
            loop {
                let seen = self.host.generation().get();
                if binding.pin().is_ok_and(|_| true) || binding.pin().is_err_and(|not_ready| !not_ready.soon) {
                    break;
                }
                self.host.generation().wait_blocking(seen + 1, Duration::from_millis(100)).unwrap();
            }
        }
    }

    fn function(&self, name: &str) -> Result<Arc<Binding>, String> {
        self.host.binding(name, "g").ok_or_else(|| format!("there is no plugin {name}"))
    }

    fn compile(&self, text: &str) -> Arc<SqlFilter> {
        Arc::new(SqlFilter::compile(text, &|name, _| self.function(name), Arc::default()).unwrap())
    }

    fn selector(&self, text: &str) -> Selector {
        Selector::sql(self.compile(text), &|name, _| self.function(name), None)
    }

    /// Messages that reached the plugin behind a function.
    fn asked(&self, name: &str) -> u64 {
        let bindings = self.host.status().into_iter().flat_map(|plugin| plugin.bindings);
        bindings.filter(|binding| binding.topic == name).map(|binding| binding.messages).sum()
    }
}

fn encode(pairs: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    let pairs = pairs.split_whitespace().filter_map(|pair| pair.split_once('='));
    pairs.for_each(|(name, value)| properties::push(&mut encoded, name, value));
    encoded
}

fn view(properties: &[u8]) -> MessageView<'_> {
    MessageView {
        topic: "t",
        queue_id: 0,
        queue_offset: QueueOffset(0),
        physical_offset: PhysicalOffset(0),
        sys_flag: 0,
        flag: 0,
        born_ms: 0,
        store_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 1)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"",
        properties,
    }
}

/// Verdicts as a look at a queue collects them: on and on until all have one, one is undecided, or none comes.
fn judge(selector: &mut Selector, messages: &[&str]) -> Vec<Verdict> {
    let encoded: Vec<_> = messages.iter().map(|message| encode(message)).collect();
    let views: Vec<_> = encoded.iter().map(|properties| view(properties)).collect();
    let mut verdicts = Vec::new();
    while verdicts.len() < views.len() && verdicts.last() != Some(&Undecided) {
        let before = verdicts.len();
        selector.judge(&views[before..], &mut verdicts);
        if verdicts.len() == before {
            break;
        }
    }
    verdicts
}

#[test]
fn only_what_depends_on_a_function_reaches_its_plugin() {
    let rig = Rig::new();
    let mut selector = rig.selector("region = 'us' OR wasm('eu') AND amount > 10");
    let messages =
        ["region=us", "region=eu amount=11", "region=eu amount=9", "region=ap amount=20", "region=eu amount=x"];
    assert_eq!(judge(&mut selector, &messages), [Deliver, Deliver, Skip, Skip, Skip]);
    assert_eq!(rig.asked("eu"), 3, "neither the first nor the third; the error of the last counts only if eu says yes");

    // Each function gets what the one before it left open.
    let mut selector =
        rig.selector("wasm('big') AND wasm('eu') AND wasm('BIG') IS NOT NULL".replace("BIG", "big").as_str());
    let many: Vec<String> = (0..200).map(|n| format!("region={} amount={n}", ["eu", "us"][n % 2])).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let before = rig.asked("eu");
    let verdicts = judge(&mut selector, &many);
    for (n, verdict) in verdicts.iter().enumerate() {
        assert_eq!(*verdict, if n >= 100 && n % 2 == 0 { Deliver } else { Skip }, "{n}");
    }
    assert_eq!((verdicts.len(), rig.asked("big"), rig.asked("eu") - before), (200, 200, 100));
    assert_eq!(selector.label().unwrap().matches("p@").count(), 1, "one version, named once");
    assert!(!selector.admits_every_record() && selector.max_batch() == 32 && !selector.wants_blocking());
}

#[test]
fn a_message_is_undecided_only_if_it_depends_on_what_cannot_be_decided() {
    let rig = Rig::new();
    let cases: [(&str, &[&str], &[Verdict]); 9] = [
        (
            "wasm('stuck') AND region = 'us'",
            &["poison=1 region=eu", "region=us", "poison=1 region=us", "region=us"],
            &[Skip, Deliver, Undecided],
        ),
        ("wasm('stuck') OR wasm('eu')", &["poison=1 region=eu", "poison=1 region=us"], &[Deliver, Undecided]),
        ("wasm('stuck') AND wasm('eu')", &["region=eu", "poison=1 region=us", "region=eu"], &[Deliver, Skip, Deliver]),
        ("NOT wasm('stuck')", &["a=1", "poison=1"], &[Skip, Undecided]),
        ("wasm('stuck') <> wasm('stuck2')", &["a=1", "poison=1"], &[Skip, Undecided]),
        // Null whatever it says.
        ("wasm('stuck') AND missing > 1", &["poison=1"], &[Skip]),
        // An error whatever it says, but only from the left.
        ("region > 1 AND wasm('stuck')", &["poison=1 region=eu"], &[Skip]),
        ("NOT (wasm('stuck') AND region > 1)", &["poison=1 region=eu"], &[Undecided]),
        ("wasm('broken') OR region = 'us'", &["region=us", "region=eu", "region=us"], &[Deliver, Undecided]),
    ];
    for (text, messages, expected) in cases {
        let mut selector = rig.selector(text);
        assert_eq!(judge(&mut selector, messages), expected, "{text}");
        if expected.last() == Some(&Undecided) {
            let reason = selector.undecided_reason();
            assert!(reason.contains("cannot decide") || reason.contains("not WebAssembly"), "{text}: {reason}");
            assert_eq!(selector.on_error(), OnError::Hold, "{text}");
        }
    }
    // All that could not decide must want it delivered.
    for (text, expected) in [
        ("wasm('through')", OnError::Deliver),
        ("wasm('through') AND wasm('stuck')", OnError::Hold),
        ("wasm('through') AND wasm('eu')", OnError::Deliver),
    ] {
        let mut selector = rig.selector(text);
        assert_eq!((judge(&mut selector, &["poison=1 region=eu"]), selector.on_error()), (vec![Undecided], expected));
    }
}

#[test]
fn the_bound_filter_and_the_subscription_must_both_accept() {
    let rig = Rig::new();
    let selector = |text: &str, bound: &str| {
        Selector::sql(rig.compile(text), &|name, _| rig.function(name), Some(rig.function(bound).unwrap()))
    };
    let mut both = selector("amount > 10 AND wasm('big') OR amount = 7", "eu");
    let messages =
        ["region=eu amount=7", "region=us amount=7", "region=eu amount=8", "region=eu amount=300", "amount=300"];
    assert_eq!(judge(&mut both, &messages), [Deliver, Skip, Skip, Deliver, Skip]);
    assert_eq!(rig.asked("eu"), 4, "not what the subscription refuses");
    let mut two = selector("wasm('stuck')", "eu");
    let label = two.label().unwrap();
    assert!(label.starts_with("p@") && label.contains(",h@"), "{label}");
    // Whoever refuses decides; nobody else need.
    assert_eq!(
        judge(&mut two, &["region=us poison=1", "region=eu", "region=eu poison=1", "region=eu"]),
        [Skip, Deliver, Undecided]
    );
    let mut stuck = selector("region = 'eu'", "stuck");
    assert_eq!(
        judge(&mut stuck, &["region=us poison=1", "region=eu", "region=eu poison=1"]),
        [Skip, Deliver, Undecided]
    );
    assert_eq!(stuck.on_error(), OnError::Hold);
    let mut through = selector("region = 'eu' OR wasm('stuck')", "through");
    assert_eq!((judge(&mut through, &["region=eu poison=1"]), through.on_error()), (vec![Undecided], OnError::Deliver));
    let mut broken = selector("region = 'eu'", "broken");
    assert_eq!(judge(&mut broken, &["region=us", "region=us", "region=eu"]), [Skip, Skip, Undecided]);
    assert!(broken.undecided_reason().contains("not WebAssembly"), "{}", broken.undecided_reason());
}

#[test]
fn a_function_that_is_replaced_is_found_again() {
    let rig = Rig::new();
    let filter = rig.compile("region = 'us' OR wasm('eu')");
    let selector = || Selector::sql(filter.clone(), &|name, _| rig.function(name), None);
    let old = rig.function("eu").unwrap();
    rig.host.apply(PluginConfig::default()).unwrap();
    assert_eq!(judge(&mut selector(), &["region=us", "region=eu"]), [Deliver, Undecided]);
    let gone = judge(&mut selector(), &["region=eu"]);
    assert_eq!(gone, [Undecided]);
    // Whoever still finds the one that was replaced waits for the other, and decides what does not need it.
    let mut stale = Selector::sql(filter.clone(), &|_, _| Ok(old.clone()), None);
    assert_eq!(judge(&mut stale, &["region=us", "region=eu", "region=us"]), [Deliver]);
    assert!(stale.undecided_reason().contains("ask again"), "{}", stale.undecided_reason());
    rig.apply();
    assert_eq!(judge(&mut selector(), &["region=ap", "region=eu"]), [Skip, Deliver]);

    let error = SqlFilter::compile("a = 1 AND wasm('nobody', 'x')", &|name, _| rig.function(name), Arc::default());
    let error = error.err().unwrap();
    assert!(matches!(error, CompileError::Function { .. }));
    assert_eq!(error.to_string(), "SQL92 expression: wasm('nobody', 'x') cannot be used: there is no plugin nobody");
}

#[test]
fn messages_are_counted_once_each() {
    let rig = Rig::new();
    let cost = Arc::<SqlCost>::default();
    let filter = SqlFilter::compile("amount > 10 OR wasm('eu')", &|name, _| rig.function(name), cost.clone()).unwrap();
    let mut selector = Selector::sql(Arc::new(filter), &|name, _| rig.function(name), None);
    let messages = ["amount=11", "amount=x", "region=us", "region=eu amount=1", "region=us amount=1"];
    assert_eq!(judge(&mut selector, &messages), [Deliver, Skip, Skip, Deliver, Skip]);
    let counted = [&cost.messages, &cost.passed, &cost.nulls, &cost.errors].map(|counter| counter.get());
    assert_eq!(counted, [5, 2, 1, 1]);
    assert!(cost.nanoseconds.get() > 0);
}
