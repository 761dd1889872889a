//! Filters under test, with columns made by the rules of the real host.
//!
//! ```
//! # use gantry_plugin_sdk::{prelude::*, testing::{TestHost, TestMessage}};
//! # #[derive(Columns)]
//! # struct Row<'m> { region: Option<&'m str> }
//! # struct EuOnly;
//! # #[filter]
//! # impl Filter for EuOnly {
//! #     type Row<'m> = Row<'m>;
//! #     fn open(_: &Subscription) -> Result<Self, String> { Ok(EuOnly) }
//! #     fn keep(&self, row: &Row<'_>) -> bool { row.region == Some("eu") }
//! # }
//! let plugin = TestHost::new().topic("orders").param("region", "eu").open::<EuOnly>().unwrap();
//! assert!(plugin.keeps(TestMessage::new().property("region", "eu")));
//! ```

use std::collections::BTreeMap;

use super::TEST;
use crate::{
    bindings::filter::{exports::gantry::plugin::filter::Plan, gantry::plugin::types as wit},
    column::{Column, Columns, Shape, Source, SystemField},
    filter::{Filter, Verdict},
};

/// An opened filter under test.
#[derive(Debug)]
pub struct TestFilter<F> {
    pub(super) filter: F,
    pub(super) plan: Plan,
}

impl<F: Filter> TestFilter<F> {
    /// The plugin's answers for one batch.
    pub fn judge(&self, messages: &[TestMessage]) -> Vec<Verdict> {
        TEST.with_borrow_mut(|test| test.batch = messages.to_vec());
        let columns: Vec<wit::Column> = self.plan.columns.iter().map(|request| column(request, messages)).collect();
        let judge_one = |(index, message): (usize, &TestMessage)| {
            let shown =
                self.plan.tags.is_empty() || message.tag.as_ref().is_some_and(|tag| self.plan.tags.contains(tag));
            if shown { self.filter.keep(&F::Row::read(&columns, index)) } else { Verdict::Skip }
        };
        messages.iter().enumerate().map(judge_one).collect()
    }

    /// Whether the group gets this message.
    pub fn keeps(&self, message: TestMessage) -> bool {
        self.judge(&[message]) == [Verdict::Deliver]
    }

    /// The opened filter itself.
    pub fn filter(&self) -> &F {
        &self.filter
    }
}

/// A message for tests.
#[derive(Debug, Clone, Default)]
pub struct TestMessage {
    tag: Option<String>,
    keys: Option<String>,
    properties: BTreeMap<String, String>,
    body: Vec<u8>,
    /// System fields that are numbers.
    pub born_ms: i64,
    /// When the broker stored it, ms since 1970.
    pub store_ms: i64,
    /// Its place in the queue.
    pub queue_offset: i64,
    /// How often it was sent back.
    pub delivery_attempt: i64,
}

impl TestMessage {
    /// A message without tag, properties and body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the tag.
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Sets the keys, separated by spaces.
    pub fn keys(mut self, keys: &str) -> Self {
        self.keys = Some(keys.into());
        self
    }

    /// Sets a property.
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.insert(name.into(), value.into());
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub(super) fn stored_body(&self) -> &[u8] {
        &self.body
    }

    fn value(&self, source: &Source) -> Option<Vec<u8>> {
        let number = |number: i64| Some(number.to_string().into_bytes());
        match source {
            Source::Property(name) => self.find(name).map(|value| value.as_bytes().to_vec()),
            Source::BodyPrefix(len) => Some(self.body[..self.body.len().min(*len as usize)].to_vec()),
            Source::System(SystemField::Tag) => self.tag.clone().map(String::into_bytes),
            Source::System(SystemField::Keys) => self.keys.clone().map(String::into_bytes),
            Source::System(SystemField::BornTime) => number(self.born_ms),
            Source::System(SystemField::StoreTime) => number(self.store_ms),
            Source::System(SystemField::QueueOffset) => number(self.queue_offset),
            Source::System(SystemField::BodySize) => number(self.body.len() as i64),
            Source::System(SystemField::DeliveryAttempt) => number(self.delivery_attempt),
            Source::System(SystemField::BornHost) => Some(b"127.0.0.1:40000".to_vec()),
        }
    }

    /// As stored: a tag and keys are the properties TAGS and KEYS, and an empty value is no value.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        let value = match name {
            "TAGS" => self.tag.as_deref(),
            "KEYS" => self.keys.as_deref(),
            _ => self.properties.get(name).map(String::as_str),
        };
        value.filter(|value| !value.is_empty())
    }
}

fn column(request: &Column, messages: &[TestMessage]) -> wit::Column {
    let values: Vec<Option<Vec<u8>>> = messages.iter().map(|message| message.value(&request.source)).collect();
    match request.shape {
        Shape::Text => {
            let (mut offsets, mut data) = (vec![0], Vec::new());
            for value in &values {
                data.extend_from_slice(value.as_deref().unwrap_or_default());
                offsets.push(data.len() as u32);
            }
            wit::Column::Text(wit::TextColumn { offsets, data, present: bitmap(values.iter().map(Option::is_some)) })
        }
        Shape::Int => {
            let parsed: Vec<Option<i64>> = values.iter().map(|value| parse(value.as_deref())).collect();
            let values = parsed.iter().map(|value| value.unwrap_or(0)).collect();
            wit::Column::Int(wit::IntColumn { values, present: bitmap(parsed.iter().map(Option::is_some)) })
        }
        Shape::Float => {
            let parsed: Vec<Option<f64>> = values.iter().map(|value| parse(value.as_deref())).collect();
            let values = parsed.iter().map(|value| value.unwrap_or(0.0)).collect();
            wit::Column::Float(wit::FloatColumn { values, present: bitmap(parsed.iter().map(Option::is_some)) })
        }
    }
}

fn parse<T: std::str::FromStr>(value: Option<&[u8]>) -> Option<T> {
    std::str::from_utf8(value?).ok()?.parse().ok()
}

fn bitmap(present: impl Iterator<Item = bool>) -> Option<Vec<u8>> {
    // As the host does: nothing is sent when nothing is missing.
    let mut gaps = false;
    let mut bytes = Vec::new();
    for (index, present) in present.enumerate() {
        if index % 8 == 0 {
            bytes.push(0);
        }
        if let (true, Some(last)) = (present, bytes.last_mut()) {
            *last |= 1 << (index % 8);
        }
        gaps |= !present;
    }
    gaps.then_some(bytes)
}
