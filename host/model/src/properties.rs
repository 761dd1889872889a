//! Message properties as they lie in a record: `name 0x01 value 0x02` repeated, UTF-8.
//!
//! Reading never allocates: the string stays encoded and is searched. Parsers accept a missing last 0x02 and skip pairs
//! with an empty name or an empty value; of duplicates the last wins. Source: RocketMQ `MessageDecoder.string2messageProperties`.

use std::sync::LazyLock;

/// Ends a name.
pub const NAME_END: u8 = 1;
/// Ends a value.
pub const VALUE_END: u8 = 2;
/// Longest encoded property string in bytes (the length field is a signed 16-bit number).
pub const PROPERTIES_LEN_MAX: usize = i16::MAX as usize;

macro_rules! names {
    ($($(#[$doc:meta])* $constant:ident = $text:literal;)*) => {
        $($(#[$doc])* pub const $constant: &str = $text;)*
    };
}

names! {
    /// Index keys, separated by spaces.
    KEYS = "KEYS";
    /// The message's single tag.
    TAGS = "TAGS";
    /// Id given by the client; the client API calls it msgId.
    UNIQ_KEY = "UNIQ_KEY";
    /// "false": the sender does not want to wait for the disk.
    WAIT = "WAIT";
    /// Delay level, 1-based.
    DELAY = "DELAY";
    /// Relative delivery time in seconds.
    TIMER_DELAY_SEC = "TIMER_DELAY_SEC";
    /// Relative delivery time in milliseconds.
    TIMER_DELAY_MS = "TIMER_DELAY_MS";
    /// Absolute delivery time in milliseconds.
    TIMER_DELIVER_MS = "TIMER_DELIVER_MS";
    /// When a timed message falls due, floored as RocketMQ does it, ms since 1970.
    TIMER_OUT_MS = "TIMER_OUT_MS";
    /// When a timed message falls due to the millisecond, ms since 1970. Ours; RocketMQ ignores it.
    TIMER_DUE_MS = "GANTRY_DUE_MS";
    /// Set on delivery: when the timed message was stored.
    TIMER_ENQUEUE_MS = "TIMER_ENQUEUE_MS";
    /// Set on delivery: when the timed message was delivered.
    TIMER_DEQUEUE_MS = "TIMER_DEQUEUE_MS";
    /// How often a timed message was stored anew because it waited longer than messages are kept.
    TIMER_ROLL_TIMES = "TIMER_ROLL_TIMES";
    /// Marks the recall of a timed message: `<topic>+<UNIQ_KEY>` of that one.
    TIMER_DEL_UNIQKEY = "TIMER_DEL_UNIQKEY";
    /// Set on delivery and on a roll: queue offset in the timer topic of the record that it was made from. Ours.
    TIMER_ORIGIN = "GANTRY_TIMER_ORIGIN";
    /// Topic that a parked message is for.
    REAL_TOPIC = "REAL_TOPIC";
    /// Queue that a parked message is for.
    REAL_QID = "REAL_QID";
    /// Topic that a retried message was first sent to.
    RETRY_TOPIC = "RETRY_TOPIC";
    /// Id of the first delivery, kept over retries.
    ORIGIN_MESSAGE_ID = "ORIGIN_MESSAGE_ID";
    /// Reconsume count of a message that the client sends back itself.
    RECONSUME_TIME = "RECONSUME_TIME";
    /// Limit that travels with it.
    MAX_RECONSUME_TIMES = "MAX_RECONSUME_TIMES";
    /// Key of the order that the message belongs to.
    SHARDING_KEY = "__SHARDINGKEY";
    /// The same as the Go client calls it.
    SHARDING_KEY_GO = "SHARDING_KEY";
    /// Producer group of a transactional or request message.
    PGROUP = "PGROUP";
    /// "true" marks a half message.
    TRAN_MSG = "TRAN_MSG";
    /// Added to each stored message: region of the broker.
    MSG_REGION = "MSG_REGION";
    /// Added to each stored message: whether tracing is on.
    TRACE_ON = "TRACE_ON";
    /// Added to each stored message: cluster of the broker; request-reply needs it.
    CLUSTER = "CLUSTER";
    /// Receipt handle of POP; never stored from a client.
    POP_CK = "POP_CK";
    /// Number of messages in an inner batch.
    INNER_NUM = "INNER_NUM";
    /// Checksum over the record, last property, written by the store; an inbound one is stripped.
    CRC32 = "__CRC32#";
    /// Set on a message that was delivered although its filter could not decide (`on_error = "deliver"`).
    FILTER_UNDECIDED = "GANTRY_FILTER_UNDECIDED";
}

/// The pairs of an encoded property string, in order, as raw bytes.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

/// Iterates over the encoded pairs of `properties`.
pub fn pairs(properties: &[u8]) -> Pairs<'_> {
    Pairs { rest: properties }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            let end = memchr::memchr(VALUE_END, self.rest).unwrap_or(self.rest.len());
            let pair = &self.rest[..end];
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            if let Some(split) = memchr::memchr(NAME_END, pair) {
                let (name, value) = (&pair[..split], &pair[split + 1..]);
                if !name.is_empty() && !value.is_empty() {
                    return Some((name, value));
                }
            }
        }
        None
    }
}

/// The value of `name`, as bytes; of duplicates the last.
pub fn find<'a>(properties: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pairs(properties).filter(|(found, _)| *found == name.as_bytes()).map(|(_, value)| value).last()
}

/// The value of `name` when it is UTF-8.
pub fn find_str<'a>(properties: &'a [u8], name: &str) -> Option<&'a str> {
    find(properties, name).and_then(|value| std::str::from_utf8(value).ok())
}

/// Walks an encoded property string once and notes in `found` the value of each of `names` (as many), of duplicates the
/// last; what the message lacks is left as it was. Names hold no separator, so comparing one together with the separator
/// that follows finds the name's end without searching for it.
pub fn find_all<'p>(properties: &'p [u8], names: &[impl AsRef<[u8]>], found: &mut [Option<&'p [u8]>]) {
    let mut rest = properties;
    while !rest.is_empty() {
        let end = memchr::memchr(VALUE_END, rest).unwrap_or(rest.len());
        let pair = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        for (name, found) in names.iter().zip(&mut *found) {
            let name = name.as_ref();
            // A pair without a value does not count, it does not take away an earlier one either.
            if pair.len() > name.len() + 1 && pair[name.len()] == NAME_END && pair.starts_with(name) {
                *found = Some(&pair[name.len() + 1..]);
            }
        }
    }
}

/// The value of TAGS when it is UTF-8. Asked of every message, and most have none: one search over all says so faster than
/// a walk from pair to pair.
pub fn tags(properties: &[u8]) -> Option<&str> {
    static NAME: LazyLock<memchr::memmem::Finder<'static>> = LazyLock::new(|| memchr::memmem::Finder::new(b"TAGS\x01"));
    NAME.find(properties).and_then(|_| find_str(properties, TAGS))
}

/// Appends one pair. An empty value is left out, because readers drop it.
pub fn push(properties: &mut Vec<u8>, name: &str, value: &str) {
    if !value.is_empty() {
        terminate(properties);
        properties.extend_from_slice(name.as_bytes());
        properties.push(NAME_END);
        properties.extend_from_slice(value.as_bytes());
        properties.push(VALUE_END);
    }
}

/// Appends the pairs of `source` for whose name `keep` says yes.
pub fn copy_where(properties: &mut Vec<u8>, source: &[u8], keep: impl Fn(&[u8]) -> bool) {
    for (name, value) in pairs(source).filter(|(name, _)| keep(name)) {
        terminate(properties);
        properties.extend_from_slice(name);
        properties.push(NAME_END);
        properties.extend_from_slice(value);
        properties.push(VALUE_END);
    }
}

/// A client may leave the last terminator out; what follows would then become part of its value.
fn terminate(properties: &mut Vec<u8>) {
    if properties.last().is_some_and(|last| *last != VALUE_END) {
        properties.push(VALUE_END);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn empty_values_are_dropped_and_the_last_terminator_is_optional() {
        let found: Vec<_> = pairs(b"a\x01\x02b\x011\x02d\x012").collect();
        assert_eq!(found, [(&b"b"[..], &b"1"[..]), (b"d", b"2")]);
    }

    #[test]
    fn the_last_duplicate_wins_and_values_may_hold_the_name_separator() {
        assert_eq!(find(b"a\x011\x02a\x012\x01x\x02", "a"), Some(&b"2\x01x"[..]));
        assert_eq!(find(b"ab\x011\x02", "a"), None);
    }

    #[test]
    fn tags_are_found_as_any_other_property() {
        for text in [
            "",
            "TAGS\x01a\x02",
            "XTAGS\x01a\x02",
            "b\x01TAGS\x01\x02",
            "b\x01TAGS\x01\x02TAGS\x01c",
            "TAGS\x01",
            "TAGS",
        ] {
            assert_eq!(tags(text.as_bytes()), find_str(text.as_bytes(), TAGS), "{text:?}");
        }
    }

    #[test]
    fn push_repairs_a_missing_terminator() {
        let mut properties = b"a\x011".to_vec();
        push(&mut properties, "b", "2");
        push(&mut properties, "c", "");
        assert_eq!(properties, b"a\x011\x02b\x012\x02");
        let mut copy = Vec::new();
        copy_where(&mut copy, &properties, |name| name != b"a");
        assert_eq!(copy, b"b\x012\x02");
    }

    proptest! {
        #[test]
        fn one_walk_finds_what_a_search_for_each_name_finds(
            encoded in prop::collection::vec(prop::sample::select(b"ab\x01\x02x1-".to_vec()), 0..60),
        ) {
            let names = ["a", "b", "ab", "x1"];
            let mut found = [None; 4];
            find_all(&encoded, &names, &mut found);
            for (name, found) in names.iter().zip(found) {
                prop_assert_eq!(found, find(&encoded, name), "{}", name);
            }
        }
    }
}
