//! `#[filter]`, `#[balancer]`, `#[metric_hook]`, `#[alert_hook]`: an implementation of the trait becomes the plugin that the
//! crate builds.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::{Error, ImplItem, ItemImpl, Result, ReturnType, Type, parse_quote, spanned::Spanned};

/// What a plugin is.
#[derive(Clone, Copy)]
pub(crate) enum World {
    Filter,
    Balancer,
    Metric,
    Alert,
}

impl World {
    fn attribute(self) -> &'static str {
        match self {
            World::Filter => "filter",
            World::Balancer => "balancer",
            World::Metric => "metric_hook",
            World::Alert => "alert_hook",
        }
    }

    fn implements(self) -> &'static str {
        match self {
            World::Filter => "Filter",
            World::Balancer => "Balancer",
            World::Metric => "MetricHook",
            World::Alert => "AlertHook",
        }
    }

    /// Module of the SDK's bindings.
    fn module(self) -> Ident {
        let name = match self {
            World::Filter => "filter",
            World::Balancer => "balancer",
            World::Metric => "metric",
            World::Alert => "alert",
        };
        Ident::new(name, Span::call_site())
    }
}

pub(crate) fn expand(world: World, arguments: TokenStream, mut item: ItemImpl) -> Result<TokenStream> {
    let (attribute, implements) = (world.attribute(), world.implements());
    if !arguments.is_empty() {
        return Err(Error::new(arguments.span(), format!("#[{attribute}] takes no arguments")));
    }
    let of_trait = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    if of_trait.is_none_or(|segment| segment.ident != implements) || !item.generics.params.is_empty() {
        let text = format!("#[{attribute}] goes on `impl {implements} for YourType`, without type parameters");
        return Err(Error::new(item.span(), text));
    }
    let decides = match world {
        World::Filter => {
            bool_is_a_verdict(&mut item);
            TokenStream::new()
        }
        World::Balancer => decides(&item),
        World::Metric | World::Alert => TokenStream::new(),
    };
    let (plugin, module) = (&item.self_ty, world.module());
    Ok(quote! {
        #item
        #decides

        impl ::gantry_plugin_sdk::export::Identity for #plugin {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
        }

        // Natively nothing but tests names the plugin; this keeps the compiler from calling it unused.
        const _: fn() = ::gantry_plugin_sdk::export::in_use::<#plugin>;

        #[cfg(target_family = "wasm")]
        const _: () = {
            type Plugin = ::gantry_plugin_sdk::export::Exported<#plugin>;
            ::gantry_plugin_sdk::bindings::#module::export!(Plugin with_types_in ::gantry_plugin_sdk::bindings::#module);
        };
    })
}

/// Lets `keep` of a filter return `bool`.
fn bool_is_a_verdict(item: &mut ItemImpl) {
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
}

/// A balancer decides what it has written methods for.
fn decides(item: &ItemImpl) -> TokenStream {
    let has = |names: &[&str]| {
        item.items
            .iter()
            .any(|item| matches!(item, ImplItem::Fn(function) if names.iter().any(|name| function.sig.ident == name)))
    };
    let (route, placement, assignment) = (has(&["route"]), has(&["place", "select"]), has(&["assign"]));
    let plugin = &item.self_ty;
    quote! {
        impl ::gantry_plugin_sdk::balancer::Decides for #plugin {
            const ROUTE: bool = #route;
            const PLACEMENT: bool = #placement;
            const ASSIGNMENT: bool = #assignment;
        }
    }
}

fn returns_bool(output: &ReturnType) -> bool {
    matches!(output, ReturnType::Type(_, kind) if matches!(&**kind, Type::Path(path) if path.path.is_ident("bool")))
}
