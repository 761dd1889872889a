mod agreement;

use gantry_plugin_sdk::{
    prelude::Verdict,
    testing::{TestFilter, TestHost, TestMessage},
};

use super::JsonField;

fn open(params: &[(&str, &str)]) -> Result<TestFilter<JsonField>, String> {
    params.iter().fold(TestHost::new(), |host, (name, value)| host.param(name, value)).open()
}

fn judge(params: &[(&str, &str)], body: &str) -> Verdict {
    open(params).unwrap().judge(&[TestMessage::new().body(body)])[0]
}

type Params<'p> = &'p [(&'p str, &'p str)];

/// Which of the bodies pass.
fn passing<'b>(params: &[(&str, &str)], bodies: &[&'b str]) -> Vec<&'b str> {
    let plugin = open(params).unwrap();
    bodies.iter().copied().filter(|body| plugin.keeps(TestMessage::new().body(body))).collect()
}

#[test]
fn tests_of_a_field() {
    let bodies = [
        r#"{"v":"eu"}"#,
        r#"{"v":"us"}"#,
        r#"{"v":100}"#,
        r#"{"v":1e2}"#,
        r#"{"v":"100"}"#,
        r#"{"v":99.5}"#,
        r#"{"v":true}"#,
        r#"{"v":null}"#,
        r#"{"v":{}}"#,
        r#"{"w":1}"#,
        "7",
    ];
    let all = |indexes: &[usize]| indexes.iter().map(|index| bodies[*index]).collect::<Vec<_>>();
    let cases: [(Params<'_>, &[usize]); 9] = [
        (&[("v.equals", "eu")], &[0]),
        (&[("field", "v"), ("one_of", "us, eu")], &[0, 1]),
        (&[("v.equals", "100")], &[2, 3, 4]),
        (&[("v.equals", "true")], &[6]),
        (&[("v.min", "99.5")], &[2, 3, 5]),
        (&[("v.max", "99.9")], &[5]),
        (&[("v.min", "100"), ("v.max", "100")], &[2, 3]),
        (&[("v.exists", "true")], &[0, 1, 2, 3, 4, 5, 6, 8]),
        (&[("v.exists", "false")], &[7, 9, 10]),
    ];
    for (params, expected) in cases {
        assert_eq!(passing(params, &bodies), all(expected), "{params:?}");
    }
}

#[test]
fn paths_lead_through_objects_and_arrays() {
    let body = r#" { "order" : { "lines" : [ { "sku" : "a" }, { "sku" : "b\u0041" } ], "amount" : 7 }, "0": "zero" } "#;
    for (path, value, expected) in [
        ("order.lines.0.sku", "a", true),
        ("order.lines.1.sku", "bA", true),
        ("order.lines.2.sku", "a", false),
        ("order.amount", "7", true),
        ("order.amount.cents", "7", false),
        ("0", "zero", true),
        ("amount", "7", false),
    ] {
        let passes = passing(&[("field", path), ("equals", value)], &[body]).len() == 1;
        assert_eq!(passes, expected, "{path}");
    }
}

#[test]
fn all_fields_must_pass_and_the_first_of_a_name_counts() {
    let params = [("region.equals", "eu"), ("amount.min", "100")];
    let bodies = [
        r#"{"amount":100,"region":"eu"}"#,
        r#"{"amount":99,"region":"eu"}"#,
        r#"{"amount":100}"#,
        r#"{"amount":100,"region":"eu","region":"us"}"#,
        r#"{"region":"eu","region":"us","amount":100}"#,
        r#"{"region":"us","region":"eu","amount":100}"#,
    ];
    assert_eq!(passing(&params, &bodies), [bodies[0], bodies[3], bodies[4]]);
}

#[test]
fn a_body_that_is_no_json_is_undecided_or_skipped() {
    for body in [
        "",
        "x",
        "\x1f\u{8b}",
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a" 1}"#,
        r#"{"v":tru}"#,
        r#"{"a":[1,]"#,
        r#"{"a":1"#,
        r#"{a:1}"#,
    ] {
        assert_eq!(judge(&[("v.exists", "true")], body), Verdict::Undecided, "{body:?}");
        assert_eq!(judge(&[("v.exists", "true"), ("invalid", "skip")], body), Verdict::Skip, "{body:?}");
    }
    // Decided before it gets bad.
    assert_eq!(judge(&[("a.exists", "true")], r#"{"a":1,}"#), Verdict::Deliver);
}

#[test]
fn what_lies_behind_the_prefix_is_asked_for() {
    let long = format!(r#"{{"pad":"{}","v":12345}}"#, "x".repeat(5_000));
    for body_bytes in ["1", "10", "1024", "65536"] {
        let params = [("v.equals", "12345"), ("body_bytes", body_bytes)];
        assert_eq!(judge(&params, &long), Verdict::Deliver, "{body_bytes}");
    }
    // A prefix that ends within the number does not judge by its first digits.
    for cut in 1..=24 {
        let cut = cut.to_string();
        assert_eq!(judge(&[("v.min", "12345"), ("body_bytes", &cut)], r#"{"pad":"xxx","v":12345}"#), Verdict::Deliver);
        assert_eq!(judge(&[("v.equals", "123"), ("body_bytes", &cut)], r#"{"pad":"xxx","v":12345}"#), Verdict::Skip);
    }
}

#[test]
fn a_subscription_gives_one_test_as_its_argument() {
    assert_eq!(judge(&[("arg", "v.min=3")], r#"{"v":3}"#), Verdict::Deliver);
    assert_eq!(judge(&[("arg", "v.equals=a=b")], r#"{"v":"a=b"}"#), Verdict::Deliver);
}

#[test]
fn parameters_that_cannot_work_are_refused_with_a_sentence() {
    let many: Vec<(String, &str)> = (0..65).map(|field| (format!("f{field}.exists"), "true")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let cases: [(&[(&str, &str)], &str); 11] = [
        (&[], "no test is given; add one of equals, one_of, min, max, exists"),
        (&[("equals", "eu")], "the parameter `field` is missing"),
        (&[("v.equal", "eu")], "unknown parameter `v.equal`"),
        (&[("v.min", "ten")], "`v.min` is \"ten\", expected a number"),
        (&[("v.min", "inf")], "expected a number"),
        (&[("v.min", "2"), ("v.max", "1")], "`min` of v is above its `max`"),
        (&[("v.exists", "maybe")], "expected true or false"),
        (&[("a..b.exists", "true")], "\"a..b\" is no path"),
        (&[("v.exists", "true"), ("invalid", "deliver")], "expected undecided or skip"),
        (&[("v.exists", "true"), ("body_bytes", "65537")], "expected 1 to 65536"),
        (&[("arg", "v")], "the argument is \"v\", expected path.test=value"),
    ];
    for (params, expected) in cases.into_iter().chain([(&many[..], "more than 64 fields are asked for")]) {
        let error = open(params).err().unwrap_or_default();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
