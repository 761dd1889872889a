//! Stored records: whatever is taken can be read to its last field, walked over and encoded anew.
#![no_main]

use gantry_model::properties;
use gantry_protocol::{
    message_id,
    record::{PropertyChecksum, RecordView, peek, records, reencode_with_property},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = peek(bytes);
    for record in records(bytes) {
        let Ok(record) = record else { break };
        let _ = (record.born_host(), record.store_host(), record.body_crc(), record.sys_flag(), record.message());
        let _ = properties::pairs(record.properties()).count();
        let _ = record.check_crc(PropertyChecksum::Optional);
        if let Ok(changed) = reencode_with_property(&record, "MARK", "1") {
            let view = RecordView::parse(&changed).unwrap();
            assert_eq!((view.topic(), view.body()), (record.topic(), record.body()));
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = message_id::parse(text);
    }
});
