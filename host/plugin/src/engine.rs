//! The one wasmtime engine of a process, how it is set, and what it links.

use std::{sync::Arc, time::Duration};

use wasmtime::{
    Config, Engine, Store,
    component::{HasSelf, Linker},
};

use crate::{
    guest::{Guest, Shared},
    limits::STACK_BYTES,
    ticker::{InFlight, Ticker},
    wit::MessageFilter,
};

/// Compiles and runs guests.
pub(crate) struct Runtime {
    engine: Engine,
    linker: Linker<Guest>,
    ticker: Ticker,
}

impl Runtime {
    pub(crate) fn new() -> wasmtime::Result<Self> {
        let mut config = Config::new();
        // Time limits without cost in the loops of typed columns; fuel would cost more and mean less.
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK_BYTES);
        // Nothing here is an async component, and the bookkeeping for them costs 270 ns a call.
        config.concurrency_support(false);
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
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
