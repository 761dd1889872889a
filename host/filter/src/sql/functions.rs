//! A compiled subscription on the messages of one look: first the expression alone, then, for those messages whose result
//! depends on it, each function, by the batch.

use std::{sync::Arc, time::Instant};

use gantry_model::message::MessageView;
use gantry_plugin::{Binding, NotReady, OnError, Run, Verdict};
use parking_lot::Mutex;

use super::{FunctionCall, Functions, Outcome, SqlFilter, Truth};

/// A compiled subscription with one version of each of its plugins, held for as long as the look lasts.
pub(crate) struct Pinned {
    filter: Arc<SqlFilter>,
    functions: Box<[Function]>,
    /// Results of the messages at hand; reused.
    outcomes: Vec<Outcome>,
}

/// One call of `wasm(...)`.
struct Function {
    on_error: OnError,
    run: Result<Run, NotReady>,
}

/// Why the verdicts ended before the messages did.
pub(crate) struct Stopped {
    pub(crate) reason: String,
    /// What to do about the message there; `None` = wait, for the function is about to be there.
    pub(crate) on_error: Option<OnError>,
}

impl Pinned {
    pub(crate) fn new(filter: Arc<SqlFilter>, functions: Functions<'_>) -> Self {
        let calls = filter.expression.functions().iter().zip(&filter.bindings);
        let pin = |(call, binding): (&FunctionCall, &Mutex<Arc<Binding>>)| {
            let mut binding = binding.lock();
            let mut run = binding.pin();
            if run.is_err() {
                // It may have been replaced by another binding, which nobody told this subscription.
                match functions(&call.plugin, call.argument.as_deref()) {
                    Ok(found) if Arc::ptr_eq(&found, &binding) => {}
                    Ok(found) => {
                        *binding = found;
                        run = binding.pin();
                    }
                    Err(reason) => run = Err(NotReady { reason: format!("{call}: {reason}"), soon: false }),
                }
            }
            Function { on_error: binding.on_error(), run }
        };
        let functions = calls.map(pin).collect();
        Pinned { filter, functions, outcomes: Vec::new() }
    }

    pub(crate) fn admits_code(&self, tag_code: i64) -> bool {
        self.filter.admits_code(tag_code)
    }

    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.functions.iter().filter_map(|function| function.run.as_ref().ok())
    }

    /// Appends verdicts for the first of `messages`, in order: one at least, but not all when a function failed on one of
    /// them. `Stopped` says what is to become of the message behind the last verdict, for which there is none.
    pub(crate) fn judge(&mut self, messages: &[MessageView<'_>], verdicts: &mut Vec<Verdict>) -> Result<(), Stopped> {
        let before = verdicts.len();
        let started = Instant::now();
        let expression = &self.filter.expression;
        self.outcomes.clear();
        self.outcomes.extend(messages.iter().map(|message| expression.evaluate(message.properties, &[])));
        self.filter.cost.nanoseconds.add(started.elapsed().as_nanos() as u64);
        let end = if self.functions.is_empty() { messages.len() } else { self.ask_functions(messages) };
        let decided = self.outcomes[..end].iter().map_while(|outcome| outcome.selects());
        verdicts.extend(decided.map(|selects| if selects { Verdict::Deliver } else { Verdict::Skip }));
        let count = verdicts.len() - before;
        self.note(&self.outcomes[..count]);
        if count == end { Ok(()) } else { Err(self.stopped(self.outcomes[count])) }
    }

    /// Settles outcomes by asking the functions that they depend on. Returns how many of the messages were looked at: a
    /// function that fails ends the look behind the message that it failed on, so that no more is asked of it.
    fn ask_functions(&mut self, messages: &[MessageView<'_>]) -> usize {
        let mut answers = vec![None; self.functions.len() * messages.len()];
        let width = self.functions.len();
        let mut end = messages.len();
        let (mut asked, mut views, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, function) in self.functions.iter_mut().enumerate() {
            asked.clear();
            asked.extend((0..end).filter(|message| self.outcomes[*message].depends_on(place)));
            let Some(first) = asked.first() else { continue };
            let Ok(run) = &mut function.run else {
                end = first + 1;
                continue;
            };
            views.clear();
            views.extend(asked.iter().map(|message| messages[*message]));
            verdicts.clear();
            run.judge(&views, &mut verdicts);
            for (message, verdict) in asked.iter().zip(&verdicts) {
                let known = &mut answers[message * width..][..width];
                known[place] = match verdict {
                    Verdict::Deliver => Some(true),
                    Verdict::Skip => Some(false),
                    Verdict::Undecided => None,
                };
                if known[place].is_none() {
                    end = message + 1;
                }
                self.outcomes[*message] = self.filter.expression.evaluate(messages[*message].properties, known);
            }
            if let Some(unasked) = asked.get(verdicts.len()) {
                end = end.min(unasked + 1);
            }
        }
        end
    }

    /// Why a message stays open, and what its functions want done about that: all must agree to deliver it.
    fn stopped(&self, open: Outcome) -> Stopped {
        let needed = || self.functions.iter().enumerate().filter(|(place, _)| open.depends_on(*place));
        let soon = needed().find_map(|(_, function)| function.run.as_ref().err().filter(|not_ready| not_ready.soon));
        if let Some(not_ready) = soon {
            return Stopped { reason: not_ready.reason.clone(), on_error: None };
        }
        let reason = needed().find_map(|(_, function)| match &function.run {
            Ok(run) => run.fault().map(str::to_owned),
            Err(not_ready) => Some(not_ready.reason.clone()),
        });
        let holds = needed().any(|(_, function)| function.on_error == OnError::Hold);
        Stopped {
            reason: reason.unwrap_or_else(|| "a function of the subscription cannot decide this message".to_owned()),
            on_error: Some(if holds { OnError::Hold } else { OnError::Deliver }),
        }
    }

    fn note(&self, outcomes: &[Outcome]) {
        let cost = &self.filter.cost;
        let count = |wanted: Outcome| outcomes.iter().filter(|outcome| **outcome == wanted).count() as u64;
        cost.messages.add(outcomes.len() as u64);
        cost.passed.add(count(Outcome::of(Truth::True)));
        cost.nulls.add(count(Outcome::of(Truth::Null)));
        cost.errors.add(count(Outcome::of(Truth::Error)));
    }
}
