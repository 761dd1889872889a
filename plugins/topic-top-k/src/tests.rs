use gantry_plugin_sdk::testing::{TestFeed, TestHost, TestMetrics};

use super::TopicTopK;

fn open(params: &[(&str, &str)]) -> Result<TestMetrics<TopicTopK>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open_metrics()
}

fn stored(counts: &[(&str, &str, f64)]) -> TestFeed {
    counts.iter().fold(TestFeed::new(), |feed, (topic, kind, count)| {
        let labels = [("topic", *topic), ("message_type", *kind), ("is_system", "false")];
        feed.counter("rocketmq_messages_in_total", &labels, *count)
    })
}

fn family(name: &str, rates: &[(&str, f64)]) -> Vec<(String, f64)> {
    rates.iter().map(|(topic, rate)| (format!("top_topics_{name}_per_second{{topic={topic:?}}}"), *rate)).collect()
}

#[test]
fn the_k_busiest_by_what_came_in_lately() {
    let mut plugin = open(&[("k", "2")]).unwrap();
    let first = [("a", "normal", 9e9), ("b", "normal", 0.0), ("b", "fifo", 0.0), ("c", "normal", 0.0)];
    assert!(plugin.tick(0, &stored(&first)).is_empty(), "what was before is no rate");
    // In 10 s: a 100, b 150 + 150, c 200.
    let second = [("a", "normal", 9e9 + 100.0), ("b", "normal", 150.0), ("b", "fifo", 150.0), ("c", "normal", 200.0)];
    assert_eq!(plugin.tick(10_000, &stored(&second)), family("messages_in", &[("b", 30.0), ("c", 20.0)]));
    // Until 70 s: b and c stand still and fall out of the window, a goes on.
    let third = [("a", "normal", 9e9 + 700.0), ("b", "normal", 150.0), ("b", "fifo", 150.0), ("c", "normal", 200.0)];
    assert_eq!(plugin.tick(70_000, &stored(&third)), family("messages_in", &[("a", 10.0)]));
}

#[test]
fn system_topics_are_left_out() {
    let mut plugin = open(&[]).unwrap();
    let tick = |count| {
        TestFeed::new().counter("rocketmq_messages_in_total", &[("topic", "rmq_sys_x"), ("is_system", "true")], count)
    };
    plugin.tick(0, &tick(0.0));
    assert!(plugin.tick(10_000, &tick(500.0)).is_empty());
}

#[test]
fn groups_of_a_topic_add_up_when_it_is_about_what_goes_out() {
    let mut plugin = open(&[("by", "bytes_out"), ("window_s", "10")]).unwrap();
    let tick = |one, other| {
        let labels = |group| [("topic", "t"), ("consumer_group", group)];
        let feed = TestFeed::new().counter("rocketmq_throughput_out_total", &labels("g1"), one);
        feed.counter("rocketmq_throughput_out_total", &labels("g2"), other)
    };
    plugin.tick(0, &tick(0.0, 0.0));
    assert_eq!(plugin.tick(5_000, &tick(500.0, 1_000.0)), family("bytes_out", &[("t", 300.0)]));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    for (name, value, expected) in [
        ("top", "5", "unknown parameter `top`"),
        ("k", "0", "`k` is 0, expected 1 to 1000"),
        ("window_s", "5", "expected 10 to 3600"),
        ("by", "tps", "`by` is \"tps\", expected one of messages_in, bytes_in, messages_out, bytes_out"),
    ] {
        let error = open(&[(name, value)]).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
