//! Putting one case to a plugin.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::file::{Case, Tick};
use crate::{
    balancer::{Placement, SendHint},
    binding::Kind,
    feed::{Feed, Series},
    refusal::Refusal,
    run::Verdict,
    slot::{Fault, Slot},
    spec::World,
    trial,
    version::{Ground, Version, Wire, Wiring},
};

/// Number of the one binding that a case opens.
const ID: u32 = 1;

/// Asks, and compares. The error says what came instead of what was expected.
pub(super) fn ask(case: &Case, ground: &Ground, version: &Version) -> Result<(), String> {
    let found = answer(case, ground, version)?;
    if found == case.expect {
        return Ok(());
    }
    Err(format!("it answered {found}, expected {}", case.expect))
}

/// What an instance answers, or the plugin's own no.
type Said<T> = Result<Result<T, String>, Fault>;

fn answer(case: &Case, ground: &Ground, version: &Version) -> Result<Value, String> {
    let instance = open(case, ground, version).map_err(|refusal| refusal.to_string())?;
    let world = version.code.world;
    let runtime = instance.runtime();
    let budget = instance.wiring.deadline;
    let with = |ask: &mut dyn FnMut(&mut Slot) -> Said<Value>| {
        let answer = instance.slot().with(ask).map_err(|fault| fault.to_string())?;
        answer.map_err(|reason| format!("it refused: {reason}"))
    };
    if let Some(message) = &case.message {
        let specimen = message.specimen(&case.topic);
        let verdict = trial::judge(&instance, ID, &specimen.view()).map_err(|fault| fault.to_string())?;
        return Ok(Value::from(match verdict {
            Verdict::Deliver => "deliver",
            Verdict::Skip => "skip",
            Verdict::Undecided => "undecided",
        }));
    }
    if let Some(brokers) = &case.route {
        let brokers: Vec<_> = brokers.iter().map(|broker| broker.offer()).collect();
        return with(&mut |slot| Ok(slot.route(runtime, budget, ID, &case.topic, &brokers)?.map(Value::from)));
    }
    if let Some(queues) = &case.place {
        let queues: Vec<_> = queues.iter().map(|queue| queue.state()).collect();
        return with(&mut |slot| {
            if let Some(hint) = &case.select {
                let hint = SendHint { sharding_key: hint.sharding_key.clone(), size: hint.size };
                let board = (case.topic.as_str(), 1, queues.as_slice());
                return Ok(slot.select(runtime, budget, ID, board, &hint)?.map(|queue| json!(queue)));
            }
            Ok(slot.place(runtime, budget, ID, &case.topic, &queues)?.map(|placement| match placement {
                Placement::Weights(weights) => Value::from(weights),
                Placement::PerMessage => Value::from("per-message"),
            }))
        });
    }
    if let Some(assign) = &case.assign {
        let question = assign.question(&case.topic, &case.group);
        return with(&mut |slot| Ok(slot.assign(runtime, budget, ID, &question)?.map(|answer| json!(answer))));
    }
    match (&case.ticks, world) {
        (Some(ticks), World::MetricHook | World::AlertHook) => last_tick(ticks, &instance),
        _ => Err(format!("the case asks nothing that a {} plugin is asked", world.name())),
    }
}

/// Name and labels.
type SeriesName = (String, Vec<(String, String)>);

/// Shows all ticks to one instance; what the last one made.
fn last_tick(ticks: &[Tick], instance: &Version) -> Result<Value, String> {
    let plan = instance.hook_plan(ID).ok_or("it is no hook")?;
    let mut known: BTreeMap<SeriesName, Arc<Series>> = BTreeMap::new();
    let mut made = Value::Null;
    for tick in ticks {
        let mut feed = Feed { at_ms: tick.at_ms, samples: Vec::new() };
        for shown in &tick.series {
            let labels: Vec<_> = shown.labels.clone().into_iter().collect();
            let id = known.len() as u32 + 1;
            let series = known
                .entry((shown.name.clone(), labels.clone()))
                .or_insert_with(|| Arc::new(Series { id, name: shown.name.clone(), kind: shown.kind(), labels }));
            feed.samples.push((series.clone(), shown.value));
        }
        let (runtime, budget) = (instance.runtime(), instance.wiring.deadline);
        made = if instance.code.world == World::AlertHook {
            let alerts = instance.slot().with(|slot| slot.tick_alerts(runtime, budget, &feed, &plan.wants));
            let alerts = alerts.map_err(|fault| fault.to_string())?;
            alerts.into_iter().map(|alert| alert.key).collect::<Vec<_>>().into()
        } else {
            let samples = instance.slot().with(|slot| slot.tick_metrics(runtime, budget, &feed, &plan.wants));
            let mut series = serde_json::Map::new();
            for sample in samples.map_err(|fault| fault.to_string())? {
                let family =
                    plan.families.get(sample.family as usize).ok_or("it named a family that it did not declare")?;
                let labels: Vec<String> =
                    family.labels.iter().zip(&sample.labels).map(|(name, value)| format!("{name}={value:?}")).collect();
                let name = match labels.is_empty() {
                    true => family.name.clone(),
                    false => format!("{}{{{}}}", family.name, labels.join(",")),
                };
                series.insert(name, json!(sample.value));
            }
            Value::Object(series)
        };
    }
    Ok(made)
}

/// A version of the same code that serves this case alone.
fn open(case: &Case, ground: &Ground, version: &Version) -> Result<Version, Refusal> {
    let params: Vec<(String, String)> = case.params.clone().into_iter().collect();
    let kind = match version.code.world {
        World::MessageFilter => Kind::Filter,
        World::QueueBalancer => Kind::Balancer,
        World::MetricHook | World::AlertHook => Kind::Hook,
    };
    let (topic, group) = match kind {
        Kind::Hook => (String::new(), String::new()),
        _ => (case.topic.clone(), case.group.clone()),
    };
    let wire = Wire { id: ID, kind, topic, group, zone: case.zone.clone(), params: params.clone() };
    let wiring = Wiring { params, bindings: vec![wire], ..version.wiring.clone() };
    let prepared = Version::prepare(ground, version.code.clone(), wiring, None)?;
    match prepared.problems.into_iter().next() {
        Some((_, refusal)) => Err(refusal),
        None => Ok(prepared.version),
    }
}
