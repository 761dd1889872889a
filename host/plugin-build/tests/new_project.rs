//! A new project builds at once, passes its own tests, and makes a module.

use std::{path::Path, process::Command};

use gantry_plugin_build::{Output, Toolchain, new_project};

#[test]
fn a_new_project_passes_its_tests_and_builds() {
    let folder = tempfile::tempdir().unwrap();
    let project = new_project(folder.path(), "eu-orders").unwrap();
    // Kept between runs: what the SDK depends on is compiled once.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/new-project");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&project).arg("test").arg("--target-dir").arg(&target);
    // The outer cargo's settings are for the outer build.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{errors}");
    assert!(out.contains("2 passed"), "{out}");
    assert!(!errors.contains("warning"), "a new project has no warnings: {errors}");

    let toolchain =
        Toolchain::find(&project).unwrap_or_else(|missing| panic!("this test builds a guest, but {missing}"));
    let built = toolchain.build(&project, Some(&target), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(built.iter().map(|built| built.package.as_str()).collect::<Vec<_>>(), ["eu-orders"]);
    assert!(built[0].file.ends_with("eu_orders.wasm") && built[0].file.is_file());
}
