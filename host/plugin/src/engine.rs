//! The one wasmtime engine of a process, how it is set, and what it links.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};

use wasmtime::{
    Cache, CacheConfig, Config, Engine, Store,
    component::{HasSelf, Linker},
};

use crate::{
    guest::{Guest, Shared},
    host::StartError,
    limits::STACK_BYTES,
    spec::HostOptions,
    ticker::{InFlight, Ticker},
    wit::filter::MessageFilter,
};

/// Compiles and runs guests.
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
}

impl Runtime {
    /// For a node: compiled code is kept beside its plugins' versions.
    pub(crate) fn start(options: &HostOptions) -> Result<Self, StartError> {
        let cache = options.shelf.as_ref().map(|shelf| shelf.join("compiled"));
        Runtime::new(cache.as_deref()).map_err(|error| StartError(error.to_string()))
    }

    /// `cache` = a folder for compiled code, of which only this process's owner may be able to write anything: its contents
    /// are run. Wasmtime names what is in it by code, settings and its own version, and bounds it.
    pub(crate) fn new(cache: Option<&Path>) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        // Time limits without cost in the loops of typed columns; fuel would cost more and mean less.
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK_BYTES);
        // Nothing here is an async component, and the bookkeeping for them costs 270 ns a call.
        config.concurrency_support(false);
        config.cache(cache.map(open_cache).transpose()?);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        // The filter's world has every import that the others have.
        MessageFilter::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?;
        let ticker = Ticker::start(engine.clone())?;
        Ok(Runtime { engine, linker, ticker })
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn linker(&self) -> &Linker<Guest> {
        &self.linker
    }

    /// An empty store with its limits in place.
    pub(crate) fn store(&self, shared: Arc<Shared>, memory_limit_bytes: u64) -> Store<Guest> {
        let mut store = Store::new(&self.engine, Guest::new(shared, memory_limit_bytes));
        store.limiter(|guest| &mut guest.limits);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().deadline.tick()));
        store
    }

    /// To be held while `store` is called: the call has `budget` of processor time.
    pub(crate) fn call<'a>(&'a self, store: &mut Store<Guest>, budget: Duration) -> InFlight<'a> {
        store.data_mut().deadline.begin(budget);
        store.set_epoch_deadline(1);
        self.ticker.in_flight()
    }
}

fn open_cache(folder: &Path) -> wasmtime::Result<Cache> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // One that was there before may have been made by somebody less careful.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    let mut config = CacheConfig::new();
    config.with_directory(folder.canonicalize()?);
    Cache::new(config)
}
