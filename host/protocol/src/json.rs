//! Just enough JSON to find the fields of a header in place, and to escape text into one.
//!
//! serde_json would do, at the price of a map of allocated strings for every request. Depth is bounded, every read is checked,
//! and escapes are checked where a string is passed, so that [`Text::unescape`] later cannot fail.

mod escape;
mod integer;

use std::borrow::Cow;

pub(crate) use escape::escape_into;
pub(crate) use integer::integer;

use crate::header::HeaderError;

/// Deepest nesting that is skipped; headers use two levels.
const DEPTH_MAX: u32 = 32;

/// Reads values one after the other. Text behind the value that was asked for is never looked at: C++ clients append a line
/// end to their headers.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// A string as it stands between its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) raw: &'a str,
    /// Where `raw` begins, in bytes of the text.
    pub(crate) at: usize,
    /// Whether `raw` contains escapes; they are well-formed.
    pub(crate) escaped: bool,
}

/// One value as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Span<'a> {
    Null,
    /// A string.
    Text(Text<'a>),
    /// A number, a boolean, an array or an object.
    Bare(Text<'a>),
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Cursor { text, at: 0 }
    }

    /// Begins in the middle, at the place of a [`Text`].
    pub(crate) fn at_byte(text: &'a str, at: usize) -> Self {
        Cursor { text, at }
    }

    /// Whether the next value is an object.
    pub(crate) fn is_at_object(&mut self) -> bool {
        self.peek() == Some(b'{')
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, HeaderError> {
        Err(HeaderError::Json { at: self.at, expected })
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    fn eat(&mut self, byte: u8, expected: &'static str) -> Result<(), HeaderError> {
        if self.peek() != Some(byte) {
            return self.error(expected);
        }
        self.at += 1;
        Ok(())
    }

    fn since(&self, start: usize, escaped: bool) -> Text<'a> {
        // Both ends lie beside ASCII bytes, so this is always a whole text.
        Text { raw: self.text.get(start..self.at).unwrap_or_default(), at: start, escaped }
    }

    /// Walks the object at the cursor; `member` must consume the value of the name that it is given.
    pub(crate) fn object(
        &mut self,
        member: impl FnMut(&mut Cursor<'a>, Text<'a>) -> Result<(), HeaderError>,
    ) -> Result<(), HeaderError> {
        self.eat(b'{', "{")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        self.members(member)
    }

    /// Walks the rest of an object whose next member begins at the cursor.
    pub(crate) fn members(
        &mut self,
        mut member: impl FnMut(&mut Cursor<'a>, Text<'a>) -> Result<(), HeaderError>,
    ) -> Result<(), HeaderError> {
        loop {
            let name = self.string()?;
            self.eat(b':', ":")?;
            member(self, name)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.error(", or }"),
            }
        }
    }

    /// An integer of 32 bits, bare or quoted; null is 0.
    pub(crate) fn int(&mut self) -> Result<i32, HeaderError> {
        let digits = match self.value()? {
            Span::Null => return Ok(0),
            Span::Text(digits) | Span::Bare(digits) => digits,
        };
        match integer(digits.raw.as_bytes()) {
            // A version or code beyond 32 bits cannot be meant; wrapping it could turn it into another request.
            Some(number) => i32::try_from(number).or_else(|_| self.error("a 32-bit integer")),
            None => self.error("an integer"),
        }
    }

    /// A scalar as text: a string unescaped, a number or boolean as written, `None` for null.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>, HeaderError> {
        Ok(match self.value()? {
            Span::Null => None,
            Span::Text(text) | Span::Bare(text) => Some(text.unescape()),
        })
    }

    /// Passes one value of any kind, whose syntax is checked.
    pub(crate) fn value(&mut self) -> Result<Span<'a>, HeaderError> {
        self.value_at_depth(0)
    }

    fn value_at_depth(&mut self, depth: u32) -> Result<Span<'a>, HeaderError> {
        if depth > DEPTH_MAX {
            return self.error("less nesting");
        }
        match self.peek() {
            Some(b'"') => self.string().map(Span::Text),
            Some(b'{') => {
                let start = self.at;
                self.object(|cursor, _| cursor.value_at_depth(depth + 1).map(drop))?;
                Ok(Span::Bare(self.since(start, false)))
            }
            Some(b'[') => {
                let start = self.at;
                self.array(depth)?;
                Ok(Span::Bare(self.since(start, false)))
            }
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), HeaderError> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value_at_depth(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.error(", or ]"),
            }
        }
    }

    fn word(&mut self) -> Result<Span<'a>, HeaderError> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        while bytes.get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        let word = self.since(start, false);
        match word.raw {
            "" => self.error("a value"),
            "null" => Ok(Span::Null),
            _ => Ok(Span::Bare(word)),
        }
    }

    fn string(&mut self) -> Result<Text<'a>, HeaderError> {
        self.eat(b'"', "\"")?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = escape::next_special(bytes, self.at);
            match bytes.get(self.at) {
                Some(b'"') => {
                    let text = self.since(start, escaped);
                    self.at += 1;
                    return Ok(text);
                }
                Some(_) => {
                    escaped = true;
                    match escape::escape_len(&bytes[self.at..]) {
                        Some(len) => self.at += len,
                        None => return self.error("an escape"),
                    }
                }
                None => return self.error("the end of a string"),
            }
        }
    }
}

impl<'a> Text<'a> {
    /// The text that is meant; borrowed when nothing in it is escaped.
    pub(crate) fn unescape(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(escape::unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}
