//! The bytes of one connection that are not served yet.

use bytes::{Buf, BytesMut};
use gantry_protocol::frame::frame_len;

use crate::buffers::{self, BUFFER_BYTES};

/// A started frame of at most this size moves out of the lent buffer while the connection waits for the rest of it.
const SMALL_REST_BYTES: usize = 4 << 10;

/// The read buffer. It holds what arrived: an announced length alone allocates nothing beyond a lent buffer, and a large
/// frame doubles the buffer as its bytes really come.
#[derive(Default)]
pub(crate) struct Inbound {
    buffer: BytesMut,
}

impl Inbound {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes of memory behind it.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.buffer.advance(count);
    }

    /// Bytes beyond a lent buffer of the large frame that the buffer must grow for now; 0 when it needs not.
    pub(crate) fn large_frame_to_grow(&self, frame_bytes_max: usize) -> usize {
        let full = self.buffer.len() >= BUFFER_BYTES.min(self.buffer.capacity()) && !self.buffer.is_empty();
        let frame = if full { self.frame_len(frame_bytes_max) } else { 0 };
        if frame > self.buffer.capacity() { frame.saturating_sub(BUFFER_BYTES) } else { 0 }
    }

    fn frame_len(&self, frame_bytes_max: usize) -> usize {
        frame_len(&self.buffer, frame_bytes_max).ok().flatten().unwrap_or(0)
    }

    /// The buffer with room for one read. What it holds was checked to start like a frame of at most `frame_bytes_max`.
    pub(crate) fn room(&mut self, frame_bytes_max: usize) -> &mut BytesMut {
        let len = self.buffer.len();
        if self.buffer.capacity() < BUFFER_BYTES / 2 {
            if !self.buffer.try_reclaim(BUFFER_BYTES - len) {
                let mut lent = buffers::lend();
                lent.extend_from_slice(&self.buffer);
                buffers::give_back(std::mem::replace(&mut self.buffer, lent));
            }
        } else if self.buffer.capacity() == len {
            let wanted = self.frame_len(frame_bytes_max).min(2 * len).max(BUFFER_BYTES).max(len + 1);
            self.buffer.reserve(wanted - len);
        }
        &mut self.buffer
    }

    /// Holds no more memory than needed while the connection waits.
    pub(crate) fn rest(&mut self) {
        if self.buffer.is_empty() {
            // Whatever it says of its capacity: a buffer that was consumed to its end shows none and holds all.
            buffers::give_back(std::mem::take(&mut self.buffer));
        } else if self.buffer.len() <= SMALL_REST_BYTES && self.buffer.capacity() > 2 * SMALL_REST_BYTES {
            let small = BytesMut::from(&self.buffer[..]);
            buffers::give_back(std::mem::replace(&mut self.buffer, small));
        }
    }
}
