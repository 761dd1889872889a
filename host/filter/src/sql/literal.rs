//! Operands that are written down: numbers, texts, TRUE, FALSE and NULL.

use super::{
    ast::{Condition, Operand},
    value::Value,
};

/// A whole number: an int if it fits, else a long. The error is what was expected.
pub(super) fn whole(digits: &str) -> Result<Operand, String> {
    let number: i64 = digits.parse().map_err(|_| format!("a whole number up to {}", i64::MAX))?;
    Ok(i32::try_from(number).map_or(Operand::Long(number), Operand::Int))
}

/// A number with a point or an exponent. RocketMQ takes what lies between the smallest double above zero and the largest, so
/// not even `0.0`. The error is what was expected.
pub(super) fn fraction(digits: &str) -> Result<Operand, String> {
    let number: f64 = digits.parse().unwrap_or(f64::NAN);
    if number > 0.0 && number.is_finite() {
        return Ok(Operand::Double(number));
    }
    Err(if number == 0.0 {
        "a fraction above zero; write 0".to_owned()
    } else {
        format!("a fraction up to {:e}", f64::MAX)
    })
}

/// The value of an operand that is written as a number.
pub(super) fn number(operand: &Operand) -> Option<Value<'static>> {
    match operand {
        Operand::Int(number) => Some(Value::Int(*number)),
        Operand::Long(number) => Some(Value::Long(*number)),
        Operand::Double(number) => Some(Value::Double(*number)),
        _ => None,
    }
}

/// Whether it is written down at all.
pub(super) fn is_constant(operand: &Operand) -> bool {
    matches!(operand, Operand::Text(_)) || number(operand).is_some() || is_truth(operand)
}

/// Whether it is written TRUE, FALSE or NULL.
pub(super) fn is_truth(operand: &Operand) -> bool {
    matches!(operand, Operand::Condition(condition) if matches!(**condition, Condition::Constant(_)))
}

/// What an operand is, in words.
pub(super) fn describe(operand: &Operand) -> &'static str {
    match operand {
        Operand::Property(_) => "a property",
        Operand::Text(_) => "a text",
        Operand::Int(_) | Operand::Long(_) | Operand::Double(_) => "a number",
        Operand::Negated(_) => "a negative value",
        Operand::Condition(_) => "a condition",
    }
}
