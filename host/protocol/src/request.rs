//! What each request carries in its extFields, one family a file.
//!
//! A request is read in one pass over the fields, in place; a field that must be there and is not, or is no number, is an
//! error that names it. Unknown fields are skipped: clients add their own.

pub mod admin;
pub mod client;
pub mod name_server;
pub mod offset;
pub mod pull;
pub mod query;
pub mod recall;
pub mod send;
pub mod send_back;

use std::borrow::Cow;

use crate::header::{Header, Value};

/// Longest piece of a malformed value that an error repeats.
const SHOWN_MAX: usize = 64;

/// Why a request's fields cannot be used; the text is fit for the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A needed field is absent.
    #[error("the request lacks the field {field}")]
    Missing {
        /// Its name on the wire.
        field: &'static str,
    },
    /// A field is not what its type asks for.
    #[error("the request's field {field} is {found:?}, expected {expected}")]
    Malformed {
        /// Its name on the wire.
        field: &'static str,
        /// The value, cut.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
}

pub(crate) fn malformed(field: &'static str, found: &str, expected: &'static str) -> RequestError {
    RequestError::Malformed { field, found: found.chars().take(SHOWN_MAX).collect(), expected }
}

/// A field's value, which must be there.
pub(crate) fn needed<'a>(field: &'static str, value: Option<Value<'a>>) -> Result<Value<'a>, RequestError> {
    value.ok_or(RequestError::Missing { field })
}

/// A field's value as a number, which must be there.
pub(crate) fn needed_number<T: TryFrom<i64>>(field: &'static str, value: Option<Value<'_>>) -> Result<T, RequestError> {
    let value = needed(field, value)?;
    value.integer().ok_or_else(|| malformed(field, &value.text(), "an integer in range"))
}

/// A field's value as a number, which may be absent but not malformed.
pub(crate) fn optional_number<T: TryFrom<i64>>(
    field: &'static str,
    value: Option<Value<'_>>,
) -> Result<Option<T>, RequestError> {
    value.map(|_| needed_number(field, value)).transpose()
}

/// A text that must be there.
pub(crate) fn text<'a>(header: &Header<'a>, field: &'static str) -> Result<Cow<'a, str>, RequestError> {
    needed(field, header.ext.value(field)).map(Value::text)
}

/// A number that must be there.
pub(crate) fn int<T: TryFrom<i64>>(header: &Header<'_>, field: &'static str) -> Result<T, RequestError> {
    needed_number(field, header.ext.value(field))
}

/// A number that may be absent.
pub(crate) fn int_opt<T: TryFrom<i64>>(header: &Header<'_>, field: &'static str) -> Result<Option<T>, RequestError> {
    optional_number(field, header.ext.value(field))
}

/// Whether the field is there and true.
pub(crate) fn is_true(header: &Header<'_>, field: &str) -> bool {
    header.ext.flag(field).unwrap_or(false)
}
