//! The SDK's bindings are generated from the WIT and kept in the repository, so that a plugin's author builds neither a
//! generator nor its parsers. This test is the generator: it fails when the WIT moved on, and writes the files when asked:
//! `UPDATE_BINDINGS=1 cargo test -p gantry-plugin-build --test bindings`.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

use std::{fs, path::Path};

use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::{Opts, WithOption};

const HEAD: &str = "\
//! Generated from `wit/plugin.wit`; not written by hand. To bring it up to date:
//! `UPDATE_BINDINGS=1 cargo test -p gantry-plugin-build --test bindings`.

";

/// Modules of the SDK and their worlds.
const WORLDS: [(&str, &str); 4] = [
    ("filter", "message-filter"),
    ("balancer", "queue-balancer"),
    ("metric", "stateful-metric-hook"),
    ("alert", "stateful-alert-hook"),
];
/// Interfaces that are the same in every world and come from the first.
const SHARED: [&str; 2] = ["host", "types"];

#[test]
fn the_bindings_are_those_of_the_wit() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-wasm");
    let mut outdated = Vec::new();
    for (module, world) in WORLDS {
        let file = sdk.join(format!("src/bindings/{module}.rs"));
        let expected = generate(&sdk, module, world);
        if std::env::var_os("UPDATE_BINDINGS").is_some() {
            fs::write(&file, &expected).unwrap();
        }
        if fs::read_to_string(&file).unwrap_or_default() != expected {
            outdated.push(module);
        }
    }
    assert!(outdated.is_empty(), "sdk-wasm/src/bindings is out of date ({outdated:?}); see the head of this test");
}

fn generate(sdk: &Path, module: &str, world: &str) -> String {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(sdk.join("wit")).unwrap();
    let version = resolve.packages[package].name.version.clone().unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let with = |interface: &str| {
        let path = format!("crate::bindings::{}::gantry::plugin::{interface}", WORLDS[0].0);
        (format!("gantry:plugin/{interface}@{version}"), WithOption::Path(path))
    };
    let options = Opts {
        format: true,
        pub_export_macro: true,
        default_bindings_module: Some(format!("gantry_plugin_sdk::bindings::{module}")),
        with: if module == WORLDS[0].0 { Vec::new() } else { SHARED.map(with).into() },
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, bytes) = files.iter().next().unwrap();
    // Exported macros share one name space in a crate, and several worlds export the same interfaces.
    let text = String::from_utf8_lossy(bytes).replace("__export_gantry_plugin_", &format!("__export_{module}_world_"));
    format!("{HEAD}{text}")
}
