use std::net::SocketAddr;

use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    properties, sys_flag,
};
use proptest::prelude::*;

use super::*;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// Encoded by RocketMQ's `MessageExtEncoder`.
const PLAIN: &str = "0000009ddaa320a73610a686000000030000000000000000000000070000000000000400000000000000018bcfe568000a010203
    0000d4310000018bcfe56801c0a8000a00002a9f0000000000000000000000000000000568656c6c6f09546f70696354657374003454414753015461
    674102554e49515f4b455901304130313032303330463443313842344141433241314232433344343030303002";
/// Decoded by RocketMQ's `MessageDecoder`: IPv6 born host, zlib body.
const IPV6: &str = "00000087daa320a77156e945000000010000000000000000000000090000000000000800000003110000018bcfe5680020010db80000
    000000000000000000010000d4310000018bcfe56801c0a8000a00002a9f0000000200000000000000000000000c785e4b4ca40c0000148d18410954
    6f70696354657374000b4b455953016b31206b3202";
/// Decoded by RocketMQ's `MessageDecoder`: a topic of 130 bytes (`%RETRY%` and 123 times `g`), so V2.
fn long_topic() -> String {
    let head =
        "000000e0daa320ab58932aac000000000000000000000000000000000000000000000000000000000000018bcfe568000a010203
        0000d4310000018bcfe56801c0a8000a00002a9f0000000100000000000000000000000268690082255245545259 25";
    format!("{head}{}0000", "67".repeat(123))
}

#[test]
fn golden_records_parse() {
    let plain = unhex(PLAIN);
    let record = RecordView::parse(&plain).unwrap();
    let message = record.message();
    assert_eq!((record.size(), record.magic(), record.body_crc()), (157, MAGIC_V1, 907_060_870));
    assert_eq!((message.topic, message.queue_id, message.flag, message.sys_flag), ("TopicTest", 3, 0, 0));
    assert_eq!((message.queue_offset, message.physical_offset), (QueueOffset(7), PhysicalOffset(1024)));
    assert_eq!((message.born_ms, message.store_ms), (1_700_000_000_000, 1_700_000_000_001));
    assert_eq!(message.born_host, "10.1.2.3:54321".parse::<SocketAddr>().unwrap());
    assert_eq!(record.store_host(), "192.168.0.10:10911".parse::<SocketAddr>().unwrap());
    assert_eq!((message.body, message.property("TAGS")), (&b"hello"[..], Some("TagA")));
    assert_eq!(message.property("UNIQ_KEY"), Some("0A0102030F4C18B4AAC2A1B2C3D40000"));
    assert_eq!(record.check_crc(PropertyChecksum::Optional), Ok(()));
    assert_eq!(record.check_crc(PropertyChecksum::Required), Err(ChecksumError::Missing));

    let ipv6 = unhex(IPV6);
    let record = RecordView::parse(&ipv6).unwrap();
    assert_eq!((record.size(), record.sys_flag(), record.reconsume_times()), (135, 0x311, 2));
    assert_eq!(record.born_host(), "[2001:db8::1]:54321".parse::<SocketAddr>().unwrap());
    assert_eq!(record.store_host(), "192.168.0.10:10911".parse::<SocketAddr>().unwrap());
    assert_eq!((record.store_ms(), record.queue_offset()), (1_700_000_000_001, QueueOffset(9)));
    assert_eq!((record.body().len(), record.message().property("KEYS")), (12, Some("k1 k2")));
    assert_eq!(record.check_crc(PropertyChecksum::Optional), Ok(()));

    let long = unhex(&long_topic());
    let record = RecordView::parse(&long).unwrap();
    assert_eq!((record.size(), record.magic(), record.topic().len()), (224, MAGIC_V2, 130));
    assert_eq!((record.body(), record.properties(), record.reconsume_times()), (&b"hi"[..], &b""[..], 1));
    assert_eq!(record.check_crc(PropertyChecksum::Optional), Ok(()));
}

/// What a golden record becomes when it is encoded again: the same bytes, the longer lengths and the checksum apart.
fn assert_reencodes(golden: &str) {
    let golden = unhex(golden);
    let record = RecordView::parse(&golden).unwrap();
    let pieces = [record.properties()];
    let mut out = b"before".to_vec();
    let size = encode(&draft(&record, &pieces), &mut out).unwrap();
    let mut expected = golden.clone();
    expected[..4].copy_from_slice(&(golden.len() as u32 + 20).to_be_bytes());
    let properties_len_at = golden.len() - record.properties().len() - 2;
    let properties_len = (record.properties().len() as u16 + 20).to_be_bytes();
    expected[properties_len_at..properties_len_at + 2].copy_from_slice(&properties_len);
    assert_eq!(out[6..6 + golden.len()], expected[..]);
    assert_eq!(size, golden.len() + CHECKSUM_PROPERTY_LEN);
    RecordView::parse(&out[6..]).unwrap().check_crc(PropertyChecksum::Required).unwrap();
}

fn draft<'a>(record: &RecordView<'a>, properties: &'a [&'a [u8]]) -> RecordDraft<'a> {
    RecordDraft {
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
        properties,
    }
}

#[test]
fn golden_records_encode() {
    for golden in [PLAIN, IPV6, &long_topic()] {
        assert_reencodes(golden);
    }
    assert_eq!(body_checksum(b"a"), 1_756_872_259, "the sign bit is cleared");
}

#[test]
fn checksum_digits_are_lowest_first() {
    assert_eq!(&checksum::property(1_234_567_890), b"__CRC32#\x010987654321\x02");
    assert_eq!(&checksum::property(7), b"__CRC32#\x017000000000\x02");
}

#[test]
fn an_inbound_checksum_is_replaced_and_missing_terminators_are_added() {
    let golden = unhex(PLAIN);
    let record = RecordView::parse(&golden).unwrap();
    let mut out = Vec::new();
    encode(&draft(&record, &[b"a\x011\x02__CRC32#\x010000000000", b"", b"b\x012"]), &mut out).unwrap();
    let again = RecordView::parse(&out).unwrap();
    again.check_crc(PropertyChecksum::Required).unwrap();
    let pairs: Vec<_> = properties::pairs(again.properties()).map(|(name, _)| name).collect();
    assert_eq!(pairs, [&b"a"[..], b"b", b"__CRC32#"]);
}

#[test]
fn reencoding_keeps_the_offsets_and_replaces_the_property() {
    let golden = unhex(PLAIN);
    let marked = reencode_with_property(&RecordView::parse(&golden).unwrap(), "TAGS", "other").unwrap();
    let marked = reencode_with_property(&RecordView::parse(&marked).unwrap(), "X", "1").unwrap();
    let record = RecordView::parse(&marked).unwrap();
    record.check_crc(PropertyChecksum::Required).unwrap();
    assert_eq!((record.queue_offset(), record.physical_offset()), (QueueOffset(7), PhysicalOffset(1024)));
    assert_eq!((record.message().property("TAGS"), record.message().property("X")), (Some("other"), Some("1")));
    assert_eq!(properties::pairs(record.properties()).count(), 4);
}

#[test]
fn too_long_parts_are_refused() {
    let golden = unhex(PLAIN);
    let record = RecordView::parse(&golden).unwrap();
    let long = vec![b'x'; 32_748];
    let mut out = Vec::new();
    let refused = encode(&draft(&record, &[&long]), &mut out);
    assert_eq!(refused, Err(EncodeError::Properties { found: 32_749 }));
    assert!(out.is_empty());
    encode(&draft(&record, &[&long[..32_746]]), &mut out).unwrap();
    RecordView::parse(&out).unwrap().check_crc(PropertyChecksum::Required).unwrap();
    let empty = RecordDraft { topic: "", ..draft(&record, &[]) };
    assert_eq!(encode(&empty, &mut out), Err(EncodeError::Topic { found: 0 }));
}

#[test]
fn peek_tells_records_blanks_and_nothing_apart() {
    assert_eq!(peek(&unhex(PLAIN)), Peek::Record { size: 157 });
    assert_eq!(peek(&blank(4096)), Peek::Blank { size: 4096 });
    assert_eq!(blank(4096), [0, 0, 0x10, 0, 0xCB, 0xD4, 0x31, 0x94]);
    assert_eq!(RecordView::parse(&[&blank(64)[..], &[0; 64]].concat()).unwrap_err(), RecordError::Blank);
    assert_eq!(peek(&[0; 8]), Peek::Nothing { magic: 0, size: 0 });
    assert_eq!(peek(&[0; 7]), Peek::Short);
    let mut tiny = unhex(PLAIN);
    tiny[..4].copy_from_slice(&90u32.to_be_bytes());
    assert!(matches!(peek(&tiny), Peek::Nothing { .. }));
}

fn address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
        // An IPv4 address mapped into IPv6 is stored as IPv4.
        any::<([u16; 8], u16)>()
            .prop_map(SocketAddr::from)
            .prop_filter("mapped", |at| at.ip().to_canonical() == at.ip()),
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_is_read_back(
        topic in "[a-zA-Z0-9%|_-]{1,200}", ids in any::<(u16, i32, u32, u32)>(), times in any::<(i64, i64, i32, i64)>(),
        born_host in address(), store_host in address(), flags in 0..0x7FF_i32,
        body in prop::collection::vec(any::<u8>(), 0..600), pairs in prop::collection::vec("[a-z]{1,9}", 0..8),
    ) {
        let encoded: Vec<String> = pairs.iter().map(|name| format!("{name}\x01v\x02")).collect();
        let pieces: Vec<&[u8]> = encoded.iter().map(|piece| piece.as_bytes()).collect();
        let draft = RecordDraft {
            topic: &topic, queue_id: ids.0.into(), flag: ids.1, queue_offset: QueueOffset(ids.2.into()),
            physical_offset: PhysicalOffset(ids.3.into()), sys_flag: flags, born_ms: times.0, born_host, store_ms: times.1,
            store_host, reconsume_times: times.2, prepared_transaction_offset: times.3, body: &body, properties: &pieces,
        };
        let mut out = Vec::new();
        let size = encode(&draft, &mut out).unwrap();
        prop_assert_eq!(peek(&out), Peek::Record { size });
        let record = RecordView::parse(&out).unwrap();
        prop_assert_eq!(record.check_crc(PropertyChecksum::Required), Ok(()));
        let message = record.message();
        prop_assert_eq!(message.topic, topic.as_str());
        prop_assert_eq!((message.queue_id, message.flag, message.queue_offset, message.physical_offset),
            (draft.queue_id, draft.flag, draft.queue_offset, draft.physical_offset));
        let host_bits = sys_flag::BORN_HOST_V6 | sys_flag::STORE_HOST_V6;
        prop_assert_eq!(message.sys_flag & !host_bits, flags & !host_bits);
        prop_assert_eq!((message.born_host, record.store_host()), (born_host, store_host));
        prop_assert_eq!((message.born_ms, message.store_ms), (times.0, times.1));
        prop_assert_eq!((message.reconsume_times, message.prepared_transaction_offset), (times.2, times.3));
        prop_assert_eq!(message.body, &body[..]);
        prop_assert_eq!(properties::pairs(message.properties).count(), pairs.len() + 1);

        // Any single flipped bit is noticed, and any cut.
        let at = (ids.2 as usize) % out.len();
        let mut flipped = out.clone();
        flipped[at] ^= 1 << (ids.1 & 7);
        let noticed = match RecordView::parse(&flipped) {
            Ok(record) => record.check_crc(PropertyChecksum::Required).is_err(),
            Err(_) => true,
        };
        prop_assert!(noticed);
        prop_assert!(RecordView::parse(&out[..at]).is_err());
    }

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..300), version in any::<bool>()) {
        let _ = RecordView::parse(&bytes);
        if bytes.len() >= 8 {
            bytes[4..8].copy_from_slice(&(if version { MAGIC_V1 } else { MAGIC_V2 }).to_be_bytes());
            let size = bytes.len() as u32;
            bytes[..4].copy_from_slice(&size.to_be_bytes());
            if let Ok(record) = RecordView::parse(&bytes) {
                let _ = (record.message(), record.check_crc(PropertyChecksum::Optional));
            }
        }
        let _ = records(&bytes).count();
    }
}
