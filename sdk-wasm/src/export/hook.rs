//! What metric and alert hooks have in common: one instance, fed with series.

use crate::feed::{Feed, Series, SeriesKind};

/// A hook with the series that it was told.
pub(crate) struct Followed<H> {
    pub(crate) hook: H,
    pub(crate) feed: Feed,
}

impl<H> Followed<H> {
    pub(crate) fn new(hook: H) -> Self {
        Followed { hook, feed: Feed::default() }
    }

    pub(crate) fn add(&mut self, id: u32, name: String, counter: bool, labels: Vec<(String, String)>) {
        let kind = if counter { SeriesKind::Counter } else { SeriesKind::Gauge };
        self.feed.add(id, Series::new(name, kind, labels));
    }
}

/// Implements `lifecycle`, `feed` and `carried-state` of a hook's world over its trait. The hook of the instance is kept as
/// `$kept`, a trait object, because a static has no type parameters.
macro_rules! hook_exports {
    ($world:ident, $hook:path, $running:ident, $kept:ident) => {
        thread_local! {
            static $kept: std::cell::RefCell<Option<Box<dyn $running>>> = const { std::cell::RefCell::new(None) };
        }

        fn running<R>(ask: impl FnOnce(&mut dyn $running) -> R) -> R {
            // The host calls `init` before anything else; that it did not is a fault, and a trap says so.
            $kept.with_borrow_mut(|kept| ask(&mut **kept.as_mut().expect("the plugin was initialised")))
        }

        crate::export::lifecycle!($world, H: $hook, H::self_check(), |params| {
            let hook = H::open(&params)?;
            $kept.set(Some(Box::new(crate::export::Followed::new(hook))));
            Ok::<(), String>(())
        });

        impl<H: $hook + crate::export::Identity> crate::bindings::$world::exports::gantry::plugin::feed::Guest
            for crate::export::Exported<H>
        {
            fn wants() -> Vec<String> {
                running(|hook| hook.wants())
            }

            fn series_added(added: Vec<crate::bindings::$world::exports::gantry::plugin::feed::Series>) {
                use crate::bindings::$world::exports::gantry::plugin::feed::SeriesKind;
                running(|hook| {
                    for series in added {
                        let labels = series.labels.into_iter().map(|pair| (pair.name, pair.value)).collect();
                        hook.added(series.id, series.name, matches!(series.kind, SeriesKind::Counter), labels);
                    }
                });
            }

            fn series_removed(ids: Vec<u32>) {
                running(|hook| hook.removed(&ids));
            }
        }

        impl<H: $hook + crate::export::Identity> crate::bindings::$world::exports::gantry::plugin::carried_state::Guest
            for crate::export::Exported<H>
        {
            fn snapshot() -> Vec<u8> {
                running(|hook| hook.snapshot())
            }

            fn restore(state: Vec<u8>) -> Result<(), String> {
                running(|hook| hook.restore(&state))
            }
        }
    };
}
pub(crate) use hook_exports;
