//! Where in a guest something happened, in the author's own function names.

use wasmtime::WasmBacktrace;

/// Most frames that are told.
const FRAMES_MAX: usize = 4;
/// Functions of languages' runtimes on the way from a panic to its trap, by how their names begin: they say nothing.
const RUNTIME: [&str; 11] =
    ["std::", "core::", "alloc::", "__rust", "rust_", "_rust", "<core::", "<alloc::", "<std::", "abort", "dlmalloc"];

/// ` in a < b < c`, innermost first; nothing when no names are known.
pub(crate) fn place(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return String::new() };
    let mut names = Vec::new();
    for frame in trace.frames() {
        let Some(name) = frame.func_name().map(demangled) else { continue };
        if !RUNTIME.iter().any(|prefix| name.starts_with(prefix)) && names.last() != Some(&name) {
            names.push(name);
        }
        if names.len() == FRAMES_MAX {
            break;
        }
    }
    if names.is_empty() { String::new() } else { format!(" in {}", crate::guest::cut(&names.join(" < "), 300)) }
}

/// A Rust symbol as it is written in the source, without its hash; other names as they are.
fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
