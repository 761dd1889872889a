//! What an operator says of a broker besides its zone: `disk=nvme`, `canary=true`.

use std::{collections::BTreeMap, fmt};

/// Most labels of one broker.
pub const LABELS_MAX: usize = 16;
/// Longest name and longest value of a label, in bytes.
pub const LABEL_PART_LEN_MAX: usize = 64;

/// Longest text of labels: all of them at their longest.
const TEXT_LEN_MAX: usize = LABELS_MAX * (2 * LABEL_PART_LEN_MAX + 2);

/// Labels of one broker by name. Written `name=value`, joined by commas, in the order of the names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

/// Why labels are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// Over the limit.
    #[error("there are more than {LABELS_MAX} labels")]
    TooMany,
    /// A pair without `=`.
    #[error("a label has no = between name and value")]
    NoValue,
    /// A name or value with other characters, empty or too long.
    #[error("label {name:?}: name and value have 1 to {LABEL_PART_LEN_MAX} letters, digits and - _ . /")]
    Illegal {
        /// Its name, cut.
        name: String,
    },
}

impl Labels {
    /// Labels with legal names and values, no more than allowed.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Labels, LabelError> {
        let mut labels = BTreeMap::new();
        for (name, value) in pairs {
            if !legal(&name) || !legal(&value) {
                return Err(LabelError::Illegal { name: name.chars().take(LABEL_PART_LEN_MAX).collect() });
            }
            labels.insert(name, value);
            if labels.len() > LABELS_MAX {
                return Err(LabelError::TooMany);
            }
        }
        Ok(Labels(labels))
    }

    /// Reads what [`Display`](fmt::Display) writes; an empty text is no label.
    pub fn parse(text: &str) -> Result<Labels, LabelError> {
        if text.is_empty() {
            return Ok(Labels::default());
        }
        if text.len() > TEXT_LEN_MAX {
            return Err(LabelError::TooMany);
        }
        let split = |pair: &str| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Labels::new(text.split(',').map(split).collect::<Option<Vec<_>>>().ok_or(LabelError::NoValue)?)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn legal(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
    (1..=LABEL_PART_LEN_MAX).contains(&part.len()) && part.bytes().all(allowed)
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes in: what is taken is within the limits and written and read back the same.
        #[test]
        fn what_is_taken_is_within_the_limits(text in "[a-c=,./ ä]{0,40}|([a-z]{1,3}=[a-z]{1,3},?){0,20}") {
            if let Ok(labels) = Labels::parse(&text) {
                prop_assert!(labels.iter().count() <= LABELS_MAX);
                prop_assert!(labels.iter().all(|(name, value)| legal(name) && legal(value)));
                prop_assert_eq!(Labels::parse(&labels.to_string()), Ok(labels));
            }
        }
    }

    #[test]
    fn labels_are_read_as_they_are_written() {
        let labels = Labels::parse("zone/rack=r-7,disk=nvme").unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("disk", "nvme"), ("zone/rack", "r-7")]);
        assert_eq!(labels.to_string(), "disk=nvme,zone/rack=r-7");
        assert_eq!(Labels::parse(&labels.to_string()), Ok(labels));
        assert!(Labels::parse("").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_label_is_refused() {
        let many: Vec<String> = (0..=LABELS_MAX).map(|n| format!("l{n}=v")).collect();
        let long = format!("a={}", "v".repeat(LABEL_PART_LEN_MAX + 1));
        for bad in ["a", "a=", "=b", "a=b,", "a=b c", "a=b\u{1}", "ä=b", "a=b=c", &long, &many.join(",")] {
            assert!(Labels::parse(bad).is_err(), "{bad}");
        }
        assert!(Labels::parse(&many[1..].join(",")).is_ok());
    }
}
