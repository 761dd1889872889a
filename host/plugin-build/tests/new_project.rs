//! A new project of every world builds at once, passes its own tests, and makes a module.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use gantry_plugin_build::{Output, Toolchain, World, new_project};

/// Kept between runs: what the SDK depends on is compiled once.
fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/new-project")
}

#[test]
fn a_new_project_passes_its_tests_and_builds() {
    let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
    for world in World::ALL {
        let name = format!("eu-orders-{}", world.name());
        let project = new_project(folder.path(), &name, world).unwrap_or_else(|error| panic!("{error}"));
        passes_its_tests(&project);
        let toolchain =
            Toolchain::find(&project).unwrap_or_else(|missing| panic!("this test builds a guest, but {missing}"));
        let built = toolchain.build(&project, Some(&target()), Output::Kept).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(built.iter().map(|built| built.package.as_str()).collect::<Vec<_>>(), [name.as_str()]);
        let file = format!("{}.wasm", name.replace('-', "_"));
        assert!(built[0].file.ends_with(file) && built[0].file.is_file());
    }
}

fn passes_its_tests(project: &Path) {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(project).arg("test").arg("--target-dir").arg(target());
    // The outer cargo's settings are for the outer build.
    cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    let output = cargo.output().unwrap_or_else(|error| panic!("cargo: {error}"));
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{errors}");
    assert!(out.contains("2 passed"), "{out}");
    assert!(!errors.contains("warning"), "a new project has no warnings: {errors}");
}
