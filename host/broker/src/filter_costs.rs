//! What each group's SQL92 subscription costs, for status and metrics.

use std::{collections::BTreeMap, sync::Arc};

use gantry_base::metric::{Family, Sink};
use gantry_filter::sql::SqlCost;
use parking_lot::Mutex;
use serde::Serialize;

static MESSAGES: Family = Family::counter(
    "gantry_sql92_messages_total",
    "Messages judged by a group's SQL92 subscription, by what it evaluated to.",
);
static TIME: Family = Family::counter("gantry_sql92_seconds_total", "Time spent evaluating it, without its functions.");

/// Pairs of topic and group whose costs are kept apart. Beyond it those that no subscription uses any more make room, and
/// if none does, the cost of a new pair is not kept.
const PAIRS_MAX: usize = 10_000;

/// What the native part of one group's SQL92 subscription of one topic cost since the broker started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FilterCost {
    /// The topic.
    pub topic: String,
    /// The group.
    pub group: String,
    /// Messages judged.
    pub messages: u64,
    /// Of these, those that the expression selects.
    pub passed: u64,
    /// Of these, those for which it is null, as of a missing property.
    pub nulls: u64,
    /// Of these, those on which it failed, such as a text compared with a number.
    pub errors: u64,
    /// Time spent on it.
    pub nanoseconds: u64,
}

/// The counters, by topic and group.
#[derive(Default)]
pub(crate) struct FilterCosts(Mutex<BTreeMap<(String, String), Arc<SqlCost>>>);

impl FilterCosts {
    /// Where a new subscription counts.
    pub(crate) fn of(&self, topic: &str, group: &str) -> Arc<SqlCost> {
        let mut kept = self.0.lock();
        let pair = (topic.to_owned(), group.to_owned());
        if let Some(known) = kept.get(&pair) {
            return known.clone();
        }
        if kept.len() >= PAIRS_MAX {
            kept.retain(|_, cost| Arc::strong_count(cost) > 1);
        }
        let cost = Arc::<SqlCost>::default();
        if kept.len() < PAIRS_MAX {
            kept.insert(pair, cost.clone());
        }
        cost
    }

    /// Tells all of them.
    pub(crate) fn collect(&self, out: &mut dyn Sink) {
        for cost in self.all() {
            let labels = [("topic", cost.topic.as_str()), ("consumer_group", cost.group.as_str())];
            let false_count = cost.messages.saturating_sub(cost.passed + cost.nulls + cost.errors);
            for (result, count) in
                [("true", cost.passed), ("false", false_count), ("null", cost.nulls), ("error", cost.errors)]
            {
                out.number(&MESSAGES, &[labels[0], labels[1], ("result", result)], count as f64);
            }
            out.number(&TIME, &labels, cost.nanoseconds as f64 / 1e9);
        }
    }

    /// All of them, by topic, then group.
    pub(crate) fn all(&self) -> Vec<FilterCost> {
        let kept = self.0.lock();
        let read = |((topic, group), cost): (&(String, String), &Arc<SqlCost>)| FilterCost {
            topic: topic.clone(),
            group: group.clone(),
            messages: cost.messages.get(),
            passed: cost.passed.get(),
            nulls: cost.nulls.get(),
            errors: cost.errors.get(),
            nanoseconds: cost.nanoseconds.get(),
        };
        kept.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_counts_in_one_place_and_unused_ones_make_room() {
        let costs = FilterCosts::default();
        let (first, again) = (costs.of("t", "g"), costs.of("t", "g"));
        first.messages.add(2);
        again.messages.add(3);
        assert_eq!((costs.all().len(), costs.all()[0].messages), (1, 5));

        let held: Vec<_> = (1..PAIRS_MAX).map(|index| costs.of("t", &index.to_string())).collect();
        costs.of("t", "one more").messages.add(1);
        assert_eq!(costs.all().len(), PAIRS_MAX, "all are in use");
        assert!(costs.all().iter().all(|cost| cost.group != "one more"));
        drop(held);
        costs.of("t", "one more").messages.add(1);
        let groups: Vec<_> = costs.all().into_iter().map(|cost| cost.group).collect();
        assert_eq!(groups, ["g", "one more"], "what is in use stays");
    }
}
