//! Just enough JSON to find the fields of a header in place, and to escape text into one.
//!
//! serde_json would do, at the price of a map of allocated strings for every request. Depth is bounded, every read is checked.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use crate::header::HeaderError;

/// Deepest nesting that is skipped; headers use two levels.
const DEPTH_MAX: u32 = 32;

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, at: 0 }
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, HeaderError> {
        Err(HeaderError::Json { at: self.at, expected })
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
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

    /// Walks the object at the cursor; `member` must consume the value of the key that it is given.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Cursor<'a>, &str) -> Result<(), HeaderError>,
    ) -> Result<(), HeaderError> {
        self.eat(b'{', "{")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.string()?;
            self.eat(b':', ":")?;
            member(self, &key)?;
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
        let Some(text) = self.text()? else { return Ok(0) };
        match text.parse::<i64>() {
            // A version or code beyond 32 bits cannot be meant; wrapping it could turn it into another request.
            Ok(number) => i32::try_from(number).or_else(|_| self.error("a 32-bit integer")),
            Err(_) => self.error("an integer"),
        }
    }

    /// A scalar as text: a string unescaped, a number or boolean as written, `None` for null.
    pub(crate) fn text(&mut self) -> Result<Option<Cow<'a, str>>, HeaderError> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{' | b'[') => {
                let span = self.skip()?;
                Ok(std::str::from_utf8(span).ok().map(Cow::Borrowed))
            }
            _ => {
                let word = self.word()?;
                Ok((word != "null").then_some(Cow::Borrowed(word)))
            }
        }
    }

    fn word(&mut self) -> Result<&'a str, HeaderError> {
        let rest = &self.bytes[self.at..];
        let len = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.')).count();
        if len == 0 {
            return self.error("a value");
        }
        self.at += len;
        std::str::from_utf8(&rest[..len]).map_err(|_| HeaderError::Utf8("a value"))
    }

    /// Skips one value of any kind and returns its bytes, whose syntax has been checked.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], HeaderError> {
        self.peek();
        let start = self.at;
        self.skip_value(0)?;
        Ok(&self.bytes[start..self.at])
    }

    fn skip_value(&mut self, depth: u32) -> Result<(), HeaderError> {
        if depth > DEPTH_MAX {
            return self.error("less nesting");
        }
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.object(|cursor, _| cursor.skip_value(depth + 1)),
            Some(b'[') => {
                self.at += 1;
                if self.peek() == Some(b']') {
                    self.at += 1;
                    return Ok(());
                }
                loop {
                    self.skip_value(depth + 1)?;
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
            _ => self.word().map(drop),
        }
    }

    /// A string; borrowed when nothing in it is escaped.
    fn string(&mut self) -> Result<Cow<'a, str>, HeaderError> {
        self.eat(b'"', "\"")?;
        let rest = &self.bytes[self.at..];
        let Some(stop) = memchr::memchr2(b'"', b'\\', rest) else { return self.error("the end of a string") };
        let head = std::str::from_utf8(&rest[..stop]).map_err(|_| HeaderError::Utf8("a string"))?;
        self.at += stop;
        if rest[stop] == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(head));
        }
        self.escaped_string(head).map(Cow::Owned)
    }

    /// The rest of a string whose first escape stands at the cursor.
    fn escaped_string(&mut self, head: &str) -> Result<String, HeaderError> {
        let mut text = String::with_capacity(head.len() + 64);
        text.push_str(head);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escape = self.bytes.get(self.at).copied();
                    self.at += 1;
                    text.push(match escape {
                        Some(b'"') => '"',
                        Some(b'\\') => '\\',
                        Some(b'/') => '/',
                        Some(b'b') => '\u{8}',
                        Some(b'f') => '\u{c}',
                        Some(b'n') => '\n',
                        Some(b'r') => '\r',
                        Some(b't') => '\t',
                        Some(b'u') => self.unicode_escape()?,
                        // fastjson writes control characters so in its older output.
                        Some(b'x') => self.hex(2)? as u8 as char,
                        _ => return self.error("an escape"),
                    });
                }
                Some(_) => {
                    let rest = &self.bytes[self.at..];
                    let len = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    text.push_str(std::str::from_utf8(&rest[..len]).map_err(|_| HeaderError::Utf8("a string"))?);
                    self.at += len;
                }
                None => return self.error("the end of a string"),
            }
        }
    }

    fn hex(&mut self, digits: usize) -> Result<u32, HeaderError> {
        let mut value = 0;
        for _ in 0..digits {
            match self.bytes.get(self.at).and_then(|byte| (*byte as char).to_digit(16)) {
                Some(digit) => value = value << 4 | digit,
                None => return self.error("a hexadecimal digit"),
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn unicode_escape(&mut self) -> Result<char, HeaderError> {
        let unit = self.hex(4)?;
        if (0xD800..0xDC00).contains(&unit) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex(4)?;
            if (0xDC00..0xE000).contains(&low) {
                let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return Ok(char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        // A lone surrogate has no character; Java would send it as well.
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

/// Appends `text` with the escapes that a JSON string needs, without quotes.
pub(crate) fn escape_into(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if *byte >= 0x20 && !matches!(byte, b'"' | b'\\') {
            continue;
        }
        out.put_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.put_slice(b"\\u00");
                out.put_u8(DIGITS[usize::from(control >> 4)]);
                out.put_u8(DIGITS[usize::from(control & 15)]);
            }
        }
    }
    out.put_slice(&bytes[from..]);
}
