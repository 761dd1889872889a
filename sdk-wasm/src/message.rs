//! The rest of a message, fetched only when asked for.

use std::slice;

use crate::{
    bindings::filter::gantry::plugin::types as wit,
    column::{Column, Field, Source},
};

/// A field of a row that reaches what is not a column. Each call crosses into the broker and copies: fine for the few
/// messages that pass a column test first, costly for every message.
#[derive(Debug, Clone, Copy)]
pub struct Message {
    index: u32,
}

impl Message {
    /// At most `max_len` bytes of the body from `offset`, as stored: a client may have compressed it.
    pub fn body(&self, offset: u32, max_len: u32) -> Vec<u8> {
        access::body(self.index, offset, max_len)
    }

    /// A property, if the message has it and it is UTF-8.
    pub fn property(&self, name: &str) -> Option<String> {
        access::property(self.index, name)
    }
}

impl<'m> Field<'m> for Message {
    fn request(_: Source, _: &mut Vec<Column>) {}

    fn read(_: &mut slice::Iter<'m, wit::Column>, index: usize) -> Self {
        Message { index: index as u32 }
    }
}

#[cfg(target_family = "wasm")]
use crate::bindings::filter::gantry::plugin::message_access as access;
#[cfg(not(target_family = "wasm"))]
use crate::testing::access;
