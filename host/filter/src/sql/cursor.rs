//! Where a parser is: the word that comes next, and what to say when it is the wrong one.

use super::{
    error::{ParseError, excerpt},
    token::{Lexer, Token},
};

/// A text and the word in it that comes next.
pub(super) struct Cursor<'t> {
    text: &'t str,
    lexer: Lexer<'t>,
    pub(super) token: Token<'t>,
    /// Byte where it begins.
    pub(super) start: usize,
}

impl<'t> Cursor<'t> {
    /// At the first word.
    pub(super) fn new(text: &'t str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(text);
        let (token, start) = lexer.next()?;
        Ok(Cursor { text, lexer, token, start })
    }

    /// Goes to the next word.
    pub(super) fn advance(&mut self) -> Result<(), ParseError> {
        (self.token, self.start) = self.lexer.next()?;
        Ok(())
    }

    /// Passes over the word if it is there.
    pub(super) fn take(&mut self, token: Token<'static>) -> Result<bool, ParseError> {
        let there = self.token == token;
        if there {
            self.advance()?;
        }
        Ok(there)
    }

    /// Passes over the word, which must be there.
    pub(super) fn expect(&mut self, token: Token<'static>, expected: &str) -> Result<(), ParseError> {
        if self.take(token)? { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// Passes over a text in single quotes; its doubled quotes are undone.
    pub(super) fn text(&mut self) -> Result<String, ParseError> {
        let Token::Text(text) = self.token else { return Err(self.unexpected("a text in single quotes")) };
        self.advance()?;
        Ok(text.replace("''", "'"))
    }

    /// The word here is not what was expected.
    pub(super) fn unexpected(&self, expected: &str) -> ParseError {
        let found = match self.token {
            Token::End => "the end".to_owned(),
            _ => excerpt(&self.text[self.start..]),
        };
        self.wrong(self.start, found, expected)
    }

    /// What begins at byte `at` is not what was expected.
    pub(super) fn wrong(&self, at: usize, found: impl Into<String>, expected: impl Into<String>) -> ParseError {
        ParseError::new(self.text, at, found, expected)
    }
}
