//! The golden SEND of Java, what other clients do differently, and what must be refused.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::{
    frame::{Codec, FRAME_BYTES_MAX, Frame, tests::hex},
    header::{Head, Language},
};

const GOLDEN: &str = "000000b8010000af01360001df0000000200000000000000000000009a00016100000002706700016200000009546f7069635465737400016300000006544257\
3130320001640000000134000165000000013100016600000001300001670000000d3137303030303030303030303000016800000001300001690000000a5441\
475301546167410200016a000000013000016b0000000566616c736500016d0000000566616c736500016e0000000862726f6b65722d6168656c6c6f";

fn golden() -> SendRequest<'static> {
    SendRequest {
        producer_group: "pg".into(),
        topic: "TopicTest".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 1,
        sys_flag: 0,
        born_ms: 1_700_000_000_000,
        flag: 0,
        properties: "TAGS\u{1}TagA\u{2}".into(),
        reconsume_times: 0,
        unit_mode: false,
        max_reconsume_times: None,
        is_batch: false,
    }
}

/// The header in a JSON frame of `code` whose extFields are `ext`.
fn parse_json(code: i32, ext: &str) -> Result<SendRequest<'static>, String> {
    let text = format!(r#"{{"code":{code},"extFields":{ext},"flag":0}}"#);
    let header = Header::parse(Codec::Json, text.as_bytes()).map_err(|error| error.to_string())?;
    SendRequest::parse(&header).map(into_owned).map_err(|error| error.to_string())
}

fn into_owned(send: SendRequest<'_>) -> SendRequest<'static> {
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    SendRequest {
        producer_group: own(send.producer_group),
        topic: own(send.topic),
        default_topic: own(send.default_topic),
        properties: own(send.properties),
        ..send
    }
}

#[test]
fn javas_binary_send() {
    let bytes = hex(GOLDEN);
    let (frame, len) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
    assert_eq!((len, frame.header.code, frame.header.opaque, frame.body), (bytes.len(), 310, 2, &b"hello"[..]));
    assert_eq!(SendRequest::parse(&frame.header), Ok(golden()));

    let head = Head { language: Language::Java, ..Head::request(310, 2) };
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::new(&mut out, Codec::Binary, &head);
    golden().write(&mut writer);
    writer.ext("n", "broker-a");
    writer.finish(b"hello");
    assert_eq!(out, bytes);
}

#[test]
fn names_long_and_short_and_bare_numbers() {
    let short = r#"{"a":"pg","b":"TopicTest","c":"TBW102","d":"4","e":"1","f":"0","g":"1700000000000","h":"0","i":"TAGS\u0001TagA\u0002","j":"0","k":"false","m":"false","n":"broker-a"}"#;
    assert_eq!(parse_json(310, short), Ok(golden()));
    assert_eq!(parse_json(320, short), Ok(SendRequest { is_batch: true, ..golden() }), "the code says batch");
    let cpp = r#"{ "Signature":"", "AccessKey":"", "OnsChannel":"ALIYUN", "a":"pg","b":"TopicTest","c":"TBW102","d":4,"e":1,"f":0,"g":"1700000000000","h":0,"i":"TAGS\u0001TagA\u0002","j":"","j":0,"k":false,"l":"3","m":"TRUE"}"#;
    let batch = SendRequest { is_batch: true, max_reconsume_times: Some(3), ..golden() };
    assert_eq!(parse_json(310, cpp), Ok(batch), "the field says batch, of duplicates the last counts");
    let go = r#"{"batch":"false","bornTimestamp":"1700000000000","defaultTopic":"TBW102","defaultTopicQueueNums":"4","flag":"0","maxReconsumeTimes":"0","producerGroup":"pg","properties":"TAGS\u0001TagA\u0002","queueId":"1","reconsumeTimes":"0","sysFlag":"0","topic":"TopicTest","unitMode":"false"}"#;
    assert_eq!(parse_json(10, go), Ok(SendRequest { max_reconsume_times: Some(0), ..golden() }));
    assert!(parse_json(310, go).is_err(), "long names belong to code 10 alone");
}

#[test]
fn fields_behind_the_noted_ones_count_too() {
    let noise: String = (0..40).map(|number| format!(r#""noise{number}":"x","#)).collect();
    let fields = r#""a":"pg","b":"TopicTest","c":"TBW102","d":"4","e":"1","f":"0","g":"1700000000000","h":"0","i":"TAGS\u0001TagA\u0002""#;
    assert_eq!(parse_json(310, &format!("{{{noise}{fields}}}")), Ok(golden()));
    assert_eq!(parse_json(310, &format!("{{{fields},{noise}\"e\":\"1\"}}")), Ok(golden()));
    let far = format!(r#"{{"{}":"{}",{fields}}}"#, "n".repeat(300), "x".repeat(70_000));
    assert_eq!(parse_json(310, &far), Ok(golden()));
    let escaped = fields.replace(r#""b""#, r#""\u0062""#);
    assert_eq!(parse_json(310, &format!("{{{escaped}}}")), Ok(golden()));
}

#[test]
fn a_refusal_names_the_field() {
    let with = |field: &str| {
        let fields = r#""a":"pg","b":"t","c":"TBW102","d":"4","f":"0","g":"0","h":"0""#;
        parse_json(310, &format!("{{{fields}{field}}}")).unwrap_err()
    };
    assert_eq!(with(""), "the request lacks the field queueId");
    assert_eq!(with(r#","e":null"#), "the request lacks the field queueId");
    for bad in ["\"x\"", "\"\"", "\"1.5\"", "2147483648", "\"-2147483649\"", "true", "[1]", "{}"] {
        assert!(with(&format!(r#","e":{bad}"#)).contains("field queueId is "), "{bad}");
    }
    let long = with(&format!(r#","e":"{}""#, "9".repeat(10_000)));
    assert!(long.len() < 200, "{long}");
    for broken in [r#","e":"1"#, r#","e""#, r#","e":"\u00g1""#, r#","e":"1",}"#] {
        assert!(with(broken).contains("malformed"), "{broken}");
    }
}

prop_compose! {
    fn sends()(
        texts in [".{0,40}", ".{0,40}", ".*", "([A-Z_]{1,9}\u{1}[a-z0-9 ]{1,30}\u{2}){0,5}"],
        (default_topic_queue_nums, queue_id, sys_flag, flag, reconsume_times) in any::<(i32, i32, i32, i32, i32)>(),
        born_ms in any::<i64>(),
        max_reconsume_times in any::<Option<i32>>(),
        (unit_mode, is_batch) in any::<(bool, bool)>(),
    ) -> SendRequest<'static> {
        let [producer_group, topic, default_topic, properties] = texts.map(Cow::Owned);
        SendRequest {
            producer_group, topic, default_topic, properties, default_topic_queue_nums, queue_id, sys_flag, born_ms,
            flag, reconsume_times, unit_mode, max_reconsume_times, is_batch,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(send in sends(), long_names in any::<bool>(), body in proptest::collection::vec(any::<u8>(), 0..64)) {
        for codec in [Codec::Json, Codec::Binary] {
            let head = Head::request(if long_names { 10 } else { 310 }, 7);
            let mut out = BytesMut::new();
            let mut writer = FrameWriter::new(&mut out, codec, &head);
            send.write(&mut writer);
            writer.finish(&body);
            let (frame, len) = Frame::parse(&out, FRAME_BYTES_MAX).unwrap().unwrap();
            prop_assert_eq!((len, frame.body), (out.len(), &body[..]));
            prop_assert_eq!(SendRequest::parse(&frame.header).unwrap(), send.clone());
        }
    }
}
