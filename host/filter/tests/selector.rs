//! The client's subscription and the bound plugin together.

use std::{fs, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use gantry_filter::{Selector, Verdict};
use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    subscription::Subscription,
    tag::tag_code,
};
use gantry_plugin::{Binding, BindingSpec, HostOptions, PluginConfig, PluginHost, PluginSpec};
use gantry_plugin_build::{Output, Toolchain};

use Verdict::{Deliver, Skip, Undecided};

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

fn judge(selector: &mut Selector) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    selector.judge(&[view(b"region\x01eu\x02"), view(b"region\x01us\x02")], &mut verdicts);
    verdicts
}

fn tags(expression: &str) -> Arc<Subscription> {
    Arc::new(Subscription::from_tags("t", expression))
}

/// A host with one binding, once the plugin serves or is known not to.
fn bound(module: &[u8], folder: &Path) -> Option<(PluginHost, Arc<Binding>)> {
    let file = folder.join("p.wasm");
    fs::write(&file, module).ok()?;
    let host = PluginHost::start(HostOptions::default()).ok()?;
    let spec = PluginSpec::new("p", &file).with_param("region.equals", "eu");
    host.apply(PluginConfig::of_filters(vec![spec], vec![BindingSpec::new("t", "g", "p")])).ok()?;
    let binding = host.binding("t", "g")?;
    while binding.pin().is_err_and(|not_ready| not_ready.soon) {
        let seen = host.generation().get();
        host.generation().wait_blocking(seen + 1, Duration::from_millis(100)).ok()?;
    }
    Some((host, binding))
}

#[test]
fn without_a_plugin_the_tags_decide() {
    let mut selector = Selector::new(tags("TagA || TagB"), None);
    assert!(selector.admits_entry(tag_code(Some("TagB"))) && !selector.admits_entry(tag_code(None)));
    assert!(selector.admits_every_record() && !selector.wants_blocking() && selector.label().is_none());
    assert_eq!(judge(&mut selector), [Deliver, Deliver]);
}

#[test]
fn with_a_plugin_both_must_accept() {
    let plugins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let toolchain =
        Toolchain::find(&plugins).unwrap_or_else(|missing| panic!("this test runs a wasm guest, but {missing}"));
    let target = plugins.join("../target/plugins");
    let built = toolchain.build(&plugins, Some(&target), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
    let filter = built.iter().find(|built| built.package == "property-filter").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_host, binding) = bound(&fs::read(&filter.file).unwrap(), folder.path()).unwrap();
    let mut selector = Selector::new(tags("TagA"), Some(binding));
    assert!(!selector.admits_entry(tag_code(Some("TagB"))) && selector.admits_entry(tag_code(Some("TagA"))));
    assert!(!selector.admits_every_record() && selector.max_batch() == 32);
    assert!(selector.label().unwrap().starts_with("p@"));
    assert_eq!(judge(&mut selector), [Deliver, Skip]);
}

#[test]
fn a_plugin_that_does_not_serve_decides_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (host, binding) = bound(b"no plugin", folder.path()).unwrap();
    let mut selector = Selector::new(tags("*"), Some(binding.clone()));
    assert_eq!((judge(&mut selector), selector.max_batch()), (vec![Undecided], 1));
    assert!(selector.undecided_reason().contains("this is not WebAssembly"), "{}", selector.undecided_reason());
    // Unbound while a pull still holds it: not even undecided, for it is to be looked up again.
    host.apply(PluginConfig::default()).unwrap();
    let mut selector = Selector::new(tags("*"), Some(binding));
    assert_eq!(judge(&mut selector), []);
    assert!(selector.undecided_reason().contains("ask again"), "{}", selector.undecided_reason());
}
