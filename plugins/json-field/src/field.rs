//! One field and what is asked of it.

use crate::{scan::Value, text};

pub(crate) struct Field {
    pub(crate) path: String,
    tests: Vec<Test>,
}

pub(crate) enum Test {
    OneOf(Vec<Literal>),
    /// From the first to the second, both included.
    Between(f64, f64),
    Exists(bool),
}

/// Something to be equal to.
pub(crate) struct Literal {
    text: Vec<u8>,
    number: Option<f64>,
}

impl Test {
    pub(crate) const NAMES: &'static str = "equals, one_of, min, max, exists";

    pub(crate) fn read(parameter: &str, test: &str, value: &str) -> Result<Self, String> {
        let number = || match value.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("`{parameter}` is {value:?}, expected a number")),
        };
        Ok(match test {
            "equals" => Test::OneOf(vec![Literal::new(value)]),
            "one_of" => Test::OneOf(value.split(',').map(|one| Literal::new(one.trim())).collect()),
            "min" => Test::Between(number()?, f64::INFINITY),
            "max" => Test::Between(f64::NEG_INFINITY, number()?),
            "exists" => match value {
                "true" => Test::Exists(true),
                "false" => Test::Exists(false),
                _ => return Err(format!("`{parameter}` is {value:?}, expected true or false")),
            },
            _ => {
                let known = Test::NAMES;
                return Err(format!(
                    "unknown parameter `{parameter}`; known are field, invalid, body_bytes, and the tests {known}"
                ));
            }
        })
    }
}

impl Field {
    pub(crate) fn new(path: &str) -> Self {
        Field { path: path.to_owned(), tests: Vec::new() }
    }

    /// `min` and `max` become one test.
    pub(crate) fn add(&mut self, test: Test) {
        if let Test::Between(from, to) = test {
            for old in &mut self.tests {
                if let Test::Between(low, high) = old {
                    (*low, *high) = (low.max(from), high.min(to));
                    return;
                }
            }
        }
        self.tests.push(test);
    }

    /// Whether no number could pass.
    pub(crate) fn is_never(&self) -> bool {
        self.tests.iter().any(|test| matches!(test, Test::Between(low, high) if low > high))
    }

    pub(crate) fn passes(&self, value: Value<'_>) -> bool {
        if let Value::Null = value {
            return self.passes_absent();
        }
        self.tests.iter().all(|test| match test {
            Test::OneOf(literals) => literals.iter().any(|literal| literal.equals(value)),
            Test::Between(low, high) => number(value).is_some_and(|number| (*low..=*high).contains(&number)),
            Test::Exists(wanted) => *wanted,
        })
    }

    pub(crate) fn passes_absent(&self) -> bool {
        self.tests.iter().all(|test| matches!(test, Test::Exists(false)))
    }
}

impl Literal {
    fn new(text: &str) -> Self {
        Literal { text: text.as_bytes().to_vec(), number: text.parse().ok() }
    }

    fn equals(&self, value: Value<'_>) -> bool {
        match value {
            Value::Text(raw) => text::is(raw, &self.text),
            // As it is written, or as a number: 1e2 is 100, and what no double holds exactly can still be asked for.
            Value::Number(written) => written == self.text || (self.number.is_some() && number(value) == self.number),
            Value::True => self.text == b"true",
            Value::False => self.text == b"false",
            Value::Null | Value::Container => false,
        }
    }
}

fn number(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Number(written) => std::str::from_utf8(written).ok()?.parse().ok(),
        _ => None,
    }
}
