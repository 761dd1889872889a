//! `#[derive(Columns)]` of the plugin SDK and the attributes that make an implementation a plugin. What they expand to is in its crate documentation.

mod columns;
mod plugin;

use plugin::World;
use proc_macro::TokenStream;
use syn::{DeriveInput, Error, ItemImpl, parse_macro_input};

/// Makes a struct the row of a filter: one field a column.
///
/// A field is the property of its own name unless `#[column(..)]` says otherwise: `property = "order-id"`,
/// `body_prefix = 64`, or one of `tag`, `keys`, `born_time`, `store_time`, `queue_offset`, `body_size`,
/// `delivery_attempt`, `born_host`. Its type gives the shape: `Option` of `&str`, `&[u8]`, `i64` or `f64`. A field of the
/// type `Message` is no column but a handle for the rest of the message.
#[proc_macro_derive(Columns, attributes(column))]
pub fn derive_columns(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    columns::expand(&item).unwrap_or_else(Error::into_compile_error).into()
}

/// Makes an `impl Filter for ..` the plugin that this crate builds; one a crate. `keep` may return `bool` here.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin(World::Filter, arguments, item)
}

/// Makes an `impl Balancer for ..` the plugin that this crate builds; one a crate. It takes the decisions whose methods it
/// writes: `route`; `place` and `select`; `assign`.
#[proc_macro_attribute]
pub fn balancer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin(World::Balancer, arguments, item)
}

/// Makes an `impl MetricHook for ..` the plugin that this crate builds; one a crate.
#[proc_macro_attribute]
pub fn metric_hook(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin(World::Metric, arguments, item)
}

/// Makes an `impl AlertHook for ..` the plugin that this crate builds; one a crate.
#[proc_macro_attribute]
pub fn alert_hook(arguments: TokenStream, item: TokenStream) -> TokenStream {
    plugin(World::Alert, arguments, item)
}

fn plugin(world: World, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as ItemImpl);
    plugin::expand(world, arguments.into(), item).unwrap_or_else(Error::into_compile_error).into()
}
