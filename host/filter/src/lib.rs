//! Which messages a pull selects: those that the client's subscription asks for *and* the bound plugin delivers.
//!
//! A [`Selector`] lives for one look at a queue. It answers twice: for an entry of the consume queue, by its tag code,
//! before anything is read ([`Selector::admits_entry`]); and for the messages that were read, in batches
//! ([`Selector::judge`]). Native and wasm filters share this path. The exact text of a tag is the client's own check:
//! codes of different tags may be equal, and RocketMQ's clients compare the text again.

use std::sync::Arc;

use gantry_model::{message::MessageView, subscription::Subscription};
pub use gantry_plugin::Verdict;
use gantry_plugin::{Binding, NotReady, Run};

/// Messages to read at a time when no plugin is asked.
pub const NATIVE_BATCH: usize = 32;

/// What one look at a queue selects.
pub struct Selector {
    subscription: Arc<Subscription>,
    plugin: Bound,
}

enum Bound {
    Nothing,
    To(Run),
    Failing(NotReady),
}

impl Selector {
    /// Pins the version of the bound plugin that serves now, for as long as the selector lives.
    pub fn new(subscription: Arc<Subscription>, binding: Option<Arc<Binding>>) -> Self {
        let plugin = match binding.map(|binding| binding.pin()) {
            None => Bound::Nothing,
            Some(Ok(run)) => Bound::To(run),
            Some(Err(reason)) => Bound::Failing(reason),
        };
        Selector { subscription, plugin }
    }

    /// Whether the record of an entry with this tag code is worth reading. May say yes to one that `judge` then skips,
    /// never no to one that it would deliver.
    pub fn admits_entry(&self, tag_code: i64) -> bool {
        let plugin_admits = match &self.plugin {
            Bound::To(run) => run.tags().is_none_or(|tags| tags.admits_code(tag_code)),
            Bound::Nothing | Bound::Failing(_) => true,
        };
        plugin_admits && self.subscription.accepts_code(tag_code)
    }

    /// Whether every record that `admits_entry` let through is delivered as it is, so that it need not be parsed.
    pub fn admits_every_record(&self) -> bool {
        matches!(self.plugin, Bound::Nothing)
    }

    /// How many messages to hand to one `judge` at best.
    pub fn max_batch(&self) -> usize {
        match &self.plugin {
            Bound::To(run) => run.max_batch(),
            Bound::Nothing => NATIVE_BATCH,
            // Nothing is decided: reading more than one would be for nothing.
            Bound::Failing(_) => 1,
        }
    }

    /// Whether `judge` should be called where blocking is allowed.
    pub fn wants_blocking(&self) -> bool {
        matches!(&self.plugin, Bound::To(run) if run.wants_blocking())
    }

    /// Version of the plugin that judges, as `name@hash`.
    pub fn label(&self) -> Option<String> {
        match &self.plugin {
            Bound::To(run) => Some(run.label().to_owned()),
            Bound::Nothing | Bound::Failing(_) => None,
        }
    }

    /// Appends verdicts for `messages`, all of one queue, in order. Ends early with [`Verdict::Undecided`] at a message that
    /// the plugin cannot decide. Gives no verdict at all when the plugin is about to be there: then the right thing is to
    /// wait, whatever the binding's `on_error` says.
    pub fn judge(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
        match &mut self.plugin {
            Bound::Nothing => verdicts.extend(messages.iter().map(|_| Verdict::Deliver)),
            Bound::To(run) => run.judge(messages, verdicts),
            Bound::Failing(reason) if reason.soon => {}
            Bound::Failing(_) => verdicts.extend(messages.first().map(|_| Verdict::Undecided)),
        }
    }

    /// Why the last message could not be decided.
    pub fn undecided_reason(&self) -> String {
        match &self.plugin {
            Bound::To(run) => run.fault().unwrap_or("the filter cannot decide this message").to_owned(),
            Bound::Failing(reason) => reason.to_string(),
            Bound::Nothing => "no filter is bound".to_owned(),
        }
    }
}
