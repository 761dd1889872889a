//! Values of operands and how RocketMQ compares them: by the type of the literal, not by that of the text.

use std::cmp::Ordering;

use super::number;

/// A value that is there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'m> {
    Text(&'m [u8]),
    Int(i32),
    Long(i64),
    Double(f64),
    Bool(bool),
}

/// The two cannot be compared; the message is not selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Incomparable;

/// Orders two values. A text is read as what it is compared with; numbers of different types meet in the wider one; a
/// condition and a number are unequal, the left one counting as less. Source: RocketMQ `ComparisonExpression.__compare`.
#[inline]
pub(super) fn compare(left: Value<'_>, right: Value<'_>) -> Result<Ordering, Incomparable> {
    use Value::*;
    Ok(match (left, right) {
        (Text(left), Text(right)) => left.cmp(right),
        (Text(text), Int(right)) => number::int(text).ok_or(Incomparable)?.cmp(&right),
        (Int(left), Text(text)) => left.cmp(&number::int(text).ok_or(Incomparable)?),
        (Text(text), Long(right)) => number::long(text).ok_or(Incomparable)?.cmp(&right),
        (Long(left), Text(text)) => left.cmp(&number::long(text).ok_or(Incomparable)?),
        (Text(text), Double(right)) => doubles(number::double(text).ok_or(Incomparable)?, right),
        (Double(left), Text(text)) => doubles(left, number::double(text).ok_or(Incomparable)?),
        (Int(left), Int(right)) => left.cmp(&right),
        (Int(left), Long(right)) => i64::from(left).cmp(&right),
        (Long(left), Int(right)) => left.cmp(&i64::from(right)),
        (Long(left), Long(right)) => left.cmp(&right),
        (Int(left), Double(right)) => doubles(f64::from(left), right),
        (Double(left), Int(right)) => doubles(left, f64::from(right)),
        (Long(left), Double(right)) => doubles(left as f64, right),
        (Double(left), Long(right)) => doubles(left, right as f64),
        (Double(left), Double(right)) => doubles(left, right),
        (Text(text), Bool(right)) => text.eq_ignore_ascii_case(b"true").cmp(&right),
        (Bool(left), Bool(right)) => left.cmp(&right),
        // Java casts the condition to a text, and that fails.
        (Bool(_), Text(_)) => return Err(Incomparable),
        (Bool(_), _) | (_, Bool(_)) => Ordering::Less,
    })
}

/// Orders by `>`, `>=`, `<`, `<=`: two texts are read as floating point numbers.
#[inline]
pub(super) fn order(left: Value<'_>, right: Value<'_>) -> Result<Ordering, Incomparable> {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            Ok(doubles(number::double(left).ok_or(Incomparable)?, number::double(right).ok_or(Incomparable)?))
        }
        _ => compare(left, right),
    }
}

/// `Double.compare`: -0.0 is less than 0.0, NaN is more than everything and equal to itself. There is one NaN, for none is
/// computed.
fn doubles(left: f64, right: f64) -> Ordering {
    left.total_cmp(&right)
}
