//! Why an expression is refused.

use std::fmt;

/// Longest excerpt of an expression that an error shows, in characters.
const EXCERPT_LEN_MAX: usize = 40;

/// An expression does not parse: where, what stands there, and what should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Which character of the expression, counted from 1.
    pub character: usize,
    /// What is there, in words.
    pub found: String,
    /// What was expected instead, in words.
    pub expected: String,
}

impl ParseError {
    /// `at` = byte of `text` where what was found begins.
    pub(super) fn new(text: &str, at: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        let before = text.get(..at).unwrap_or(text);
        ParseError { character: before.chars().count() + 1, found: found.into(), expected: expected.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ParseError { character, found, expected } = self;
        write!(f, "SQL92 expression, character {character}: found {found}, expected {expected}")
    }
}

impl std::error::Error for ParseError {}

/// The beginning of `text` as it can be shown on one line.
pub(super) fn excerpt(text: &str) -> String {
    let shown: String = text.chars().take(EXCERPT_LEN_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("`{shown}{more}`")
}
