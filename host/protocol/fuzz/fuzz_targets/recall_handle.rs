//! Recall handles: any text is a handle or none, and what is one is written the same again.
#![no_main]

use gantry_protocol::recall_handle::RecallHandle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Some(handle) = RecallHandle::decode(text) else { return };
    let RecallHandle { topic, broker_name, timestamp_ms, unique_key } = &handle;
    let again = RecallHandle::encode(topic, broker_name, *timestamp_ms, unique_key);
    assert_eq!(RecallHandle::decode(&again).as_ref(), Some(&handle));
});
