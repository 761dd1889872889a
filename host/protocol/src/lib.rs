//! RocketMQ's remoting protocol as values, without sockets: [`frame`]s, the two [`header`] encodings, what each request
//! carries ([`request`]), JSON bodies ([`body`]), and the stored message ([`record`], [`message_id`], [`batch`]).
//!
//! Nothing here performs I/O. Readers borrow from the bytes that they are given; a header's fields are found in place and no
//! map of strings is made. Bytes from a peer never panic and never size an allocation unchecked.
//!
//! Source of the formats: RocketMQ 5.3 `remoting/protocol`, pinned by golden bytes in the tests.

pub mod batch;
pub mod body;
pub mod code;
pub mod frame;
pub mod header;
mod json;
pub mod loose_json;
pub mod message_id;
pub mod recall_handle;
pub mod record;
pub mod request;
