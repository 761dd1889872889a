//! Under which keys a record is found, and their hashes.
//!
//! A record has its UNIQ_KEY and every word of KEYS, separated by spaces. The hash is Java's `String.hashCode` of
//! `topic#key`, made positive. Source: RocketMQ `IndexService.buildIndex`, `IndexFile.indexKeyHashMethod`.

use gantry_model::{properties, sys_flag};
use gantry_protocol::record::RecordView;

/// One key of a record on its way into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) hash: u32,
    pub(crate) offset: u64,
    pub(crate) store_ms: u64,
}

/// Keys of the records of one piece of the log, in their order.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Whether the index wants them.
    collecting: bool,
    keys: Vec<Key>,
    /// Topic of the last record, and the hash of it with its `#`: neighbours often share it.
    topic: String,
    topic_hash: u32,
}

impl Gathered {
    /// Begins a piece.
    pub(crate) fn begin(&mut self, collecting: bool) {
        self.collecting = collecting;
        self.keys.clear();
    }

    pub(crate) fn is_collecting(&self) -> bool {
        self.collecting
    }

    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Adds the keys of a record. On the path of every message: no allocation but the list's own growth.
    #[inline]
    pub(crate) fn add(&mut self, record: &RecordView<'_>) {
        if self.collecting {
            self.add_keys(record);
        }
    }

    fn add_keys(&mut self, record: &RecordView<'_>) {
        if record.sys_flag() & sys_flag::TRANSACTION_MASK == sys_flag::TRANSACTION_ROLLBACK {
            return;
        }
        let (unique, words) = find(record.properties());
        if unique.is_none() && words.is_none() {
            return;
        }
        if self.topic != record.topic() {
            self.topic.clear();
            self.topic.push_str(record.topic());
            self.topic_hash = extend(extend(0, &self.topic), "#");
        }
        let (offset, store_ms) = (record.physical_offset().0, record.store_ms().max(0) as u64);
        for key in each(unique, words) {
            let hash = positive(extend(self.topic_hash, key));
            self.keys.push(Key { hash, offset, store_ms });
        }
    }
}

/// The hash that a query for `key` looks for.
pub(crate) fn hash(topic: &str, key: &str) -> u32 {
    positive(extend(extend(extend(0, topic), "#"), key))
}

/// Whether the record is of the topic and has exactly this key.
pub(crate) fn has(record: &RecordView<'_>, topic: &str, key: &str) -> bool {
    let (unique, words) = find(record.properties());
    record.topic() == topic && each(unique, words).any(|found| found == key)
}

/// UNIQ_KEY and KEYS in one pass; of duplicates the last, as everywhere.
fn find(encoded: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    let (mut unique, mut words) = (None, None);
    for (name, value) in properties::pairs(encoded) {
        if name == properties::UNIQ_KEY.as_bytes() {
            unique = Some(value);
        } else if name == properties::KEYS.as_bytes() {
            words = Some(value);
        }
    }
    (unique, words)
}

/// A key that is no UTF-8 cannot be asked for, so it is left out.
fn each<'a>(unique: Option<&'a [u8]>, words: Option<&'a [u8]>) -> impl Iterator<Item = &'a str> {
    let words = words.into_iter().flat_map(|words| words.split(|byte| *byte == b' '));
    let keys = unique.into_iter().chain(words.filter(|word| !word.is_empty()));
    keys.filter_map(|key| std::str::from_utf8(key).ok())
}

fn positive(hash: u32) -> u32 {
    // The one value without a positive twin counts as 0.
    (hash as i32).checked_abs().unwrap_or(0) as u32
}

/// Goes on with Java's `String.hashCode` from `hash` over `text`.
#[inline]
fn extend(hash: u32, text: &str) -> u32 {
    if text.is_ascii() { extend_ascii(hash, text.as_bytes()) } else { extend_utf16(hash, text) }
}

/// Four bytes at a time: each multiplication would otherwise wait for the one before.
#[inline]
fn extend_ascii(mut hash: u32, bytes: &[u8]) -> u32 {
    const P2: u32 = 31 * 31;
    const P3: u32 = P2 * 31;
    const P4: u32 = P3 * 31;
    let (fours, rest) = bytes.as_chunks::<4>();
    for [a, b, c, d] in fours {
        let [a, b, c, d] = [*a, *b, *c, *d].map(u32::from);
        hash = hash.wrapping_mul(P4).wrapping_add(a * P3 + b * P2 + c * 31 + d);
    }
    rest.iter().fold(hash, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

#[cold]
fn extend_utf16(hash: u32, text: &str) -> u32 {
    text.encode_utf16().fold(hash, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

#[cfg(test)]
mod tests {
    use gantry_model::{
        offset::{PhysicalOffset, QueueOffset},
        tag::java_hash,
    };
    use gantry_protocol::record::{RecordDraft, encode};
    use proptest::prelude::*;

    use super::*;

    fn record(topic: &str, sys_flag: i32, properties: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let draft = RecordDraft {
            topic,
            queue_id: 0,
            flag: 0,
            queue_offset: QueueOffset(0),
            physical_offset: PhysicalOffset(77),
            sys_flag,
            born_ms: 1,
            born_host: ([1, 2, 3, 4], 1).into(),
            store_ms: 5000,
            store_host: ([1, 2, 3, 4], 2).into(),
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: b"b",
            properties: &[properties],
        };
        encode(&draft, &mut out).unwrap();
        out
    }

    fn keys_of(bytes: &[u8]) -> Vec<u32> {
        let mut gathered = Gathered::default();
        gathered.begin(true);
        gathered.add(&RecordView::parse(bytes).unwrap());
        assert!(gathered.keys().iter().all(|key| (key.offset, key.store_ms) == (77, 5000)));
        gathered.keys().iter().map(|key| key.hash).collect()
    }

    /// Hashes computed with Java's `String.hashCode`.
    #[test]
    fn known_hashes() {
        assert_eq!(hash("T", "Aa"), hash("T", "BB"), "the shortest pair with one hash");
        assert_eq!(
            hash("TopicTest", "k"),
            "TopicTest#k".bytes().fold(0u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b))) & 0x7FFF_FFFF
        );
        assert_eq!(positive(i32::MIN as u32), 0);
        assert_eq!(positive(-5i32 as u32), 5);
        assert_eq!(extend(0, "polygenelubricants"), i32::MIN as u32);
    }

    #[test]
    fn the_unique_key_and_every_word_is_a_key() {
        let bytes = record("orders", 0, b"KEYS\x01 a  b c \x02UNIQ_KEY\x01id\x02");
        let expected: Vec<_> = ["id", "a", "b", "c"].map(|key| hash("orders", key)).to_vec();
        assert_eq!(keys_of(&bytes), expected);
        let view = RecordView::parse(&bytes).unwrap();
        assert!(["id", "a", "b", "c"].iter().all(|key| has(&view, "orders", key)));
        assert!(!["", "ab", "a  b", "A", "i"].iter().any(|key| has(&view, "orders", key)));
        assert!(!has(&view, "order", "a"));
    }

    #[test]
    fn a_rolled_back_record_has_none_and_a_prepared_one_has() {
        let keys = |flag| keys_of(&record("t", flag, b"UNIQ_KEY\x01id\x02")).len();
        assert_eq!((keys(sys_flag::TRANSACTION_ROLLBACK), keys(sys_flag::TRANSACTION_PREPARED)), (0, 1));
    }

    #[test]
    fn a_key_that_is_no_text_is_left_out() {
        assert_eq!(keys_of(&record("t", 0, b"KEYS\x01\xFF\xFE ok\x02")), [hash("t", "ok")]);
    }

    proptest! {
        #[test]
        fn hashes_are_javas(topic in ".{0,40}", key in ".{0,70}") {
            let whole = format!("{topic}#{key}");
            prop_assert_eq!(hash(&topic, &key), java_hash(&whole).checked_abs().unwrap_or(0) as u32);
        }
    }
}
