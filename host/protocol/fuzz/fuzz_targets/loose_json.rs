//! Loose JSON: what was standard stays as it is, the rest is made strict once.
#![no_main]

use gantry_protocol::loose_json::to_strict;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|text: &[u8]| {
    let strict = to_strict(text);
    if serde_json::from_slice::<Value>(text).is_ok() {
        assert_eq!(strict.as_deref().ok(), Some(text));
    }
    if let Ok(strict) = strict {
        assert!(strict.len() <= text.len() * 3);
        assert_eq!(to_strict(&strict).unwrap(), strict);
    }
});
