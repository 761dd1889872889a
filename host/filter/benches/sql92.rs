//! What a SQL92 subscription costs a message: `cargo bench -p gantry-filter`.
//!
//! 1,024 messages with four properties (about 100 bytes encoded), judged 32 at a time through a [`Selector`] that is made anew
//! for each pass, as a pull does it; a native closure beside it says what looking the properties up costs at least. Rounds are
//! interleaved, the median of whole passes counts. With `--test` (as `cargo test --benches` passes it) one short pass shows
//! that it still runs. `cargo bench -p gantry-plugin` has the same messages for a plugin that decides the same.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use std::{hint::black_box, net::SocketAddr, sync::Arc, time::Instant};

use gantry_filter::{Selector, Verdict, sql::SqlFilter};
use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
    properties,
    subscription::Subscription,
};

const MESSAGES: usize = 1_024;
const BATCH: usize = 32;
const PASSES: usize = 2_001;

/// Each with how many of the messages it selects.
const EXPRESSIONS: [(&str, usize); 6] = [
    ("region = 'eu' AND amount > 100", 165),
    ("region = 'eu'", 342),
    ("amount BETWEEN 50 AND 149.0 OR region IN ('us', 'sa')", 674),
    ("region IN ('eu', 'us') AND NOT (customer STARTSWITH 'customer-0000001')", 676),
    ("missing IS NULL AND (customer CONTAINS '-0000' OR amount > 9.5)", 1_024),
    ("a = '1' OR b = '2' OR c = '3' OR d = '4' OR region = 'eu'", 342),
];

fn main() {
    let passes = if std::env::args().any(|argument| argument == "--test") { 3 } else { PASSES };
    let encoded: Vec<Vec<u8>> = (0..MESSAGES).map(encode).collect();
    let views: Vec<_> = encoded.iter().map(|properties| view(properties)).collect();
    let filters: Vec<_> = EXPRESSIONS.iter().map(|(text, _)| compile(text)).collect();
    let mut samples = vec![Vec::with_capacity(passes); filters.len() + 2];
    for _ in 0..passes {
        let everything = Arc::new(Subscription::from_tags("orders", "*"));
        samples[0].push(pass(&mut Selector::new(everything, None), &views).0);
        samples[1].push(native(&views));
        for (index, filter) in filters.iter().enumerate() {
            let mut selector = Selector::sql(filter.clone(), &|_, _| Err(String::new()), None);
            let (ns, selected) = pass(&mut selector, &views);
            let (text, expected) = EXPRESSIONS[index];
            assert_eq!(selected, expected, "{text}");
            samples[index + 2].push(ns);
        }
    }
    println!("{MESSAGES} messages, {BATCH} a call, {passes} interleaved passes; ns per message");
    let names = ["(everything)", "(native closure: region = 'eu' AND amount > 100)"];
    for (name, samples) in names.into_iter().chain(EXPRESSIONS.map(|(text, _)| text)).zip(&mut samples) {
        samples.sort_by(f64::total_cmp);
        let at = |percent: usize| samples[samples.len() * percent / 100];
        println!("median {:7.1}   p10 {:7.1}   p90 {:7.1}   {name}", at(50), at(10), at(90));
    }
    let started = Instant::now();
    for _ in 0..passes {
        black_box(compile(EXPRESSIONS[0].0));
    }
    println!("compiling the first takes {:.0} ns", started.elapsed().as_nanos() as f64 / passes as f64);
}

fn compile(text: &str) -> Arc<SqlFilter> {
    Arc::new(SqlFilter::compile(text, &|_, _| Err(String::new()), Arc::default()).unwrap())
}

/// ns per message, and how many were selected.
fn pass(selector: &mut Selector, views: &[MessageView<'_>]) -> (f64, usize) {
    let mut verdicts = Vec::with_capacity(MESSAGES);
    let started = Instant::now();
    for batch in views.chunks(BATCH) {
        selector.judge(black_box(batch), &mut verdicts);
    }
    let ns = started.elapsed().as_nanos() as f64 / MESSAGES as f64;
    (ns, verdicts.iter().filter(|verdict| **verdict == Verdict::Deliver).count())
}

/// What somebody would write into the broker itself.
fn native(views: &[MessageView<'_>]) -> f64 {
    let started = Instant::now();
    let keep = |message: &&MessageView<'_>| {
        properties::find(message.properties, "region") == Some(b"eu")
            && message
                .property("amount")
                .and_then(|amount| amount.parse::<i64>().ok())
                .is_some_and(|amount| amount > 100)
    };
    black_box(black_box(views).iter().filter(keep).count());
    started.elapsed().as_nanos() as f64 / MESSAGES as f64
}

fn encode(index: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    properties::push(&mut encoded, "UNIQ_KEY", &format!("7F000001000018B4AAC2{index:012X}"));
    properties::push(&mut encoded, "region", ["eu", "us", "ap"][index % 3]);
    properties::push(&mut encoded, "amount", &(index % 200).to_string());
    properties::push(&mut encoded, "customer", &format!("customer-{index:08}"));
    encoded
}

fn view(properties: &[u8]) -> MessageView<'_> {
    MessageView {
        topic: "orders",
        queue_id: 0,
        queue_offset: QueueOffset(0),
        physical_offset: PhysicalOffset(0),
        sys_flag: 0,
        flag: 0,
        born_ms: 0,
        store_ms: 0,
        born_host: SocketAddr::from(([127, 0, 0, 1], 40_000)),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body: b"",
        properties,
    }
}
