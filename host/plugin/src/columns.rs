//! Typed columns: the declared parts of a batch, extracted and converted once, natively.
//!
//! This is the hot path of every filter. A property string is walked once for all columns; a value is copied once, into
//! buffers that live as long as the instance; the guest then gets one array a column.

use gantry_model::{message::MessageView, properties};

use crate::wit::shapes::{Column, ColumnRequest, FloatColumn, IntColumn, Shape, Source, SystemField, TextColumn};

/// Column bytes after which a batch is closed, so that a batch of long values stays far below a guest's memory limit.
const BATCH_BYTES_MAX: usize = 1 << 20;
/// Columns of properties that are handled without clearing a large array a message.
const FEW: usize = 8;

/// The columns of one plan, sorted by where they come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Extractor {
    shapes: Vec<Shape>,
    /// Names wanted, each with its column.
    properties: Vec<(Box<[u8]>, usize)>,
    others: Vec<(Source, usize)>,
}

/// Buffers of one batch, reused by the next.
#[derive(Default)]
pub(crate) struct Scratch {
    columns: Vec<Buffer>,
    rows: usize,
    bytes: usize,
}

#[derive(Default)]
struct Buffer {
    offsets: Vec<u32>,
    data: Vec<u8>,
    ints: Vec<i64>,
    floats: Vec<f64>,
    present: Vec<u8>,
    /// Whether some row lacks the value; else the bitmap is not sent.
    gaps: bool,
}

impl Extractor {
    pub(crate) fn new(requests: Vec<ColumnRequest>) -> Self {
        let shapes = requests.iter().map(|request| request.shape).collect();
        let (mut wanted, mut others) = (Vec::new(), Vec::new());
        for (column, request) in requests.into_iter().enumerate() {
            match request.source {
                Source::Property(name) => wanted.push((name.into_bytes().into_boxed_slice(), column)),
                Source::System(SystemField::Tag) => wanted.push((properties::TAGS.as_bytes().into(), column)),
                Source::System(SystemField::Keys) => wanted.push((properties::KEYS.as_bytes().into(), column)),
                source => others.push((source, column)),
            }
        }
        Extractor { shapes, properties: wanted, others }
    }

    /// Names and shapes for a report: `region: text`.
    pub(crate) fn describe(&self) -> Vec<String> {
        let mut columns: Vec<(usize, String)> = Vec::new();
        columns
            .extend(self.properties.iter().map(|(name, column)| (*column, String::from_utf8_lossy(name).into_owned())));
        columns.extend(self.others.iter().map(|(source, column)| (*column, format!("{source:?}"))));
        columns.sort();
        let shape = |column: usize| match self.shapes[column] {
            Shape::Text => "text",
            Shape::Int => "int",
            Shape::Float => "float",
        };
        columns.into_iter().map(|(column, name)| format!("{name}: {}", shape(column))).collect()
    }

    pub(crate) fn clear(&self, scratch: &mut Scratch) {
        scratch.columns.resize_with(self.shapes.len(), Buffer::default);
        scratch.columns.iter_mut().for_each(Buffer::clear);
        (scratch.rows, scratch.bytes) = (0, 0);
    }

    /// Adds one message. `false` when the batch is full of bytes and should be sent.
    pub(crate) fn push(&self, scratch: &mut Scratch, message: &MessageView<'_>) -> bool {
        if self.properties.len() <= FEW {
            self.push_properties(scratch, message, &mut [None; FEW]);
        } else {
            self.push_properties(scratch, message, &mut [None; super::plan::COLUMNS_MAX]);
        }
        for (source, column) in &self.others {
            scratch.bytes += scratch.columns[*column].push_other(source, message);
        }
        scratch.rows += 1;
        scratch.bytes < BATCH_BYTES_MAX
    }

    fn push_properties<'m>(&self, scratch: &mut Scratch, message: &MessageView<'m>, found: &mut [Option<&'m [u8]>]) {
        let found = &mut found[..self.properties.len()];
        find_all(message.properties, &self.properties, found);
        for ((_, column), value) in self.properties.iter().zip(found) {
            let buffer = &mut scratch.columns[*column];
            match (self.shapes[*column], *value) {
                (Shape::Text, Some(value)) => scratch.bytes += buffer.push_text(value),
                (Shape::Text, None) => buffer.push_no_text(),
                (Shape::Int, value) => buffer.push_int(value.and_then(parse_int)),
                (Shape::Float, value) => buffer.push_float(value.and_then(parse_float)),
            }
        }
    }

    /// The batch as the guest is given it.
    pub(crate) fn columns<'s>(&self, scratch: &'s Scratch) -> Vec<Column<'s>> {
        let column = |(buffer, shape): (&'s Buffer, &Shape)| {
            let present = buffer.gaps.then_some(buffer.present.as_slice());
            match shape {
                Shape::Text => Column::Text(TextColumn { offsets: &buffer.offsets, data: &buffer.data, present }),
                Shape::Int => Column::Int(IntColumn { values: &buffer.ints, present }),
                Shape::Float => Column::Float(FloatColumn { values: &buffer.floats, present }),
            }
        };
        scratch.columns.iter().zip(&self.shapes).map(column).collect()
    }
}

impl Scratch {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }
}

impl Buffer {
    fn clear(&mut self) {
        self.offsets.clear();
        self.data.clear();
        self.ints.clear();
        self.floats.clear();
        self.present.clear();
        self.gaps = false;
    }

    fn note(&mut self, row: usize, present: bool) {
        if row.is_multiple_of(8) {
            self.present.push(0);
        }
        if let (true, Some(last)) = (present, self.present.last_mut()) {
            *last |= 1 << (row % 8);
        }
        self.gaps |= !present;
    }

    fn push_text(&mut self, value: &[u8]) -> usize {
        self.add_text(value, true)
    }

    fn push_no_text(&mut self) {
        self.add_text(b"", false);
    }

    fn add_text(&mut self, value: &[u8], present: bool) -> usize {
        if self.offsets.is_empty() {
            self.offsets.push(0);
        }
        self.note(self.offsets.len() - 1, present);
        self.data.extend_from_slice(value);
        self.offsets.push(self.data.len() as u32);
        value.len()
    }

    fn push_int(&mut self, value: Option<i64>) {
        self.note(self.ints.len(), value.is_some());
        self.ints.push(value.unwrap_or(0));
    }

    fn push_float(&mut self, value: Option<f64>) {
        self.note(self.floats.len(), value.is_some());
        self.floats.push(value.unwrap_or(0.0));
    }

    fn push_other(&mut self, source: &Source, message: &MessageView<'_>) -> usize {
        let int = match source {
            Source::BodyPrefix(len) => return self.push_text(&message.body[..message.body.len().min(*len as usize)]),
            Source::System(SystemField::BornHost) => return self.push_text(message.born_host.to_string().as_bytes()),
            Source::System(SystemField::BornTime) => message.born_ms,
            Source::System(SystemField::StoreTime) => message.store_ms,
            Source::System(SystemField::QueueOffset) => message.queue_offset.to_wire(),
            Source::System(SystemField::BodySize) => message.body.len() as i64,
            Source::System(SystemField::DeliveryAttempt) => i64::from(message.reconsume_times),
            // Sorted into the properties when the extractor was made.
            Source::System(SystemField::Tag | SystemField::Keys) | Source::Property(_) => return 0,
        };
        self.push_int(Some(int));
        0
    }
}

/// Walks an encoded property string once and notes the last value of each wanted name, by the rules of
/// [`gantry_model::properties`]. A wanted name holds no separator, so comparing it together with the separator that
/// follows finds the name's end without searching for it.
fn find_all<'p>(encoded: &'p [u8], wanted: &[(Box<[u8]>, usize)], found: &mut [Option<&'p [u8]>]) {
    let mut rest = encoded;
    while !rest.is_empty() {
        let end = memchr::memchr(properties::VALUE_END, rest).unwrap_or(rest.len());
        let pair = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        for ((name, _), found) in wanted.iter().zip(&mut *found) {
            // A pair without a value does not count, it does not take away an earlier one either.
            if pair.len() > name.len() + 1 && pair[name.len()] == properties::NAME_END && pair.starts_with(name) {
                *found = Some(&pair[name.len() + 1..]);
            }
        }
    }
}

/// A decimal i64 as Rust reads it; short ones without the detour over UTF-8.
fn parse_int(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    let mut number = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

fn parse_float(value: &[u8]) -> Option<f64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use gantry_model::offset::{PhysicalOffset, QueueOffset};
    use proptest::prelude::*;

    use super::*;

    fn any_pairs() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop::sample::select(b"ab\x01\x02x1-".to_vec()), 0..60)
    }

    #[test]
    fn every_source_is_read_as_the_contract_says() {
        let property = |name: &str, shape| ColumnRequest { source: Source::Property(name.into()), shape };
        let system = |field, shape| ColumnRequest { source: Source::System(field), shape };
        let extractor = Extractor::new(vec![
            property("a", Shape::Text),
            property("a", Shape::Int),
            property("f", Shape::Float),
            system(SystemField::Tag, Shape::Text),
            system(SystemField::Keys, Shape::Text),
            system(SystemField::BornHost, Shape::Text),
            system(SystemField::BornTime, Shape::Int),
            system(SystemField::StoreTime, Shape::Int),
            system(SystemField::QueueOffset, Shape::Int),
            system(SystemField::BodySize, Shape::Int),
            system(SystemField::DeliveryAttempt, Shape::Int),
            ColumnRequest { source: Source::BodyPrefix(2), shape: Shape::Text },
        ]);
        let view = |properties, body| MessageView { properties, body, ..sample() };
        let mut scratch = Scratch::default();
        // Twice: buffers of an earlier batch leave nothing behind.
        for _ in 0..2 {
            extractor.clear(&mut scratch);
            extractor.push(&mut scratch, &view(b"a\x0112\x02f\x010.5\x02TAGS\x01x\x02KEYS\x01k\x02", b"body"));
            extractor.push(&mut scratch, &view(b"a\x01?\x02", b""));
        }
        let text = |offsets, data, present: Option<&'static [u8]>| Column::Text(TextColumn { offsets, data, present });
        let int = |values, present: Option<&'static [u8]>| Column::Int(IntColumn { values, present });
        let expected = [
            text(&[0, 2, 3], b"12?", None),
            int(&[12, 0], Some(&[1])),
            Column::Float(FloatColumn { values: &[0.5, 0.0], present: Some(&[1]) }),
            text(&[0, 1, 1], b"x", Some(&[1])),
            text(&[0, 1, 1], b"k", Some(&[1])),
            text(&[0, 12, 24], b"127.0.0.1:80127.0.0.1:80", None),
            int(&[8, 8], None),
            int(&[9, 9], None),
            int(&[7, 7], None),
            int(&[4, 0], None),
            int(&[3, 3], None),
            text(&[0, 2, 2], b"bo", None),
        ];
        assert_eq!(extractor.columns(&scratch), expected);
    }

    #[test]
    fn a_batch_of_long_values_closes_early() {
        let extractor =
            Extractor::new(vec![ColumnRequest { source: Source::Property("a".into()), shape: Shape::Text }]);
        let mut scratch = Scratch::default();
        extractor.clear(&mut scratch);
        let long = [b"a\x01".as_slice(), &[b'x'; 32_000]].concat();
        let view = MessageView { properties: &long, ..sample() };
        let pushed = (0..).take_while(|_| extractor.push(&mut scratch, &view)).count();
        assert_eq!(pushed, BATCH_BYTES_MAX / 32_000);
    }

    fn sample() -> MessageView<'static> {
        MessageView {
            topic: "t",
            queue_id: 0,
            queue_offset: QueueOffset(7),
            physical_offset: PhysicalOffset(0),
            sys_flag: 0,
            flag: 0,
            born_ms: 8,
            store_ms: 9,
            born_host: ([127, 0, 0, 1], 80).into(),
            reconsume_times: 3,
            prepared_transaction_offset: 0,
            body: b"",
            properties: b"",
        }
    }

    proptest! {
        #[test]
        fn one_walk_finds_what_a_search_for_each_name_finds(encoded in any_pairs()) {
            let names = ["a", "b", "ab", "x1"];
            let wanted: Vec<_> = names.iter().enumerate().map(|(column, name)| (name.as_bytes().into(), column)).collect();
            let mut found = [None; 4];
            find_all(&encoded, &wanted, &mut found);
            for (name, found) in names.iter().zip(found) {
                prop_assert_eq!(found, properties::find(&encoded, name), "{}", name);
            }
        }

        #[test]
        fn numbers_read_as_rust_reads_them(text in "[-+]{0,2}[0-9]{0,21}[a. ]?") {
            prop_assert_eq!(parse_int(text.as_bytes()), text.parse::<i64>().ok());
        }
    }
}
