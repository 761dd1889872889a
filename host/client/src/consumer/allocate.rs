//! Which member of a group gets which queue. Every member computes the same from the same lists.

use crate::Queue;

/// How the queues of a topic are shared out among the members of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Allocation {
    /// In even runs by the order of client ids; Java's default, so that groups may mix clients.
    #[default]
    Average,
    /// Everything to this member, whoever else there is.
    All,
}

impl Allocation {
    /// The queues of `me`, out of all `queues` in their order.
    pub(super) fn allot(self, queues: Vec<Queue>, mut members: Vec<String>, me: &str) -> Vec<Queue> {
        if self == Allocation::All {
            return queues;
        }
        members.sort_unstable();
        members.dedup();
        let Some(place) = members.iter().position(|member| member == me) else { return Vec::new() };
        let (each, more) = (queues.len() / members.len(), queues.len() % members.len());
        // The first `more` members get one queue more.
        let start = place * each + place.min(more);
        let count = each + usize::from(place < more);
        queues.into_iter().skip(start).take(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allotted(queues: u32, members: &[&str], me: &str) -> Vec<u32> {
        let queues = (0..queues).map(|id| Queue { topic: "t".into(), broker: "b".into(), id }).collect();
        let members = members.iter().map(|member| (*member).to_owned()).collect();
        Allocation::Average.allot(queues, members, me).into_iter().map(|queue| queue.id).collect()
    }

    #[test]
    fn averages_like_java() {
        assert_eq!(allotted(8, &["c", "a", "b"], "a"), [0, 1, 2]);
        assert_eq!(allotted(8, &["c", "a", "b"], "b"), [3, 4, 5]);
        assert_eq!(allotted(8, &["c", "a", "b"], "c"), [6, 7]);
        assert_eq!(allotted(2, &["a", "b", "c"], "c"), [0u32; 0]);
        assert_eq!(allotted(2, &["a"], "stranger"), [0u32; 0], "a member that the broker does not know gets nothing");
        assert_eq!(allotted(0, &["a"], "a"), [0u32; 0]);
    }
}
