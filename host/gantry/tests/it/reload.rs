//! Changes of the cluster file under a running node.

use std::{fs, path::Path};

use crate::process::{Node, json_of, stdout_of, wait_for};
use rustix::process::Signal;
use serde_json::Value;

const PLUGIN: &str = "[[plugin]]\nname = 'p'\nfile = 'p.wasm'\n";
const FILTER: &str = "[[filter]]\ntopic = 't'\ngroup = 'g'\nplugin = 'p'\n";

/// As editors do: write beside, rename over.
fn save(file: &Path, text: &str) {
    let beside = file.with_extension("swp");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, file).unwrap();
}

fn plugins(node: &Node) -> Vec<Value> {
    json_of(&["plugin", "list", "--json", "--data", node.data_text()]).as_array().unwrap().clone()
}

#[test]
fn saved_changes_apply_and_bad_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    save(&file, "");
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
    assert!(plugins(&node).is_empty());

    // Renamed over.
    save(&file, &format!("{PLUGIN}{FILTER}"));
    let found = wait_for("the plugin", || plugins(&node).pop());
    assert_eq!((&found["name"], &found["bindings"][0]["group"]), (&"p".into(), &"g".into()));
    assert_eq!(found["file"], folder.path().join("p.wasm").to_str().unwrap(), "relative to the cluster file");

    // A bad edit keeps what was, and says so.
    save(&file, &format!("{PLUGIN}{FILTER}on_eror = 'hold'\n"));
    let status =
        wait_for("the problem", || Some(node.status()).filter(|status| status["config"]["problems"][0].is_string()));
    let problem = status["config"]["problems"][0].as_str().unwrap();
    assert!(
        problem.contains("cluster.toml:8:1: filter[0].on_eror: unknown key; did you mean `on_error`?"),
        "{problem}"
    );
    assert_eq!(plugins(&node).len(), 1);

    // Written in place; a key that needs a restart beside one that does not.
    fs::write(&file, format!("[broker]\nflush = 'async'\n{PLUGIN}")).unwrap();
    wait_for("the filter to go", || plugins(&node).pop().filter(|plugin| plugin["bindings"] == serde_json::json!([])));
    let config = node.status()["config"].clone();
    assert_eq!(config["needs_restart"], serde_json::json!(["broker.flush"]), "{config}");
    assert_eq!(config["problems"], serde_json::json!([]));
    assert_eq!(node.terminate(), Some(0));
}

#[test]
fn sighup_and_the_command_reload_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    save(&file, "");
    let node = Node::start(folder.path(), &["--config", file.to_str().unwrap()]);
    fs::write(&file, PLUGIN).unwrap();
    let said = json_of(&["reload", "--json", "--data", node.data_text()]);
    assert!(said["applied"].is_array(), "{said}");
    assert_eq!(plugins(&node).len(), 1);
    fs::write(&file, "").unwrap();
    node.signal(Signal::HUP);
    wait_for("the plugin to go", || plugins(&node).is_empty().then_some(()));
    fs::write(&file, "nonsense").unwrap();
    stdout_of(&["reload", "--data", node.data_text()], 1);
    stdout_of(&["plugin", "reload", "absent", "--data", node.data_text()], 1);
    assert_eq!(node.terminate(), Some(0));
}
