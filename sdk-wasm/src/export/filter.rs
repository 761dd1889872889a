//! The world `message-filter`.

use std::{cell::RefCell, collections::BTreeMap};

use crate::{
    bindings::filter::exports::gantry::plugin::filter as wit,
    column::Columns,
    export::{Exported, Identity, lifecycle},
    filter::{Filter, Subscription, Verdict},
};

/// A filter opened for one subscription, whatever its type.
trait Opened {
    fn evaluate(&self, batch: &wit::Batch) -> Vec<u8>;
}

impl<F: Filter> Opened for F {
    fn evaluate(&self, batch: &wit::Batch) -> Vec<u8> {
        (0..batch.count as usize).map(|index| verdict_byte(self.keep(&F::Row::read(&batch.columns, index)))).collect()
    }
}

fn verdict_byte(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Skip => 0,
        Verdict::Deliver => 1,
        Verdict::Undecided => 2,
    }
}

thread_local! {
    static OPENED: RefCell<BTreeMap<u32, Box<dyn Opened>>> = const { RefCell::new(BTreeMap::new()) };
}

lifecycle!(filter, F: Filter, F::self_check(), |_params| Ok::<(), String>(()));

impl<F: Filter + Identity> wit::Guest for Exported<F> {
    fn open(id: u32, subscription: wit::Subscription) -> Result<wit::Plan, String> {
        let wit::Subscription { group, topic, params } = subscription;
        let params = params.into_iter().map(|pair| (pair.name, pair.value)).collect();
        let (filter, plan) = open::<F>(&Subscription { topic, group, params })?;
        OPENED.with_borrow_mut(|opened| opened.insert(id, Box::new(filter)));
        Ok(plan)
    }

    fn evaluate(id: u32, batch: wit::Batch) -> Vec<u8> {
        // An unknown id gets no verdicts, which the host takes for the fault it is.
        OPENED.with_borrow(|opened| opened.get(&id).map(|filter| filter.evaluate(&batch)).unwrap_or_default())
    }
}

/// Opens a filter and takes its plan; the test double does the same.
pub(crate) fn open<F: Filter>(subscription: &Subscription) -> Result<(F, wit::Plan), String> {
    let filter = F::open(subscription)?;
    let plan = wit::Plan { columns: filter.columns(), tags: filter.tags(), max_batch: filter.max_batch() };
    Ok((filter, plan))
}
