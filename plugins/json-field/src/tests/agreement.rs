//! The scanner against another reader of JSON, and against itself on a part of a body.

use gantry_plugin_sdk::prelude::Params;
use proptest::prelude::*;
use serde_json::Value;

use crate::judge::{Judge, Judged};

/// Names are few, so that paths often lead somewhere; some need escapes.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[abc01]", "[a\"\\\\ä\n]{1,2}"]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3i64..3).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
        name().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn judge(tests: &[(String, String)]) -> Judge {
    Judge::read(&tests.iter().cloned().collect::<Params>()).unwrap()
}

/// What is at the path, read from the whole document.
fn at<'v>(document: &'v Value, path: &[String]) -> Option<&'v Value> {
    let found = path.iter().try_fold(document, |value, step| match value {
        Value::Object(members) => members.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    });
    found.filter(|value| !value.is_null())
}

fn as_literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn written(document: &Value, pretty: bool) -> String {
    if pretty { serde_json::to_string_pretty(document).unwrap() } else { document.to_string() }
}

fn verdict(passes: bool) -> Judged {
    if passes { Judged::Passes } else { Judged::Fails }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn fields_are_where_the_other_reader_finds_them(
        document in json(), path in prop::collection::vec(name(), 1..4), pretty: bool
    ) {
        let (body, dotted) = (written(&document, pretty), path.join("."));
        let found = at(&document, &path);
        let exists = judge(&[(format!("{dotted}.exists"), "true".into())]);
        prop_assert_eq!(exists.judge(body.as_bytes()), verdict(found.is_some()));
        if let Some(literal) = found.and_then(as_literal) {
            let equals = judge(&[(format!("{dotted}.equals"), literal.clone())]);
            prop_assert_eq!(equals.judge(body.as_bytes()), Judged::Passes, "{}", literal);
        }
        if let Some(number) = found.and_then(Value::as_f64) {
            let range = [("min", number), ("max", number)].map(|(test, bound)| (format!("{dotted}.{test}"), bound.to_string()));
            prop_assert_eq!(judge(&range).judge(body.as_bytes()), Judged::Passes);
        }
    }

    #[test]
    fn what_a_part_decides_the_whole_decides_alike(
        document in json(), path in name(), cut in any::<prop::sample::Index>(), pretty: bool
    ) {
        let body = written(&document, pretty);
        let tests = judge(&[(format!("{path}.exists"), "true".into()), (format!("{path}.min"), "0".into())]);
        match tests.judge(&body.as_bytes()[..cut.index(body.len() + 1)]) {
            Judged::NotJson => prop_assert!(false, "a part of a document may go on as one"),
            Judged::Short => {}
            // A document that is a number or a string goes on behind every digit; it has no fields either way.
            decided => prop_assert_eq!(decided, tests.judge(body.as_bytes())),
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(prop_oneof![any::<u8>(), "[\\[\\]{}\",:a0]".prop_map(|c| c.as_bytes()[0])], 0..60)) {
        let tests = judge(&[("a.a.exists".into(), "true".into()), ("a.0.min".into(), "1".into())]);
        let judged = tests.judge(&bytes);
        if serde_json::from_slice::<Value>(&bytes).is_ok() {
            prop_assert!(matches!(judged, Judged::Passes | Judged::Fails));
        }
    }
}
