//! `#[derive(Columns)]` and `#[filter]` of the plugin SDK. What they expand to is in its crate documentation.

mod columns;
mod filter;

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
    let item = parse_macro_input!(item as ItemImpl);
    filter::expand(arguments.into(), item).unwrap_or_else(Error::into_compile_error).into()
}
