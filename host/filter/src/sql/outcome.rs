//! What a condition turns out to be, and what it may still turn out to be while functions have not answered.

/// The result of a condition on one message, as RocketMQ's evaluator has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    /// The message is selected.
    True,
    /// It is not.
    False,
    /// SQL's unknown, as of a missing property: not selected, and neither is its negation.
    Null,
    /// A text is no number, or two values cannot be compared: not selected, whatever stands around it.
    Error,
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const NULL: u8 = 4;
const ERROR: u8 = 8;

impl Truth {
    const ALL: [Truth; 4] = [Truth::True, Truth::False, Truth::Null, Truth::Error];

    const fn bit(self) -> u8 {
        match self {
            Truth::True => TRUE,
            Truth::False => FALSE,
            Truth::Null => NULL,
            Truth::Error => ERROR,
        }
    }
}

/// The results that are still possible: one when all is known, several while they depend on functions that have not
/// answered.
///
/// Invariant: `open` names the functions on which it depends which of several it is, and none when it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    possible: u8,
    open: u32,
}

impl Outcome {
    /// One result, for certain.
    pub const fn of(truth: Truth) -> Self {
        Outcome { possible: truth.bit(), open: 0 }
    }

    /// True or false, as the function of this number (below 32) will say.
    pub(crate) const fn open(function: usize) -> Self {
        Outcome { possible: TRUE | FALSE, open: 1 << function }
    }

    fn new(possible: u8, open: u32) -> Self {
        Outcome { possible, open: if possible.is_power_of_two() { 0 } else { open } }
    }

    /// The result, if it is known.
    pub fn truth(self) -> Option<Truth> {
        Truth::ALL.into_iter().find(|truth| truth.bit() == self.possible)
    }

    /// What becomes of it when `change` is applied to whatever it is.
    pub(super) fn map(self, change: impl Fn(Truth) -> Truth) -> Self {
        Outcome::new(self.truths().fold(0, |possible, truth| possible | change(truth).bit()), self.open)
    }

    /// The same where the change is not certain itself.
    pub(super) fn map_each(self, change: impl Fn(Truth) -> Outcome) -> Self {
        let none = (0, self.open);
        let (possible, open) = self
            .truths()
            .map(change)
            .fold(none, |(possible, open), outcome| (possible | outcome.possible, open | outcome.open));
        Outcome::new(possible, open)
    }

    /// The results that are possible.
    fn truths(self) -> impl Iterator<Item = Truth> {
        Truth::ALL.into_iter().filter(move |truth| self.possible & truth.bit() != 0)
    }

    /// Whether the message is selected, as far as that is known: only `True` selects, so false, null and error need not be
    /// told apart.
    pub fn selects(self) -> Option<bool> {
        match self.possible {
            TRUE => Some(true),
            several if several & TRUE != 0 => None,
            _ => Some(false),
        }
    }

    /// Whether the result depends on the function of this number.
    pub(crate) fn depends_on(self, function: usize) -> bool {
        self.open & (1 << function) != 0
    }

    /// `NOT`: null and error stay what they are.
    pub(super) fn not(self) -> Self {
        let swapped = (self.possible & TRUE) << 1 | (self.possible & FALSE) >> 1;
        Outcome { possible: swapped | self.possible & (NULL | ERROR), open: self.open }
    }

    /// `self AND right`. The right side is looked at unless the left one is false or an error, so its own error counts
    /// only then; false decides over null.
    pub(super) fn and(self, right: impl FnOnce() -> Self) -> Self {
        self.combine(FALSE, TRUE, right)
    }

    /// `self OR right`, the same with true and false exchanged.
    pub(super) fn or(self, right: impl FnOnce() -> Self) -> Self {
        self.combine(TRUE, FALSE, right)
    }

    /// `decides` on either side is the result; `neutral` leaves it to the other side; null with neutral is null.
    #[inline]
    fn combine(self, decides: u8, neutral: u8, right: impl FnOnce() -> Self) -> Self {
        if self.possible == neutral {
            return right();
        }
        let ends = decides | ERROR;
        if self.possible & !ends == 0 {
            return self;
        }
        let right = right();
        let mut possible = (self.possible | right.possible) & ends;
        if self.possible & neutral != 0 {
            possible |= right.possible & !ends;
        }
        if self.possible & NULL != 0 && right.possible & !ends != 0 {
            possible |= NULL;
        }
        Outcome::new(possible, self.open | right.open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of results on both sides against one result at a time, by the rules as RocketMQ's evaluator states them.
    #[test]
    fn sets_combine_as_their_members_do() {
        use Truth::*;
        fn and(left: Truth, right: Truth) -> Truth {
            match (left, right) {
                (False | Error, _) => left,
                (_, False | Error) => right,
                (True, True) => True,
                _ => Null,
            }
        }
        fn or(left: Truth, right: Truth) -> Truth {
            match (left, right) {
                (True | Error, _) => left,
                (_, True | Error) => right,
                (False, False) => False,
                _ => Null,
            }
        }
        fn not(truth: Truth) -> Truth {
            match truth {
                True => False,
                False => True,
                other => other,
            }
        }
        let set = |truths: &mut dyn Iterator<Item = Truth>| truths.fold(0, |set, truth| set | truth.bit());
        for left in 1..16u8 {
            let left = Outcome::new(left, 1);
            assert_eq!(left.not().possible, set(&mut left.truths().map(not)));
            for right in 1..16u8 {
                let right = Outcome::new(right, 2);
                let pairs = || left.truths().flat_map(|left| right.truths().map(move |right| (left, right)));
                for (found, rule) in [(left.and(|| right), and as fn(_, _) -> _), (left.or(|| right), or)] {
                    assert_eq!(found.possible, set(&mut pairs().map(|(left, right)| rule(left, right))));
                    assert_eq!(found.open == 0, found.truth().is_some(), "{left:?} {right:?}");
                }
            }
        }
    }

    #[test]
    fn what_decides_is_not_looked_beyond() {
        let unseen = || panic!("looked at");
        assert_eq!(Outcome::of(Truth::False).and(unseen).truth(), Some(Truth::False));
        assert_eq!(Outcome::of(Truth::True).or(unseen).truth(), Some(Truth::True));
        assert_eq!(Outcome::of(Truth::Error).or(unseen).truth(), Some(Truth::Error));
        let open = Outcome::open(3);
        assert_eq!(open.and(|| Outcome::of(Truth::False)), Outcome::of(Truth::False), "the function does not matter");
        assert!(open.or(|| Outcome::of(Truth::Null)).depends_on(3));
        assert_eq!(open.and(|| Outcome::of(Truth::Null)).selects(), Some(false), "null or false: not selected");
    }
}
