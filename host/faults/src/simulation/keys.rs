//! Queries by key, compared with a model that is made from the queues.

use std::collections::{BTreeMap, BTreeSet};

use gantry_protocol::record::{RecordView, records};
use gantry_store::*;

/// Keys that have the same hash in Java.
const TWINS: [&str; 2] = ["Aa", "BB"];

/// The encoded properties of a message: a key of its own, one that some share, and one of the twins.
pub(super) fn properties(number: &str, uniform: bool) -> Vec<u8> {
    let value: u64 = number.parse().unwrap_or(0);
    let (shared, twin) = (value % 5, TWINS[(value % 2) as usize]);
    // A few have none, so that the index ends before the log does.
    if value % 7 == 3 && !uniform {
        return b"TAGS\x01tag\x02".to_vec();
    }
    format!("TAGS\x01tag\x02UNIQ_KEY\x01u{number}\x02KEYS\x01 s{shared} {twin}\x02").into_bytes()
}

/// Whether every record in a queue is found under each of its keys, and nothing else is. An index that is behind or stopped
/// may lack some; what it finds must be right all the same.
pub(super) fn judge(store: &Store) -> Result<(), String> {
    let mut model: BTreeMap<(String, String), BTreeSet<u64>> = BTreeMap::new();
    for topic in store.topics() {
        for id in 0..super::QUEUES as u32 {
            let Some(queue) = store.queue(&topic, id) else { continue };
            for key in ["Aa", "BB", "s0", "u00000000", "nobody has this"] {
                model.entry((topic.to_string(), key.to_owned())).or_default();
            }
            for offset in super::offsets(&queue) {
                let Ok(bytes) = super::oracle::record(store, &queue, offset) else { return Ok(()) };
                let record = RecordView::parse(&bytes).map_err(|error| error.to_string())?;
                for key in keys_of(&record) {
                    model.entry((topic.to_string(), key)).or_default().insert(record.physical_offset().0);
                }
            }
        }
    }
    let level = store.index_state() == IndexState::Level;
    for ((topic, key), expected) in &model {
        let query = KeyQuery { topic, key, begin_ms: 0, end_ms: i64::MAX, limit: 10_000 };
        // A disk that fails is allowed to.
        let Ok(found) = store.query(&query) else { return Ok(()) };
        let places: BTreeSet<u64> = records(&found.records)
            .map(|record| record.map(|record| record.physical_offset().0).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let wrong = !places.is_subset(expected) || places.len() != found.count;
        // In a long run the records of both twins are more than one query looks at, and it says so.
        let limited = found.stopped == Some(QueryLimit::Records);
        let level = level && store.index_state() == IndexState::Level;
        let missing = places != *expected && level && !limited;
        if wrong || missing || (found.stopped.is_some() && !limited) {
            return Err(format!(
                "key {key:?} of {topic}: found at {places:?}, expected {expected:?}; {:?} {:?}",
                store.index_state(),
                found.stopped
            ));
        }
    }
    // It would be mended, and should not have to be.
    match store.metrics().index_damaged.get() {
        0 => Ok(()),
        found => Err(format!("{found} index files are damaged")),
    }
}

fn keys_of(record: &RecordView<'_>) -> Vec<String> {
    let property = |name| gantry_model::properties::find_str(record.properties(), name);
    let words = property("KEYS").unwrap_or_default().split(' ').filter(|word| !word.is_empty());
    words.chain(property("UNIQ_KEY")).map(str::to_owned).collect()
}
