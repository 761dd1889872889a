//! Filter cost.
fn main() {}
