//! `extFields`: the custom fields of a header, left where they are.

use std::{borrow::Cow, ops::Range, str::FromStr};

use crate::json::{self, Cursor, Expected, Piece};

/// Fields whose places are noted. Requests have up to 14 and authentication adds three; what is beyond is found anew each time.
const PLACES_MAX: usize = 20;
/// Longest source whose places are noted, in bytes.
const PLACES_BYTES_MAX: usize = u16::MAX as usize;
/// Longest name whose field's place is noted, in bytes.
const NAME_LEN_MAX: u32 = u8::MAX as u32;

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
    /// Pairs, see [`split_pair`], ASCII throughout: any part of them is text without another look at it.
    Ascii(&'a str),
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
pub(crate) enum Value<'a> {
    /// Of either header, as it is meant.
    Plain(&'a str),
    /// Of a JSON header, with escapes, which were checked.
    Escaped(&'a str),
    /// Of a binary header, checked as UTF-8.
    Binary(&'a [u8]),
}

impl Default for Ext<'_> {
    fn default() -> Self {
        Ext { source: Source::Binary(b""), places: [Place::default(); PLACES_MAX], count: 0, rest_at: None }
    }
}

impl<'a> Ext<'a> {
    /// Reads the value of `extFields` at the cursor in a header of which `text` is the whole; anything but an object is none.
    #[inline]
    pub(super) fn read_json(&mut self, text: &'a str, cursor: &mut Cursor<'a>) -> Result<(), Expected> {
        if cursor.peek() != Some(b'{') {
            return cursor.value().map(drop);
        }
        // Of several extFields the last one counts, as with any other member.
        (self.source, self.count, self.rest_at) = (Source::Json(text), 0, None);
        let notable = text.len() <= PLACES_BYTES_MAX;
        let mut note = |name: Piece, value: Piece| {
            let place = Place {
                name_at: name.at as u16,
                name_len: name.len as u8,
                value_at: value.at as u16,
                value_len: value.len as u16,
                escaped: value.escaped,
            };
            // What is not noted is read anew from the opening quote of its name on.
            self.note(place, notable && !name.escaped && name.len <= NAME_LEN_MAX, name.at - 1);
        };
        let mut more = cursor.open_object()?;
        while more {
            cursor.plain_members(&mut note);
            let name = cursor.name()?;
            if let Some(value) = cursor.value()? {
                note(name, value);
            }
            more = cursor.next_member()?;
        }
        Ok(())
    }

    /// Reads the pairs of a binary header.
    pub(super) fn read_binary(&mut self, pairs: &'a [u8]) -> Result<(), BinaryExtError> {
        // One look over everything is cheaper than one for each name and value, and lengths rarely have their top bit set.
        let ascii = std::str::from_utf8(pairs).ok().filter(|text| text.is_ascii());
        let all_ascii = ascii.is_some();
        self.source = ascii.map_or(Source::Binary(pairs), Source::Ascii);
        let notable = pairs.len() <= PLACES_BYTES_MAX;
        let mut rest = pairs;
        while !rest.is_empty() {
            let (name, value, after) = split_pair(rest).ok_or(BinaryExtError::Truncated)?;
            if !all_ascii && (std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err()) {
                return Err(BinaryExtError::Utf8);
            }
            let at = pairs.len() - rest.len();
            let (name_at, value_at) = (at + 2, at + 2 + name.len() + 4);
            let place = Place {
                name_at: name_at as u16,
                name_len: name.len() as u8,
                value_at: value_at as u16,
                value_len: value.len() as u16,
                escaped: false,
            };
            self.note(place, notable && name.len() <= NAME_LEN_MAX as usize, at as u32);
            rest = after;
        }
        Ok(())
    }

    /// Notes the next field's place. When that does not fit, or there is no room, it and all further ones are found from
    /// byte `field_at` on.
    #[inline]
    fn note(&mut self, place: Place, fits: bool, field_at: u32) {
        if self.rest_at.is_some() {
            return;
        }
        match self.places.get_mut(usize::from(self.count)) {
            Some(free) if fits => {
                *free = place;
                self.count += 1;
            }
            _ => self.rest_at = Some(field_at),
        }
    }

    /// Calls `each` for every field in the order of the wire, with its name as bytes.
    #[inline]
    pub(crate) fn visit(&self, mut each: impl FnMut(&[u8], Value<'a>)) {
        let places = self.places.iter().take(usize::from(self.count));
        match self.source {
            Source::Json(text) => places.for_each(|place| {
                let value = text.get(place.value()).unwrap_or_default();
                let value = if place.escaped { Value::Escaped(value) } else { Value::Plain(value) };
                each(text.as_bytes().get(place.name()).unwrap_or_default(), value);
            }),
            Source::Ascii(pairs) => places.for_each(|place| {
                let value = pairs.get(place.value()).unwrap_or_default();
                each(pairs.as_bytes().get(place.name()).unwrap_or_default(), Value::Plain(value));
            }),
            Source::Binary(pairs) => places.for_each(|place| {
                let value = pairs.get(place.value()).unwrap_or_default();
                each(pairs.get(place.name()).unwrap_or_default(), Value::Binary(value));
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
                let mut cursor = Cursor::new(text, at);
                let mut walk = || -> Result<(), Expected> {
                    loop {
                        let name = cursor.name()?;
                        if let Some(value) = cursor.value()? {
                            let value = Value::json(&cursor, value);
                            each(Value::json(&cursor, name).text().as_bytes(), value);
                        }
                        if !cursor.next_member()? {
                            return Ok(());
                        }
                    }
                };
                let walked = walk();
                debug_assert!(walked.is_ok(), "extFields were checked when the header was parsed");
            }
            Source::Ascii(pairs) => visit_pairs(&pairs.as_bytes()[at.min(pairs.len())..], each),
            Source::Binary(pairs) => visit_pairs(&pairs[at.min(pairs.len())..], each),
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
    pub(super) fn json(cursor: &Cursor<'a>, piece: Piece) -> Self {
        let text = cursor.text(piece);
        if piece.escaped { Value::Escaped(text) } else { Value::Plain(text) }
    }

    /// The text that is meant; borrowed unless JSON escapes stand in it.
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Value::Plain(text) => Cow::Borrowed(text),
            Value::Escaped(text) => Cow::Owned(json::unescape(text)),
            // It was checked, so nothing is ever replaced; the lossy reading alone would be slower.
            Value::Binary(bytes) => {
                std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
            }
        }
    }

    /// The text as a number that fits `T`.
    #[inline]
    pub(crate) fn integer<T: TryFrom<i64>>(self) -> Option<T> {
        let number = match self {
            Value::Plain(text) => json::integer(text.as_bytes()),
            Value::Escaped(text) => json::integer(json::unescape(text).as_bytes()),
            Value::Binary(bytes) => json::integer(bytes),
        };
        T::try_from(number?).ok()
    }

    /// Java's Boolean: "true" in any case is true, anything else false.
    pub(crate) fn is_true(self) -> bool {
        match self {
            Value::Plain(text) => text.eq_ignore_ascii_case("true"),
            Value::Escaped(text) => json::unescape(text).eq_ignore_ascii_case("true"),
            Value::Binary(bytes) => bytes.eq_ignore_ascii_case(b"true"),
        }
    }
}

/// What is wrong with the pairs of a binary header.
pub(super) enum BinaryExtError {
    Truncated,
    Utf8,
}

fn visit_pairs<'a>(mut rest: &'a [u8], mut each: impl FnMut(&[u8], Value<'a>)) {
    while let Some((name, value, after)) = split_pair(rest) {
        each(name, Value::Binary(value));
        rest = after;
    }
}

/// Name, value and what follows of the first pair: i16 length, name, i32 length, value.
fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::try_from(i16::from_be_bytes(*len)).ok()?)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)?;
    Some((name, value, rest))
}
