//! The demo, to its end.

use std::path::Path;

use crate::process::{output, stdout_of};

#[test]
fn shows_three_filters_and_what_they_let_through() {
    let target = Path::new(env!("CARGO_BIN_EXE_gantry")).ancestors().nth(2).unwrap();
    let plugins = target.join("plugins");
    assert!(plugins.join("property-filter.wasm").exists(), "run `cargo xtask plugins` first; `cargo xtask test` does");
    let told = stdout_of(&["demo", "--once", "--json", "--rate", "500", "--plugin-dir", plugins.to_str().unwrap()], 0);
    let events: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert_eq!((count("ready"), count("filter"), count("shown"), count("done")), (1, 3, 3, 1));
    let versions: std::collections::BTreeSet<&str> =
        events.iter().filter_map(|event| event["version"].as_str()).collect();
    assert_eq!(versions.len(), 2, "the last filter is another build: {versions:?}");
}

#[test]
fn without_plugins_it_says_how_to_get_them() {
    let folder = tempfile::tempdir().unwrap();
    let refused = output(&["demo", "--once", "--plugin-dir", folder.path().to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cargo xtask demo"));
}
