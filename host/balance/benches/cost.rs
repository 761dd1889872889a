//! What the built-in decisions cost: `cargo bench -p gantry-balance`.
//!
//! Medians of passes. `draw`: a queue by weight for one message. `assign`: 1,000 queues among 100 members, one member's share,
//! and all shares with the check that a decider's answer gets. `route`: the check of an answer for sixteen brokers. With
//! `--test` (as `cargo test --benches` passes it) short passes show that it still runs.

use std::{
    hint::black_box,
    io::{self, Write},
    time::Instant,
};

use gantry_balance::{AllocationStrategy, RouteBroker, RouteQuestion, Weights, assign, route};
use gantry_model::labels::Labels;

const QUEUES: u32 = 1_000;
const MEMBERS: u32 = 100;

fn main() -> io::Result<()> {
    let quick = std::env::args().any(|argument| argument == "--test");
    let passes = if quick { 3 } else { 101 };
    let say = |what: &str, per_pass: u32, work: &mut dyn FnMut()| {
        let mut times: Vec<f64> = (0..passes).map(|_| timed(work) / f64::from(per_pass)).collect();
        times.sort_by(f64::total_cmp);
        writeln!(io::stdout(), "{what:<44} {:>12.1} ns", times[times.len() / 2])
    };

    const DRAWS: u32 = 100_000;
    for queues in [8u32, 64, QUEUES] {
        let weights: Vec<u32> = (0..queues).map(|queue| queue * queue % 97).collect();
        // Never all 0: the second is 1.
        let weights = Weights::new(&weights).map_err(io::Error::other)?;
        let mut turn = 0;
        say(&format!("draw, {queues} queues"), DRAWS, &mut || {
            for _ in 0..DRAWS {
                turn += 1;
                black_box(weights.at(black_box(turn)));
            }
        })?;
    }
    for (name, strategy) in [("AVG", AllocationStrategy::Average), ("AVG_BY_CIRCLE", AllocationStrategy::Circle)] {
        say(&format!("assign {name}, one share"), 1, &mut || {
            black_box(strategy.share(black_box(QUEUES), MEMBERS, black_box(57)));
        })?;
        say(&format!("assign {name}, all shares, checked"), 1, &mut || {
            let shares: Vec<Vec<u32>> = (0..MEMBERS).map(|place| strategy.share(QUEUES, MEMBERS, place)).collect();
            assert_eq!(assign::check(black_box(&shares), QUEUES, MEMBERS as usize), Ok(()));
        })?;
    }
    let question = question(16);
    let answer: Vec<bool> = (0..16).map(|broker| broker % 3 != 0).collect();
    say("route, the check for 16 brokers", 1, &mut || {
        black_box(route::verdict(black_box(&question), &answer)).ok();
    })
}

/// Nanoseconds of one pass.
fn timed(work: &mut dyn FnMut()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_nanos() as f64
}

fn question(brokers: u32) -> RouteQuestion {
    let broker = |at| RouteBroker {
        name: format!("broker-{at}").into(),
        cluster: "c".into(),
        zone: Some("az1".into()),
        labels: Labels::default(),
        writable: true,
        read_queues: 8,
        write_queues: 8,
        load: None,
    };
    RouteQuestion { topic: "orders".into(), brokers: (0..brokers).map(broker).collect() }
}
