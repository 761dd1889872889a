//! Messages that the broker itself writes: retries, due delayed messages, journals.

use std::{net::SocketAddr, sync::Arc};

use gantry_model::{message::MessageView, properties};
use gantry_store::{AppendError, Draft, Placed, Queue, Store};

use crate::options::BrokerOptions;

type Append = fn(&Store, &[Draft<'_>], &mut Vec<Placed>) -> Result<(), AppendError>;

/// A message that owns its parts, ready for the log.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) flag: i32,
    pub(crate) sys_flag: i32,
    pub(crate) born_ms: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) store_host: SocketAddr,
    pub(crate) reconsume_times: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Vec<u8>,
}

impl Outgoing {
    /// The broker's own record: no properties, born here and now.
    pub(crate) fn internal(options: &BrokerOptions, body: Vec<u8>) -> Self {
        Outgoing {
            flag: 0,
            sys_flag: 0,
            born_ms: options.clock.now_ms() as i64,
            born_host: options.advertised,
            store_host: options.advertised,
            reconsume_times: 0,
            body,
            properties: Vec::new(),
        }
    }

    /// The same message again, without those properties for whose name `drop` says yes. The checksum property goes in
    /// any case: the store writes its own.
    pub(crate) fn again(message: &MessageView<'_>, store_host: SocketAddr, drop: impl Fn(&str) -> bool) -> Self {
        let mut kept = Vec::with_capacity(message.properties.len() + 128);
        properties::copy_where(&mut kept, message.properties, |name| {
            std::str::from_utf8(name).is_ok_and(|name| name != properties::CRC32 && !drop(name))
        });
        Outgoing {
            flag: message.flag,
            sys_flag: message.sys_flag,
            born_ms: message.born_ms,
            born_host: message.born_host,
            store_host,
            reconsume_times: message.reconsume_times,
            body: message.body.to_vec(),
            properties: kept,
        }
    }

    pub(crate) fn set_property(&mut self, name: &str, value: &str) {
        properties::push(&mut self.properties, name, value);
    }

    /// Appends it as what a client sends.
    pub(crate) fn append(&self, store: &Store, queue: &Arc<Queue>) -> Result<Placed, AppendError> {
        self.append_with(Store::append, store, queue)
    }

    /// Appends it also while the disk is too full for clients: see [`Store::append_own`].
    pub(crate) fn append_own(&self, store: &Store, queue: &Arc<Queue>) -> Result<Placed, AppendError> {
        self.append_with(Store::append_own, store, queue)
    }

    fn append_with(&self, append: Append, store: &Store, queue: &Arc<Queue>) -> Result<Placed, AppendError> {
        let mut placed = Vec::with_capacity(1);
        let parts = [self.properties.as_slice()];
        append(store, &[self.draft(queue, &parts)], &mut placed)?;
        // One draft, one place: the store promises as many places as drafts.
        Ok(placed[0])
    }

    pub(crate) fn draft<'a>(&'a self, queue: &'a Arc<Queue>, properties: &'a [&'a [u8]]) -> Draft<'a> {
        Draft {
            queue,
            flag: self.flag,
            sys_flag: self.sys_flag,
            born_ms: self.born_ms,
            born_host: self.born_host,
            store_host: self.store_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: 0,
            body: &self.body,
            properties,
        }
    }
}
