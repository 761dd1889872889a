//! A file put through everything that loading does, without a broker: `gantry plugin check FILE`.

use std::{path::Path, sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    anatomy::{ABI_VERSION, Kind},
    code::{self, Code},
    engine::Runtime,
    guest::Shared,
    plan::TagSet,
    refusal::Refusal,
    spec::{BindingSpec, PluginSpec},
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
}

/// What an opened plugin asks for.
#[derive(Debug, Clone, Serialize)]
pub struct PlanReport {
    /// `name: shape`.
    pub columns: Vec<String>,
    /// Tags that it restricts itself to; empty means all.
    pub tags: Vec<String>,
    /// Most messages a call.
    pub max_batch: usize,
}

/// Loads `plugin.file` as a broker would, opens it for `binding`, and lets it go.
pub fn check_file(plugin: &PluginSpec, binding: &BindingSpec) -> Result<CheckReport, Refusal> {
    let unusable =
        |error: wasmtime::Error| Refusal::Unusable { stage: "run on this machine", error: error.to_string() };
    let runtime = Arc::new(Runtime::new().map_err(unusable)?);
    let code = Arc::new(Code::compile(&runtime, &read(&plugin.file)?, plugin.world)?);
    let name: Arc<str> = plugin.name.as_str().into();
    let ground =
        Ground { runtime, shared: Arc::new(Shared::new(name.clone())), plugin: name, broker: "check".into(), slots: 1 };
    let wire = Wire {
        id: 1,
        topic: binding.topic.clone(),
        group: binding.group.clone(),
        params: binding.merged_params(plugin),
    };
    let wiring = Wiring {
        params: plugin.params.clone(),
        memory_limit_bytes: plugin.memory_limit_bytes,
        deadline: Duration::from_millis(plugin.deadline_ms),
        bindings: vec![wire],
    };
    let prepared = Version::prepare(&ground, code.clone(), wiring, None)?;
    let plan = match (prepared.version.plan(1), prepared.problems.into_iter().next()) {
        (Some(plan), _) => Ok(PlanReport {
            columns: plan.extractor.describe(),
            tags: plan.tags.as_ref().map(TagSet::tags).unwrap_or_default().to_vec(),
            max_batch: plan.max_batch,
        }),
        (None, problem) => Err(problem.map(|(_, refusal)| refusal.to_string()).unwrap_or_default()),
    };
    Ok(CheckReport {
        world: plugin.world.name(),
        abi: ABI_VERSION,
        kind: match code.kind {
            Kind::CoreModule => "core module",
            Kind::Component => "component",
        },
        size_bytes: code.size_bytes,
        sha256: code.sha256.clone(),
        imports: code.imports.clone(),
        compile_ms: code.compile_ms,
        guest: prepared.version.info,
        plan,
    })
}

fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    code::read_file(file)
}
