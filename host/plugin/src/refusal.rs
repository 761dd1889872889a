//! Why a plugin is not put in service: one sentence each, for the operator.

/// A file, or what it made of itself, was refused. Whatever served before goes on serving.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    Read(String),
    /// Over the limit of [`FILE_MAX_BYTES`](crate::FILE_MAX_BYTES).
    #[error("the file has {found} bytes, at most {limit} are read")]
    TooLarge {
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// No wasm at all.
    #[error("this is not WebAssembly ({len} bytes that begin with {start:?}); build it for wasm32-unknown-unknown")]
    NotWasm {
        /// Bytes in the file.
        len: usize,
        /// Its first bytes as text.
        start: String,
    },
    /// Wasm that ends early or is mangled.
    #[error("the WebAssembly is damaged or incomplete at byte {at} of {len}: {error}")]
    Damaged {
        /// Where reading stopped.
        at: u64,
        /// Bytes in the file.
        len: usize,
        /// What was found there.
        error: String,
    },
    /// A core module that says nothing of its interface.
    #[error(
        "this module was not built with Gantry's SDK or WIT: it does not describe its interface; start one with `gantry plugin new`"
    )]
    NoInterface,
    /// Nothing of Gantry among its exports.
    #[error("this is no {world} plugin: it exports {found}, expected {expected}")]
    WrongWorld {
        /// World that the configuration names.
        world: &'static str,
        /// What it exports.
        found: String,
        /// What the world asks for.
        expected: String,
    },
    /// Built against another version of the contract.
    #[error(
        "it speaks version {found} of gantry:plugin, this broker speaks {expected}; rebuild it with the SDK of this broker"
    )]
    WrongVersion {
        /// Version in the file.
        found: String,
        /// Version here.
        expected: &'static str,
    },
    /// Part of the world is missing.
    #[error("it lacks the export {name}, which every {world} plugin has; rebuild it with the SDK")]
    MissingExport {
        /// The export.
        name: String,
        /// World that asks for it.
        world: &'static str,
    },
    /// It wants something that plugins do not get.
    #[error(
        "it imports {name}, which is not offered to plugins; offered are gantry:plugin/host and gantry:plugin/message-access"
    )]
    ForbiddenImport {
        /// The import.
        name: String,
    },
    /// It does not validate, compile or link.
    #[error("it cannot be {stage}: {error}")]
    Unusable {
        /// "made a component", "compiled", "linked".
        stage: &'static str,
        /// The compiler's or linker's words.
        error: String,
    },
    /// The names are those of the contract, the types are not.
    #[error(
        "its functions are not those of gantry:plugin {abi} as this broker speaks it ({0}); rebuild it with the SDK of this \
         broker",
        abi = crate::ABI_VERSION
    )]
    OtherTypes(String),
    /// It could not be started within its limits.
    #[error("it failed in {call}: {fault}")]
    Fault {
        /// The call.
        call: &'static str,
        /// What happened.
        fault: String,
    },
    /// It said no by itself.
    #[error("it refused in {call}: {reason}")]
    SaidNo {
        /// The call, with the subscription it is about.
        call: String,
        /// The plugin's words.
        reason: String,
    },
    /// Other bytes than the configuration pins.
    #[error("its SHA-256 is {found}, the configuration pins {expected}; correct `sha256` or bring back that file")]
    Pinned {
        /// Hash of the file.
        found: String,
        /// The configured one.
        expected: String,
    },
    /// Not signed, or not by whom is trusted.
    #[error("it is not signed as plugins.trusted_keys and plugins.require_signed ask for: {0}")]
    Signature(String),
    /// A version that was gone back from.
    #[error(
        "this version ({}) was given up before; it is loaded when its file changes, or by `gantry plugin reload`", 
        &sha256[..12.min(sha256.len())]
    )]
    Shunned {
        /// Its hash.
        sha256: String,
    },
    /// Its cases cannot be read.
    #[error("its cases cannot be read: {0}")]
    Cases(String),
    /// It does not answer as its own cases say.
    #[error("it fails its case {name:?}: {problem}")]
    Case {
        /// The case.
        name: String,
        /// What it answered instead.
        problem: String,
    },
    /// It would judge too many recent messages otherwise.
    #[error("{report}; shadow_differs_max_percent allows {most} %")]
    Shadow {
        /// How it differs.
        report: String,
        /// What the configuration allows, percent.
        most: u8,
    },
    /// A plan that cannot be served.
    #[error("its plan for {subscription} cannot be served: {reason}")]
    Plan {
        /// Topic and group.
        subscription: String,
        /// What is wrong.
        reason: String,
    },
}

/// The innermost cause, on one line: chains of wasm tools repeat themselves outwards.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    one_line(&cause.to_string())
}

/// Text of a tool as part of a sentence.
pub(crate) fn one_line(text: &str) -> String {
    crate::guest::cut(text.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), 300)
}
