//! A stored record with one property changed.

use gantry_model::properties;

use super::{
    draft::{EncodeError, RecordDraft, encode},
    view::RecordView,
};

/// The record again, at the same offsets, with the property `name` set to `value` (an earlier one of that name is left
/// out) and fresh checksums. For delivery only: it is longer than its place in the log.
pub fn reencode_with_property(record: &RecordView<'_>, name: &str, value: &str) -> Result<Vec<u8>, EncodeError> {
    let mut changed = Vec::with_capacity(record.properties().len() + name.len() + value.len() + 2);
    let dropped = [name.as_bytes(), properties::CRC32.as_bytes()];
    properties::copy_where(&mut changed, record.properties(), |name| !dropped.contains(&name));
    properties::push(&mut changed, name, value);
    let mut out = Vec::new();
    let draft = RecordDraft {
        topic: record.topic(),
        queue_id: record.queue_id(),
        flag: record.flag(),
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        sys_flag: record.sys_flag(),
        born_ms: record.born_ms(),
        born_host: record.born_host(),
        store_ms: record.store_ms(),
        store_host: record.store_host(),
        reconsume_times: record.reconsume_times(),
        prepared_transaction_offset: record.prepared_transaction_offset(),
        body: record.body(),
        properties: &[&changed],
    };
    encode(&draft, &mut out)?;
    Ok(out)
}
