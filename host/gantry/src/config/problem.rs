//! One thing wrong with a configuration, with its place and what to do about it.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// A problem at a place of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// The file.
    pub(crate) file: PathBuf,
    /// Line, from 1; 0 = the file as a whole.
    pub(crate) line: usize,
    /// Column in characters, from 1.
    pub(crate) column: usize,
    /// The key it is about, as in the file: `node.one.host`.
    pub(crate) key: String,
    /// What was found, what is expected, what to do.
    pub(crate) problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        if !self.key.is_empty() {
            write!(f, " {}:", self.key)?;
        }
        write!(f, " {}", self.problem)
    }
}

/// Line and column of a byte of a text, both from 1.
pub(crate) fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let near = |candidate: &&str| distance(word, candidate) <= candidate.len().max(word.len()) / 3;
    candidates.into_iter().filter(near).min_by_key(|candidate| distance(word, candidate))
}

/// Edits from one word to another: insert, delete, replace.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.bytes().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_suggestions() {
        assert_eq!(place("a\nbäc = 1", 2), (2, 1));
        assert_eq!(place("a\nbäc = 1", 5), (2, 3));
        assert_eq!(did_you_mean("flsh", ["flush", "port"]), Some("flush"));
        assert_eq!(
            did_you_mean("autocreatetopics", ["auto_create_topics", "auto_create_groups"]),
            Some("auto_create_topics")
        );
        assert_eq!(did_you_mean("colour", ["flush", "port"]), None);
    }
}
