//! Delivers the messages whose properties pass every test that is given as a parameter.
//!
//! | parameter | passes when the property |
//! |---|---|
//! | `property = "region"` | (names the property that the tests below look at) |
//! | `equals = "eu"` | is exactly this text |
//! | `not_equals = "us"` | is present and another text |
//! | `one_of = "eu, uk"` | is one of these texts, separated by commas |
//! | `prefix = "eu-"`, `suffix = "-1"`, `contains = "west"` | begins with, ends with, contains this text |
//! | `min = "100"`, `max = "500"` | is a whole number from `min` to `max`, both included |
//! | `exists = "true"` or `"false"` | is present, or absent |
//!
//! Tests of further properties carry their name: `amount.min = "100"`. A message that lacks the property fails every test
//! but `exists = "false"`. The tag of a message is its property `TAGS`.

mod condition;

use condition::Condition;
use gantry_plugin_sdk::prelude::*;

/// All conditions must hold. Condition i reads column i.
struct PropertyFilter {
    conditions: Vec<Condition>,
}

#[filter]
impl Filter for PropertyFilter {
    type Row<'m> = Cells<'m>;

    fn open(subscription: &Subscription) -> Result<Self, String> {
        Ok(PropertyFilter { conditions: condition::read_all(subscription)? })
    }

    fn columns(&self) -> Vec<Column> {
        self.conditions.iter().map(Condition::column).collect()
    }

    fn keep(&self, row: &Cells<'_>) -> bool {
        self.conditions.iter().enumerate().all(|(column, condition)| condition.holds(row, column))
    }
}

#[cfg(test)]
mod tests;
