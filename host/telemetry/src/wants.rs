//! Which metrics somebody wants, by name.

use gantry_base::metric::{Family, Kind};

/// What the series of a histogram are called behind its name.
pub(crate) const HISTOGRAM_PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Names, each whole or with a `*` at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants(Vec<String>);

impl Wants {
    /// These patterns; a `*` counts only at the end.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> Self {
        Wants(patterns.into_iter().collect())
    }

    /// What any of them wants.
    pub(crate) fn together<'a>(all: impl IntoIterator<Item = &'a Wants>) -> Self {
        Wants(all.into_iter().flat_map(|wants| wants.0.iter().cloned()).collect())
    }

    /// Whether one of the patterns is this name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => pattern == name,
        })
    }

    /// Whether anything of the family is wanted: it, or a part of a histogram.
    pub fn matches_family(&self, family: &Family) -> bool {
        self.matches(&family.name)
            || (family.kind == Kind::Histogram
                && HISTOGRAM_PARTS.iter().any(|part| self.matches(&format!("{}{part}", family.name))))
    }

    /// Whether every name is wanted.
    pub fn is_everything(&self) -> bool {
        self.0.iter().any(|pattern| pattern == "*")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_every_end() {
        let wants = Wants::new(["rocketmq_consumer_*".to_owned(), "up".to_owned()]);
        for (name, wanted) in [
            ("rocketmq_consumer_lag_messages", true),
            ("rocketmq_consumer_", true),
            ("rocketmq_topic_number", false),
            ("up", true),
            ("upper", false),
        ] {
            assert_eq!(wants.matches(name), wanted, "{name}");
        }
        let all = Wants::new(["*".to_owned()]);
        assert!(all.matches("anything") && all.is_everything() && !wants.is_everything());
        assert!(!Wants::new(["a*b".to_owned()]).matches("axb"));
    }
}
