//! Alerts as Alertmanager's API takes them (`POST /api/v2/alerts`, OpenAPI `postableAlerts`).

use std::collections::BTreeMap;

use serde::Serialize;

use super::Listed;

/// One alert. It is known by all its labels together.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Postable {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

impl Postable {
    /// The alert, over at `ends_ms` unless it is sent again. `common` labels say whose it is; a label of the alert itself
    /// does not replace them.
    pub(super) fn new(listed: &Listed, common: &[(String, String)], ends_ms: u64) -> Self {
        let alert = &listed.alert;
        let mut labels: BTreeMap<String, String> = alert.labels.iter().cloned().collect();
        // The name by which rules and silences speak of it, unless the source chose one.
        labels.entry("alertname".to_owned()).or_insert_with(|| listed.source.clone());
        labels.extend(common.iter().cloned());
        labels.insert("source".to_owned(), listed.source.clone());
        labels.insert("key".to_owned(), alert.key.clone());
        labels.insert("severity".to_owned(), alert.severity.name().to_owned());
        // Alertmanager takes no empty value.
        labels.retain(|_, value| !value.is_empty());
        let annotations = [("summary", alert.summary.clone()), ("value", alert.value.to_string())].into();
        Postable { labels, annotations, starts_at: time(listed.since_ms), ends_at: time(ends_ms) }
    }
}

/// RFC 3339 in UTC; a time beyond the year 9999 is its end.
fn time(ms: u64) -> String {
    let moment = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Alert, Severity, State};

    #[test]
    fn it_is_what_the_api_says() {
        let labels = [("topic", "orders"), ("severity", "none"), ("empty", "")];
        let alert = Alert {
            key: "lag/orders".to_owned(),
            severity: Severity::Critical,
            summary: "12 messages".to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            value: 12.5,
            for_ms: 0,
        };
        let listed = Listed {
            source: "consumer-lag".to_owned(),
            alert,
            state: State::Firing,
            since_ms: 1_700_000_000_123,
            updated_ms: 0,
            version: 0,
            unconfirmed: false,
        };
        let common = [("cluster".to_owned(), "c".to_owned())];
        let found = serde_json::to_value(Postable::new(&listed, &common, 1_700_000_060_000)).unwrap();
        let expected = serde_json::json!({
            "labels": {
                "alertname": "consumer-lag", "cluster": "c", "key": "lag/orders", "severity": "critical",
                "source": "consumer-lag", "topic": "orders"
            },
            "annotations": { "summary": "12 messages", "value": "12.5" },
            "startsAt": "2023-11-14T22:13:20.123Z",
            "endsAt": "2023-11-14T22:14:20Z"
        });
        assert_eq!(found, expected);
    }
}
