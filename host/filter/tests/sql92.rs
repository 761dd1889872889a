//! The dialect, case by case: the expected values are those of the table in RocketMQ's documentation of record, found out by
//! running it, not those of this code.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use gantry_filter::sql::{DEPTH_MAX, EXPRESSION_LEN_MAX, Expression, FUNCTIONS_MAX, NAMES_MAX, NODES_MAX, Truth};
use gantry_model::properties;

use Truth::{Error, False, Null, True};

/// a = 3, b = hello, big = 3000000000, d = 1.5, t = TRUE, x = 1, y = 1.0, TAGS = red.
fn message() -> Vec<u8> {
    let pairs = [
        ("a", "3"),
        ("b", "hello"),
        ("big", "3000000000"),
        ("d", "1.5"),
        ("t", "TRUE"),
        ("x", "1"),
        ("y", "1.0"),
        ("TAGS", "red"),
    ];
    let mut encoded = Vec::new();
    pairs.iter().for_each(|(name, value)| properties::push(&mut encoded, name, value));
    encoded
}

fn judge(text: &str) -> Truth {
    let expression = Expression::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    expression.evaluate(&message(), &[]).truth().unwrap()
}

fn check(cases: &[(&str, Truth)]) {
    for (text, expected) in cases {
        assert_eq!(judge(text), *expected, "{text}");
    }
}

#[test]
fn a_text_is_read_as_the_literals_type() {
    check(&[
        ("a > 2", True),
        ("a = 3", True),
        ("a = 3L", True),
        ("a <> 3", False),
        ("3 = a", True),
        ("2 < a", True),
        ("d > 1", Error),
        ("d > 1.0", True),
        ("1.0 < d", True),
        ("big > 1", Error),
        ("big > 1L", Error),
        ("big > 2999999999", True),
        ("b > 1", Error),
        ("b = 1", Error),
        ("b <> 1", Error),
        ("a >= 3 AND a <= 3", True),
        ("a BETWEEN 3 AND 4", True),
        ("a NOT BETWEEN 3 AND 4", False),
        ("a > -1", True),
        ("a > - -1", True),
        ("y = 1", Error),
        ("y = 1e0", True),
    ]);
}

#[test]
fn booleans_texts_and_two_properties() {
    check(&[
        ("t = TRUE", True),
        ("t = false", False),
        ("b = true", False),
        ("b = FALSE", True),
        ("TRUE = t", Error),
        ("b = 'hello'", True),
        ("b = 'Hello'", False),
        ("a = '3'", True),
        ("TAGS = 'red'", True),
        ("a > x", True),
        ("a > d", True),
        ("a > b", Error),
        ("x = y", False),
        ("x = x", True),
        ("x >= y AND x <= y", True),
        ("a IN ('3')", True),
        ("a IN ('03', '4')", False),
        ("a NOT IN ('3', '4')", False),
        ("b CONTAINS 'ell'", True),
        ("b NOT CONTAINS 'ell'", False),
        ("b STARTSWITH 'hel'", True),
        ("b startswith 'ell'", False),
        ("b ENDSWITH 'llo'", True),
        ("b NOT ENDSWITH 'llo'", False),
    ]);
}

#[test]
fn null_has_rules_of_its_own() {
    check(&[
        // Missing on either side of an order, in BETWEEN and IN; on the left of an equality.
        ("zz > 1", Null),
        ("1 > zz", Null),
        ("zz >= yy", Null),
        ("zz BETWEEN 1 AND 2", Null),
        ("a BETWEEN 1 AND zz", Null),
        ("zz NOT BETWEEN 1 AND 2", Null),
        ("zz IN ('1')", Null),
        ("zz NOT IN ('1')", Null),
        ("zz = 'x'", Null),
        ("zz <> 'x'", Null),
        ("zz = 5", Null),
        ("zz <> 5", Null),
        // Only the right one missing, and both.
        ("b = zz", False),
        ("5 = zz", False),
        ("b <> zz", True),
        ("zz = yy", True),
        ("zz <> yy", False),
        ("zz IS NULL", True),
        ("zz IS NOT NULL", False),
        ("b IS NULL", False),
        ("b IS NOT NULL", True),
        ("(zz > 1) IS NULL", True),
        // False, negated or not.
        ("zz CONTAINS 'x'", False),
        ("zz NOT CONTAINS 'x'", False),
        ("zz NOT STARTSWITH 'x'", False),
        ("zz NOT ENDSWITH 'x'", False),
        ("b CONTAINS ''", False),
        ("b NOT CONTAINS ''", False),
        ("b NOT STARTSWITH ''", False),
        ("NOT (zz > 1)", Null),
        ("NULL", Null),
        ("NOT NULL", Null),
        ("t", False),
        ("zz", Null),
        ("NOT t", True),
        ("a = -x", False),
        ("-x > 0", Null),
    ]);
}

#[test]
fn and_or_and_errors() {
    check(&[
        ("zz > 1 AND a = 4", False),
        ("a = 4 AND zz > 1", False),
        ("zz > 1 AND a = 3", Null),
        ("zz > 1 OR a = 3", True),
        ("zz > 1 OR a = 4", Null),
        ("a = 4 OR a = 5", False),
        ("a = 3 OR b > 1", True),
        ("b > 1 OR a = 3", Error),
        ("a = 4 AND b > 1", False),
        ("b > 1 AND a = 4", Error),
        ("zz > 1 AND b > 1", Error),
        ("NOT (b > 1)", Error),
        // AND binds tighter than OR.
        ("a = 3 OR a = 4 AND a = 5", True),
        ("(a = 3 OR a = 4) AND a = 5", False),
    ]);
}

#[test]
fn the_grammar_has_its_oddities() {
    check(&[
        ("NOT (a > 2)", False),
        ("NOT NOT a = 3", False),
        ("a > 2 junk", True),
        ("a > 2 )", True),
        ("b LIKE 'h%'", False),
        ("a + 1 = 4", False),
        ("a > 012", True),
        ("a > 2 -- comment\n AND a < 3", False),
        ("a > 2 -- comment", True),
        ("/* ** / */ a /**/ = /* */ 3", True),
        ("TRUE", True),
        ("not(a=4)and a>2or b='x'", True),
        ("b = 'it''s'", False),
        ("a = 3.", True),
        ("a > .5", True),
    ]);
    let refused = [
        ("NOT a > 2", "character 1: found a condition, expected a number or a property"),
        ("a > 2;", "character 6: found `;`"),
        ("5", "character 1: found a number, expected a condition"),
        ("'x'", "character 1: found a text, expected a condition"),
        ("a AND 5", "character 7: found a number, expected a condition"),
        ("", "character 1: found the end, expected a property, a value, NOT or ("),
        ("a > 0.0", "character 5: found `0.0`, expected a fraction above zero"),
        ("a > -0.0", "character 6: found `0.0`"),
        ("a > 1e999", "character 5: found `1e999`"),
        ("a = 9223372036854775808", "character 5: found `9223372036854775808`, expected a whole number up to"),
        ("a > '2'", "character 5: found a text, expected a number or a property"),
        ("a > TRUE", "character 5: found a condition"),
        ("a BETWEEN '1' AND '2'", "character 11: found a text"),
        ("a BETWEEN 2 AND 1", "character 11: found a lower end above the upper one"),
        ("a > 1 > 2", "character 1: found a condition"),
        ("a = NULL", "character 5: found NULL, expected a value; write IS NULL"),
        ("NULL <> a", "character 1: found NULL"),
        ("a IN (3)", "character 7: found `3)`, expected a text in single quotes"),
        ("5 IN ('5')", "character 1: found a number, expected a property before IN"),
        ("a IN ('5'", "character 10: found the end, expected a comma or )"),
        ("a = 'x", "character 5: found `'x`, expected a ' that ends the text"),
        ("a != 3", "character 3: found `!`"),
        ("a == 3", "character 4: found `= 3`"),
        ("\"a\" = 3", "character 1: found `\"`, expected texts in single quotes"),
        ("a.b = 3", "character 2: found `.`"),
        ("naïve = 3", "character 3: found `ï`"),
        ("in = 3", "character 1: found `in = 3`"),
        ("a NOT 3", "character 7: found `3`, expected BETWEEN, IN, CONTAINS"),
        ("a IS 3", "character 6: found `3`, expected NULL or NOT NULL"),
        ("(a = 3", "character 7: found the end, expected an operator or )"),
        ("a CONTAINS b", "character 12: found `b`, expected a text in single quotes"),
        ("a = 3 AND", "character 10: found the end"),
        ("-a", "character 1: found a negative value, expected a condition"),
    ];
    for (text, expected) in refused {
        let error = Expression::parse(text).err().unwrap_or_else(|| panic!("{text} parses")).to_string();
        assert!(error.contains(expected), "{text}: {error:?} should say {expected:?}");
    }
}

#[test]
fn everything_is_bounded() {
    // Half of what a worker has; and this build may not be an optimised one.
    std::thread::Builder::new().stack_size(1 << 20).spawn(bounds).unwrap().join().unwrap();
}

fn bounds() {
    let refused = |text: String, expected: String| {
        let error = Expression::parse(&text).err().unwrap_or_else(|| panic!("{expected}: parses")).to_string();
        assert!(error.contains(&expected), "{error}");
    };
    let repeat = |part: &str, count: usize| part.repeat(count);
    for (open, close) in [("(", ")"), ("NOT (", ")"), ("a = (", ")"), ("NOT ", ""), ("+ ", ""), ("a = -(", ")")] {
        let depth = |levels: usize| format!("{}a = 3{}", repeat(open, levels), repeat(close, levels));
        let deepest = (1..=DEPTH_MAX).rev().map(depth).find_map(|text| Expression::parse(&text).ok());
        let Some(deepest) = deepest else { panic!("{open}: nothing parses") };
        deepest.evaluate(&message(), &[]);
        refused(depth(DEPTH_MAX + 1), format!("at most {DEPTH_MAX} levels"));
        refused(depth(EXPRESSION_LEN_MAX / 20), format!("at most {DEPTH_MAX} levels"));
    }
    refused(format!("a{}", repeat(" = a", DEPTH_MAX + 1)), format!("at most {DEPTH_MAX} levels"));
    refused(format!("a{}", repeat(" CONTAINS 'x'", DEPTH_MAX + 1)), format!("at most {DEPTH_MAX} levels"));
    // AND and OR do not nest, however many.
    assert_eq!(judge(&format!("a = 3{}", repeat(" AND a = 3", NODES_MAX / 3 - 2))), True);
    assert_eq!(judge(&format!("a = 4{}", repeat(" OR a = 3", 1_000))), True);

    refused(format!("a = 3{}", repeat(" OR a = 3", NODES_MAX / 3)), format!("at most {NODES_MAX} conditions"));
    refused(format!("a IN ('x'{})", repeat(",'x'", NODES_MAX)), format!("at most {NODES_MAX} conditions"));
    refused(repeat(" ", EXPRESSION_LEN_MAX + 1), format!("at most {EXPRESSION_LEN_MAX}"));
    let names = |count: usize| (0..count).map(|n| format!("p{n} IS NULL")).collect::<Vec<_>>().join(" AND ");
    assert_eq!(judge(&names(NAMES_MAX)), True);
    refused(names(NAMES_MAX + 1), format!("at most {NAMES_MAX} different"));
    let calls = |count: usize| (0..count).map(|n| format!("wasm('p{n}')")).collect::<Vec<_>>().join(" AND ");
    assert_eq!(Expression::parse(&calls(FUNCTIONS_MAX)).unwrap().functions().len(), FUNCTIONS_MAX);
    refused(calls(FUNCTIONS_MAX + 1), format!("at most {FUNCTIONS_MAX} different"));
    assert_eq!(Expression::parse(&vec!["wasm('p')"; 100].join(" OR ")).unwrap().functions().len(), 1);
}

#[test]
fn of_many_names_and_many_texts_the_right_one_is_found() {
    let names: Vec<String> = (0..NAMES_MAX).map(|n| format!("p{n} = 'v{n}'")).collect();
    let expression = Expression::parse(&names.join(" AND ")).unwrap();
    let mut encoded = Vec::new();
    (0..NAMES_MAX).for_each(|n| properties::push(&mut encoded, &format!("p{n}"), &format!("v{n}")));
    assert_eq!(expression.evaluate(&encoded, &[]).truth(), Some(True));
    properties::push(&mut encoded, "p63", "other");
    assert_eq!(expression.evaluate(&encoded, &[]).truth(), Some(False), "the last of two values counts");

    let texts: Vec<String> = (0..40).rev().map(|n| format!("'{n}'")).collect();
    let among = |text: &str| judge(&format!("'{text}' = '{text}' AND a NOT IN ('x', {})", texts.join(",")));
    assert_eq!(among("3"), False);
    assert_eq!(judge(&format!("b NOT IN ({})", texts.join(","))), True);
}

#[test]
fn a_call_is_a_condition_and_a_property_may_have_its_name() {
    let text = "wasm('p', 'it''s') AND NOT WASM ( 'q' ) OR wasm = 'x'";
    let expression = Expression::parse(text).unwrap();
    let calls: Vec<String> = expression.functions().iter().map(ToString::to_string).collect();
    assert_eq!(calls, ["wasm('p', 'it''s')", "wasm('q')"]);
    let judge = |answers: &[Option<bool>]| expression.evaluate(b"", answers);
    assert_eq!(judge(&[Some(true), Some(false)]).truth(), Some(True));
    assert_eq!(judge(&[Some(true), Some(true)]).truth(), Some(Null));
    assert_eq!(judge(&[Some(true), None]).selects(), None);
    assert_eq!(judge(&[Some(false), None]).selects(), Some(false), "whatever q says");
    assert_eq!(expression.evaluate(b"wasm\x01x\x02", &[]).truth(), Some(True), "whatever they say");

    // Compared, as conditions may be.
    let equal = Expression::parse("wasm('p') = wasm('q')").unwrap();
    assert_eq!(equal.evaluate(b"", &[Some(true), Some(true)]).truth(), Some(True));
    assert_eq!(equal.evaluate(b"", &[Some(true), None]).selects(), None);
    let never = Expression::parse("wasm('p') IS NULL OR (wasm('p') CONTAINS 'x') OR a = -wasm('p')").unwrap();
    assert_eq!(never.evaluate(b"a\x01true\x02", &[]).truth(), Some(False));
    let failing = Expression::parse("wasm('p') = 'x'").unwrap();
    assert_eq!(failing.evaluate(b"", &[]).truth(), Some(Error), "a condition and a text do not compare");

    for (text, expected) in [
        ("wasm()", "found `)`, expected a text in single quotes"),
        ("wasm(p)", "found `p)`, expected a text in single quotes"),
        ("wasm('p' 'q')", "found `'q')`, expected a comma and an argument, or )"),
        ("wasm('p', 'q', 'r')", "found `, 'r')`, expected )"),
        ("wasm('p') > 1", "found a condition, expected a number or a property"),
    ] {
        let error = Expression::parse(text).err().unwrap_or_else(|| panic!("{text} parses")).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
