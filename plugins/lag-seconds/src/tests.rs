use gantry_plugin_sdk::testing::{TestFeed, TestHost, TestMetrics, counted};

use super::LagSeconds;

fn open(window_s: &str) -> TestMetrics<LagSeconds> {
    TestHost::new().param("window_s", window_s).open_metrics().unwrap()
}

fn lag(feed: TestFeed, group: &str, topic: &str, messages: f64, age_ms: Option<f64>) -> TestFeed {
    let labels = [("consumer_group", group), ("topic", topic), ("is_system", "false")];
    let feed = feed.gauge("rocketmq_consumer_lag_messages", &labels, messages);
    match age_ms {
        Some(age_ms) => feed.gauge("rocketmq_consumer_lag_latency", &labels, age_ms),
        None => feed,
    }
}

fn named(series: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let short = |name: &str| name.replace("consumer_group=", "").replace("topic=", "").replace('"', "");
    series.into_iter().map(|(name, value)| (short(&name), value)).collect()
}

#[test]
fn age_in_seconds_and_when_it_is_over() {
    let mut plugin = open("60");
    let tick = |messages, age_ms| lag(TestFeed::new(), "billing", "orders", messages, Some(age_ms));
    assert_eq!(named(plugin.tick(0, &tick(1_000.0, 90_500.0))), [("lag_seconds{billing,orders}".into(), 90.5)]);
    // 200 fewer in 10 s: 800 take 40 s.
    let expected = [("lag_seconds{billing,orders}".into(), 84.0), ("catch_up_seconds{billing,orders}".into(), 40.0)];
    assert_eq!(named(plugin.tick(10_000, &tick(800.0, 84_000.0))), expected);
    assert_eq!(named(plugin.tick(20_000, &tick(1_500.0, 86_000.0))).len(), 1, "it grows again");
    let caught_up = [("lag_seconds{billing,orders}".into(), 0.0), ("catch_up_seconds{billing,orders}".into(), 0.0)];
    assert_eq!(named(plugin.tick(30_000, &tick(0.0, 0.0))), caught_up);
}

#[test]
fn an_age_that_is_not_told_is_left_out_and_system_groups_too() {
    let mut plugin = open("60");
    let system = [("consumer_group", "CID_RMQ_SYS_TRANS"), ("topic", "t"), ("is_system", "true")];
    let feed = lag(TestFeed::new(), "g", "t", 5.0, None).gauge("rocketmq_consumer_lag_latency", &system, 9.0);
    assert!(plugin.tick(0, &feed).is_empty());
}

#[test]
fn pairs_of_several_brokers_are_one() {
    let mut plugin = open("60");
    let of_node = |feed: TestFeed, node: &str, messages, age_ms| {
        let labels = [("node_id", node), ("consumer_group", "g"), ("topic", "t")];
        let feed = feed.gauge("rocketmq_consumer_lag_messages", &labels, messages);
        feed.gauge("rocketmq_consumer_lag_latency", &labels, age_ms)
    };
    plugin.tick(0, &of_node(of_node(TestFeed::new(), "a", 60.0, 7_000.0), "b", 40.0, 3_000.0));
    let series = plugin.tick(10_000, &of_node(of_node(TestFeed::new(), "a", 50.0, 6_000.0), "b", 30.0, 9_000.0));
    // 20 in 10 s, 80 left.
    assert_eq!(named(series), [("lag_seconds{g,t}".into(), 9.0), ("catch_up_seconds{g,t}".into(), 40.0)]);
}

#[test]
fn no_more_than_a_hook_may_derive() {
    let mut plugin = open("60");
    let feed = (0..5_010).fold(TestFeed::new(), |feed, group| {
        let labels = [("consumer_group", &*format!("g{group}")), ("topic", "t")];
        feed.gauge("rocketmq_consumer_lag_messages", &labels, f64::from(group))
    });
    plugin.tick(0, &feed);
    assert_eq!(counted("pairs_left_out"), 10);
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("window", "60", "unknown parameter `window`; known are window_s"),
        ("window_s", "9", "`window_s` is 9, expected 10 to 3600"),
        ("window_s", "1m", "the parameter `window_s` is \"1m\""),
    ] {
        let error = TestHost::new().param(name, value).open_metrics::<LagSeconds>().err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
