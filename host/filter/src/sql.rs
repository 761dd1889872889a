//! SQL92 subscriptions: RocketMQ's dialect, read once, evaluated over the properties of each message.
//!
//! The dialect is that of RocketMQ's broker (`filter/`, version 5.3), its peculiarities included; `tests/sql92` holds what
//! that code itself makes of some thousand expressions. The most surprising ones:
//!
//! - Everything behind the first complete expression is ignored if it begins with a word: `a > 2 junk` is `a > 2`, and so
//!   `b LIKE 'h%'` is the bare property `b`, which is false.
//! - `NOT` binds tighter than comparisons: `NOT a > 2` does not parse, `NOT (a > 2)` does.
//! - A property's text is read as the type of the literal that it is compared with. `d > 1` is an error for `1.5`, and a
//!   message with an error is not selected, whatever stands around it; `d > 1.0` works.
//! - Null is SQL's unknown, with exceptions: `a = b` is true when both are missing and false when only `b` is.
//!
//! Different are only properties in digits of other scripts than ASCII or in hexadecimal fractions, which Java reads as
//! numbers and this does not, and the bounds: [`EXPRESSION_LEN_MAX`], [`NODES_MAX`], [`DEPTH_MAX`], [`NAMES_MAX`] and
//! [`FUNCTIONS_MAX`]; beyond one an expression is refused.
//!
//! # `wasm('plugin', 'argument')`
//!
//! Gantry's addition: a condition that a plugin decides. The second text is optional; upper or lower case does not matter; a
//! property that is called `wasm` remains one unless `(` follows. A function that cannot decide leaves the message open only
//! if the result depends on it.
//!
//! RocketMQ has no function calls. To its grammar `wasm` is a property, and since `(` cannot follow one, the expression ends
//! there and the rest is ignored: `wasm('p')` and `a > 1 AND wasm('p')` select nothing (the property is missing, so null, or
//! it is a bare property, so false), while `a > 1 OR wasm('p')` selects what `a > 1` does. In parentheses, `(wasm('p'))`, it
//! does not parse, for `)` is expected.

mod ast;
mod cursor;
mod error;
mod evaluate;
mod filter;
mod functions;
mod literal;
mod names;
mod number;
mod outcome;
mod parse;
mod tags;
mod token;
mod value;

use std::fmt;

pub use ast::FunctionCall;
use ast::{Condition, Named};
pub use error::ParseError;
pub use filter::{CompileError, Functions, SqlCost, SqlFilter};
pub(crate) use functions::{Pinned, Stopped};
pub use names::NAMES_MAX;
use names::Names;
pub use outcome::{Outcome, Truth};
pub use parse::{DEPTH_MAX, EXPRESSION_LEN_MAX, FUNCTIONS_MAX, NODES_MAX};

/// A parsed expression. Prints as an expression that parses to the same.
#[derive(Debug, PartialEq)]
pub struct Expression {
    condition: Condition,
    names: Names,
    functions: Vec<FunctionCall>,
}

impl Expression {
    /// Parses `text`. The error says where and what was expected.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let parse::Parts { condition, names, functions } = parse::parse(text)?;
        Ok(Expression { condition, names, functions })
    }

    /// The different calls of `wasm(...)`, in the order in which they stand there.
    pub fn functions(&self) -> &[FunctionCall] {
        &self.functions
    }

    /// The result for a message with these encoded properties (see [`gantry_model::properties`]). `answers` is what is
    /// known of each of [`functions`](Self::functions); missing ones count as not known.
    pub fn evaluate(&self, properties: &[u8], answers: &[Option<bool>]) -> Outcome {
        self.names
            .with_values(properties, |properties| evaluate::Message { properties, answers }.condition(&self.condition))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Named { node: &self.condition, names: &self.names, functions: &self.functions }.fmt(f)
    }
}
