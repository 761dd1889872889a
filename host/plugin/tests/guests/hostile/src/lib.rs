//! Everything that a plugin can do wrong, by parameters. Tests load it under one name after the other.
//!
//! `at` says when (init, self-check, open, evaluate), `do` says what. In `evaluate` it happens at the message whose property
//! `poison` is set; the verdict for every other message is the parameter `answer` (deliver unless "skip"). `columns` and
//! `tags` shape the plan.

use gantry_plugin_sdk::bindings::{
    self,
    exports::gantry::plugin::{filter, lifecycle},
    gantry::plugin::types::{Column, ColumnRequest, Shape, Source},
};
use std::cell::RefCell;

struct Hostile;

type Params = Vec<(String, String)>;

thread_local! {
    static PARAMS: RefCell<Params> = const { RefCell::new(Vec::new()) };
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn param(name: &str) -> String {
    let find = |params: &Params| params.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    PARAMS.with_borrow(find).unwrap_or_default()
}

fn misbehave(at: &str) -> Result<(), String> {
    if param("at") != at {
        return Ok(());
    }
    match param("do").as_str() {
        "loop" => loop {
            std::hint::black_box(());
        },
        "trap" => panic!("as told"),
        "recurse" => {
            #[expect(unconditional_recursion, reason = "that is the point")]
            fn deeper(depth: u64) -> u64 {
                std::hint::black_box(deeper(std::hint::black_box(depth + 1))) + 1
            }
            deeper(0);
        }
        "hoard" => HOARD.with_borrow_mut(|hoard| hoard.push(vec![1; 1 << 30])),
        "refuse" => return Err("I do not want to".to_owned()),
        "shout" => (0..10_000).for_each(|line| gantry_plugin_sdk::host::info(&format!("line {line} {}", "x".repeat(2_000)))),
        other => return Err(format!("cannot do {other:?}")),
    }
    Ok(())
}

/// Delivers when the body says "yes" from its third byte on, or the property "also" is "yes"; both fetched lazily.
fn peek(index: u32) -> u8 {
    use bindings::gantry::plugin::message_access::{body, property};
    let says_yes = body(index, 2, 3) == b"yes" || property(index, "also").as_deref() == Some("yes");
    // Beyond the batch and beyond the body there is nothing.
    let beyond = body(index + 1_000, 0, 10).len() + body(index, u32::MAX, u32::MAX).len();
    u8::from(says_yes && beyond == 0)
}

impl lifecycle::Guest for Hostile {
    fn init(context: lifecycle::PluginContext) -> Result<lifecycle::PluginInfo, String> {
        PARAMS.set(context.params.into_iter().map(|pair| (pair.name, pair.value)).collect());
        std::panic::set_hook(Box::new(|panic| gantry_plugin_sdk::host::log(gantry_plugin_sdk::host::Level::Error, &panic.to_string())));
        misbehave("init")?;
        Ok(lifecycle::PluginInfo { name: "hostile".into(), version: "1".into(), language: "rust".into() })
    }

    fn self_check() -> Result<(), String> {
        misbehave("self-check")
    }
}

impl filter::Guest for Hostile {
    fn open(_: u32, subscription: filter::Subscription) -> Result<filter::Plan, String> {
        let own = subscription.params.into_iter().map(|pair| (pair.name, pair.value));
        PARAMS.set(own.collect());
        misbehave("open")?;
        let column = |name: &str| ColumnRequest { source: Source::Property(name.to_owned()), shape: Shape::Text };
        let count = param("columns").parse().unwrap_or(1);
        let columns = (0..count).map(|_| column("poison")).collect();
        let tags = param("tags");
        let tags = tags.split_whitespace().map(str::to_owned).collect();
        Ok(filter::Plan { columns, tags, max_batch: 0 })
    }

    fn evaluate(_: u32, batch: filter::Batch) -> Vec<u8> {
        let answer = if param("answer") == "skip" { 0 } else { 1 };
        let mut verdicts = vec![answer; batch.count as usize];
        if param("do") == "peek" {
            return (0..batch.count).map(peek).collect();
        }
        let Some(Column::Text(column)) = batch.columns.first() else { return Vec::new() };
        for (index, verdict) in verdicts.iter_mut().enumerate() {
            if column.offsets[index] == column.offsets[index + 1] {
                continue;
            }
            match param("do").as_str() {
                "short" => return vec![1; batch.count as usize - 1],
                "undecided" => *verdict = 2,
                "nonsense" => *verdict = 7,
                _ => {
                    if let Err(reason) = misbehave("evaluate") {
                        panic!("{reason}");
                    }
                }
            }
        }
        verdicts
    }
}

bindings::export!(Hostile with_types_in gantry_plugin_sdk::bindings);
