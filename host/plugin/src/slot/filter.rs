//! What a filter's instance is asked.

use std::time::Duration;

use gantry_model::message::MessageView;

use super::{Cause, Fault, START_BUDGET, Slot};
use crate::{
    columns::Extractor,
    engine::Runtime,
    exports::WorldExports,
    guest::{JUDGED, Judged},
    wit::{
        filter::exports::gantry::plugin::filter::{self, Batch},
        shapes::Pair,
    },
};

impl Slot {
    /// Opens subscription `id`. The outer error ends the instance, the inner one is the plugin's own no.
    pub(crate) fn open_filter(
        &mut self,
        runtime: &Runtime,
        id: u32,
        (topic, group): (&str, &str),
        params: &[(String, String)],
    ) -> Result<Result<filter::Plan, String>, Fault> {
        let params: Vec<Pair<'_>> = params.iter().map(|(name, value)| Pair { name, value }).collect();
        let subscription = filter::Subscription { group, topic, params: &params };
        self.call(runtime, START_BUDGET, |exports, store| match exports {
            WorldExports::Filter(guest) => Some(guest.gantry_plugin_filter().call_open(store, id, subscription)),
            _ => None,
        })
    }

    pub(crate) fn clear(&mut self, extractor: &Extractor) {
        extractor.clear(&mut self.scratch);
    }

    /// Adds a message to the batch; `false` when the batch should be sent.
    pub(crate) fn push(&mut self, extractor: &Extractor, message: &MessageView<'_>) -> bool {
        extractor.push(&mut self.scratch, message)
    }

    /// Judges the batch that was pushed, which is `judged`. One byte a message, each 0, 1 or 2.
    pub(crate) fn evaluate(
        &mut self,
        runtime: &Runtime,
        budget: Duration,
        id: u32,
        extractor: &Extractor,
        judged: Judged<'_>,
    ) -> Result<Vec<u8>, Fault> {
        let rows = self.scratch.rows();
        let queue_id = judged.messages.first().map_or(0, |message| message.queue_id);
        let scratch = std::mem::take(&mut self.scratch);
        let columns = extractor.columns(&scratch);
        let batch = Batch { queue_id, count: rows as u32, columns: &columns };
        let answer = JUDGED.set(judged, || {
            self.call(runtime, budget, |exports, store| match exports {
                WorldExports::Filter(guest) => Some(guest.gantry_plugin_filter().call_evaluate(store, id, batch)),
                _ => None,
            })
        });
        drop(columns);
        self.scratch = scratch;
        let verdicts = answer?;
        let wrong = |text: String| Err(Fault { cause: Cause::Result, text });
        if verdicts.len() != rows {
            return wrong(format!("it answered {} verdicts for {rows} messages", verdicts.len()));
        }
        match verdicts.iter().find(|verdict| **verdict > 2) {
            Some(verdict) => wrong(format!("it answered the verdict {verdict}, expected 0, 1 or 2")),
            None => Ok(verdicts),
        }
    }
}
