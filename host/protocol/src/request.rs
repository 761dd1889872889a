//! What each request carries in its extFields, one family a file.
//!
//! A request is read in one pass over the fields, in place; a field that must be there and is not, or is no number, is an
//! error that names it. Unknown fields are skipped: clients add their own.

pub mod admin;
pub mod client;
pub mod name_server;
pub mod offset;
pub mod pull;
pub mod send;
pub mod send_back;

use std::{borrow::Cow, str::FromStr};

use crate::header::Header;

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

pub(crate) fn number<T: FromStr>(field: &'static str, value: &str) -> Result<T, RequestError> {
    value.trim().parse().map_err(|_| malformed(field, value, "an integer in range"))
}

/// Java's Boolean: "true" in any case is true, anything else false.
pub(crate) fn boolean(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// A field that must be there.
pub(crate) fn text<'a>(header: &Header<'a>, field: &'static str) -> Result<Cow<'a, str>, RequestError> {
    header.ext.get(field).ok_or(RequestError::Missing { field })
}

/// A number that must be there.
pub(crate) fn int<T: FromStr>(header: &Header<'_>, field: &'static str) -> Result<T, RequestError> {
    number(field, &text(header, field)?)
}

/// A number that may be absent.
pub(crate) fn int_opt<T: FromStr>(header: &Header<'_>, field: &'static str) -> Result<Option<T>, RequestError> {
    header.ext.get(field).map(|value| number(field, &value)).transpose()
}
