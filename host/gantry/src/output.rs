//! Data goes to stdout, everything else to stderr.

use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Outcome;

/// Writes a line of text to stdout and flushes it: whoever reads a pipe waits for it.
pub(crate) fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}

/// Writes a value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Outcome {
    Ok(line(&serde_json::to_string(value)?)?)
}
