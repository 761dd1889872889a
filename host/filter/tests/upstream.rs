//! Expressions that Apache RocketMQ's own filter has judged, see `sql92/README.md`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::fs;

use gantry_filter::sql::{Expression, Truth};
use gantry_model::properties;

/// T, F, N, E or P.
fn judge(expression: &str, pairs: &str) -> char {
    let Ok(expression) = Expression::parse(&expression.replace("\\n", "\n")) else { return 'P' };
    let mut encoded = Vec::new();
    for (name, value) in pairs.split(';').filter_map(|pair| pair.split_once('=')) {
        properties::push(&mut encoded, name, value);
    }
    match expression.evaluate(&encoded, &[]).truth() {
        Some(Truth::True) => 'T',
        Some(Truth::False) => 'F',
        Some(Truth::Null) => 'N',
        Some(Truth::Error) => 'E',
        None => '?',
    }
}

#[test]
fn expressions_are_what_rocketmq_makes_of_them() {
    let cases = match std::env::var("SQL92_CASES") {
        Ok(file) => fs::read_to_string(file).unwrap(),
        Err(_) => include_str!("sql92/cases.tsv").to_owned(),
    };
    let (mut judged, mut different) = (0, Vec::new());
    for line in cases.lines() {
        let [expression, pairs, expected] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        // Calls are Gantry's own.
        if expression.to_lowercase().replace(' ', "").contains("wasm(") {
            continue;
        }
        judged += 1;
        let found = judge(expression, pairs);
        if expected != found.to_string() {
            different.push(format!("{expression}   with {pairs}: RocketMQ {expected}, here {found}"));
        }
    }
    assert!(judged > 2_000, "{judged} cases");
    assert!(different.is_empty(), "{} of {judged} differ:\n{}", different.len(), different.join("\n"));
}
