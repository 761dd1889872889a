//! `extFields`: the custom fields of a header, left where they are.

use std::{borrow::Cow, ops::Range, str::FromStr};

use super::HeaderError;
use crate::json::{self, Cursor, Span, Text};

/// Fields whose places are noted. Requests have up to 14 and authentication adds three; what is beyond is found anew each time.
const PLACES_MAX: usize = 20;

/// The custom fields of a header, still encoded: checked once, with the places of the first fields noted, so that a request
/// is read in one pass and without a map.
///
/// Numbers and booleans of a JSON header come out as their text (C++ sends them bare); nulls are left out.
#[derive(Debug, Clone, Copy)]
pub struct Ext<'a> {
    source: Source<'a>,
    places: [Place; PLACES_MAX],
    count: u8,
    /// Byte of the source where the first field stands whose place is not noted.
    rest_at: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
enum Source<'a> {
    /// The whole header.
    Json(&'a str),
    /// Pairs, see [`split_pair`]; names and values are UTF-8.
    Binary(&'a [u8]),
}

/// Where a field stands in the source, in bytes. Eight bytes each, because a header is moved about.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    name_at: u16,
    value_at: u16,
    value_len: u16,
    name_len: u8,
    /// Whether the value contains JSON escapes.
    escaped: bool,
}

/// The value of one field, still encoded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a>(Encoded<'a>);

#[derive(Debug, Clone, Copy)]
enum Encoded<'a> {
    Json(Text<'a>),
    /// Checked as UTF-8.
    Binary(&'a [u8]),
}

impl Default for Ext<'_> {
    fn default() -> Self {
        Ext { source: Source::Binary(b""), places: [Place::default(); PLACES_MAX], count: 0, rest_at: None }
    }
}

impl<'a> Ext<'a> {
    /// Reads the value of `extFields` at the cursor in a header of which `text` is the whole; anything but an object is none.
    pub(super) fn parse_json(text: &'a str, cursor: &mut Cursor<'a>) -> Result<Self, HeaderError> {
        let mut ext = Ext { source: Source::Json(text), ..Ext::default() };
        if !cursor.is_at_object() {
            cursor.value()?;
            return Ok(ext);
        }
        cursor.object(|cursor, name| {
            let (Span::Text(value) | Span::Bare(value)) = cursor.value()? else { return Ok(()) };
            let place = Place::new(name.at, name.raw.len(), value.at, value.raw.len(), value.escaped);
            // From the opening quote of a name on, a cursor can continue.
            ext.note(place.filter(|_| !name.escaped), name.at - 1);
            Ok(())
        })?;
        Ok(ext)
    }

    /// Reads the pairs of a binary header.
    pub(super) fn parse_binary(pairs: &'a [u8]) -> Result<Self, BinaryExtError> {
        let mut ext = Ext { source: Source::Binary(pairs), ..Ext::default() };
        // One look over everything is cheaper than one for each name and value, and lengths rarely have their top bit set.
        let all_ascii = pairs.is_ascii();
        let mut rest = pairs;
        while !rest.is_empty() {
            let (name, value, after) = split_pair(rest).ok_or(BinaryExtError::Truncated)?;
            if !all_ascii && (std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err()) {
                return Err(BinaryExtError::Utf8);
            }
            let at = pairs.len() - rest.len();
            let (name_at, value_at) = (at + 2, at + 2 + name.len() + 4);
            ext.note(Place::new(name_at, name.len(), value_at, value.len(), false), at);
            rest = after;
        }
        Ok(ext)
    }

    /// Notes the next field's place; when there is none, or no room, it and all further ones are found from `field_at` on.
    fn note(&mut self, place: Option<Place>, field_at: usize) {
        match (self.rest_at, place, self.places.get_mut(usize::from(self.count))) {
            (None, Some(place), Some(free)) => {
                *free = place;
                self.count += 1;
            }
            (None, ..) => self.rest_at = Some(field_at as u32),
            (Some(_), ..) => {}
        }
    }

    /// Calls `each` for every field in the order of the wire, with its name as bytes.
    pub(crate) fn visit(&self, mut each: impl FnMut(&[u8], Value<'a>)) {
        let places = self.places.iter().take(usize::from(self.count));
        match self.source {
            Source::Json(text) => places.for_each(|place| {
                let raw = text.get(place.value()).unwrap_or_default();
                let value = Text { raw, at: 0, escaped: place.escaped };
                each(text.as_bytes().get(place.name()).unwrap_or_default(), Value(Encoded::Json(value)));
            }),
            Source::Binary(pairs) => places.for_each(|place| {
                let value = pairs.get(place.value()).unwrap_or_default();
                each(pairs.get(place.name()).unwrap_or_default(), Value(Encoded::Binary(value)));
            }),
        }
        if let Some(at) = self.rest_at {
            self.visit_rest(at as usize, each);
        }
    }

    #[cold]
    fn visit_rest(&self, at: usize, mut each: impl FnMut(&[u8], Value<'a>)) {
        match self.source {
            Source::Json(text) => {
                let walked = Cursor::at_byte(text, at).members(|cursor, name| {
                    if let Span::Text(value) | Span::Bare(value) = cursor.value()? {
                        each(name.unescape().as_bytes(), Value(Encoded::Json(value)));
                    }
                    Ok(())
                });
                debug_assert!(walked.is_ok(), "extFields were checked when the header was parsed");
            }
            Source::Binary(pairs) => {
                let mut rest = pairs.get(at..).unwrap_or_default();
                while let Some((name, value, after)) = split_pair(rest) {
                    each(name, Value(Encoded::Binary(value)));
                    rest = after;
                }
            }
        }
    }

    /// Calls `each` for every field in the order of the wire.
    pub fn for_each(&self, mut each: impl FnMut(&str, Cow<'a, str>)) {
        self.visit(|name, value| each(&String::from_utf8_lossy(name), value.text()));
    }

    /// The value of one field, still encoded; of duplicates the last.
    pub(crate) fn value(&self, name: &str) -> Option<Value<'a>> {
        let mut found = None;
        self.visit(|key, value| {
            if key == name.as_bytes() {
                found = Some(value);
            }
        });
        found
    }

    /// The value of one field; of duplicates the last.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        self.value(name).map(Value::text)
    }

    /// The value of one field as a number; a malformed number counts as absent, as it does in RocketMQ.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.trim().parse().ok()
    }

    /// The value of one field as a boolean: "true" in any case is true, anything else false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.value(name).map(Value::is_true)
    }
}

impl Place {
    /// `None` when a part is too long or too far behind for the compact form.
    fn new(name_at: usize, name_len: usize, value_at: usize, value_len: usize, escaped: bool) -> Option<Self> {
        Some(Place {
            name_at: u16::try_from(name_at).ok()?,
            name_len: u8::try_from(name_len).ok()?,
            value_at: u16::try_from(value_at).ok()?,
            value_len: u16::try_from(value_len).ok()?,
            escaped,
        })
    }

    fn name(&self) -> Range<usize> {
        let at = usize::from(self.name_at);
        at..at + usize::from(self.name_len)
    }

    fn value(&self) -> Range<usize> {
        let at = usize::from(self.value_at);
        at..at + usize::from(self.value_len)
    }
}

impl<'a> Value<'a> {
    /// The text that is meant; borrowed unless JSON escapes stand in it.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self.0 {
            Encoded::Json(text) => text.unescape(),
            // Checked as UTF-8 when the header was parsed: this borrows.
            Encoded::Binary(bytes) => String::from_utf8_lossy(bytes),
        }
    }

    /// The text as a number that fits `T`.
    pub(crate) fn integer<T: TryFrom<i64>>(self) -> Option<T> {
        let number = match self.0 {
            Encoded::Json(Text { raw, escaped: false, .. }) => json::integer(raw.as_bytes()),
            Encoded::Json(text) => json::integer(text.unescape().as_bytes()),
            Encoded::Binary(bytes) => json::integer(bytes),
        };
        T::try_from(number?).ok()
    }

    /// Java's Boolean: "true" in any case is true, anything else false.
    pub(crate) fn is_true(self) -> bool {
        let bytes = match self.0 {
            Encoded::Json(text) => text.raw.as_bytes(),
            Encoded::Binary(bytes) => bytes,
        };
        bytes.eq_ignore_ascii_case(b"true")
    }
}

/// What is wrong with the pairs of a binary header.
pub(super) enum BinaryExtError {
    Truncated,
    Utf8,
}

/// Name, value and what follows of the first pair: i16 length, name, i32 length, value.
fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::try_from(i16::from_be_bytes(*len)).ok()?)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)?;
    Some((name, value, rest))
}
