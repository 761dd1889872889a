//! Words of an expression. As in RocketMQ's grammar the longest match counts, so `1e` is a number and a name, and `--`
//! begins a comment only if the line ends.

use super::error::{ParseError, excerpt};

/// One word. Texts are as written, without their outer quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    Not,
    And,
    Or,
    Between,
    In,
    True,
    False,
    Null,
    Is,
    Contains,
    StartsWith,
    EndsWith,
    Name(&'t str),
    /// Between single quotes; a quote inside is still doubled.
    Text(&'t str),
    /// A whole number, without a trailing `L`.
    Whole(&'t str),
    /// A number with a point or an exponent.
    Fraction(&'t str),
    Equal,
    Unequal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Open,
    Comma,
    Close,
    Plus,
    Minus,
    End,
}

const KEYWORDS: [(&str, Token<'static>); 12] = [
    ("NOT", Token::Not),
    ("AND", Token::And),
    ("OR", Token::Or),
    ("BETWEEN", Token::Between),
    ("IN", Token::In),
    ("TRUE", Token::True),
    ("FALSE", Token::False),
    ("NULL", Token::Null),
    ("IS", Token::Is),
    ("CONTAINS", Token::Contains),
    ("STARTSWITH", Token::StartsWith),
    ("ENDSWITH", Token::EndsWith),
];

/// Takes words off an expression, one at a time: what is never asked for may be anything.
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Lexer { text, at: 0 }
    }

    /// The next word and the byte where it begins; [`Token::End`] for ever at the end.
    pub(super) fn next(&mut self) -> Result<(Token<'t>, usize), ParseError> {
        self.skip_blanks();
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let (token, len) = match rest {
            [] => (Token::End, 0),
            [b'<', b'>', ..] => (Token::Unequal, 2),
            [b'<', b'=', ..] => (Token::LessOrEqual, 2),
            [b'<', ..] => (Token::Less, 1),
            [b'>', b'=', ..] => (Token::GreaterOrEqual, 2),
            [b'>', ..] => (Token::Greater, 1),
            [b'=', ..] => (Token::Equal, 1),
            [b'(', ..] => (Token::Open, 1),
            [b',', ..] => (Token::Comma, 1),
            [b')', ..] => (Token::Close, 1),
            [b'+', ..] => (Token::Plus, 1),
            [b'-', ..] => (Token::Minus, 1),
            [b'\'', ..] => self.text_token(rest)?,
            [byte, ..] if begins_name(*byte) => {
                let len = run(rest, |byte| begins_name(byte) || byte.is_ascii_digit());
                (word(&self.text[start..start + len]), len)
            }
            _ => self.number(rest).ok_or_else(|| self.unknown())?,
        };
        self.at += len;
        Ok((token, start))
    }

    /// Passes over blanks and comments.
    fn skip_blanks(&mut self) {
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let len = match rest {
                [b' ' | b'\t' | b'\n' | b'\r' | b'\x0c', ..] => 1,
                [b'-', b'-', ..] => match rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                    Some(line_end) => line_end + 1,
                    None => return,
                },
                [b'/', b'*', inner @ ..] => match inner.windows(2).position(|pair| pair == b"*/") {
                    Some(len) => len + 4,
                    None => return,
                },
                _ => return,
            };
            self.at += len;
        }
    }

    fn text_token(&self, rest: &[u8]) -> Result<(Token<'t>, usize), ParseError> {
        let mut at = 1;
        loop {
            match rest.get(at..).unwrap_or_default() {
                [b'\'', b'\'', ..] => at += 2,
                [b'\'', ..] => return Ok((Token::Text(&self.text[self.at + 1..self.at + at]), at + 1)),
                [] => {
                    let found = excerpt(&self.text[self.at..]);
                    return Err(ParseError::new(self.text, self.at, found, "a ' that ends the text"));
                }
                _ => at += 1,
            }
        }
    }

    fn number(&self, rest: &[u8]) -> Option<(Token<'t>, usize)> {
        let digits = |from: usize| run(&rest[from..], |byte| byte.is_ascii_digit());
        let exponent = |from: usize| match &rest[from..] {
            [b'e' | b'E', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => 2 + digits(from + 2),
            [b'e' | b'E', digit, ..] if digit.is_ascii_digit() => 1 + digits(from + 1),
            _ => 0,
        };
        let text = |len: usize| &self.text[self.at..self.at + len];
        let whole = digits(0);
        let fraction = match rest.get(whole) {
            Some(b'.') => 1 + digits(whole + 1),
            _ => 0,
        };
        let (mantissa, exponent) = (whole + fraction, exponent(whole + fraction));
        match (whole, fraction) {
            (0, 0 | 1) => None,
            (_, 0) if exponent == 0 => Some(match rest {
                // A number has no leading zeros: what follows is another one.
                [b'0', ..] => (Token::Whole("0"), 1),
                _ if matches!(rest.get(whole), Some(b'l' | b'L')) => (Token::Whole(text(whole)), whole + 1),
                _ => (Token::Whole(text(whole)), whole),
            }),
            _ => Some((Token::Fraction(text(mantissa + exponent)), mantissa + exponent)),
        }
    }

    fn unknown(&self) -> ParseError {
        let rest = &self.text[self.at..];
        let one = rest.chars().next().map_or(0, char::len_utf8);
        let (found, expected) = match rest.as_bytes() {
            [b'/', b'*', ..] => (excerpt(rest), "*/ that ends the comment"),
            [b'"', ..] => (excerpt(&rest[..one]), "texts in single quotes and names without quotes"),
            [b'!' | b';' | b'*' | b'/' | b'%' | b'#', ..] => {
                (excerpt(&rest[..one]), "one of = <> > >= < <= ( ) , + -, for there are no others")
            }
            _ => {
                (excerpt(&rest[..one]), "a name (ASCII letters, digits, _ and $), a number or a text in single quotes")
            }
        };
        ParseError::new(self.text, self.at, found, expected)
    }
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$'
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len())
}

fn word(text: &str) -> Token<'_> {
    let keyword = KEYWORDS.iter().find(|(keyword, _)| keyword.eq_ignore_ascii_case(text));
    keyword.map_or(Token::Name(text), |(_, token)| *token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        let mut words = Vec::new();
        loop {
            match lexer.next() {
                Ok((Token::End, _)) => return words,
                Ok((word, _)) => words.push(word),
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }

    #[test]
    fn the_longest_match_counts() {
        use Token::*;
        assert_eq!(
            words("012 0L 5L 12.5 5. .5 1e10 5.E+3x"),
            [
                Whole("0"),
                Whole("12"),
                Whole("0"),
                Name("L"),
                Whole("5"),
                Fraction("12.5"),
                Fraction("5."),
                Fraction(".5"),
                Fraction("1e10"),
                Fraction("5.E+3"),
                Name("x")
            ]
        );
        assert_eq!(
            words("1e 1.e 00.5 012e1 5l.5"),
            [
                Whole("1"),
                Name("e"),
                Fraction("1."),
                Name("e"),
                Fraction("00.5"),
                Fraction("012e1"),
                Whole("5"),
                Fraction(".5")
            ]
        );
        assert_eq!(
            words("a<>b<=c=>'x''y'''NoT nota"),
            [Name("a"), Unequal, Name("b"), LessOrEqual, Name("c"), Equal, Greater, Text("x''y''"), Not, Name("nota")]
        );
    }

    #[test]
    fn comments_are_blanks_when_they_end() {
        use Token::*;
        assert_eq!(words("a -- b\nc/**//* * / **/d --e"), [Name("a"), Name("c"), Name("d"), Minus, Minus, Name("e")]);
        assert_eq!(words("--\r1"), [Whole("1")]);
    }

    #[test]
    fn what_is_no_word_says_where() {
        for (text, character) in
            [("a != 1", 3), ("é", 1), ("a = 'é' é", 9), ("/* a", 1), ("'a''", 1), (".", 1), ("a\u{a0}", 2)]
        {
            let mut lexer = Lexer::new(text);
            let error = loop {
                match lexer.next() {
                    Ok((Token::End, _)) => panic!("{text} has no error"),
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.character, character, "{text}: {error}");
        }
    }
}
