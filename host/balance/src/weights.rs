//! `select-queue`: drawing a queue by weight.

use crate::Fault;

/// Draws are numbers below 2^63, so that the end of the last queue is one as well.
const DRAWS_BITS: u32 = 63;

/// 2^64 divided by the golden ratio, made odd: its multiples spread over the 64-bit numbers more evenly than those of any
/// other factor.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Queues with their shares, made once a second and drawn from with every message.
///
/// Each queue owns an interval of the draws as long as its share. Draws are the multiples of a factor without a near period,
/// not random: after any number of turns a queue has been drawn its share of them, give or take a few, so no queue gets a run
/// of bad luck. A draw is found by its top bits in a table that is as long as there are queues, and from there it is one or two
/// steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// Where the draws of queue `i` end.
    ends: Vec<u64>,
    /// For each value of a draw's top bits, the first queue that it can mean.
    first: Vec<u32>,
    /// How far a draw is shifted to leave these bits.
    shift: u32,
}

impl Weights {
    /// Weights of queues `0..weights.len()`; a weight of 0 takes a queue out.
    pub fn new(weights: &[u32]) -> Result<Weights, Fault> {
        let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
        if total == 0 {
            return Err(Fault(format!("select-queue: all {} weights are 0", weights.len())));
        }
        let mut sum = 0;
        let end = |weight: &u32| {
            sum += u128::from(*weight);
            // At most 2^63: `sum` is at most `total`.
            ((sum << DRAWS_BITS) / total) as u64
        };
        let ends: Vec<u64> = weights.iter().map(end).collect();
        let bits = weights.len().next_power_of_two().trailing_zeros();
        let shift = DRAWS_BITS - bits;
        let first = (0..1u64 << bits).map(|top| ends.partition_point(|end| *end <= top << shift) as u32).collect();
        Ok(Weights { ends, first, shift })
    }

    /// How many queues they are for.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: weights without a queue are none.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The queue of the `turn`th message.
    pub fn at(&self, turn: u64) -> u32 {
        self.of_draw(turn.wrapping_mul(GOLDEN) >> (u64::BITS - DRAWS_BITS))
    }

    fn of_draw(&self, draw: u64) -> u32 {
        let mut queue = self.first[(draw >> self.shift) as usize];
        while draw >= self.ends[queue as usize] {
            queue += 1;
        }
        queue
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(weights: &[u32], turns: std::ops::Range<u64>) -> Vec<u64> {
        let weights = Weights::new(weights).unwrap();
        let mut counts = vec![0; weights.len()];
        turns.for_each(|turn| counts[weights.at(turn) as usize] += 1);
        counts
    }

    #[test]
    fn without_any_weight_there_is_no_choice() {
        assert_eq!(Weights::new(&[0, 0]).unwrap_err().to_string(), "select-queue: all 2 weights are 0");
        assert!(Weights::new(&[]).is_err());
    }

    #[test]
    fn queues_without_weight_are_never_drawn() {
        for weights in [&[0, 1, 0, 0, 2, 0][..], &[0, 0, 7], &[7, 0, 0]] {
            let counts = drawn(weights, 0..10_000);
            assert!(weights.iter().zip(&counts).all(|(weight, count)| (*weight == 0) == (*count == 0)), "{counts:?}");
        }
    }

    /// Small numbers of messages are spread as the weights say, wherever the count of turns stands.
    #[test]
    fn draws_are_smooth() {
        for start in [0, 1_000_003, u64::MAX - 20] {
            let even = drawn(&[1; 4], start..start.saturating_add(16));
            assert!(even.iter().all(|count| (3..=5).contains(count)), "{even:?} from {start}");
        }
        assert_eq!(drawn(&[3, 1], 0..4), [3, 1]);
        let steep = drawn(&[90, 9, 1], 0..1_000);
        assert!((895..=905).contains(&steep[0]) && (85..=95).contains(&steep[1]), "{steep:?}");
    }

    proptest! {
        /// Each queue owns its share of all possible draws to within one of 2^63, computed and not sampled.
        #[test]
        fn shares_are_exact(weights in prop::collection::vec(prop_oneof![Just(0), 0u32..100, any::<u32>()], 1..200)) {
            let total: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
            prop_assume!(total > 0);
            let table = Weights::new(&weights).unwrap();
            let mut begin = 0;
            for (queue, weight) in weights.iter().enumerate() {
                let end = table.ends[queue];
                let (owned, share) = (u128::from(end - begin), (u128::from(*weight) << DRAWS_BITS) / total);
                prop_assert!(owned.abs_diff(share) <= 1, "queue {} owns {} of {}", queue, owned, share);
                // The interval is what is drawn.
                if end > begin {
                    for draw in [begin, begin + (end - begin) / 2, end - 1] {
                        prop_assert_eq!(table.of_draw(draw) as usize, queue);
                    }
                }
                begin = end;
            }
            prop_assert_eq!(begin, 1 << DRAWS_BITS);
        }

        /// After any number of turns from anywhere, no queue is far from its share: an interval of the multiples of the golden
        /// ratio is off by a few times the logarithm of the turns at most.
        #[test]
        fn no_queue_is_far_from_its_share(
            weights in prop::collection::vec(0u32..1_000, 1..40),
            start in any::<u32>(),
            turns in 1u64..20_000,
        ) {
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            prop_assume!(total > 0);
            let start = u64::from(start);
            let bound = 2.0 + 2.0 * (turns as f64).log2();
            for (weight, count) in weights.iter().zip(drawn(&weights, start..start + turns)) {
                let expected = turns as f64 * f64::from(*weight) / total as f64;
                prop_assert!((count as f64 - expected).abs() <= bound, "{} for {}", count, expected);
            }
        }
    }
}
