//! A subscription and a bound plugin as one answer.

use std::sync::Arc;

use gantry_model::{message::MessageView, subscription::Subscription};
use gantry_plugin::{Binding, NotReady, OnError, Run, Verdict};

use crate::sql::{Functions, Pinned, SqlFilter, Stopped};

/// Messages to read at a time when no plugin is asked.
pub const NATIVE_BATCH: usize = 32;

/// What one look at a queue selects.
pub struct Selector {
    asked: Asked,
    plugin: Bound,
    /// Why `judge` came to an end before the messages did, and what is to happen to the message there.
    stopped: Option<Stopped>,
}

/// What the client asked for.
enum Asked {
    Tags(Arc<Subscription>),
    Sql(Box<Pinned>),
}

/// What the operator put before it.
enum Bound {
    Nothing,
    To(Run, OnError),
    Failing(NotReady, OnError),
}

impl Selector {
    /// What a tag subscription selects; one of another type selects everything. Pins the version of the bound plugin that
    /// serves now, for as long as the selector lives.
    pub fn new(subscription: Arc<Subscription>, binding: Option<Arc<Binding>>) -> Self {
        Selector { asked: Asked::Tags(subscription), plugin: Bound::to(binding), stopped: None }
    }

    /// What a SQL92 subscription selects; pins the plugins of its functions as well. `functions` finds those that are gone
    /// since it was compiled.
    pub fn sql(filter: Arc<SqlFilter>, functions: Functions<'_>, binding: Option<Arc<Binding>>) -> Self {
        let asked = Asked::Sql(Box::new(Pinned::new(filter, functions)));
        Selector { asked, plugin: Bound::to(binding), stopped: None }
    }

    /// Whether the record of an entry with this tag code is worth reading. May say yes to one that `judge` then skips,
    /// never no to one that it would deliver.
    pub fn admits_entry(&self, tag_code: i64) -> bool {
        let plugin_admits = match &self.plugin {
            Bound::To(run, _) => run.tags().is_none_or(|tags| tags.admits_code(tag_code)),
            Bound::Nothing | Bound::Failing(..) => true,
        };
        plugin_admits
            && match &self.asked {
                Asked::Tags(subscription) => !subscription.is_tag() || subscription.accepts_code(tag_code),
                Asked::Sql(sql) => sql.admits_code(tag_code),
            }
    }

    /// Whether every record that `admits_entry` let through is delivered as it is, so that it need not be parsed.
    pub fn admits_every_record(&self) -> bool {
        matches!((&self.asked, &self.plugin), (Asked::Tags(_), Bound::Nothing))
    }

    /// How many messages to hand to one `judge` at best.
    pub fn max_batch(&self) -> usize {
        match (&self.asked, &self.plugin) {
            // Nothing is decided: reading more than one would be for nothing.
            (Asked::Tags(_), Bound::Failing(..)) => 1,
            _ => self.runs().map(Run::max_batch).max().unwrap_or(NATIVE_BATCH),
        }
    }

    /// Whether `judge` should be called where blocking is allowed.
    pub fn wants_blocking(&self) -> bool {
        self.runs().any(Run::wants_blocking)
    }

    /// Versions of the plugins that judge, as `name@hash`, each once, joined by `,`.
    pub fn label(&self) -> Option<String> {
        let mut labels: Vec<&str> = Vec::new();
        for run in self.runs() {
            if !labels.contains(&run.label()) {
                labels.push(run.label());
            }
        }
        (!labels.is_empty()).then(|| labels.join(","))
    }

    /// Appends verdicts for `messages`, all of one queue, in order: one at least, but perhaps not all, in which case it
    /// should be called again with the rest. The last may be [`Verdict::Undecided`]; then [`on_error`](Self::on_error) says
    /// what is to happen to that message. Gives no verdict at all when a plugin that the first message needs is about to be
    /// there: then the right thing is to wait, whatever `on_error` says.
    pub fn judge(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
        self.stopped = None;
        let before = verdicts.len();
        match &mut self.asked {
            Asked::Tags(_) => verdicts.extend(messages.iter().map(|_| Verdict::Deliver)),
            Asked::Sql(sql) => {
                if let Err(stopped) = sql.judge(messages, verdicts) {
                    if stopped.on_error.is_some() {
                        verdicts.push(Verdict::Undecided);
                    }
                    self.stopped = Some(stopped);
                }
            }
        }
        if !matches!(self.plugin, Bound::Nothing) {
            self.judge_by_plugin(messages, verdicts, before);
        }
    }

    /// Asks the bound plugin about what the subscription selects or cannot decide, and leaves in `verdicts`, from `before`
    /// on, what both say: skipped when either skips, undecided when either cannot decide.
    fn judge_by_plugin(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>, before: usize) {
        let asked = || messages.iter().zip(&verdicts[before..]).filter(|(_, verdict)| **verdict != Verdict::Skip);
        let views: Vec<MessageView<'_>> = asked().map(|(message, _)| *message).collect();
        if views.is_empty() {
            return;
        }
        let mut answers = Vec::with_capacity(views.len());
        self.plugin.judge(&views, &mut answers);
        let mut answers = answers.into_iter();
        for place in before..verdicts.len() {
            if verdicts[place] == Verdict::Skip {
                continue;
            }
            match answers.next() {
                Some(Verdict::Deliver) => {}
                Some(Verdict::Skip) => verdicts[place] = Verdict::Skip,
                Some(Verdict::Undecided) => {
                    verdicts[place] = Verdict::Undecided;
                    verdicts.truncate(place + 1);
                    self.stopped = self.plugin.stopped();
                    return;
                }
                None => {
                    verdicts.truncate(place);
                    self.stopped = self.plugin.stopped();
                    return;
                }
            }
        }
    }

    /// Why the last message could not be decided.
    pub fn undecided_reason(&self) -> String {
        let reason = self.stopped.as_ref().map(|stopped| stopped.reason.clone());
        reason.unwrap_or_else(|| "the filter cannot decide this message".to_owned())
    }

    /// What is to happen to the last message if it is undecided, as its plugin's operator wants it.
    pub fn on_error(&self) -> OnError {
        self.stopped.as_ref().and_then(|stopped| stopped.on_error).unwrap_or_default()
    }

    /// The pinned versions, the bound plugin's first.
    fn runs(&self) -> impl Iterator<Item = &Run> {
        let bound = match &self.plugin {
            Bound::To(run, _) => Some(run),
            Bound::Nothing | Bound::Failing(..) => None,
        };
        let functions = match &self.asked {
            Asked::Tags(_) => None,
            Asked::Sql(sql) => Some(sql.runs()),
        };
        bound.into_iter().chain(functions.into_iter().flatten())
    }
}

impl Bound {
    fn to(binding: Option<Arc<Binding>>) -> Self {
        let Some(binding) = binding else { return Bound::Nothing };
        match binding.pin() {
            Ok(run) => Bound::To(run, binding.on_error()),
            Err(reason) => Bound::Failing(reason, binding.on_error()),
        }
    }

    fn judge(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) {
        match self {
            Bound::Nothing => verdicts.extend(messages.iter().map(|_| Verdict::Deliver)),
            Bound::To(run, _) => run.judge(messages, verdicts),
            Bound::Failing(reason, _) if reason.soon => {}
            Bound::Failing(..) => verdicts.extend(messages.first().map(|_| Verdict::Undecided)),
        }
    }

    fn stopped(&self) -> Option<Stopped> {
        match self {
            Bound::Nothing => None,
            Bound::To(run, on_error) => {
                let reason = run.fault().unwrap_or("the filter cannot decide this message").to_owned();
                Some(Stopped { reason, on_error: Some(*on_error) })
            }
            Bound::Failing(reason, on_error) => {
                Some(Stopped { reason: reason.to_string(), on_error: (!reason.soon).then_some(*on_error) })
            }
        }
    }
}
