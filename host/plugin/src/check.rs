//! A file put through everything that loading does, without a broker: `gantry plugin check FILE`.

use std::{path::Path, sync::Arc, time::Duration};

use gantry_balance::ANY;
use serde::Serialize;

use crate::{
    anatomy::{ABI_VERSION, Kind as Encoding},
    binding::Kind,
    cases::{self, CaseReport},
    code::{self, Code},
    engine::Runtime,
    guest::Shared,
    plan::TagSet,
    refusal::Refusal,
    spec::{self, BindingSpec, PluginSpec, World},
    version::{Ground, Version, Wire, Wiring},
};

/// What was found in a file that can be loaded.
#[derive(Debug, Clone, Serialize)]
pub struct CheckReport {
    /// World that it serves.
    pub world: &'static str,
    /// Version of the contract.
    pub abi: &'static str,
    /// "core module" or "component".
    pub kind: &'static str,
    /// Bytes in the file.
    pub size_bytes: usize,
    /// Their hash.
    pub sha256: String,
    /// What it imports.
    pub imports: Vec<String>,
    /// Time to check and compile, ms.
    pub compile_ms: u64,
    /// Name, version and language in its own words.
    pub guest: String,
    /// What it asks for with the given parameters, or why it refuses them.
    pub plan: Result<PlanReport, String>,
    /// Its own cases, if there are any beside it.
    pub cases: Vec<CaseReport>,
}

/// What an opened plugin asks for, by world.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlanReport {
    /// Of a filter.
    Filter {
        /// `name: shape`.
        columns: Vec<String>,
        /// Tags that it restricts itself to; empty means all.
        tags: Vec<String>,
        /// Most messages a call.
        max_batch: usize,
    },
    /// Of a balancer: names of its decisions.
    Balancer {
        /// route, select-queue, assign.
        decides: Vec<&'static str>,
    },
    /// Of a hook.
    Hook {
        /// Names of the series that it wants.
        wants: Vec<String>,
        /// Names of the families that it derives, with their labels.
        families: Vec<String>,
    },
}

/// World of a file, by what it exports; the error says what it is instead.
pub fn world_of(file: &Path) -> Result<World, Refusal> {
    let bytes = code::read_file(file)?;
    let fits = |world: &World| crate::anatomy::Anatomy::read(&bytes).and_then(|mut found| found.check(*world)).is_ok();
    match World::ALL.into_iter().find(fits) {
        Some(world) => Ok(world),
        // The most common world's refusal says what is wrong with the file.
        None => crate::anatomy::Anatomy::read(&bytes)?.check(World::MessageFilter).map(|()| World::MessageFilter),
    }
}

/// Loads `plugin.file` as a broker would, opens it for `binding` (which is a filter's topic and group, and a balancer's), puts
/// its cases to it, and lets it go. A case that fails is in the report, and would be a refusal on a broker.
pub fn check_file(plugin: &PluginSpec, binding: &BindingSpec) -> Result<CheckReport, Refusal> {
    let Checked { ground, version, refused } = prepare(plugin, binding)?;
    let file = cases::cases_file(&plugin.file);
    let cases = if file.exists() { cases::run(&cases::read(&file)?, &ground, &version) } else { Vec::new() };
    let code = &version.code;
    Ok(CheckReport {
        world: plugin.world.name(),
        abi: ABI_VERSION,
        kind: match code.kind {
            Encoding::CoreModule => "core module",
            Encoding::Component => "component",
        },
        size_bytes: code.size_bytes,
        sha256: code.sha256.clone(),
        imports: code.imports.clone(),
        compile_ms: code.compile_ms,
        guest: version.info.clone(),
        plan: match refused {
            None => Ok(plan(&version)),
            Some(refusal) => Err(refusal.to_string()),
        },
        cases,
    })
}

/// A file that was loaded outside of any host.
pub(crate) struct Checked {
    pub(crate) ground: Ground,
    pub(crate) version: Version,
    /// Why it does not take the binding, if so.
    pub(crate) refused: Option<Refusal>,
}

/// Number of the one binding.
pub(crate) const ID: u32 = 1;

pub(crate) fn prepare(plugin: &PluginSpec, binding: &BindingSpec) -> Result<Checked, Refusal> {
    let unusable =
        |error: wasmtime::Error| Refusal::Unusable { stage: "run on this machine", error: error.to_string() };
    let runtime = Arc::new(Runtime::new(None).map_err(unusable)?);
    let code = Arc::new(Code::compile(&runtime, &code::read_file(&plugin.file)?, plugin.world)?);
    let name: Arc<str> = plugin.name.as_str().into();
    let ground =
        Ground { runtime, shared: Arc::new(Shared::new(name.clone())), plugin: name, broker: "check".into(), slots: 1 };
    let (kind, topic, group) = match plugin.world {
        World::MessageFilter => (Kind::Filter, binding.topic.as_str(), binding.group.as_str()),
        World::QueueBalancer => (Kind::Balancer, ANY, ANY),
        World::MetricHook | World::AlertHook => (Kind::Hook, "", ""),
    };
    let wire = Wire {
        id: ID,
        kind,
        topic: topic.to_owned(),
        group: group.to_owned(),
        zone: String::new(),
        params: spec::merged_params(plugin, &binding.params),
    };
    let wiring = Wiring {
        params: plugin.params.clone(),
        memory_limit_bytes: plugin.memory_limit_bytes,
        deadline: Duration::from_millis(plugin.deadline_ms),
        bindings: vec![wire],
    };
    let prepared = Version::prepare(&ground, code, wiring, None)?;
    let refused = prepared.problems.into_iter().next().map(|(_, refusal)| refusal);
    Ok(Checked { ground, version: prepared.version, refused })
}

fn plan(version: &Version) -> PlanReport {
    if let Some(plan) = version.plan(ID) {
        return PlanReport::Filter {
            columns: plan.extractor.describe(),
            tags: plan.tags.as_ref().map(TagSet::tags).unwrap_or_default().to_vec(),
            max_batch: plan.max_batch,
        };
    }
    if let Some(plan) = version.hook_plan(ID) {
        let families = plan.families.iter().map(|family| format!("{}({})", family.name, family.labels.join(", ")));
        return PlanReport::Hook { wants: plan.wants.patterns(), families: families.collect() };
    }
    PlanReport::Balancer { decides: version.decisions(ID).map(|decisions| decisions.names()).unwrap_or_default() }
}
