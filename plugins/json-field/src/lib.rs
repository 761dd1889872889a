//! Delivers the messages whose JSON bodies pass every test that is given as a parameter.
//!
//! | parameter | passes when the field |
//! |---|---|
//! | `field = "order.region"` | (names the field that the tests below look at: a path of names and places in arrays, joined by dots) |
//! | `equals = "eu"` | is this text, this number (`1e2` is `100`), or `true` or `false` |
//! | `one_of = "eu, uk"` | equals one of these, separated by commas |
//! | `min = "100"`, `max = "500"` | is a number from `min` to `max`, both included |
//! | `exists = "true"` or `"false"` | is there, or is not; `null` is not |
//! | `invalid = "undecided"` or `"skip"` | (what becomes of a message whose body is no JSON; undecided when not given) |
//! | `body_bytes = "1024"` | (so much of each body is read at once, 1 to 65536; the rest is asked for when it is needed) |
//!
//! Tests of further fields carry their path: `order.amount.min = "100"`. A message that lacks the field fails every test but
//! `exists = "false"`. As `wasm('json-field', 'order.amount.min=100')` in a subscription the argument is one such test.
//!
//! A body is read only as far as the tests need, and only checked so far: what follows, or lies inside of values that are passed
//! over, may be anything. Of two members of one name the first counts. A body that the client compressed is no JSON: producers
//! compress from 4 KiB on unless told otherwise. Names with a dot cannot be asked for.

mod field;
mod judge;
mod scan;
mod text;

use gantry_plugin_sdk::prelude::*;
use judge::{Judge, Judged};

/// Bodies are read up to here; what is decided later is not decided.
const BODY_BYTES_MAX: u32 = 4 << 20;

struct JsonField {
    judge: Judge,
    prefix_bytes: u32,
    invalid: Verdict,
}

#[derive(Columns)]
struct Body<'m> {
    // As many bytes as `columns` says.
    #[column(body_prefix = 1024)]
    prefix: Option<&'m [u8]>,
    #[column(body_size)]
    size: Option<i64>,
    message: Message,
}

#[filter]
impl Filter for JsonField {
    type Row<'m> = Body<'m>;

    fn open(subscription: &Subscription) -> Result<Self, String> {
        let prefix_bytes = subscription.parse("body_bytes")?.unwrap_or(1_024);
        if !(1..=65_536).contains(&prefix_bytes) {
            return Err(format!("`body_bytes` is {prefix_bytes}, expected 1 to 65536"));
        }
        let invalid = match subscription.param("invalid").unwrap_or("undecided") {
            "undecided" => Verdict::Undecided,
            "skip" => Verdict::Skip,
            other => return Err(format!("`invalid` is {other:?}, expected undecided or skip")),
        };
        Ok(JsonField { judge: Judge::read(subscription)?, prefix_bytes, invalid })
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = Body::columns();
        columns[0].source = Source::BodyPrefix(self.prefix_bytes);
        columns
    }

    fn keep(&self, body: &Body<'_>) -> Verdict {
        let prefix = body.prefix.unwrap_or_default();
        let size = body.size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        let judged = match self.judge.judge(prefix) {
            // Most bodies that go on behind the prefix were decided within it; these were not.
            Judged::Short if size as usize > prefix.len() => {
                self.judge.judge(&body.message.body(0, size.min(BODY_BYTES_MAX)))
            }
            judged => judged,
        };
        match judged {
            Judged::Passes => Verdict::Deliver,
            Judged::Fails => Verdict::Skip,
            Judged::Short | Judged::NotJson => self.invalid,
        }
    }
}

#[cfg(test)]
mod tests;
