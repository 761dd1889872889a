//! The SDK's bindings are generated from the WIT and kept in the repository, so that a plugin's author builds neither a
//! generator nor its parsers. This test is the generator: it fails when the WIT moved on, and writes the file when asked:
//! `UPDATE_BINDINGS=1 cargo test -p gantry-plugin-build --test bindings`.

use std::{fs, path::Path};

use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};
use wit_bindgen_rust::Opts;

const HEAD: &str = "\
//! Generated from `wit/plugin.wit`; not written by hand. To bring it up to date:
//! `UPDATE_BINDINGS=1 cargo test -p gantry-plugin-build --test bindings`.

";

#[test]
fn the_bindings_are_those_of_the_wit() {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk-wasm");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(sdk.join("wit")).unwrap();
    let world = resolve.select_world(&[package], Some("message-filter")).unwrap();
    let options = Opts {
        format: true,
        pub_export_macro: true,
        default_bindings_module: Some("gantry_plugin_sdk::bindings".into()),
        ..Opts::default()
    };
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, bytes) = files.iter().next().unwrap();
    let expected = format!("{HEAD}{}", String::from_utf8_lossy(bytes));

    let file = sdk.join("src/bindings.rs");
    if std::env::var_os("UPDATE_BINDINGS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "sdk-wasm/src/bindings.rs is out of date; see the head of this test");
}
