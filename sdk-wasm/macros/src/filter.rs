//! `#[filter]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, ImplItem, ItemImpl, Result, ReturnType, Type, parse_quote, spanned::Spanned};

pub(crate) fn expand(arguments: TokenStream, mut item: ItemImpl) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new(arguments.span(), "#[filter] takes no arguments: what a filter reads is in its Row"));
    }
    if item.trait_.is_none() || !item.generics.params.is_empty() {
        return Err(Error::new(item.span(), "#[filter] goes on `impl Filter for YourType`, without type parameters"));
    }
    for function in &mut item.items {
        let ImplItem::Fn(function) = function else { continue };
        if function.sig.ident == "keep" && returns_bool(&function.sig.output) {
            let block = &function.block;
            function.sig.output = parse_quote!(-> ::gantry_plugin_sdk::Verdict);
            // A closure, so that `return` in the author's body still leaves a bool.
            function.block = parse_quote!({
                let keep = || -> bool { #block };
                ::gantry_plugin_sdk::Verdict::from(keep())
            });
        }
    }
    let plugin = &item.self_ty;
    Ok(quote! {
        #item

        impl ::gantry_plugin_sdk::export::Identity for #plugin {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }

        // Natively nothing but tests names the filter; this keeps the compiler from calling it unused.
        const _: fn() = ::gantry_plugin_sdk::export::in_use::<#plugin>;

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Plugin = ::gantry_plugin_sdk::export::Exported<#plugin>;
            ::gantry_plugin_sdk::bindings::export!(Plugin with_types_in ::gantry_plugin_sdk::bindings);
        };
    })
}

fn returns_bool(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, kind) if matches!(&**kind, Type::Path(path) if path.path.is_ident("bool")))
}
