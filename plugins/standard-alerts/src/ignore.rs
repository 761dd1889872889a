//! What nobody wants to hear about.

use gantry_plugin_sdk::prelude::*;

#[derive(Debug, Clone, Default)]
pub(crate) struct Ignore {
    groups: Vec<String>,
    topics: Vec<String>,
}

impl Ignore {
    pub(crate) fn read(params: &Params) -> Self {
        let list = |name: &str| -> Vec<String> {
            let names = params.param(name).unwrap_or_default().split(',').map(str::trim);
            names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
        };
        Ignore { groups: list("ignore_groups"), topics: list("ignore_topics") }
    }

    /// Whether a series is about one of them, or about the system's own.
    pub(crate) fn has(&self, series: &Series) -> bool {
        series.label("is_system") == "true"
            || matches(&self.groups, series.label("consumer_group"))
            || matches(&self.topics, series.label("topic"))
    }
}

fn matches(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    })
}
