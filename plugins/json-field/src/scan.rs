//! A scanner that reads of a JSON document what lies on the way to some places, and passes over the rest without looking into it.
//! It builds nothing, allocates nothing (but for names with escapes), and recurses only as deep as the paths are.

use crate::text;

/// A value at a place that is wanted. Texts are as they lie between their quotes, numbers as they are written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'b> {
    Text(&'b [u8]),
    Number(&'b [u8]),
    True,
    False,
    Null,
    /// An object or an array.
    Container,
}

/// A place in a document, and those below it that matter.
#[derive(Default)]
pub(crate) struct Step {
    name: Box<[u8]>,
    /// In an array: the place.
    number: Option<usize>,
    children: Vec<Step>,
    /// What it is told as, if it is wanted itself.
    pub(crate) wanted: Option<usize>,
}

impl Step {
    /// The place `name` below this one.
    pub(crate) fn child(&mut self, name: &str) -> &mut Step {
        let index =
            self.children.iter().position(|child| *child.name == *name.as_bytes()).unwrap_or(self.children.len());
        if index == self.children.len() {
            self.children.push(Step { name: name.as_bytes().into(), number: name.parse().ok(), ..Step::default() });
        }
        &mut self.children[index]
    }

    fn named(&self, raw: &[u8]) -> Option<&Step> {
        self.children.iter().find(|child| text::is(raw, &child.name))
    }

    fn at(&self, number: usize) -> Option<&Step> {
        self.children.iter().find(|child| child.number == Some(number))
    }
}

/// Where reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind the document.
    Whole,
    /// Where `tell` had enough.
    Stopped,
    /// The bytes end in the middle of the document.
    Short,
    /// What comes next cannot be JSON.
    NotJson,
}

/// Reads `bytes` and tells every value at a wanted place below `root`, in their order, until `tell` says `false`.
pub(crate) fn walk<'b>(bytes: &'b [u8], root: &Step, tell: &mut dyn FnMut(usize, Value<'b>) -> bool) -> End {
    let mut scanner = Scanner { bytes, at: 0, tell };
    match scanner.value(root) {
        Ok(()) => End::Whole,
        Err(end) => end,
    }
}

struct Scanner<'b, 't> {
    bytes: &'b [u8],
    at: usize,
    tell: &'t mut dyn FnMut(usize, Value<'b>) -> bool,
}

impl<'b> Scanner<'b, '_> {
    /// The value of a place on some path.
    fn value(&mut self, place: &Step) -> Result<(), End> {
        let first = self.next()?;
        let value = match first {
            b'{' | b'[' => Value::Container,
            b'"' => {
                self.at += 1;
                Value::Text(self.string()?)
            }
            b't' => self.literal(b"true", Value::True)?,
            b'f' => self.literal(b"false", Value::False)?,
            b'n' => self.literal(b"null", Value::Null)?,
            b'-' | b'0'..=b'9' => self.number(place)?,
            _ => return Err(End::NotJson),
        };
        if let Some(wanted) = place.wanted
            && !(self.tell)(wanted, value)
        {
            return Err(End::Stopped);
        }
        match first {
            _ if value != Value::Container => Ok(()),
            // Nothing below it matters.
            _ if place.children.is_empty() => self.pass_container(),
            b'{' => self.object(place),
            _ => self.array(place),
        }
    }

    /// From `{` to behind `}`.
    fn object(&mut self, place: &Step) -> Result<(), End> {
        self.at += 1;
        if self.next()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let name = self.string()?;
            self.expect(b':')?;
            match place.named(name) {
                Some(child) => self.value(child)?,
                None => self.pass()?,
            }
            if self.is_over(b'}')? {
                return Ok(());
            }
        }
    }

    /// From `[` to behind `]`.
    fn array(&mut self, place: &Step) -> Result<(), End> {
        self.at += 1;
        if self.next()? == b']' {
            self.at += 1;
            return Ok(());
        }
        for number in 0.. {
            match place.at(number) {
                Some(child) => self.value(child)?,
                None => self.pass()?,
            }
            if self.is_over(b']')? {
                break;
            }
        }
        Ok(())
    }

    /// Takes the comma or the end of a container.
    fn is_over(&mut self, end: u8) -> Result<bool, End> {
        let next = self.next()?;
        self.at += 1;
        match next {
            b',' => Ok(false),
            _ if next == end => Ok(true),
            _ => Err(End::NotJson),
        }
    }

    /// A value that does not matter.
    fn pass(&mut self) -> Result<(), End> {
        match self.next()? {
            b'{' | b'[' => self.pass_container(),
            b'"' => {
                self.at += 1;
                self.string().map(drop)
            }
            _ => match self.word() {
                [] => Err(End::NotJson),
                _ => Ok(()),
            },
        }
    }

    /// From a bracket to behind the one that closes it, by counting them.
    fn pass_container(&mut self) -> Result<(), End> {
        let mut depth = 0usize;
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += 1;
            match byte {
                b'"' => drop(self.string()?),
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
        Err(End::Short)
    }

    /// From behind a quote to behind the one that ends the string; what lies between them.
    fn string(&mut self) -> Result<&'b [u8], End> {
        let start = self.at;
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(End::Short),
            }
        }
        let string = &self.bytes[start..self.at];
        self.at += 1;
        Ok(string)
    }

    /// What numbers and literals are made of, as far as it goes.
    fn word(&mut self) -> &'b [u8] {
        let rest = &self.bytes[self.at..];
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let len = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// A number; one that is wanted and touches the end may go on behind it.
    fn number(&mut self, place: &Step) -> Result<Value<'b>, End> {
        let word = self.word();
        match place.wanted {
            Some(_) if self.at == self.bytes.len() => Err(End::Short),
            _ => Ok(Value::Number(word)),
        }
    }

    fn literal(&mut self, expected: &[u8], value: Value<'b>) -> Result<Value<'b>, End> {
        let word = self.word();
        if word == expected {
            return Ok(value);
        }
        let is_cut = self.at == self.bytes.len() && expected.starts_with(word);
        Err(if is_cut { End::Short } else { End::NotJson })
    }

    /// Takes `byte`, which must come next.
    fn expect(&mut self, byte: u8) -> Result<(), End> {
        if self.next()? != byte {
            return Err(End::NotJson);
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no white space, not taken yet.
    fn next(&mut self) -> Result<u8, End> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(End::Short),
            }
        }
    }
}
