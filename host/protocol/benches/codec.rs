//! What reading a SEND and writing its answer cost. `cargo bench -p gantry-protocol [-- PART-OF-A-LINE]`.
//!
//! Frames as clients write them: Java's one-letter names, Go's long ones, Java's binary header. Each line is the median of
//! several rounds; the time on the processor is what counts, elapsed time shows a busy machine.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{hint::black_box, time::Instant};

use bytes::BytesMut;
use gantry_protocol::{
    frame::{Codec, FRAME_BYTES_MAX, Frame, FrameWriter},
    header::{Head, Language},
    request::{
        pull::{PullReply, PullRequest},
        send::{SendReply, SendRequest},
    },
};

const ROUNDS: usize = 9;
const BODY: &[u8] = &[b'x'; 128];
const PROPERTIES: &str = "UNIQ_KEY\u{1}AC1100011A2B18B4AAC2A1B2C3D40000\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";
const SHORT: [(&str, &str); 13] = [
    ("a", "orders-producer"),
    ("b", "TopicTest"),
    ("c", "TBW102"),
    ("d", "4"),
    ("e", "1"),
    ("f", "0"),
    ("g", "1700000000000"),
    ("h", "0"),
    ("i", PROPERTIES),
    ("j", "0"),
    ("k", "false"),
    ("m", "false"),
    ("n", "broker-a"),
];
const LONG: [(&str, &str); 14] = [
    ("batch", "false"),
    ("bname", "broker-a"),
    ("bornTimestamp", "1700000000000"),
    ("defaultTopic", "TBW102"),
    ("defaultTopicQueueNums", "4"),
    ("flag", "0"),
    ("maxReconsumeTimes", "0"),
    ("producerGroup", "orders-producer"),
    ("properties", PROPERTIES),
    ("queueId", "1"),
    ("reconsumeTimes", "0"),
    ("sysFlag", "0"),
    ("topic", "TopicTest"),
    ("unitMode", "false"),
];
const PULL: [(&str, &str); 13] = [
    ("bname", "broker-a"),
    ("commitOffset", "100"),
    ("consumerGroup", "orders-consumer"),
    ("expressionType", "TAG"),
    ("maxMsgBytes", "2147483647"),
    ("maxMsgNums", "32"),
    ("queueId", "1"),
    ("queueOffset", "100"),
    ("requestSource", "0"),
    ("subVersion", "1700000000000"),
    ("suspendTimeoutMillis", "15000"),
    ("sysFlag", "3"),
    ("topic", "TopicTest"),
];

fn main() {
    // Under `cargo test` a short run keeps it from rotting.
    let iterations = if std::env::args().any(|arg| arg == "--bench") { 1_000_000 } else { 1_000 };
    println!("{:<44} {:>10} {:>10}", "ns each, median of rounds", "on cpu", "elapsed");
    for (name, frame) in [
        ("SEND V2, JSON", request(Codec::Json, 310, &SHORT)),
        ("SEND V1, JSON", request(Codec::Json, 10, &LONG)),
        ("SEND V2, binary", request(Codec::Binary, 310, &SHORT)),
    ] {
        measure(&format!("frame and header: {name}"), iterations, || black_box(parse(&frame)).header.code);
        measure(&format!("frame to SendRequest: {name}"), iterations, || {
            black_box(SendRequest::parse(&parse(&frame).header).unwrap()).queue_id
        });
    }
    for (name, codec) in [("JSON", Codec::Json), ("binary", Codec::Binary)] {
        let frame = request(codec, 11, &PULL);
        measure(&format!("frame to PullRequest: {name}"), iterations, || {
            black_box(PullRequest::parse(&parse(&frame).header).unwrap()).queue_id
        });
        let mut out = BytesMut::with_capacity(1024);
        measure(&format!("SendReply to frame: {name}"), iterations, || {
            out.clear();
            send_reply().encode(&mut out, codec, 1_000_000, 0, None);
            black_box(&out).len() as i32
        });
        measure(&format!("PullReply to frame: {name}"), iterations, || {
            out.clear();
            pull_reply().encode(&mut out, codec, 1_000_000, 0, None, BODY);
            black_box(&out).len() as i32
        });
    }
}

fn parse(frame: &[u8]) -> Frame<'_> {
    Frame::parse(black_box(frame), FRAME_BYTES_MAX).unwrap().unwrap().0
}

fn request(codec: Codec, code: i32, fields: &[(&str, &str)]) -> Vec<u8> {
    let head = Head { language: Language::Java, ..Head::request(code, 123_456) };
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::new(&mut out, codec, &head);
    for (name, value) in fields {
        writer.ext(name, *value);
    }
    writer.finish(BODY);
    out.to_vec()
}

fn send_reply() -> SendReply<'static> {
    black_box(SendReply {
        message_id: "C0A8000A00002A9F0000000000000400",
        queue_id: 3,
        queue_offset: 1_234_567,
        transaction_id: Some("AC1100011A2B18B4AAC2A1B2C3D40000"),
        recall_handle: None,
        region: "DefaultRegion",
        trace_on: true,
    })
}

fn pull_reply() -> PullReply<'static> {
    black_box(PullReply { next_begin_offset: 1_234_567, max_offset: 1_234_567, ..PullReply::default() })
}

fn measure(what: &str, iterations: usize, mut once: impl FnMut() -> i32) {
    if std::env::args().skip(1).any(|arg| !arg.starts_with("--") && !what.contains(&arg)) {
        return;
    }
    let mut sum = 0;
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS)
        .map(|_| {
            let (start, cpu) = (Instant::now(), on_cpu_ns());
            for _ in 0..iterations {
                sum ^= once();
            }
            let (elapsed, cpu) = (start.elapsed().as_nanos() as f64, (on_cpu_ns() - cpu) as f64);
            (cpu / iterations as f64, elapsed / iterations as f64)
        })
        .collect();
    black_box(sum);
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (cpu, elapsed) = rounds[ROUNDS / 2];
    println!("{what:<44} {cpu:>10.1} {elapsed:>10.1}");
}

/// This thread's time on the processor (Linux; elsewhere 0).
fn on_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0)
}
