//! Everything that a plugin can do wrong, in every world, by parameters. Tests load it under one name after the other.
//!
//! `at` says when: init, self-check, open, wants, families, added, tick, snapshot, restore, evaluate, route, place, select or
//! assign. `do` says what. In `evaluate` it happens at the message whose property `poison` is set; the verdict for every other
//! message is the parameter `answer` (deliver unless "skip"). `columns` and `tags` shape a filter's plan.

use std::cell::{Cell, RefCell};

wit_bindgen::generate!({
    path: "../../../../../sdk-wasm/wit",
    inline: "
        package gantry:hostile;
        world everything {
            include gantry:plugin/message-filter@0.2.0;
            include gantry:plugin/queue-balancer@0.2.0;
            include gantry:plugin/stateful-metric-hook@0.2.0;
            include gantry:plugin/stateful-alert-hook@0.2.0;
        }
    ",
    world: "gantry:hostile/everything",
    generate_all,
});

use exports::gantry::plugin::{alerts, balancer, carried_state, feed, filter, lifecycle, metrics};
use gantry::plugin::{
    host,
    types::{Column, ColumnRequest, Pair, Shape, Source},
};

struct Hostile;

type Params = Vec<(String, String)>;

thread_local! {
    static PARAMS: RefCell<Params> = const { RefCell::new(Vec::new()) };
    static HOARD: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
    /// What a hook remembers: ticks that it saw, also before a swap.
    static TICKS: Cell<u64> = const { Cell::new(0) };
    static KNOWN: RefCell<Vec<(u32, String)>> = const { RefCell::new(Vec::new()) };
}

fn param(name: &str) -> String {
    let find = |params: &Params| params.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone());
    PARAMS.with_borrow(find).unwrap_or_default()
}

fn set_params(params: Vec<Pair>) {
    PARAMS.set(params.into_iter().map(|pair| (pair.name, pair.value)).collect());
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
        "shout" => (0..10_000).for_each(|line| host::log(host::Level::Info, &format!("line {line} {}", "x".repeat(2_000)))),
        // Calls of the host without end, each of which costs the host something.
        "flood" => loop {
            host::count(&"n".repeat(60), 1);
            host::log(host::Level::Debug, "flood");
        },
        // The answer itself is wrong, see where it is given.
        "nonsense" | "twice" | "many" => {}
        other => return Err(format!("cannot do {other:?}")),
    }
    Ok(())
}

/// Where there is nobody to refuse to.
fn misbehave_or_die(at: &str) {
    if let Err(reason) = misbehave(at) {
        panic!("{reason}");
    }
}

/// Whether an answer of its own kind is to be wrong here.
fn wrong(at: &str, how: &str) -> bool {
    param("at") == at && param("do") == how
}

/// Delivers when the body says "yes" from its third byte on, or the property "also" is "yes"; both fetched lazily.
fn peek(index: u32) -> u8 {
    use gantry::plugin::message_access::{body, property};
    let says_yes = body(index, 2, 3) == b"yes" || property(index, "also").as_deref() == Some("yes");
    // Beyond the batch and beyond the body there is nothing.
    let beyond = body(index + 1_000, 0, 10).len() + body(index, u32::MAX, u32::MAX).len();
    u8::from(says_yes && beyond == 0)
}

impl lifecycle::Guest for Hostile {
    fn init(context: lifecycle::PluginContext) -> Result<lifecycle::PluginInfo, String> {
        set_params(context.params);
        std::panic::set_hook(Box::new(|panic| host::log(host::Level::Error, &panic.to_string())));
        misbehave("init")?;
        Ok(lifecycle::PluginInfo { name: "hostile".into(), version: "1".into(), language: "rust".into() })
    }

    fn self_check() -> Result<(), String> {
        misbehave("self-check")
    }
}

impl filter::Guest for Hostile {
    fn open(_: u32, subscription: filter::Subscription) -> Result<filter::Plan, String> {
        set_params(subscription.params);
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
                _ => misbehave_or_die("evaluate"),
            }
        }
        verdicts
    }
}

impl balancer::Guest for Hostile {
    fn open(_: u32, binding: balancer::Binding) -> Result<balancer::Decisions, String> {
        set_params(binding.params);
        misbehave("open")?;
        Ok(balancer::Decisions { route: true, placement: true, assignment: true })
    }

    /// Withdraws the first broker.
    fn route(_: u32, _: String, brokers: Vec<balancer::BrokerOffer>) -> Result<Vec<bool>, String> {
        misbehave("route")?;
        let extra = usize::from(wrong("route", "nonsense"));
        Ok((0..brokers.len() + extra).map(|index| index > 0).collect())
    }

    fn place(_: u32, _: String, queues: Vec<balancer::QueueState>) -> Result<balancer::Placement, String> {
        misbehave("place")?;
        if param("placement") == "per-message" && !wrong("place", "nonsense") {
            return Ok(balancer::Placement::PerMessage);
        }
        Ok(balancer::Placement::Weights(vec![1; queues.len() + usize::from(wrong("place", "nonsense"))]))
    }

    /// The second queue.
    fn select(_: u32, _: String, _: balancer::SendHint) -> Option<u32> {
        misbehave_or_die("select");
        Some(if wrong("select", "nonsense") { 1_000 } else { 1 })
    }

    /// Everything to the first member.
    fn assign(_: u32, question: balancer::Assignment) -> Result<Vec<Vec<u32>>, String> {
        misbehave("assign")?;
        let all: Vec<u32> = (0..question.queues.len() as u32).collect();
        let others = if wrong("assign", "twice") { all.clone() } else { Vec::new() };
        let mut answer = vec![others; question.members.len()];
        if let Some(first) = answer.first_mut() {
            *first = all;
        }
        Ok(answer)
    }
}

impl feed::Guest for Hostile {
    fn wants() -> Vec<String> {
        misbehave_or_die("wants");
        if wrong("wants", "many") { vec!["x".into(); 1_000] } else { vec!["test_*".into()] }
    }

    fn series_added(added: Vec<feed::Series>) {
        misbehave_or_die("added");
        KNOWN.with_borrow_mut(|known| known.extend(added.into_iter().map(|series| (series.id, series.name))));
    }

    fn series_removed(ids: Vec<u32>) {
        KNOWN.with_borrow_mut(|known| known.retain(|(id, _)| !ids.contains(id)));
    }
}

/// One line about the tick: how many ticks, and the names that the values belong to.
fn told(tick: &feed::Tick) -> String {
    TICKS.set(TICKS.get() + 1);
    let name = |id: &u32| KNOWN.with_borrow(|known| known.iter().find(|(found, _)| found == id).map(|(_, name)| name.clone()));
    let shown: Vec<String> = tick
        .ids
        .iter()
        .zip(&tick.values)
        .map(|(id, value)| format!("{}={value}", name(id).unwrap_or_else(|| "unknown".into())))
        .collect();
    format!("tick {}: {}", TICKS.get(), shown.join(" "))
}

impl metrics::Guest for Hostile {
    fn families() -> Vec<metrics::Family> {
        misbehave_or_die("families");
        let name = if wrong("families", "nonsense") { "No Name" } else { "told" };
        vec![metrics::Family {
            name: name.into(),
            help: "What the tick told".into(),
            kind: feed::SeriesKind::Gauge,
            label_names: vec!["line".into()],
        }]
    }

    fn on_tick(tick: feed::Tick) -> Vec<metrics::Sample> {
        misbehave_or_die("tick");
        let sample = |line: String| metrics::Sample { family: 0, labels: vec![line], value: 1.0 };
        let line = told(&tick);
        match () {
            () if wrong("tick", "nonsense") => vec![metrics::Sample { family: 9, ..sample(line) }],
            () if wrong("tick", "twice") => vec![sample(line.clone()), sample(line)],
            () if wrong("tick", "many") => (0..20_000).map(|number| sample(number.to_string())).collect(),
            () => vec![sample(line)],
        }
    }
}

impl alerts::Guest for Hostile {
    fn on_tick(tick: feed::Tick) -> Vec<alerts::Alert> {
        misbehave_or_die("tick");
        let alert = |key: &str| alerts::Alert {
            key: key.into(),
            severity: alerts::Severity::Warning,
            summary: told(&tick),
            labels: Vec::new(),
            value: 1.0,
            for_millis: 0,
        };
        match () {
            () if wrong("tick", "nonsense") => vec![alert("")],
            () if wrong("tick", "twice") => vec![alert("told"), alert("told")],
            () if wrong("tick", "many") => (0..2_000).map(|number| alert(&number.to_string())).collect(),
            () => vec![alert("told")],
        }
    }
}

impl carried_state::Guest for Hostile {
    fn snapshot() -> Vec<u8> {
        misbehave_or_die("snapshot");
        if wrong("snapshot", "many") { vec![1; 2 << 20] } else { TICKS.get().to_le_bytes().into() }
    }

    fn restore(state: Vec<u8>) -> Result<(), String> {
        misbehave("restore")?;
        TICKS.set(u64::from_le_bytes(state.try_into().map_err(|_| "not my state")?));
        Ok(())
    }
}

export!(Hostile);
