//! What a rule is, and what alerts of all rules look like.

use gantry_plugin_sdk::{hash::stable_hash, prelude::*};

/// Longest key that the broker takes, bytes.
const KEY_BYTES_MAX: usize = 256;

/// One kind of trouble.
pub(crate) trait Rule {
    /// Names of the series that it reads.
    fn wants(&self) -> &'static [&'static str];

    /// Adds what holds now.
    fn look(&mut self, feed: &Feed, alerts: &mut Vec<Alert>);

    /// What the next version should know.
    fn snapshot(&self) -> String {
        String::new()
    }

    /// Takes a snapshot.
    fn restore(&mut self, state: &str) -> Result<(), String> {
        let _ = state;
        Ok(())
    }
}

/// An alert about something that `labels` say; those without a value are left out. Its key is the rule's name and the values.
pub(crate) fn alert(rule: &str, labels: &[(&str, &str)], severity: Severity, summary: String) -> Alert {
    let labels = labels.iter().filter(|(_, value)| !value.is_empty());
    let key = labels.clone().fold(rule.to_owned(), |key, (_, value)| format!("{key}/{value}"));
    labels.fold(Alert::new(severity, fitting(key), summary), |alert, (name, value)| alert.label(name, value))
}

/// `1 message`, `2 messages`.
pub(crate) fn count(number: f64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1.0 { "" } else { "s" })
}

/// A key that the broker takes: a longer one ends with a hash of what was cut off.
fn fitting(key: String) -> String {
    if key.len() <= KEY_BYTES_MAX {
        return key;
    }
    let hash = format!("#{:016x}", stable_hash(key.as_bytes()));
    let cut = (0..=KEY_BYTES_MAX - hash.len()).rev().find(|index| key.is_char_boundary(*index)).unwrap_or(0);
    format!("{}{hash}", &key[..cut])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_values_and_fit() {
        let labels = [("consumer_group", "g"), ("topic", ""), ("node_id", "n")];
        let short = alert("lag", &labels, Severity::Info, String::new());
        assert_eq!(short.key, "lag/g/n");
        assert_eq!(short.labels, [("consumer_group".into(), "g".into()), ("node_id".into(), "n".into())]);
        let long = |end: &str| {
            alert("lag", &[("topic", &format!("{}{end}", "ä".repeat(200)))], Severity::Info, String::new()).key
        };
        assert!(long("1").len() <= 256 && long("1") != long("2"));
    }
}
