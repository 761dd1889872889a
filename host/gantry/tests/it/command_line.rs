//! Commands that need no node: what they print and how they exit.

use crate::process::{json_of, output, stdout_of};

#[test]
fn exit_codes_are_documented_and_kept() {
    let help = stdout_of(&["--help"], 0);
    for text in ["Exit codes:", "  2    the command line", "130", "GANTRY_LOG"] {
        assert!(help.contains(text), "{help}");
    }
    stdout_of(&["no-such-command"], 2);
    stdout_of(&["run", "--config", "/no/such/file.toml"], 2);
    stdout_of(&["--log", "a=b=c", "config", "explain"], 2);
    stdout_of(&["status", "--data", "/no/such/folder"], 3);
    stdout_of(&["bench", "produce", "--namesrv", "127.0.0.1:1"], 3);
    stdout_of(&["bench", "produce", "--broker", "127.0.0.1:1", "--connections", "0"], 2);
}

#[test]
fn check_lists_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "[broker]\nflsh = 'sync'\nflush_timeout_ms = 0\n").unwrap();
    let found = output(&["config", "check", path]);
    assert_eq!(found.status.code(), Some(2));
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("cluster.toml:2:1: broker.flsh: unknown key; did you mean `flush`?"), "{text}");
    assert!(
        text.contains("cluster.toml:3:20: broker.flush_timeout_ms: 0 is out of range, expected 1 to 60000 ms"),
        "{text}"
    );
    // What `check` says is why `run` does not start.
    let run = output(&["run", "--config", path]);
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&run.stderr).contains("did you mean `flush`?"));

    std::fs::write(&file, "[[plugin]]\nname = 'p'\nfile = 'later.wasm'\n").unwrap();
    let report = json_of(&["config", "check", path, "--json"]);
    assert_eq!(report["ok"], true);
    assert!(report["missing_plugin_files"][0].as_str().unwrap().ends_with("later.wasm"));
    let relative = std::process::Command::new(env!("CARGO_BIN_EXE_gantry"))
        .args(["config", "check", "cluster.toml"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(relative.status.success());
}

#[test]
fn explain_finds_keys_by_path_section_and_name() {
    let one = stdout_of(&["config", "explain", "broker.flush"], 0);
    assert!(one.contains("default: \"sync\"") && one.contains("needs a restart"), "{one}");
    for (wanted, count) in
        [("store", 6), ("on_error", 1), ("plugin", 6), ("filter.plugin", 1), ("node.brokers.port", 1)]
    {
        let keys = json_of(&["config", "explain", wanted, "--json"]);
        let keys: Vec<&str> = keys.as_array().unwrap().iter().map(|key| key["key"].as_str().unwrap()).collect();
        assert!(keys.len() >= count, "{wanted}: {keys:?}");
    }
    let unknown = output(&["config", "explain", "flsh"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("did you mean flush?"));
    let file = stdout_of(&["config", "explain", "--toml"], 0);
    assert!(file.contains("[node.standalone]") && file.contains("# on_error = \"hold\""));
}
