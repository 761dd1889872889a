use gantry_plugin_sdk::testing::{TestFeed, TestHost, TestMetrics};

use super::QueueSkew;

fn open(params: &[(&str, &str)]) -> Result<TestMetrics<QueueSkew>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open_metrics()
}

fn queues(feed: TestFeed, name: &str, topic: &str, values: &[f64]) -> TestFeed {
    values.iter().enumerate().fold(feed, |feed, (queue, value)| {
        let labels = [("topic", topic), ("queue_id", &*queue.to_string())];
        if name.ends_with("_total") { feed.counter(name, &labels, *value) } else { feed.gauge(name, &labels, *value) }
    })
}

fn skew(by: &str, topic: &str, skew: f64, hottest: f64) -> Vec<(String, f64)> {
    let named = |name: &str| format!("queue_{by}_{name}{{topic={topic:?}}}");
    vec![(named("skew"), skew), (named("hottest"), hottest)]
}

#[test]
fn the_fullest_queue_against_the_mean_by_rate() {
    let mut plugin = open(&[]).unwrap();
    let tick = |values: &[f64]| queues(TestFeed::new(), "gantry_queue_messages_in_total", "orders", values);
    assert!(plugin.tick(0, &tick(&[5e6, 0.0, 0.0, 0.0])).is_empty());
    // 100, 100, 500 and 100 in 10 s: the mean is 200, the fullest 2.5 times that.
    assert_eq!(plugin.tick(10_000, &tick(&[5e6 + 100.0, 100.0, 500.0, 100.0])), skew("rate", "orders", 2.5, 2.0));
}

#[test]
fn by_depth_and_only_with_enough_to_compare() {
    let mut plugin = open(&[("by", "depth")]).unwrap();
    let depth = |feed, topic, values: &[f64]| queues(feed, "gantry_queue_depth_messages", topic, values);
    let feed = depth(TestFeed::new(), "deep", &[0.0, 3_000.0]);
    let feed = depth(feed, "shallow", &[0.0, 999.0]);
    let feed = depth(feed, "single", &[9_000.0]);
    assert_eq!(plugin.tick(0, &feed), skew("depth", "deep", 2.0, 1.0));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("of", "rate", "unknown parameter `of`"),
        ("by", "lag", "`by` is \"lag\", expected rate or depth"),
        ("window_s", "0", "expected 10 to 3600"),
        ("min_per_second", "some", "the parameter `min_per_second` is \"some\""),
    ] {
        let error = open(&[(name, value)]).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
