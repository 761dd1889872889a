//! A file made ready to be instantiated: read whole, named by its hash, checked, made a component, compiled, linked.

use std::{fs::File, io::Read, path::Path, time::Instant};

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre};
use wit_component::ComponentEncoder;

use crate::{
    anatomy::{Anatomy, Kind},
    engine::Runtime,
    exports::Places,
    guest::Guest,
    refusal::{Refusal, one_line, root_cause},
    spec::World,
};

/// Largest plugin file that is read. Interpreters compiled to wasm have 20 MB.
pub const FILE_MAX_BYTES: u64 = 64 << 20;

/// Compiled code, shared by all versions and instances made of it.
pub(crate) struct Code {
    pub(crate) sha256: String,
    pub(crate) size_bytes: usize,
    pub(crate) kind: Kind,
    pub(crate) imports: Vec<String>,
    pub(crate) compile_ms: u64,
    pub(crate) world: World,
    pub(crate) pre: InstancePre<Guest>,
    pub(crate) places: Places,
}

/// The whole file, or why not.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Refusal> {
    let failed = |error: std::io::Error| Refusal::Read(format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(failed)?;
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() {
        return Err(Refusal::Read(format!("{} is not a file", path.display())));
    }
    if found.len() > FILE_MAX_BYTES {
        return Err(Refusal::TooLarge { found: found.len(), limit: FILE_MAX_BYTES });
    }
    // The file may still grow: what is read is bounded by itself.
    let mut bytes = Vec::with_capacity(found.len() as usize);
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(Refusal::TooLarge { found: bytes.len() as u64, limit: FILE_MAX_BYTES });
    }
    Ok(bytes)
}

/// Enough of a hash to tell versions apart.
pub(crate) fn short(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// The name of a file's contents.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Code {
    /// Checks and compiles. Takes about 25 ms for a small Rust plugin and seconds for an interpreter.
    pub(crate) fn compile(runtime: &Runtime, bytes: &[u8], world: World) -> Result<Self, Refusal> {
        let started = Instant::now();
        let mut anatomy = Anatomy::read(bytes)?;
        anatomy.check(world)?;
        let unusable = |stage, error: String| Refusal::Unusable { stage, error };
        let encoded = match anatomy.kind {
            Kind::Component => None,
            Kind::CoreModule => Some(encode(bytes).map_err(|error| unusable("made a component", error))?),
        };
        let component = Component::from_binary(runtime.engine(), encoded.as_deref().unwrap_or(bytes))
            .map_err(|error| unusable("compiled", root_cause(&*error)))?;
        let linked = runtime.linker().instantiate_pre(&component).and_then(|pre| Ok((Places::find(world, &pre)?, pre)));
        let (places, pre) = linked.map_err(|error| unusable("linked", one_line(&format!("{error:#}"))))?;
        Ok(Code {
            sha256: sha256_hex(bytes),
            size_bytes: bytes.len(),
            kind: anatomy.kind,
            imports: anatomy.imports,
            compile_ms: started.elapsed().as_millis() as u64,
            world,
            pre,
            places,
        })
    }

    /// Enough of the hash to tell versions apart.
    pub(crate) fn short_hash(&self) -> &str {
        short(&self.sha256)
    }
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    // Validation is left to the compiler, which does it anyway.
    let encoded = ComponentEncoder::default().validate(false).module(module).and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| one_line(&format!("{error:#}")))
}
