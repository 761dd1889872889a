//! A canary of brokers.

use gantry_plugin_sdk::{
    hash::{fraction, stable_hash},
    prelude::*,
};

pub(crate) struct Brokers {
    /// The label that makes a broker one.
    label: (String, String),
    topics: Vec<String>,
    topics_percent: f64,
}

impl Brokers {
    pub(crate) fn read(params: &Params) -> Result<Option<Self>, String> {
        let (topics, topics_percent) = (params.param("topics"), params.parse::<f64>("topics_percent")?);
        let Some(label) = params.param("label") else {
            return match (topics, topics_percent) {
                (None, None) => Ok(None),
                _ => Err("`topics` and `topics_percent` are about brokers with a label; `label` is missing".into()),
            };
        };
        let Some((name, value)) = label.split_once('=') else {
            return Err(format!("`label` is {label:?}, expected name=value"));
        };
        if topics.is_none() && topics_percent.is_none() {
            return Err("`label` needs `topics` or `topics_percent`, which say what its brokers are offered for".into());
        }
        let topics_percent = topics_percent.unwrap_or(0.0);
        if !(0.0..=100.0).contains(&topics_percent) {
            return Err(format!("`topics_percent` is {topics_percent}, expected 0 to 100"));
        }
        let topics = topics.unwrap_or_default().split(',').map(str::trim).filter(|topic| !topic.is_empty());
        Ok(Some(Brokers {
            label: (name.trim().to_owned(), value.trim().to_owned()),
            topics: topics.map(str::to_owned).collect(),
            topics_percent,
        }))
    }

    pub(crate) fn is_offered(&self, broker: &BrokerOffer, topic: &str) -> bool {
        let (name, value) = &self.label;
        broker.label(name) != Some(value) || self.takes(topic)
    }

    fn takes(&self, topic: &str) -> bool {
        let place = fraction(stable_hash(topic.as_bytes()));
        self.topics.iter().any(|listed| listed == topic) || place < self.topics_percent / 100.0
    }
}
