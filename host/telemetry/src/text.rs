//! Prometheus' text format, version 0.0.4, written a piece at a time.
//!
//! ```text
//! # HELP rocketmq_rpc_latency From the last byte of a request to its answer.
//! # TYPE rocketmq_rpc_latency histogram
//! rocketmq_rpc_latency_bucket{request_code="send_message",le="1"} 12
//! ```

use std::{fmt::Write, sync::Arc};

use bytes::Bytes;
use gantry_base::metric::{Distribution, Family, Kind};

use crate::{
    labels::pairs,
    snapshot::{Sample, Snapshot, Value},
};

/// Value of Content-Type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
/// A piece ends with the first series behind this, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// Writes a snapshot in pieces, so that neither memory nor a worker of the runtime is taken for all of it.
pub(crate) struct Pieces {
    snapshot: Arc<Snapshot>,
    /// Family that was written last or is being written.
    family: Option<String>,
    /// What is left of it: names, and from which series on.
    left: Vec<(String, usize)>,
}

impl Pieces {
    pub(crate) fn new(snapshot: Arc<Snapshot>) -> Self {
        Pieces { snapshot, family: None, left: Vec::new() }
    }
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let mut out = String::new();
        while out.len() < PIECE_BYTES {
            if self.left.is_empty() {
                let Some(series) = self.snapshot.behind(self.family.as_deref()).next() else { break };
                // Taken from behind.
                self.left.extend(series.family.name_with_unit().map(|name| (name, 0)));
                self.left.push((series.family.name.clone().into_owned(), 0));
                self.family = Some(series.family.name.clone().into_owned());
            }
            self.write_some(&mut out);
        }
        (!out.is_empty()).then(|| out.into())
    }
}

impl Pieces {
    /// Writes on with the family at hand.
    fn write_some(&mut self, out: &mut String) {
        let (Some((name, from)), Some(family)) = (self.left.last_mut(), &self.family) else { return };
        let Some(series) = self.snapshot.family(family) else { return };
        if *from == 0 {
            head(out, name, series.family);
        }
        for sample in series.samples(*from) {
            line(out, name, sample);
            *from += 1;
            if out.len() >= PIECE_BYTES {
                break;
            }
        }
        if *from >= series.len() {
            self.left.pop();
        }
    }
}

fn head(out: &mut String, name: &str, family: &Family) {
    let kind = match family.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = write!(out, "# HELP {name} ");
    escape(out, &family.help, false);
    let _ = writeln!(out, "\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, sample: Sample<'_>) {
    match sample.value {
        Value::Number(number) => one(out, name, "", sample.labels, None, *number),
        Value::Distribution(distribution) => histogram(out, name, sample.labels, distribution),
    }
}

fn histogram(out: &mut String, name: &str, labels: &str, distribution: &Distribution) {
    for (bound, count) in distribution.cumulative() {
        let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| bound.to_string());
        one(out, name, "_bucket", labels, Some(&bound), count as f64);
    }
    one(out, name, "_sum", labels, None, distribution.sum as f64);
    one(out, name, "_count", labels, None, distribution.count() as f64);
}

fn one(out: &mut String, name: &str, part: &str, labels: &str, bound: Option<&str>, value: f64) {
    out.push_str(name);
    out.push_str(part);
    let mut before = '{';
    for (label, value) in pairs(labels).chain(bound.map(|bound| ("le", bound))) {
        out.push(before);
        out.push_str(label);
        out.push_str("=\"");
        escape(out, value, true);
        out.push('"');
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    out.push(' ');
    number(out, value);
    out.push('\n');
}

fn number(out: &mut String, value: f64) {
    let _ = match value {
        f64::INFINITY => out.write_str("+Inf"),
        f64::NEG_INFINITY => out.write_str("-Inf"),
        // Rust writes NaN as the format wants it, and whole numbers without a fraction.
        value => write!(out, "{value}"),
    };
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_base::metric::{Histogram, Sink, Unit};

    use super::*;
    use crate::snapshot::Collector;

    fn text(tell: impl FnOnce(&mut dyn Sink)) -> String {
        let mut collector = Collector::new(1_000_000, None, 0);
        collector.set_common(&[("cluster".to_owned(), "c".to_owned())]);
        tell(&mut collector);
        let pieces: Vec<Bytes> = Pieces::new(Arc::new(collector.snapshot)).collect();
        pieces.iter().map(|piece| std::str::from_utf8(piece).unwrap()).collect()
    }

    #[test]
    fn the_format_is_prometheus() {
        let requests = Family::counter("requests_total", "Back\\slash,\nbreak and \"quotes\".");
        let latency = Family::histogram("latency", "L.").counted_in(Unit::Milliseconds);
        let histogram = Histogram::new(&[1, 10]);
        [1, 5, 100].iter().for_each(|value| histogram.record(*value));
        let found = text(|out| {
            out.number(&requests, &[("path", "a\"b\\c\nd")], 3.0);
            out.number(&requests, &[], f64::INFINITY);
            out.distribution(&latency, &[], &histogram.read());
        });
        let of_latency = |name: &str| {
            format!(
                "# HELP {name} L.\n# TYPE {name} histogram\n\
                 {name}_bucket{{cluster=\"c\",le=\"1\"}} 1\n{name}_bucket{{cluster=\"c\",le=\"10\"}} 2\n\
                 {name}_bucket{{cluster=\"c\",le=\"+Inf\"}} 3\n{name}_sum{{cluster=\"c\"}} 106\n{name}_count{{cluster=\"c\"}} 3\n"
            )
        };
        let expected = format!(
            "{}{}# HELP requests_total Back\\\\slash,\\nbreak and \"quotes\".\n# TYPE requests_total counter\n\
             requests_total{{cluster=\"c\",path=\"a\\\"b\\\\c\\nd\"}} 3\nrequests_total{{cluster=\"c\"}} +Inf\n",
            of_latency("latency"),
            of_latency("latency_milliseconds"),
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn many_series_come_in_pieces_and_whole() {
        let wide = Family::gauge("wide", "W.").counted_in(Unit::Bytes);
        let found = text(|out| {
            for at in 0..10_000 {
                out.number(&wide, &[("at", &at.to_string())], 1.0);
            }
        });
        let lines: Vec<&str> = found.lines().collect();
        assert_eq!(lines.len(), 2 * 10_002);
        assert_eq!(lines.iter().filter(|line| line.starts_with("# TYPE")).count(), 2);
        for at in [0, 4_711, 9_999] {
            for name in ["wide", "wide_bytes"] {
                let wanted = format!("{name}{{cluster=\"c\",at=\"{at}\"}} 1");
                assert_eq!(lines.iter().filter(|line| **line == wanted).count(), 1, "{wanted}");
            }
        }
    }
}
