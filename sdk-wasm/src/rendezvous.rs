//! Sharing queues among consumers by rendezvous hashing with bounded loads: who gets what follows from the question alone, so
//! all brokers agree, and few queues change hands when a member comes or goes.

use crate::hash::mix;

/// Gives each queue to a member: to the one with the highest score of the pair, among those that have room.
///
/// `queues` and `members` are [`stable_hash`](crate::hash::stable_hash)es of what identifies them, in an order that every
/// broker has. `held` says how many queues each member has already (missing ones: none). With `slack_percent` 0 all end up
/// with the same number, or one apart; with more, a member may have that much more than its fair share, rounded up,
/// which spares queues a change of hands. Returns for each queue the index of its member; nothing when there are no members.
///
/// Takes queues × members steps: a thousand queues and a hundred members well under a millisecond.
pub fn share(queues: &[u64], members: &[u64], held: &[usize], slack_percent: usize) -> Vec<usize> {
    if members.is_empty() {
        return Vec::new();
    }
    let mut loads: Vec<usize> = (0..members.len()).map(|member| held.get(member).copied().unwrap_or(0)).collect();
    let mut room = Room::new(queues.len(), &loads, slack_percent);
    let give = |queue: &u64| {
        let mut best: Option<(u64, usize)> = None;
        for (index, (member, load)) in members.iter().zip(&loads).enumerate() {
            let score = mix(queue.wrapping_add(*member));
            if best.is_none_or(|(highest, _)| score > highest) && room.is_for(*load) {
                best = Some((score, index));
            }
        }
        // There is always room for one more: the level is chosen so.
        let member = best.map_or(0, |(_, index)| index);
        loads[member] += 1;
        room.taken(loads[member]);
        member
    };
    queues.iter().map(give).collect()
}

/// How many queues a member may have.
struct Room {
    most: usize,
    /// So many more members may come to `most`.
    full_left: usize,
}

impl Room {
    fn new(queues: usize, held: &[usize], slack_percent: usize) -> Self {
        let below = |level: usize| held.iter().map(|held| level.saturating_sub(*held)).sum::<usize>();
        // The lowest level to which all queues fill the members up.
        let all = queues + held.iter().sum::<usize>();
        let mut level = all.div_ceil(held.len());
        while level > 0 && below(level - 1) >= queues {
            level -= 1;
        }
        while below(level) < queues {
            level += 1;
        }
        match slack_percent {
            0 => Room { most: level, full_left: queues - below(level.saturating_sub(1)).min(queues) },
            slack => {
                let most = (all * (100 + slack)).div_ceil(100 * held.len());
                Room { most: most.max(level), full_left: usize::MAX }
            }
        }
    }

    fn is_for(&self, load: usize) -> bool {
        load + 1 < self.most || (load + 1 == self.most && self.full_left > 0)
    }

    fn taken(&mut self, load: usize) {
        if load == self.most {
            self.full_left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::stable_hash;

    fn hashes(prefix: &str, count: usize) -> Vec<u64> {
        (0..count).map(|index| stable_hash(format!("{prefix}{index}").as_bytes())).collect()
    }

    fn loads(owners: &[usize], members: usize) -> Vec<usize> {
        (0..members).map(|member| owners.iter().filter(|owner| **owner == member).count()).collect()
    }

    #[test]
    fn without_slack_all_have_the_same_number_or_one_apart() {
        for (queues, members) in [(8, 4), (10, 4), (3, 5), (1_000, 100), (7, 1)] {
            let mut counts = loads(&share(&hashes("q", queues), &hashes("m", members), &[], 0), members);
            counts.sort_unstable();
            assert_eq!(counts.iter().sum::<usize>(), queues);
            assert!(counts[members - 1] - counts[0] <= 1, "{queues} queues, {members} members: {counts:?}");
        }
        assert!(share(&hashes("q", 3), &[], &[], 0).is_empty());
    }

    #[test]
    fn what_members_hold_already_counts() {
        // 5 + 1 + 0 held and 6 to give: 12 in all, 4 each, but the first has 5; so 4 and 3 for the others.
        let owners = share(&hashes("q", 6), &hashes("m", 3), &[5, 1, 0], 0);
        let given = loads(&owners, 3);
        assert_eq!(given[0], 0);
        let mut ends = [given[1] + 1, given[2]];
        ends.sort_unstable();
        assert_eq!(ends, [3, 4]);
    }

    /// How many of 1,000 queues change hands when one of 100 members leaves, with the most that a member had before.
    fn departure(gone: usize, slack_percent: usize) -> (usize, usize) {
        let (queues, members) = (hashes("broker:", 1_000), hashes("client-", 100));
        let mut fewer = members.clone();
        fewer.remove(gone);
        let before = share(&queues, &members, &[], slack_percent);
        let after = share(&queues, &fewer, &[], slack_percent);
        let stayed = before.iter().zip(&after).filter(|(before, after)| members[**before] == fewer[**after]).count();
        (1_000 - stayed, loads(&before, 100).into_iter().max().unwrap_or(0))
    }

    #[test]
    fn slack_bounds_the_load_and_spares_moves() {
        // A member has about 10 of them: no fewer can move.
        for gone in [0, 17, 99] {
            let (moved, most) = departure(gone, 25);
            assert!(moved <= 20 && most <= 13, "{moved} moved, {most} the most");
            let (moved, most) = departure(gone, 0);
            assert!(moved <= 80 && most == 10, "{moved} moved, {most} the most");
        }
    }
}
