//! No plugin: the pages that tell how plugins are written, as documentation, so that `cargo test` compiles and runs every snippet.

macro_rules! pages {
    ($($page:ident = $path:literal),* $(,)?) => {
        $(
            #[cfg(doctest)]
            #[doc = include_str!(concat!("../../../", $path))]
            mod $page {}
        )*
    };
}

pages! {
    readme = "README.md",
    sdk = "sdk-wasm/README.md",
    index = "docs/plugins/README.md",
    message_filter = "docs/plugins/message-filter.md",
    queue_balancer = "docs/plugins/queue-balancer.md",
    metric_hook = "docs/plugins/metric-hook.md",
    alert_hook = "docs/plugins/alert-hook.md",
}
