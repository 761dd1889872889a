//! An expression on one message. Nothing is allocated; everything is looked at from left to right, as RocketMQ does it, so
//! that the same errors are met.

use std::cmp::Ordering;

use super::{
    ast::{Comparison, Condition, Equal, In, Operand, Search, Side},
    outcome::{Outcome, Truth},
    value::{self, Incomparable, Value},
};

/// Texts of a list that are compared one after the other instead of searched for.
const FEW_TEXTS: usize = 8;

/// What an operand is on one message.
#[derive(Clone, Copy)]
enum Reading<'m> {
    /// Its value, null (`None`), or an error.
    Known(Result<Option<Value<'m>>, Incomparable>),
    /// A condition that functions still have to decide.
    Open(Outcome),
}

/// One message: its properties by place, and what functions said of it (by place; missing or `None` = nothing yet).
pub(super) struct Message<'m> {
    pub(super) properties: &'m [Option<&'m [u8]>],
    pub(super) answers: &'m [Option<bool>],
}

impl<'m> Message<'m> {
    pub(super) fn condition(&self, condition: &'m Condition) -> Outcome {
        match condition {
            Condition::Constant(truth) => Outcome::of(truth.map_or(Truth::Null, truth_of)),
            Condition::Property(place) => Outcome::of(self.properties[*place].map_or(Truth::Null, |_| Truth::False)),
            Condition::Not(inner) => self.condition(inner).not(),
            Condition::All(conditions) => {
                let start = Outcome::of(Truth::True);
                conditions.iter().fold(start, |left, next| left.and(|| self.condition(next)))
            }
            Condition::Any(conditions) => {
                let start = Outcome::of(Truth::False);
                conditions.iter().fold(start, |left, next| left.or(|| self.condition(next)))
            }
            Condition::Equal(equal) => self.equal(equal),
            Condition::Order(order) => self.order(&order.left, order.comparison, &order.right),
            Condition::Between(between) if between.negated => self
                .order(&between.operand, Comparison::Less, &between.low)
                .or(|| self.order(&between.operand, Comparison::Greater, &between.high)),
            Condition::Between(between) => self
                .order(&between.operand, Comparison::GreaterOrEqual, &between.low)
                .and(|| self.order(&between.operand, Comparison::LessOrEqual, &between.high)),
            Condition::In(list) => self.in_list(list),
            Condition::Search(search) => self.search(search),
            Condition::IsNull { operand, negated } => each(self.operand(operand), |value| {
                value.map_or(Truth::Error, |value| truth_of(value.is_none() != *negated))
            }),
            Condition::Function(place) => match self.answers.get(*place).copied().flatten() {
                Some(answer) => Outcome::of(truth_of(answer)),
                None => Outcome::open(*place),
            },
        }
    }

    #[inline]
    fn operand(&self, operand: &'m Operand) -> Reading<'m> {
        let value = match operand {
            Operand::Property(place) => self.properties[*place].map(Value::Text),
            Operand::Text(text) => Some(Value::Text(text.as_bytes())),
            Operand::Int(number) => Some(Value::Int(*number)),
            Operand::Long(number) => Some(Value::Long(*number)),
            Operand::Double(number) => Some(Value::Double(*number)),
            Operand::Negated(inner) => return self.negated(inner),
            Operand::Condition(condition) => return reading(self.condition(condition)),
        };
        Reading::Known(Ok(value))
    }

    /// Numbers change their sign; everything else has no negative, not even a text that reads as a number.
    fn negated(&self, operand: &'m Operand) -> Reading<'m> {
        match self.operand(operand) {
            Reading::Known(Ok(value)) => Reading::Known(Ok(match value {
                Some(Value::Int(number)) => Some(Value::Int(number.wrapping_neg())),
                Some(Value::Long(number)) => Some(Value::Long(number.wrapping_neg())),
                Some(Value::Double(number)) => Some(Value::Double(-number)),
                _ => None,
            })),
            open => reading(each(open, |value| value.map_or(Truth::Error, |_| Truth::Null))),
        }
    }

    /// Null when only the left side is; two nulls are equal.
    fn equal(&self, equal: &'m Equal) -> Outcome {
        // What most subscriptions are made of goes the short way.
        if let (Operand::Property(place), Operand::Text(text)) = (&equal.left, &equal.right) {
            let same = |value: &[u8]| truth_of((value == text.as_bytes()) != equal.negated);
            return Outcome::of(self.properties[*place].map_or(Truth::Null, same));
        }
        let outcome = pairs(self.operand(&equal.left), self.operand(&equal.right), |left, right| match (left, right) {
            (Err(Incomparable), _) | (_, Err(Incomparable)) => Truth::Error,
            (Ok(None), Ok(None)) => Truth::True,
            (Ok(None), Ok(Some(_))) => Truth::Null,
            (Ok(Some(_)), Ok(None)) => Truth::False,
            (Ok(Some(left)), Ok(Some(right))) => match value::compare(left, right) {
                Ok(order) => truth_of(order == Ordering::Equal),
                Err(Incomparable) => Truth::Error,
            },
        });
        if equal.negated { outcome.not() } else { outcome }
    }

    /// Null when either side is. The right side is not looked at when the left one decides.
    fn order(&self, left: &'m Operand, comparison: Comparison, right: &'m Operand) -> Outcome {
        let left = self.operand(left);
        match left {
            Reading::Known(Ok(None)) => return Outcome::of(Truth::Null),
            Reading::Known(Err(Incomparable)) => return Outcome::of(Truth::Error),
            _ => {}
        }
        pairs(left, self.operand(right), |left, right| match (left, right) {
            (Ok(None), _) => Truth::Null,
            (Err(Incomparable), _) | (_, Err(Incomparable)) => Truth::Error,
            (_, Ok(None)) => Truth::Null,
            (Ok(Some(left)), Ok(Some(right))) => match value::order(left, right) {
                Ok(order) => truth_of(match comparison {
                    Comparison::Greater => order.is_gt(),
                    Comparison::GreaterOrEqual => order.is_ge(),
                    Comparison::Less => order.is_lt(),
                    Comparison::LessOrEqual => order.is_le(),
                }),
                Err(Incomparable) => Truth::Error,
            },
        })
    }

    fn in_list(&self, list: &In) -> Outcome {
        let Some(text) = self.properties[list.place] else { return Outcome::of(Truth::Null) };
        let among = if list.texts.len() <= FEW_TEXTS {
            list.texts.iter().any(|listed| listed.as_bytes() == text)
        } else {
            list.texts.binary_search_by(|listed| listed.as_bytes().cmp(text)).is_ok()
        };
        Outcome::of(truth_of(among != list.negated))
    }

    /// False, negated or not, when there is no text to search in or for.
    fn search(&self, search: &'m Search) -> Outcome {
        let needle = search.needle.needle();
        if needle.is_empty() {
            return Outcome::of(Truth::False);
        }
        each(self.operand(&search.operand), |value| match value {
            Ok(Some(Value::Text(text))) => {
                let found = match search.side {
                    Side::Anywhere => search.needle.find(text).is_some(),
                    Side::Start => text.starts_with(needle),
                    Side::End => text.ends_with(needle),
                };
                truth_of(found != search.negated)
            }
            Ok(_) => Truth::False,
            Err(Incomparable) => Truth::Error,
        })
    }
}

fn truth_of(condition: bool) -> Truth {
    if condition { Truth::True } else { Truth::False }
}

/// A condition as a value.
fn reading<'m>(outcome: Outcome) -> Reading<'m> {
    outcome.truth().map_or(Reading::Open(outcome), |truth| Reading::Known(as_value(truth)))
}

fn as_value<'m>(truth: Truth) -> Result<Option<Value<'m>>, Incomparable> {
    match truth {
        Truth::True => Ok(Some(Value::Bool(true))),
        Truth::False => Ok(Some(Value::Bool(false))),
        Truth::Null => Ok(None),
        Truth::Error => Err(Incomparable),
    }
}

/// The results of `test` for everything that the operand may be.
fn each<'m>(operand: Reading<'m>, test: impl Fn(Result<Option<Value<'m>>, Incomparable>) -> Truth) -> Outcome {
    match operand {
        Reading::Known(value) => Outcome::of(test(value)),
        Reading::Open(outcome) => outcome.map(|truth| test(as_value(truth))),
    }
}

/// The results of `test` for every pair that the operands may be.
fn pairs<'m>(
    left: Reading<'m>,
    right: Reading<'m>,
    test: impl Fn(Result<Option<Value<'m>>, Incomparable>, Result<Option<Value<'m>>, Incomparable>) -> Truth,
) -> Outcome {
    match (left, right) {
        (Reading::Known(left), Reading::Known(right)) => Outcome::of(test(left, right)),
        (Reading::Known(left), right) => each(right, |right| test(left, right)),
        (left, Reading::Known(right)) => each(left, |left| test(left, right)),
        (Reading::Open(left), Reading::Open(right)) => {
            left.map_each(|left| right.map(|right| test(as_value(left), as_value(right))))
        }
    }
}
