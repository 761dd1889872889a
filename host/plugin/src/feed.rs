//! The node's metrics as they are shown to hooks.

use std::sync::Arc;

/// Most patterns of a hook.
pub const WANTS_MAX: usize = 64;

/// What a series counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeriesKind {
    /// Only grows. Buckets, sum and count of a histogram are counters, too.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One series, described once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// Tells it apart for as long as the process lives; never used again.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// What it counts.
    pub kind: SeriesKind,
    /// Its labels.
    pub labels: Vec<(String, String)>,
}

/// All series of one tick with their values. Whoever gathers metrics makes it; hooks take from it what they want.
#[derive(Debug, Clone, Default)]
pub struct Feed {
    /// When the values were taken, ms since 1970.
    pub at_ms: u64,
    /// Each series once.
    pub samples: Vec<(Arc<Series>, f64)>,
}

/// Names of series that a hook wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl Wants {
    /// The error is a sentence that follows "it".
    pub(crate) fn new(patterns: Vec<String>) -> Result<Self, String> {
        if patterns.len() > WANTS_MAX {
            return Err(format!("wants series by {} names, at most {WANTS_MAX} are allowed", patterns.len()));
        }
        let mut wants = Wants::default();
        for pattern in patterns {
            match pattern.strip_suffix('*') {
                Some(prefix) => wants.prefixes.push(prefix.to_owned()),
                None => wants.exact.push(pattern),
            }
        }
        Ok(wants)
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        self.exact.iter().any(|exact| exact == name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }

    /// As they were given.
    pub(crate) fn patterns(&self) -> Vec<String> {
        self.exact.iter().cloned().chain(self.prefixes.iter().map(|prefix| format!("{prefix}*"))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_whole_or_by_their_beginning() {
        let wants = Wants::new(vec!["a_total".into(), "lag_*".into()]).unwrap();
        let names = ["a_total", "a_total_2", "lag_", "lag_s", "lag", "xlag_s"];
        assert_eq!(names.map(|name| wants.matches(name)), [true, false, true, true, false, false]);
        assert!(Wants::new(vec!["*".into()]).unwrap().matches("anything"));
        assert!(Wants::new(vec![String::new(); 65]).is_err());
    }
}
