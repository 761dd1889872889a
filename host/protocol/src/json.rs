//! Just enough JSON to find the fields of a header in place, and to escape text into one.
//!
//! serde_json would do, at the price of a map of allocated strings for every request. Depth is bounded, every read is checked,
//! and escapes are checked where a string is passed, so that [`unescape`] later cannot fail.

mod escape;
mod integer;

pub(crate) use escape::{escape_into, unescape};
pub(crate) use integer::integer;

/// Deepest nesting that is skipped; headers use two levels.
const DEPTH_MAX: u32 = 32;

/// What should stand where the cursor stopped. One byte, so that the results of the hot functions fit into registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    OpeningBrace,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Quote,
    EndOfString,
    Escape,
    Value,
    Integer,
    LessNesting,
}

impl Expected {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Expected::OpeningBrace => "{",
            Expected::Colon => ":",
            Expected::CommaOrBrace => ", or }",
            Expected::CommaOrBracket => ", or ]",
            Expected::Quote => "\"",
            Expected::EndOfString => "the end of a string",
            Expected::Escape => "an escape",
            Expected::Value => "a value",
            Expected::Integer => "a 32-bit integer",
            Expected::LessNesting => "less nesting",
        }
    }
}

/// Where a name or a value stands: a string without its quotes, or a number, boolean, array or object as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// First byte.
    pub(crate) at: u32,
    /// Bytes.
    pub(crate) len: u32,
    /// Whether it is a string with escapes; they are well-formed.
    pub(crate) escaped: bool,
}

/// Reads values one after the other. Text behind the value that was asked for is never looked at: C++ clients append a line
/// end to their headers.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at byte `at` of `text`, which has less than 4 GiB.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Cursor { text, at }
    }

    /// Where the cursor stands, in bytes of the text.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes of a piece.
    #[inline]
    pub(crate) fn bytes(&self, piece: Piece) -> &'a [u8] {
        self.text.as_bytes().get(piece.at as usize..(piece.at + piece.len) as usize).unwrap_or_default()
    }

    /// The text of a piece.
    pub(crate) fn text(&self, piece: Piece) -> &'a str {
        // Both ends lie beside ASCII bytes, so this is always a whole text.
        self.text.get(piece.at as usize..(piece.at + piece.len) as usize).unwrap_or_default()
    }

    /// The next byte that is no white space, at which the cursor then stands.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.text.as_bytes().get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            _ => self.peek_behind_space(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.at += space;
        rest.get(space).copied()
    }

    #[inline]
    fn eat(&mut self, byte: u8, expected: Expected) -> Result<(), Expected> {
        if self.peek() != Some(byte) {
            return Err(expected);
        }
        self.at += 1;
        Ok(())
    }

    fn since(&self, start: usize, escaped: bool) -> Piece {
        Piece { at: start as u32, len: (self.at - start) as u32, escaped }
    }

    /// Enters the object at the cursor; whether it has a member.
    #[inline]
    pub(crate) fn open_object(&mut self) -> Result<bool, Expected> {
        self.eat(b'{', Expected::OpeningBrace)?;
        let empty = self.peek() == Some(b'}');
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Passes a member's name and the colon behind it.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<Piece, Expected> {
        let name = self.string()?;
        self.eat(b':', Expected::Colon)?;
        Ok(name)
    }

    /// Passes what stands behind a member; whether that is the next one, and not the end of the object.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool, Expected> {
        let next = match self.peek() {
            Some(b',') => true,
            Some(b'}') => false,
            _ => return Err(Expected::CommaOrBrace),
        };
        self.at += 1;
        Ok(next)
    }

    /// Passes members of the plain form `"name":"value",` and tells of each, until one is of another form or the last one of the
    /// object; the cursor stands before that one. Nearly all of what a request carries is of this form, without spaces or escapes.
    #[inline]
    pub(crate) fn plain_members(&mut self, mut member: impl FnMut(Piece, Piece)) {
        let bytes = self.text.as_bytes();
        // The place lives in a register as long as nothing else needs the cursor.
        let mut at = self.at;
        while bytes.get(at) == Some(&b'"') {
            let name_end = escape::next_special(bytes, at + 1);
            let Some(b"\":\"") = bytes.get(name_end..).and_then(|rest| rest.first_chunk()) else { break };
            let value_at = name_end + 3;
            let value_end = escape::next_special(bytes, value_at);
            let Some(b"\",") = bytes.get(value_end..).and_then(|rest| rest.first_chunk()) else { break };
            let piece =
                |start: usize, end: usize| Piece { at: start as u32, len: (end - start) as u32, escaped: false };
            member(piece(at + 1, name_end), piece(value_at, value_end));
            at = value_end + 2;
        }
        self.at = at;
    }

    /// An integer of 32 bits, bare or quoted; null is 0.
    pub(crate) fn int(&mut self) -> Result<i32, Expected> {
        if let Some(number) = self.plain_int() {
            return Ok(number);
        }
        let Some(digits) = self.value()? else { return Ok(0) };
        // A version or code beyond 32 bits cannot be meant; wrapping it could turn it into another request.
        integer(self.bytes(digits)).and_then(|number| i32::try_from(number).ok()).ok_or(Expected::Integer)
    }

    /// Up to nine digits and what may follow a member; anything else is left where it is.
    #[inline]
    fn plain_int(&mut self) -> Option<i32> {
        let digits = self.text.as_bytes().get(self.at..)?;
        let mut number = 0;
        for (len, byte) in digits.iter().take(10).enumerate() {
            match byte.wrapping_sub(b'0') {
                digit @ 0..=9 => number = number * 10 + i64::from(digit),
                _ if len > 0 && matches!(byte, b',' | b'}') => {
                    self.at += len;
                    return i32::try_from(number).ok();
                }
                _ => return None,
            }
        }
        None
    }

    /// Passes one value of any kind, whose syntax is checked; `None` for null.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Option<Piece>, Expected> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            _ => self.other_value(0),
        }
    }

    #[inline(never)]
    fn other_value(&mut self, depth: u32) -> Result<Option<Piece>, Expected> {
        if depth > DEPTH_MAX {
            return Err(Expected::LessNesting);
        }
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{') => {
                let start = self.at;
                let mut more = self.open_object()?;
                while more {
                    self.name()?;
                    self.other_value(depth + 1)?;
                    more = self.next_member()?;
                }
                Ok(Some(self.since(start, false)))
            }
            Some(b'[') => {
                let start = self.at;
                self.array(depth)?;
                Ok(Some(self.since(start, false)))
            }
            _ => self.word(),
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), Expected> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.other_value(depth + 1)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(Expected::CommaOrBracket),
            }
        }
    }

    fn word(&mut self) -> Result<Option<Piece>, Expected> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        while bytes.get(self.at).is_some_and(is_part) {
            self.at += 1;
        }
        let word = self.since(start, false);
        match self.bytes(word) {
            b"" => Err(Expected::Value),
            b"null" => Ok(None),
            _ => Ok(Some(word)),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Piece, Expected> {
        self.eat(b'"', Expected::Quote)?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        self.at = escape::next_special(bytes, start);
        if bytes.get(self.at) != Some(&b'"') {
            return self.escaped_string(start);
        }
        let piece = self.since(start, false);
        self.at += 1;
        Ok(piece)
    }

    /// The string that begins at `start` and whose first escape, or the end of everything, stands at the cursor.
    fn escaped_string(&mut self, start: usize) -> Result<Piece, Expected> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'"') => break,
                // What Java puts around the parts of properties: `\u0001` and `\u0002`.
                Some(_) if escape::is_java_separator(bytes, self.at) => self.at += 6,
                Some(_) => self.at += escape::escape_len(&bytes[self.at..]).ok_or(Expected::Escape)?,
                None => return Err(Expected::EndOfString),
            }
            self.at = escape::next_special(bytes, self.at);
        }
        let piece = self.since(start, true);
        self.at += 1;
        Ok(piece)
    }
}
