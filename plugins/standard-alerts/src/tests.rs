use gantry_plugin_sdk::{
    alert::{Alert, Severity},
    testing::{TestAlerts, TestFeed, TestHost},
};

use super::StandardAlerts;

pub(crate) fn open(params: &[(&str, &str)]) -> Result<TestAlerts<StandardAlerts>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open_alerts()
}

/// `severity key` of each.
pub(crate) fn said(alerts: &[Alert]) -> Vec<String> {
    let severity = |alert: &Alert| match alert.severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Critical => "critical",
    };
    alerts.iter().map(|alert| format!("{} {}", severity(alert), alert.key)).collect()
}

#[test]
fn all_rules_are_on_unless_some_are_chosen() {
    let feed = TestFeed::new().gauge("gantry_disk_used_percent", &[("node_id", "n")], 99.0).gauge(
        "rocketmq_consumer_lag_messages",
        &[("consumer_group", "g"), ("topic", "t")],
        1e9,
    );
    let keys = |params: &[(&str, &str)]| said(&open(params).unwrap().tick(0, &feed));
    assert_eq!(keys(&[]), ["critical consumer-lag/g/t", "critical disk-watermark/n"]);
    assert_eq!(keys(&[("rules", "disk-watermark, broker-down")]), ["critical disk-watermark/n"]);
}

#[test]
fn the_worst_are_named_when_there_are_too_many() {
    let feed = (0..1_200).fold(TestFeed::new(), |feed, group| {
        let labels = [("consumer_group", &*format!("g{group}")), ("topic", "t")];
        feed.gauge("rocketmq_consumer_lag_messages", &labels, if group == 1_100 { 1e9 } else { 2e4 })
    });
    let alerts = open(&[]).unwrap().tick(0, &feed);
    assert_eq!(alerts.len(), 1_000);
    assert_eq!(alerts[0].key, "consumer-lag/g1100/t");
    assert_eq!((alerts[999].key.as_str(), alerts[999].value), ("left-out", 201.0));
}

#[test]
fn state_of_another_plugin_is_refused() {
    struct Other;
    impl gantry_plugin_sdk::AlertHook for Other {
        fn open(_: &gantry_plugin_sdk::Params) -> Result<Self, String> {
            Ok(Other)
        }
        fn wants(&self) -> Vec<String> {
            Vec::new()
        }
        fn on_tick(&mut self, _: &gantry_plugin_sdk::Feed) -> Vec<Alert> {
            Vec::new()
        }
        fn snapshot(&self) -> Vec<u8> {
            b"something else".to_vec()
        }
    }
    let other = TestHost::new().open_alerts::<Other>().unwrap();
    assert!(other.hand_over(&mut open(&[]).unwrap()).unwrap_err().contains("another plugin or version"));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("lag_messages", "5", "unknown parameter `lag_messages`; known are rules"),
        ("rules", "disk", "`rules` names \"disk\"; there are consumer-lag, disk-watermark, dlq-growth"),
        ("lag_for_s", "86401", "`lag_for_s` is 86401, expected 0 to 86400 seconds"),
        ("dlq_window_s", "0", "`dlq_window_s` is 0, expected 1 to 86400 seconds"),
        ("disk_percent_warning", "86", "`disk_percent_warning` (86) is above `disk_percent_critical` (85)"),
        ("send_failures_min", "x", "the parameter `send_failures_min` is \"x\""),
    ] {
        let error = open(&[(name, value)]).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
