//! The WIT contract as host types, generated at compile time from `sdk-wasm/wit`, one module a world. `host` and
//! `message-access` are those of the filter's everywhere.

/// The world `message-filter`. What goes into a guest is borrowed: a batch is copied once, into the guest's memory.
pub(crate) mod filter {
    wasmtime::component::bindgen!({
        path: "../../sdk-wasm/wit",
        world: "message-filter",
        additional_derives: [PartialEq],
        ownership: Borrowing { duplicate_if_necessary: false },
    });
}

/// The world `queue-balancer`.
#[allow(missing_docs, reason = "documented in the WIT")]
pub(crate) mod balancer {
    wasmtime::component::bindgen!({
        path: "../../sdk-wasm/wit",
        world: "queue-balancer",
        additional_derives: [PartialEq],
        with: { "gantry:plugin/host": super::filter::gantry::plugin::host },
    });
}

/// The world `metric-hook`.
pub(crate) mod metric {
    wasmtime::component::bindgen!({
        path: "../../sdk-wasm/wit",
        world: "metric-hook",
        additional_derives: [PartialEq],
        with: { "gantry:plugin/host": super::filter::gantry::plugin::host },
    });
}

/// The world `alert-hook`.
#[allow(missing_docs, reason = "documented in the WIT")]
pub(crate) mod alert {
    wasmtime::component::bindgen!({
        path: "../../sdk-wasm/wit",
        world: "alert-hook",
        additional_derives: [PartialEq],
        with: { "gantry:plugin/host": super::filter::gantry::plugin::host },
    });
}

/// What a hook may offer besides its world.
pub(crate) mod carried {
    wasmtime::component::bindgen!({ path: "../../sdk-wasm/wit", world: "carried" });
}

pub(crate) use self::filter::gantry::plugin::types as shapes;
