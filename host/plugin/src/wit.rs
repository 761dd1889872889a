//! The WIT contract as host types, generated at compile time from `sdk-wasm/wit`.

wasmtime::component::bindgen!({
    path: "../../sdk-wasm/wit",
    world: "message-filter",
    // What goes into a guest is borrowed: a batch is copied once, into the guest's memory.
    additional_derives: [PartialEq],
    ownership: Borrowing { duplicate_if_necessary: false },
});

pub(crate) use self::gantry::plugin::types as shapes;
