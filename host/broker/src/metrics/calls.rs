//! How long requests take, by what was asked and how it was answered.

use std::{sync::OnceLock, time::Duration};

use gantry_base::metric::{Family, Histogram, Sink, Unit};
use gantry_protocol::code::{request, response};
use tokio::time::Instant;

use crate::reply::ReplyTo;

static RPC_LATENCY: Family = Family::histogram(
    "rocketmq_rpc_latency",
    "From the last byte of a request to its answer; with is_long_polling it waited for messages.",
)
.counted_in(Unit::Milliseconds);

/// Milliseconds. Source: RocketMQ `RemotingMetricsManager`.
const LATENCY_BOUNDS: &[u64] = &[1, 3, 5, 7, 10, 100, 1_000, 2_000, 3_000];

/// How an answer went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As soon as it could be given.
    Plain,
    /// After the request was held for news.
    LongPolling,
    /// Not at all: the sender wanted none.
    Oneway,
}

const MANNERS: [Manner; 3] = [Manner::Plain, Manner::LongPolling, Manner::Oneway];

/// A histogram for each combination of known codes that occurs. Codes that are not known share one place, so that no peer can
/// make more of them.
pub(crate) struct Calls {
    table: Box<[OnceLock<Box<Histogram>>]>,
}

impl Calls {
    pub(crate) fn new() -> Self {
        let places = (request::ALL.len() + 1) * (response::ALL.len() + 1) * MANNERS.len();
        Calls { table: (0..places).map(|_| OnceLock::new()).collect() }
    }

    /// `count` requests with this code were answered so, each after `took`.
    pub(crate) fn answered(&self, request: i32, response: i32, manner: Manner, took: Duration, count: usize) {
        let place = |codes: &[i32], code| codes.iter().position(|known| *known == code).unwrap_or(codes.len());
        let row = place(request::ALL, request) * (response::ALL.len() + 1) + place(response::ALL, response);
        let histogram = &self.table[row * MANNERS.len() + manner as usize];
        let histogram = histogram.get_or_init(|| Box::new(Histogram::new(LATENCY_BOUNDS)));
        histogram.record_many(took.as_millis() as u64, count as u64);
    }

    pub(super) fn collect(&self, out: &mut dyn Sink) {
        let asked = request::ALL.iter().map(|code| request::name(*code)).chain([None]);
        let mut cells = self.table.iter();
        for asked in asked {
            for answered in response::ALL.iter().map(|code| response::name(*code)).chain([None]) {
                for (manner, cell) in MANNERS.iter().zip(cells.by_ref()) {
                    let Some(histogram) = cell.get() else { continue };
                    let [asked, answered] = [asked, answered].map(|name| name.unwrap_or("unknown").to_lowercase());
                    let labels = [
                        ("protocol_type", "remoting"),
                        ("request_code", &*asked),
                        ("response_code", &*answered),
                        ("is_long_polling", super::truth(*manner == Manner::LongPolling)),
                        ("result", if *manner == Manner::Oneway { "oneway" } else { "success" }),
                    ];
                    out.distribution(&RPC_LATENCY, &labels, &histogram.read());
                }
            }
        }
    }
}

/// Answers of one batch that go out together, by request code and whether anybody waits for them.
#[derive(Default)]
pub(crate) struct Answers(Vec<(i32, Manner, usize)>);

impl Answers {
    pub(crate) fn add(&mut self, to: ReplyTo) {
        let manner = if to.oneway { Manner::Oneway } else { Manner::Plain };
        match self.0.iter_mut().find(|(request, of, _)| (*request, *of) == (to.request, manner)) {
            Some((_, _, count)) => *count += 1,
            None => self.0.push((to.request, manner, 1)),
        }
    }

    /// They go out now, with this code.
    pub(crate) fn went_out(&self, calls: &Calls, response: i32, arrived: Instant) {
        let took = arrived.elapsed();
        for (request, manner, count) in &self.0 {
            calls.answered(*request, response, *manner, took, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::metric::{Distribution, Labels};

    use super::*;

    #[derive(Default)]
    struct Told(Vec<(Vec<String>, u64)>);

    impl Sink for Told {
        fn number(&mut self, _: &Family, _: Labels<'_>, _: f64) {}

        fn distribution(&mut self, _: &Family, labels: Labels<'_>, value: &Distribution) {
            self.0.push((labels[1..].iter().map(|(_, value)| (*value).to_owned()).collect(), value.count()));
        }
    }

    #[test]
    fn codes_stand_where_they_are_found_again_and_strange_ones_share_a_place() {
        let calls = Calls::new();
        let took = Duration::from_millis(2);
        calls.answered(request::SEND_MESSAGE_V2, response::SUCCESS, Manner::Plain, took, 64);
        calls.answered(request::PULL_MESSAGE, response::PULL_NOT_FOUND, Manner::LongPolling, took, 1);
        calls.answered(request::BROKER_HEARTBEAT, response::ILLEGAL_OPERATION, Manner::Oneway, took, 1);
        for strange in [i32::MIN, -1, 7_777, i32::MAX] {
            calls.answered(strange, response::REQUEST_CODE_NOT_SUPPORTED, Manner::Plain, took, 1);
        }
        let mut told = Told::default();
        calls.collect(&mut told);
        let expected: [(&[&str], u64); 4] = [
            (&["pull_message", "pull_not_found", "true", "success"], 1),
            (&["send_message_v2", "success", "false", "success"], 64),
            (&["broker_heartbeat", "illegal_operation", "false", "oneway"], 1),
            (&["unknown", "request_code_not_supported", "false", "success"], 4),
        ];
        let told: Vec<(Vec<&str>, u64)> =
            told.0.iter().map(|(labels, count)| (labels.iter().map(String::as_str).collect(), *count)).collect();
        assert_eq!(told, expected.map(|(labels, count)| (labels.to_vec(), count)));
    }
}
