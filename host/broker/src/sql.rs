//! SQL92 subscriptions: each is compiled once, when the first pull needs it, and kept beside the subscription; those that
//! pulls carry themselves are kept here.
//!
//! Where RocketMQ answers otherwise: an expression that does not parse, carried by a pull, it lets pass everything (unless
//! Java's assertions are on), here it is SUBSCRIPTION_PARSE_FAILED; of a subscription from heartbeats it answers
//! FILTER_DATA_NOT_EXIST without a reason, here the remark says what is wrong. FILTER_DATA_NOT_LATEST cannot happen, for
//! subscription and expression are of one version.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use gantry_filter::sql::{CompileError, SqlFilter};
use gantry_model::subscription::{Subscription, TYPE_SQL92};
use gantry_plugin::Binding;
use gantry_protocol::code::response;
use parking_lot::Mutex;

use crate::{broker::Broker, filter_costs::FilterCosts, reply::Refusal};

/// Expressions carried by pulls that are kept compiled; beyond it the one that was used longest ago goes.
const REQUESTED_MAX: usize = 256;

/// An expression, compiled when it is first needed.
#[derive(Default)]
pub(crate) struct Compiled(OnceLock<Result<Arc<SqlFilter>, String>>);

impl Compiled {
    /// The filter, or why there is none. A function that is missing now is looked for again the next time.
    fn get(&self, compile: impl FnOnce() -> Result<SqlFilter, CompileError>) -> Result<Arc<SqlFilter>, String> {
        if let Some(done) = self.0.get() {
            return done.clone();
        }
        let done = match compile() {
            Ok(filter) => Ok(Arc::new(filter)),
            Err(error @ CompileError::Syntax(_)) => Err(error.to_string()),
            Err(error @ CompileError::Function { .. }) => return Err(error.to_string()),
        };
        self.0.get_or_init(|| done).clone()
    }
}

/// What the broker keeps of them.
pub(crate) struct SqlSubscriptions {
    enabled: bool,
    pub(crate) costs: FilterCosts,
    requested: Mutex<Requested>,
}

impl SqlSubscriptions {
    pub(crate) fn new(enabled: bool) -> Self {
        SqlSubscriptions { enabled, costs: FilterCosts::default(), requested: Mutex::default() }
    }

    /// The place of an expression that a pull carries.
    pub(crate) fn requested(&self, group: &str, topic: &str, expression: &str) -> Arc<Compiled> {
        self.requested.lock().place(group, topic, expression)
    }
}

/// Expressions that came with pulls.
#[derive(Default)]
struct Requested {
    by_group: HashMap<String, Vec<Request>>,
    count: usize,
    /// Counts uses, so that it can be told which is the oldest.
    uses: u64,
}

struct Request {
    topic: String,
    expression: String,
    compiled: Arc<Compiled>,
    used: u64,
}

impl Requested {
    fn place(&mut self, group: &str, topic: &str, expression: &str) -> Arc<Compiled> {
        self.uses += 1;
        let same = |request: &&mut Request| request.topic == topic && request.expression == expression;
        if let Some(known) = self.by_group.get_mut(group).and_then(|known| known.iter_mut().find(same)) {
            known.used = self.uses;
            return known.compiled.clone();
        }
        if self.count == REQUESTED_MAX {
            self.drop_oldest();
        }
        let compiled = Arc::<Compiled>::default();
        let (topic, expression) = (topic.to_owned(), expression.to_owned());
        let request = Request { topic, expression, compiled: compiled.clone(), used: self.uses };
        self.by_group.entry(group.to_owned()).or_default().push(request);
        self.count += 1;
        compiled
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.by_group.values().flatten().map(|request| request.used).min() else { return };
        self.by_group.retain(|_, requests| {
            requests.retain(|request| request.used != oldest);
            !requests.is_empty()
        });
        self.count -= 1;
    }
}

impl Broker {
    /// The compiled form of a subscription that is no tag subscription; `bad_expression` = code when there is none.
    pub(crate) fn compiled(
        &self,
        compiled: &Compiled,
        group: &str,
        subscription: &Subscription,
        bad_expression: i32,
    ) -> Result<Arc<SqlFilter>, Refusal> {
        self.check_type(subscription, bad_expression)?;
        let topic = &subscription.topic;
        let compile = || {
            let cost = self.sql.costs.of(topic, group);
            let function = |plugin: &str, argument: Option<&str>| self.function(topic, group, plugin, argument);
            SqlFilter::compile(&subscription.sub_string, &function, cost)
        };
        compiled.get(compile).map_err(|remark| Refusal::new(bad_expression, remark))
    }

    /// Whether a subscription that is no tag subscription would be served.
    pub(crate) fn check_expression(&self, group: &str, subscription: &Subscription) -> Result<(), Refusal> {
        let bad_expression = response::SUBSCRIPTION_PARSE_FAILED;
        self.check_type(subscription, bad_expression)?;
        let function =
            |plugin: &str, argument: Option<&str>| self.function(&subscription.topic, group, plugin, argument);
        let compiled = SqlFilter::compile(&subscription.sub_string, &function, Arc::default());
        compiled.map(|_| ()).map_err(|error| Refusal::new(bad_expression, error.to_string()))
    }

    fn check_type(&self, subscription: &Subscription, bad_expression: i32) -> Result<(), Refusal> {
        let kind = subscription.expression_type.as_deref().unwrap_or_default();
        if !self.sql.enabled {
            let remark = format!("The broker does not support consumer to filter message by {kind}");
            return Err(Refusal::new(response::SYSTEM_ERROR, remark));
        }
        if kind != TYPE_SQL92 {
            let remark = format!("the expression type is {kind:?}; TAG and {TYPE_SQL92} are known");
            return Err(Refusal::new(bad_expression, remark));
        }
        Ok(())
    }

    /// The plugin behind `wasm(plugin, argument)` for a group's subscription of a topic.
    pub(crate) fn function(
        &self,
        topic: &str,
        group: &str,
        plugin: &str,
        argument: Option<&str>,
    ) -> Result<Arc<Binding>, String> {
        self.plugins.function(plugin, topic, group, argument)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_compiled_once_unless_a_function_was_missing() {
        let compiled = Compiled::default();
        let missing = || CompileError::Function {
            call: gantry_filter::sql::FunctionCall { plugin: "p".into(), argument: None },
            reason: "there is none".into(),
        };
        assert!(compiled.get(|| Err(missing())).is_err_and(|reason| reason.contains("wasm('p') cannot be used")));
        let compile = |text| SqlFilter::compile(text, &|_, _| Err(String::new()), Arc::default());
        let first = compiled.get(|| compile("a = 1")).unwrap();
        assert!(Arc::ptr_eq(&first, &compiled.get(|| panic!("again")).unwrap()));

        let wrong = Compiled::default();
        let reason = wrong.get(|| compile("a >")).err().unwrap();
        assert_eq!(wrong.get(|| panic!("again")).err(), Some(reason));
    }

    #[test]
    fn what_pulls_carry_is_kept_and_the_oldest_goes() {
        let mut requested = Requested::default();
        let first = requested.place("g", "t", "a = 1");
        for other in [("g", "t", "a = 2"), ("g", "u", "a = 1"), ("h", "t", "a = 1")] {
            assert!(!Arc::ptr_eq(&first, &requested.place(other.0, other.1, other.2)));
        }
        for number in 0..REQUESTED_MAX {
            requested.place("h", "t", &number.to_string());
            // Used all along.
            assert!(Arc::ptr_eq(&first, &requested.place("g", "t", "a = 1")));
        }
        assert_eq!(requested.count, REQUESTED_MAX);
        assert_eq!(requested.by_group.values().flatten().count(), REQUESTED_MAX);
        assert!(requested.by_group["g"].iter().all(|request| request.expression != "a = 2"));
    }
}
