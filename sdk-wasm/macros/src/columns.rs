//! `#[derive(Columns)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Error, Field, Fields, GenericParam, LitInt, LitStr, Result, spanned::Spanned};

const SYSTEM_FIELDS: [(&str, &str); 8] = [
    ("tag", "Tag"),
    ("keys", "Keys"),
    ("born_time", "BornTime"),
    ("store_time", "StoreTime"),
    ("queue_offset", "QueueOffset"),
    ("body_size", "BodySize"),
    ("delivery_attempt", "DeliveryAttempt"),
    ("born_host", "BornHost"),
];

pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new(item.span(), "a row is a struct with one named field a column"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(item.span(), "a row is a struct with one named field a column"));
    };
    let lifetime = match item.generics.params.iter().collect::<Vec<_>>()[..] {
        [] => None,
        [GenericParam::Lifetime(lifetime)] => Some(&lifetime.lifetime),
        _ => {
            return Err(Error::new(item.generics.span(), "a row has at most one parameter, the lifetime of the batch"));
        }
    };
    let name = &item.ident;
    let row = lifetime.map(|lifetime| quote!(<#lifetime>));
    // A row without borrowed fields is a row of any batch.
    let batch = lifetime.cloned().unwrap_or_else(|| syn::parse_quote!('batch));
    let mut requests = Vec::new();
    let mut reads = Vec::new();
    for field in &fields.named {
        let (name, kind, source) = (&field.ident, &field.ty, source(field)?);
        requests.push(quote_spanned!(kind.span()=>
            <#kind as ::gantry_plugin_sdk::Field<#batch>>::request(#source, &mut columns);));
        reads.push(quote_spanned!(kind.span()=>
            #name: <#kind as ::gantry_plugin_sdk::Field<#batch>>::read(&mut columns, index)));
    }
    Ok(quote! {
        impl<#batch> ::gantry_plugin_sdk::Columns<#batch> for #name #row {
            fn columns() -> ::std::vec::Vec<::gantry_plugin_sdk::Column> {
                let mut columns = ::std::vec::Vec::new();
                #(#requests)*
                columns
            }

            fn read(columns: &#batch [::gantry_plugin_sdk::bindings::filter::gantry::plugin::types::Column], index: usize) -> Self {
                let mut columns = columns.iter();
                #name { #(#reads),* }
            }
        }
    })
}

fn source(field: &Field) -> Result<TokenStream> {
    let own_name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut source = quote!(::gantry_plugin_sdk::Source::Property(#own_name.into()));
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("column")) {
        attribute.parse_nested_meta(|meta| {
            source = if meta.path.is_ident("property") {
                let name: LitStr = meta.value()?.parse()?;
                quote!(::gantry_plugin_sdk::Source::Property(#name.into()))
            } else if meta.path.is_ident("body_prefix") {
                let len: LitInt = meta.value()?.parse()?;
                quote!(::gantry_plugin_sdk::Source::BodyPrefix(#len))
            } else if let Some((_, variant)) = SYSTEM_FIELDS.iter().find(|(name, _)| meta.path.is_ident(name)) {
                let variant = syn::Ident::new(variant, meta.path.span());
                quote!(::gantry_plugin_sdk::Source::System(::gantry_plugin_sdk::SystemField::#variant))
            } else {
                let known: Vec<_> = SYSTEM_FIELDS.iter().map(|(name, _)| *name).collect();
                let text = format!("expected property = \"..\", body_prefix = N or one of {}", known.join(", "));
                return Err(meta.error(text));
            };
            Ok(())
        })?;
    }
    Ok(source)
}
