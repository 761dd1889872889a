//! What a message filter is.

use std::ops::Deref;

use crate::{
    column::{Column, Columns},
    params::Params,
};

/// Decides which messages a consumer group sees. The broker keeps several instances of one plugin and opens each of them
/// for every topic and group that it is bound to: keep here what follows from the parameters, nothing that must be true
/// across messages.
pub trait Filter: Sized + 'static {
    /// What is read of each message.
    type Row<'m>: Columns<'m>;

    /// Prepares for one topic and group. An error is a sentence for the operator: the plugin is then not put in service.
    fn open(subscription: &Subscription) -> Result<Self, String>;

    /// Decides one message. Inside `#[filter]` it may as well return `bool`.
    fn keep(&self, row: &Self::Row<'_>) -> Verdict;

    /// Only messages with one of these tags are read from the log at all; empty means all of them.
    fn tags(&self) -> Vec<String> {
        Vec::new()
    }

    /// The columns wanted, in the order of the row. Only a filter that learns its columns from parameters writes it, with
    /// [`Cells`](crate::Cells) as its row.
    fn columns(&self) -> Vec<Column> {
        <Self::Row<'static> as Columns<'static>>::columns()
    }

    /// Most messages in one call, 1 to 256; 0 leaves it to the broker.
    fn max_batch(&self) -> u32 {
        0
    }

    /// Says why this build must not be put in service, before it is.
    fn self_check() -> Result<(), String> {
        Ok(())
    }
}

/// The answer for one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The group does not see it.
    Skip,
    /// The group gets it.
    Deliver,
    /// The plugin cannot say; the binding's `on_error` applies: the group waits for it, or gets it marked.
    Undecided,
}

impl From<bool> for Verdict {
    fn from(keep: bool) -> Self {
        if keep { Verdict::Deliver } else { Verdict::Skip }
    }
}

/// What the plugin is bound to, with the parameters of the plugin and of the binding in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// The consumer group.
    pub group: String,
    /// The parameters.
    pub params: Params,
}

/// A subscription's parameters are asked of it directly.
impl Deref for Subscription {
    type Target = Params;

    fn deref(&self) -> &Params {
        &self.params
    }
}
