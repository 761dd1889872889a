//! A test double of the broker: `cargo test` runs a plugin natively, with everything that the real host would show it.
//!
//! [`TestHost`] collects parameters and opens a plugin of any world.

mod balancer;
mod filter;
mod hook;

use std::{cell::RefCell, collections::BTreeMap};

pub use self::{
    balancer::TestBalancer,
    filter::{TestFilter, TestMessage},
    hook::{TestAlerts, TestFeed, TestMetrics},
};
use crate::{
    alert::AlertHook,
    balancer::{Balancer, Binding, Decides},
    export,
    feed::Feed,
    filter::{Filter, Subscription},
    host::Level,
    metric::MetricHook,
    params::Params,
};

/// Collects what a plugin is opened with.
#[derive(Debug, Clone)]
pub struct TestHost {
    topic: String,
    group: String,
    zone: String,
    params: Params,
}

impl Default for TestHost {
    fn default() -> Self {
        TestHost {
            topic: "test-topic".into(),
            group: "test-group".into(),
            zone: String::new(),
            params: Params::default(),
        }
    }
}

impl TestHost {
    /// A binding of `test-group` to `test-topic` without parameters and zone.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the topic.
    #[must_use]
    pub fn topic(mut self, topic: &str) -> Self {
        self.topic = topic.into();
        self
    }

    /// Sets the consumer group.
    #[must_use]
    pub fn group(mut self, group: &str) -> Self {
        self.group = group.into();
        self
    }

    /// Sets the zone of the node.
    #[must_use]
    pub fn zone(mut self, zone: &str) -> Self {
        self.zone = zone.into();
        self
    }

    /// Sets a parameter, as `params` in the broker's configuration does.
    #[must_use]
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.set(name, value);
        self
    }

    /// Runs the self-check and opens the filter, as the broker does before it puts a plugin in service.
    pub fn open<F: Filter>(self) -> Result<TestFilter<F>, String> {
        begin();
        F::self_check()?;
        let (filter, plan) =
            export::open_filter::<F>(&Subscription { topic: self.topic, group: self.group, params: self.params })?;
        Ok(TestFilter { filter, plan })
    }

    /// The same for a balancer.
    pub fn open_balancer<B: Balancer + Decides>(self) -> Result<TestBalancer<B>, String> {
        begin();
        B::self_check()?;
        let TestHost { topic, group, zone, params } = self;
        let balancer = B::open(&Binding { topic: topic.clone(), group: group.clone(), zone, params })?;
        Ok(TestBalancer { balancer, topic, group })
    }

    /// The same for a metric hook.
    pub fn open_metrics<H: MetricHook>(self) -> Result<TestMetrics<H>, String> {
        begin();
        H::self_check()?;
        Ok(TestMetrics { hook: H::open(&self.params)?, feed: Feed::default(), next_id: 0 })
    }

    /// The same for an alert hook.
    pub fn open_alerts<H: AlertHook>(self) -> Result<TestAlerts<H>, String> {
        begin();
        H::self_check()?;
        Ok(TestAlerts { hook: H::open(&self.params)?, feed: Feed::default(), next_id: 0 })
    }
}

/// What the plugin logged on this thread since it was opened.
pub fn logs() -> Vec<(Level, String)> {
    TEST.with_borrow(|test| test.logs.clone())
}

/// What the plugin counted under `name` on this thread since it was opened.
pub fn counted(name: &str) -> u64 {
    TEST.with_borrow(|test| test.counters.get(name).copied().unwrap_or(0))
}

/// What the running test's plugin sees and leaves. A thread local, because tests run in parallel.
#[derive(Default)]
struct Test {
    batch: Vec<TestMessage>,
    logs: Vec<(Level, String)>,
    counters: BTreeMap<String, u64>,
}

thread_local! {
    static TEST: RefCell<Test> = RefCell::default();
}

fn begin() {
    TEST.with_borrow_mut(|test| *test = Test::default());
}

pub(crate) mod access {
    use super::TEST;

    pub(crate) fn body(index: u32, offset: u32, max_len: u32) -> Vec<u8> {
        TEST.with_borrow(|test| {
            let body = test.batch.get(index as usize).map(|message| message.stored_body()).unwrap_or_default();
            let rest = body.get(offset as usize..).unwrap_or_default();
            rest[..rest.len().min(max_len as usize)].to_vec()
        })
    }

    pub(crate) fn property(index: u32, name: &str) -> Option<String> {
        TEST.with_borrow(|test| test.batch.get(index as usize)?.find(name).map(str::to_owned))
    }
}

pub(crate) mod host {
    use super::{Level, TEST};

    pub(crate) fn log(level: Level, message: &str) {
        TEST.with_borrow_mut(|test| test.logs.push((level, message.to_owned())));
    }

    pub(crate) fn count(name: &str, delta: u64) {
        TEST.with_borrow_mut(|test| *test.counters.entry(name.to_owned()).or_default() += delta);
    }

    pub(crate) fn now_millis() -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_millis() as u64)
    }
}
