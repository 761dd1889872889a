//! One property and what is asked of it.

use gantry_plugin_sdk::prelude::*;

const TESTS: &str = "equals, not_equals, one_of, prefix, suffix, contains, min, max, exists";

/// The tests of one property that read it in one shape.
pub(crate) struct Condition {
    property: String,
    test: Test,
}

enum Test {
    Equals(Vec<u8>),
    NotEquals(Vec<u8>),
    OneOf(Vec<Vec<u8>>),
    Prefix(Vec<u8>),
    Suffix(Vec<u8>),
    Contains(Vec<u8>),
    /// From the first to the second, both included.
    Between(i64, i64),
    Exists(bool),
}

/// Reads the conditions out of the parameters; an error is a sentence for the operator.
pub(crate) fn read_all(subscription: &Subscription) -> Result<Vec<Condition>, String> {
    let mut conditions: Vec<Condition> = Vec::new();
    for (name, value) in subscription.iter().filter(|(name, _)| *name != "property") {
        let (property, test) = match name.rsplit_once('.') {
            Some((property, test)) => (property, test),
            None => (subscription.require("property")?, name),
        };
        let test = Test::read(name, test, value)?;
        // `min` and `max` of one property share a column.
        let range =
            conditions.iter_mut().find(|other| other.property == property && matches!(other.test, Test::Between(..)));
        match (test, range.map(|other| &mut other.test)) {
            (Test::Between(from, to), Some(Test::Between(low, high))) => {
                (*low, *high) = ((*low).max(from), (*high).min(to))
            }
            (test, _) => conditions.push(Condition { property: property.to_owned(), test }),
        }
    }
    if conditions.is_empty() {
        return Err(format!("no test is given; add one of {TESTS}"));
    }
    match conditions.iter().find(|condition| matches!(condition.test, Test::Between(low, high) if low > high)) {
        Some(condition) => {
            Err(format!("`min` of {} is above its `max`: no message would ever pass", condition.property))
        }
        None => Ok(conditions),
    }
}

impl Test {
    fn read(parameter: &str, test: &str, value: &str) -> Result<Self, String> {
        let number = || value.parse().map_err(|_| format!("`{parameter}` is {value:?}, expected a whole number"));
        let bytes = || value.as_bytes().to_vec();
        Ok(match test {
            "equals" => Test::Equals(bytes()),
            "not_equals" => Test::NotEquals(bytes()),
            "one_of" => Test::OneOf(value.split(',').map(|one| one.trim().as_bytes().to_vec()).collect()),
            "prefix" => Test::Prefix(bytes()),
            "suffix" => Test::Suffix(bytes()),
            "contains" => Test::Contains(bytes()),
            "min" => Test::Between(number()?, i64::MAX),
            "max" => Test::Between(i64::MIN, number()?),
            "exists" => match value {
                "true" => Test::Exists(true),
                "false" => Test::Exists(false),
                _ => return Err(format!("`{parameter}` is {value:?}, expected true or false")),
            },
            _ => return Err(format!("unknown parameter `{parameter}`; known are property, and the tests {TESTS}")),
        })
    }
}

impl Condition {
    pub(crate) fn column(&self) -> Column {
        let shape = if matches!(self.test, Test::Between(..)) { Shape::Int } else { Shape::Text };
        Column::property(&self.property, shape)
    }

    pub(crate) fn holds(&self, row: &Cells<'_>, column: usize) -> bool {
        if let Test::Between(low, high) = self.test {
            return row.int(column).is_some_and(|value| (low..=high).contains(&value));
        }
        match (row.bytes(column), &self.test) {
            (found, Test::Exists(wanted)) => found.is_some() == *wanted,
            (None, _) => false,
            (Some(found), Test::Equals(text)) => found == text,
            (Some(found), Test::NotEquals(text)) => found != text,
            (Some(found), Test::OneOf(texts)) => texts.iter().any(|text| found == text),
            (Some(found), Test::Prefix(text)) => found.starts_with(text),
            (Some(found), Test::Suffix(text)) => found.ends_with(text),
            (Some(found), Test::Contains(text)) => {
                text.is_empty() || found.windows(text.len()).any(|part| part == text)
            }
            (Some(_), Test::Between(..)) => false,
        }
    }
}
