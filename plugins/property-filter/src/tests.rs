use gantry_plugin_sdk::testing::{TestFilter, TestHost, TestMessage};

use super::PropertyFilter;

fn open(params: &[(&str, &str)]) -> Result<TestFilter<PropertyFilter>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open()
}

/// Which of `values` of the property "p" pass; `None` is a message without it.
fn passing<'v>(params: &[(&str, &str)], values: &[Option<&'v str>]) -> Vec<Option<&'v str>> {
    let plugin = open(params).unwrap();
    let message =
        |value: &Option<&str>| value.map_or(TestMessage::new(), |value| TestMessage::new().property("p", value));
    values.iter().copied().filter(|value| plugin.keeps(message(value))).collect()
}

#[test]
fn text_tests() {
    let values = [Some("eu"), Some("eu-west"), Some("us"), None];
    let cases: [(&str, &str, &[Option<&str>]); 8] = [
        ("equals", "eu", &[Some("eu")]),
        ("not_equals", "eu", &[Some("eu-west"), Some("us")]),
        ("one_of", "us, eu", &[Some("eu"), Some("us")]),
        ("prefix", "eu", &[Some("eu"), Some("eu-west")]),
        ("suffix", "st", &[Some("eu-west")]),
        ("contains", "-w", &[Some("eu-west")]),
        ("exists", "true", &[Some("eu"), Some("eu-west"), Some("us")]),
        ("exists", "false", &[None]),
    ];
    for (test, value, expected) in cases {
        assert_eq!(passing(&[("property", "p"), (test, value)], &values), expected, "{test} = {value}");
    }
}

#[test]
fn number_tests_include_their_bounds_and_fail_on_text() {
    let values = [Some("99"), Some("100"), Some("500"), Some("501"), Some("many"), None];
    let params = [("property", "p"), ("min", "100"), ("max", "500")];
    assert_eq!(passing(&params, &values), [Some("100"), Some("500")]);
    assert_eq!(passing(&[("p.max", "99")], &values), [Some("99")]);
}

#[test]
fn conditions_on_several_properties_must_all_hold() {
    let plugin = open(&[("region.equals", "eu"), ("amount.min", "101")]).unwrap();
    let order = |region, amount| TestMessage::new().property("region", region).property("amount", amount);
    assert!(plugin.keeps(order("eu", "101")));
    assert!(!plugin.keeps(order("eu", "100")) && !plugin.keeps(order("us", "500")));
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let cases: [(&[(&str, &str)], &str); 6] = [
        (&[], "no test is given"),
        (&[("equals", "eu")], "the parameter `property` is missing"),
        (&[("property", "p"), ("equal", "eu")], "unknown parameter `equal`"),
        (&[("property", "p"), ("min", "ten")], "`min` is \"ten\", expected a whole number"),
        (&[("property", "p"), ("min", "2"), ("max", "1")], "`min` of p is above its `max`"),
        (&[("property", "p"), ("exists", "maybe")], "expected true or false"),
    ];
    for (params, expected) in cases {
        let error = open(params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
