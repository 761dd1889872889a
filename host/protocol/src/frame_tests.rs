//! Golden frames (made by RocketMQ's own encoders) and what must be refused.

use super::*;
use crate::header::Language;

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

const JSON_REQUEST: &str = "00000087000000837b22636f6465223a3130352c226578744669656c6473223a7b22746f706963223a22546f70696354657374227d2c22666c6167223a302c226c616e6775616765223a224a415641222c226f7061717565223a312c2273657269616c697a655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a3437397d";
const JSON_RESPONSE: &str = "000000720000006e7b22636f6465223a31372c22666c6167223a312c226c616e6775616765223a224a415641222c226f7061717565223a312c2272656d61726b223a226e6f222c2273657269616c697a655479706543757272656e74525043223a224a534f4e222c2276657273696f6e223a3437397d";
const BINARY_REQUEST: &str =
    "0000002d0100002900690001df000000010000000000000000000000140005746f70696300000009546f70696354657374";
const BINARY_RESPONSE: &str = "0000001b0100001700110001df0000000100000001000000026e6f00000000";

fn request(codec: Codec) -> Vec<u8> {
    let head = Head { language: Language::Java, ..Head::request(105, 1) };
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::new(&mut out, codec, &head);
    writer.ext("topic", "TopicTest");
    writer.finish(b"");
    out.to_vec()
}

#[test]
fn written_frames_equal_javas() {
    assert_eq!(request(Codec::Json), hex(JSON_REQUEST));
    assert_eq!(request(Codec::Binary), hex(BINARY_REQUEST));
    for (codec, golden) in [(Codec::Json, JSON_RESPONSE), (Codec::Binary, BINARY_RESPONSE)] {
        let mut out = BytesMut::new();
        FrameWriter::new(&mut out, codec, &Head::response(17, 1, Some("no"))).finish(b"");
        assert_eq!(out.to_vec(), hex(golden), "{codec:?}");
    }
}

#[test]
fn golden_frames_are_read() {
    for golden in [JSON_REQUEST, BINARY_REQUEST] {
        let mut bytes = hex(golden);
        bytes.extend_from_slice(b"next");
        let (frame, len) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(len, bytes.len() - 4);
        assert_eq!((frame.header.code, frame.header.opaque, frame.header.version), (105, 1, 479));
        assert_eq!(frame.header.language, Language::Java);
        assert_eq!(frame.header.ext.get("topic").as_deref(), Some("TopicTest"));
        assert!(frame.body.is_empty());
        for cut in 0..len {
            assert!(Frame::parse(&bytes[..cut], FRAME_BYTES_MAX).unwrap().is_none(), "cut at {cut}");
        }
    }
    for golden in [JSON_RESPONSE, BINARY_RESPONSE] {
        let bytes = hex(golden);
        let (frame, _) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        assert!(frame.header.is_response());
        assert_eq!(frame.header.remark.as_deref(), Some("no"));
    }
}

#[test]
fn lying_lengths_are_refused() {
    let refused = |bytes: &[u8]| Frame::parse(bytes, 1024).unwrap_err();
    assert!(matches!(refused(&[0xff, 0xff, 0xff, 0xff]), FrameError::Length { found: -1, .. }));
    assert!(matches!(refused(&[0, 0, 0, 3]), FrameError::Length { found: 3, .. }));
    assert!(matches!(refused(&[0, 0, 4, 0]), FrameError::Length { found: 1024, limit: 1020 }));
    assert!(matches!(refused(&[0, 0, 0, 8, 0, 0, 0, 5]), FrameError::HeaderLength { found: 5, limit: 4 }));
    assert!(matches!(refused(&[0, 0, 0, 8, 2, 0, 0, 4]), FrameError::Encoding(2)));
    assert!(matches!(refused(&[0, 0, 0, 8, 1, 0, 0, 4, 0, 0, 0, 0]), FrameError::Header(_)));
}

#[test]
fn json_headers_as_other_clients_write_them() {
    let parse =
        |text: &str| Header::parse(Codec::Json, text.as_bytes()).map(|h| (h.code, h.ext.get("a").map(Cow::into_owned)));
    use std::borrow::Cow;
    let text = |value: &str| Some(value.to_owned());
    assert_eq!(parse(r#"{"code":10,"extFields":{"a":4}}"#), Ok((10, text("4"))));
    assert_eq!(parse("{\"code\":10,\"extFields\":{\"a\":false}}\n"), Ok((10, text("false"))));
    assert_eq!(
        parse(r#" { "extFields" : { "a" : "x\u0001\ud83d\ude00" } , "code" : 1 } "#),
        Ok((1, text("x\u{1}\u{1F600}")))
    );
    assert_eq!(parse(r#"{"code":46,"extFields":null,"remark":null}"#), Ok((46, None)));
    assert_eq!(parse(r#"{"code":46,"noise":[1,{"x":[]}],"extFields":{"a":null}}"#), Ok((46, None)));
    for bad in
        ["", "{", r#"{"code"}"#, r#"{"code":"x"}"#, r#"{"code":99999999999}"#, r#"{"extFields":{"a":"\q"}}"#, "[]"]
    {
        assert!(parse(bad).is_err(), "{bad}");
    }
    assert!(parse(&format!("{{\"a\":{}", "[".repeat(10_000))).is_err(), "deep nesting is bounded");
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        plausible in proptest::prelude::any::<bool>(),
    ) {
        if plausible && bytes.len() > 8 {
            // Past the lengths, so that headers are reached.
            let len = (bytes.len() - 4) as u32;
            bytes[..4].copy_from_slice(&len.to_be_bytes());
            bytes[4] &= 1;
            bytes[5..8].copy_from_slice(&(len - 4).to_be_bytes()[1..]);
        }
        check_any(&bytes);
    }

    #[test]
    fn headers_with_one_byte_changed_never_panic(at in 8_usize..200, byte in proptest::prelude::any::<u8>(), which in 0_usize..4) {
        let mut bytes = hex([JSON_REQUEST, JSON_RESPONSE, BINARY_REQUEST, BINARY_RESPONSE][which]);
        let at = at % (bytes.len() - 8) + 8;
        bytes[at] = byte;
        check_any(&bytes);
    }
}

/// Whatever is taken as a frame can be read to its last field.
fn check_any(bytes: &[u8]) {
    if let Ok(Some((frame, len))) = Frame::parse(bytes, FRAME_BYTES_MAX) {
        assert!(len <= bytes.len() && frame.body.len() <= len);
        let mut last = None;
        frame.header.ext.for_each(|name, value| last = Some((name.to_owned(), value.into_owned())));
        if let Some((name, value)) = last {
            assert_eq!(frame.header.ext.get(&name).as_deref(), Some(&*value), "of duplicates the last counts");
        }
    }
}
