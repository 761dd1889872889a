//! From the traits to the exports of their WIT worlds. The macros name these types; plugins do not.

mod alert;
mod balancer;
mod filter;
mod hook;
mod metric;

use std::marker::PhantomData;

pub(crate) use self::hook::Followed;
// For the test doubles.
#[cfg(not(target_family = "wasm"))]
pub(crate) use self::{balancer::decisions, filter::open as open_filter};

/// Name and version of the plugin's own package.
pub trait Identity {
    /// `CARGO_PKG_NAME`.
    const NAME: &'static str;
    /// `CARGO_PKG_VERSION`.
    const VERSION: &'static str;
}

/// Names a plugin's type without doing anything.
pub fn in_use<P: Identity>() {}

/// Implements a world's exports for a plugin.
pub struct Exported<P>(PhantomData<P>);

/// A panic is a trap without a reason for the host: its text leaves through the log first.
fn report_panics() {
    #[cfg(target_family = "wasm")]
    std::panic::set_hook(Box::new(|panic| crate::host::log(crate::host::Level::Error, &panic.to_string())));
}

/// Implements `lifecycle` of one world, which are alike but not the same type.
macro_rules! lifecycle {
    ($world:ident, $plugin:ident: $bound:path, $self_check:expr, |$params:ident| $start:expr) => {
        impl<$plugin: $bound + crate::export::Identity>
            crate::bindings::$world::exports::gantry::plugin::lifecycle::Guest for crate::export::Exported<$plugin>
        {
            fn init(
                context: crate::bindings::$world::exports::gantry::plugin::lifecycle::PluginContext,
            ) -> Result<crate::bindings::$world::exports::gantry::plugin::lifecycle::PluginInfo, String> {
                crate::export::report_panics();
                let $params: crate::Params = context.params.into_iter().map(|pair| (pair.name, pair.value)).collect();
                $start?;
                Ok(crate::bindings::$world::exports::gantry::plugin::lifecycle::PluginInfo {
                    name: $plugin::NAME.into(),
                    version: $plugin::VERSION.into(),
                    language: "rust".into(),
                })
            }

            fn self_check() -> Result<(), String> {
                $self_check
            }
        }
    };
}
use lifecycle;
