//! `assign`: which member of a group gets which queue. Source: RocketMQ `AllocateMessageQueueAveragely`,
//! `AllocateMessageQueueAveragelyByCircle`, `QueryAssignmentProcessor`.
//!
//! Members and queues are sorted, and every broker knows the same of both; so any of them can be asked, and all agree. Queues
//! are named by their place.

use crate::Fault;

/// RocketMQ's strategies that need nothing but counts; clients name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllocationStrategy {
    /// `AVG`: runs of queues that follow each other, as long as those of the others; the first members get one more.
    Average,
    /// `AVG_BY_CIRCLE`: the queues in turn.
    Circle,
}

impl AllocationStrategy {
    /// The strategy that a client means.
    pub fn named(name: &str) -> Option<AllocationStrategy> {
        match name {
            "AVG" => Some(AllocationStrategy::Average),
            "AVG_BY_CIRCLE" => Some(AllocationStrategy::Circle),
            _ => None,
        }
    }

    /// The queues, out of `queues`, of the member at `place` of `members`, which is at least 1.
    pub fn share(self, queues: u32, members: u32, place: u32) -> Vec<u32> {
        match self {
            AllocationStrategy::Average => {
                let (each, more) = (queues / members, queues % members);
                let start = place * each + place.min(more);
                (start..start + each + u32::from(place < more)).collect()
            }
            AllocationStrategy::Circle => (place..queues).step_by(members as usize).collect(),
        }
    }
}

/// What a member takes from with POP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PopShare {
    /// Every queue of every broker.
    Everything,
    /// These.
    Queues(Vec<u32>),
}

/// With POP several members may take from one queue: each takes from its own share and from those of the `more` members that
/// follow it. From all queues when `more` is not positive or means every other member; one queue for each when there are
/// more members than queues, so that nobody goes without.
pub fn pop_share(more: i32, queues: u32, members: u32, place: u32, share: impl Fn(u32) -> Vec<u32>) -> PopShare {
    let more = u32::try_from(more).unwrap_or(0);
    if more == 0 || more >= members.saturating_sub(1) {
        return PopShare::Everything;
    }
    if members > queues {
        return PopShare::Queues(if queues == 0 { Vec::new() } else { vec![place % queues] });
    }
    PopShare::Queues((0..=more).flat_map(|ahead| share((place + ahead) % members)).collect())
}

/// Checks what a decider says: the members of the question, and every queue exactly once.
pub fn check(shares: &[Vec<u32>], queues: u32, members: usize) -> Result<(), Fault> {
    if shares.len() != members {
        return Err(Fault(format!("assign: {} shares for {members} members", shares.len())));
    }
    let mut given = vec![false; queues as usize];
    for queue in shares.iter().flatten() {
        match given.get_mut(*queue as usize) {
            None => return Err(Fault(format!("assign: queue {queue} of {queues}"))),
            Some(true) => return Err(Fault(format!("assign: queue {queue} is given twice"))),
            Some(given) => *given = true,
        }
    }
    match given.iter().position(|given| !given) {
        Some(left) => Err(Fault(format!("assign: queue {left} is given to nobody"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(strategy: AllocationStrategy, queues: u32, members: u32) -> Vec<Vec<u32>> {
        (0..members).map(|place| strategy.share(queues, members, place)).collect()
    }

    /// Worked out by hand from RocketMQ's formulas.
    #[test]
    fn strategies_are_rocketmqs() {
        assert_eq!(shares(AllocationStrategy::Average, 8, 3), [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7]]);
        assert_eq!(shares(AllocationStrategy::Average, 2, 3), [vec![0], vec![1], vec![]]);
        assert_eq!(shares(AllocationStrategy::Average, 4, 4), [vec![0], vec![1], vec![2], vec![3]]);
        assert_eq!(shares(AllocationStrategy::Circle, 8, 3), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!(shares(AllocationStrategy::Circle, 2, 3), [vec![0], vec![1], vec![]]);
        assert_eq!(AllocationStrategy::named("AVG"), Some(AllocationStrategy::Average));
        assert_eq!(AllocationStrategy::named("AVG_BY_CIRCLE"), Some(AllocationStrategy::Circle));
        for other in ["avg", "CONSISTENT_HASH", "MACHINE_ROOM", "MACHINE_ROOM_NEARBY-AVG", "CONFIG", ""] {
            assert_eq!(AllocationStrategy::named(other), None, "{other}");
        }
    }

    #[test]
    fn pop_takes_from_the_next_members_too() {
        let share = |place| AllocationStrategy::Average.share(8, 4, place);
        assert_eq!(pop_share(1, 8, 4, 0, share), PopShare::Queues(vec![0, 1, 2, 3]));
        assert_eq!(pop_share(2, 8, 4, 3, share), PopShare::Queues(vec![6, 7, 0, 1, 2, 3]), "around the end");
        for everything in [0, -1, 3, 4, i32::MAX, i32::MIN] {
            assert_eq!(pop_share(everything, 8, 4, 0, share), PopShare::Everything, "{everything}");
        }
        let few = |place| AllocationStrategy::Average.share(2, 5, place);
        assert_eq!((0..5).map(|place| pop_share(1, 2, 5, place, few)).collect::<Vec<_>>(), {
            [0, 1, 0, 1, 0].map(|queue| PopShare::Queues(vec![queue]))
        });
        assert_eq!(pop_share(-1, 8, 1, 0, share), PopShare::Everything);
        assert_eq!(pop_share(1, 8, 1, 0, share), PopShare::Everything, "alone");
    }

    #[test]
    fn what_leaves_out_or_doubles_a_queue_is_a_fault() {
        let fault = |shares: &[Vec<u32>], members| check(shares, 3, members).unwrap_err().to_string();
        assert_eq!(check(&[vec![2, 0], vec![1]], 3, 2), Ok(()));
        assert_eq!(check(&[vec![], vec![0, 1, 2]], 3, 2), Ok(()));
        assert_eq!(fault(&[vec![0, 1, 2]], 2), "assign: 1 shares for 2 members");
        assert_eq!(fault(&[vec![0, 1], vec![3]], 2), "assign: queue 3 of 3");
        assert_eq!(fault(&[vec![0, 1], vec![1, 2]], 2), "assign: queue 1 is given twice");
        assert_eq!(fault(&[vec![0], vec![2]], 2), "assign: queue 1 is given to nobody");
    }

    proptest! {
        #[test]
        fn every_queue_is_given_once_and_evenly(
            queues in 0u32..400,
            members in 1u32..60,
            strategy in prop_oneof![Just(AllocationStrategy::Average), Just(AllocationStrategy::Circle)],
        ) {
            let shares = shares(strategy, queues, members);
            prop_assert_eq!(check(&shares, queues, members as usize), Ok(()));
            let sizes = || shares.iter().map(Vec::len);
            prop_assert!(sizes().max().unwrap_or(0) - sizes().min().unwrap_or(0) <= 1);
        }

        /// Every queue is taken from by some member, and by `more + 1` of them where there are as many queues.
        #[test]
        fn with_pop_no_queue_is_left_out(queues in 1u32..60, members in 1u32..40, more in 1i32..10) {
            let mut takers = vec![0; queues as usize];
            for place in 0..members {
                let share = |place| AllocationStrategy::Average.share(queues, members, place);
                let mine = match pop_share(more, queues, members, place, share) {
                    PopShare::Everything => (0..queues).collect(),
                    PopShare::Queues(mine) => mine,
                };
                prop_assert!(!mine.is_empty());
                mine.iter().for_each(|queue| takers[*queue as usize] += 1);
            }
            prop_assert!(takers.iter().all(|takers| *takers > 0), "{:?}", takers);
            if members <= queues && (more as u32) < members - 1 {
                prop_assert!(takers.iter().all(|takers| *takers == more + 1), "{:?}", takers);
            }
        }
    }
}
