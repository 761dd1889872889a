//! What a wasm file says of itself before anything is compiled: kind, imports, exports. Refusing here is cheap and can name
//! what is wrong; the compiler would only say that something is.

use wasmparser::{Parser, Payload};

use crate::{refusal::Refusal, spec::World};

/// Version of the contract in `sdk-wasm/wit`.
pub const ABI_VERSION: &str = "0.2.0";
const PACKAGE: &str = "gantry:plugin/";
const OFFERED: [&str; 3] = ["host", "message-access", "types"];
/// In every world, or what a world may have besides: not what tells one from another.
const NOT_TELLING: [&str; 2] = ["lifecycle", "feed"];

/// A file read down to its names.
#[derive(Debug)]
pub(crate) struct Anatomy {
    pub(crate) kind: Kind,
    /// Interfaces or functions that it wants.
    pub(crate) imports: Vec<String>,
    /// What it offers; `interface#function` in a core module, `interface` in a component.
    pub(crate) exports: Vec<String>,
    describes_itself: bool,
}

/// The two encodings of wasm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    CoreModule,
    Component,
}

type Interface = (&'static str, &'static [&'static str]);
const LIFECYCLE: Interface = ("lifecycle", &["init", "self-check"]);
const FEED: Interface = ("feed", &["wants", "series-added", "series-removed"]);

impl World {
    /// Interfaces that a plugin of this world exports, with their functions.
    fn exports(self) -> &'static [Interface] {
        match self {
            World::MessageFilter => &[LIFECYCLE, ("filter", &["open", "evaluate"])],
            World::QueueBalancer => &[LIFECYCLE, ("balancer", &["open", "route", "place", "select", "assign"])],
            World::MetricHook => &[LIFECYCLE, FEED, ("metrics", &["families", "on-tick"])],
            World::AlertHook => &[LIFECYCLE, FEED, ("alerts", &["on-tick"])],
        }
    }
}

impl Anatomy {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if !bytes.starts_with(b"\0asm") {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(16)]).into_owned();
            return Err(Refusal::NotWasm { len: bytes.len(), start });
        }
        let mut anatomy =
            Anatomy { kind: Kind::CoreModule, imports: Vec::new(), exports: Vec::new(), describes_itself: false };
        // Modules and components nest; only the outermost one's imports and exports are those of the file.
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(bytes) {
            anatomy
                .note(payload.map_err(|error| damaged(&error, bytes))?, &mut depth)
                .map_err(|error| damaged(&error, bytes))?;
        }
        Ok(anatomy)
    }

    fn note(&mut self, payload: Payload<'_>, depth: &mut usize) -> Result<(), wasmparser::BinaryReaderError> {
        let outermost = *depth == 0;
        match payload {
            Payload::Version { encoding: wasmparser::Encoding::Component, .. } if outermost => {
                self.kind = Kind::Component
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => *depth += 1,
            Payload::End(_) => *depth = depth.saturating_sub(1),
            Payload::CustomSection(section) if outermost => {
                self.describes_itself |= section.name().starts_with("component-type");
            }
            Payload::ImportSection(section) if outermost => {
                for import in section.into_imports() {
                    self.imports.push(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) if outermost => {
                for export in section {
                    self.exports.push(export?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) if outermost => {
                for import in section {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if outermost => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks that the file is what `world` asks for and wants no more than plugins get.
    pub(crate) fn check(&mut self, world: World) -> Result<(), Refusal> {
        self.imports.sort();
        self.imports.dedup();
        if self.kind == Kind::CoreModule && !self.describes_itself {
            return Err(Refusal::NoInterface);
        }
        let interface_of = |name: &str| name.split('#').next().unwrap_or(name).to_owned();
        let ours: Vec<String> =
            self.exports.iter().map(|name| interface_of(name)).filter(|name| name.starts_with(PACKAGE)).collect();
        for name in ours.iter().chain(&self.imports) {
            if let Some((_, version)) = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'))
                && !compatible(version)
            {
                return Err(Refusal::WrongVersion { found: version.to_owned(), expected: ABI_VERSION });
            }
        }
        self.check_exports(world, &ours)?;
        match self.imports.iter().find(|name| !offered(name)) {
            Some(name) => Err(Refusal::ForbiddenImport { name: name.clone() }),
            None => Ok(()),
        }
    }

    fn check_exports(&self, world: World, ours: &[String]) -> Result<(), Refusal> {
        let has = |interface: &str| ours.iter().any(|name| name[PACKAGE.len()..].split('@').next() == Some(interface));
        let mut telling = world.exports().iter().filter(|(interface, _)| !NOT_TELLING.contains(interface));
        if !telling.any(|(interface, _)| has(interface)) {
            let mut found: Vec<String> = if ours.is_empty() { self.exports.clone() } else { ours.to_vec() };
            found.dedup();
            found.truncate(4);
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            let expected: Vec<_> =
                world.exports().iter().map(|(name, _)| format!("{PACKAGE}{name}@{ABI_VERSION}")).collect();
            return Err(Refusal::WrongWorld { world: world.name(), found, expected: expected.join(" and ") });
        }
        for (interface, functions) in world.exports() {
            let full = |name: &str| format!("{PACKAGE}{interface}@{ABI_VERSION}{name}");
            let missing = match self.kind {
                Kind::Component => (!has(interface)).then(|| full("")),
                Kind::CoreModule => functions
                    .iter()
                    .find(|name| !self.has_function(interface, name))
                    .map(|name| full(&format!("#{name}"))),
            };
            if let Some(name) = missing {
                return Err(Refusal::MissingExport { name, world: world.name() });
            }
        }
        Ok(())
    }

    fn has_function(&self, interface: &str, function: &str) -> bool {
        self.exports.iter().any(|export| {
            export
                .strip_prefix(PACKAGE)
                .and_then(|rest| rest.split_once('#'))
                .is_some_and(|(found, name)| found.split('@').next() == Some(interface) && name == function)
        })
    }
}

fn damaged(error: &wasmparser::BinaryReaderError, bytes: &[u8]) -> Refusal {
    Refusal::Damaged { at: error.offset() as u64, len: bytes.len(), error: error.message().to_owned() }
}

fn offered(import: &str) -> bool {
    import.strip_prefix(PACKAGE).is_some_and(|rest| OFFERED.contains(&rest.split('@').next().unwrap_or(rest)))
}

/// Before 1.0 the minor number says whether two sides understand each other.
fn compatible(version: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(ABI_VERSION)
}
