//! From Rust source to a plugin: finds a compiler for `wasm32-unknown-unknown`, starts plugin projects and builds them.
//! The binary and the developer chores use it; nothing that serves does.
