//! One connection of a benchmark: bytes out and in as the socket takes and gives them, both in one poll.
//!
//! Reading never waits for writing: with large windows both directions can fill their socket buffers, and a client that
//! finished its write first would stall with the server for ever.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
};

use anyhow::{Context as _, Result};
use gantry_protocol::frame::FRAME_BYTES_MAX;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

const INPUT_BYTES: usize = 64 * 1024;

/// A socket with what is to be written and what was read but not yet taken.
pub(crate) struct Link {
    stream: TcpStream,
    /// Append frames here; they leave with the next [`exchange`](Link::exchange).
    pub(crate) out: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
}

impl Link {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Link> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("could not connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Link { stream, out: Vec::new(), written: 0, input: vec![0; INPUT_BYTES], filled: 0 })
    }

    /// Whether everything appended has been handed to the socket.
    pub(crate) fn drained(&self) -> bool {
        self.out.is_empty()
    }

    /// What was read and not yet taken.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input[..self.filled]
    }

    /// Forgets the first `count` bytes of the input.
    pub(crate) fn take(&mut self, count: usize) {
        if count > 0 {
            self.input.copy_within(count..self.filled, 0);
            self.filled -= count;
        }
    }

    /// Writes what the socket takes and completes when bytes have come in. Safe to drop and call again.
    pub(crate) async fn exchange(&mut self) -> io::Result<()> {
        if self.filled == self.input.len() {
            // A frame larger than the buffer; the frame limit bounds this.
            self.input.resize((self.input.len() * 2).min(FRAME_BYTES_MAX + 4), 0);
        }
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.out.len() {
            match Pin::new(&mut self.stream).poll_write(context, &self.out[self.written..]) {
                Poll::Ready(Ok(count)) => self.written += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        let mut space = ReadBuf::new(&mut self.input[self.filled..]);
        match Pin::new(&mut self.stream).poll_read(context, &mut space) {
            Poll::Ready(Ok(())) if space.filled().is_empty() => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")))
            }
            Poll::Ready(Ok(())) => {
                self.filled += space.filled().len();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}
