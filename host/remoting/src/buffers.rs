//! Buffers that connections borrow while they have something to read or to send.
//!
//! An idle connection holds none, and those in use stay warm in the worker's cache instead of being spread over every
//! connection.

use std::cell::RefCell;

use bytes::BytesMut;

/// Size of a lent buffer: what one read may take at most, unless a larger frame has begun to arrive.
pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// Buffers kept per worker thread; the rest goes back to the allocator.
const KEPT_MAX: usize = 8;

thread_local! {
    static KEPT: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of at least [`BUFFER_BYTES`].
pub(crate) fn lend() -> BytesMut {
    KEPT.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(BUFFER_BYTES))
}

/// Takes back a buffer, whatever it holds; one that grew is released.
pub(crate) fn give_back(mut buffer: BytesMut) {
    buffer.clear();
    // Reading advances a buffer's start; reclaiming moves it back without allocating.
    if buffer.try_reclaim(BUFFER_BYTES) && buffer.capacity() < 2 * BUFFER_BYTES {
        KEPT.with_borrow_mut(|kept| {
            if kept.len() < KEPT_MAX {
                kept.push(buffer);
            }
        });
    }
}
