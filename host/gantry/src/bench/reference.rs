//! The bare reference server: what no broker can be faster than on this machine with this client.
//!
//! It frames, appends whole frames to one file with positional writes, and answers each with a prepared answer whose opaque
//! is patched. It decodes no header, has no topics, queues, checks or flush, and forgets what it wrote. With a
//! [`Backlog`](super::backlog::Backlog) it also sends queues that were made when it started.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use bytes::BytesMut;
use gantry_protocol::{
    frame::{Codec, FRAME_BYTES_MAX, FrameWriter, frame_len},
    header::Head,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use super::{
    backlog::{Backlog, Spec},
    scan,
};

/// What one read may bring in; also the most that is appended at once unless a frame is larger.
const READ_BYTES: usize = 256 * 1024;

/// A bound reference server.
pub(crate) struct Reference {
    listener: std::net::TcpListener,
    log: Arc<Log>,
}

struct Log {
    file: File,
    end: AtomicU64,
    backlog: Option<Backlog>,
}

impl Log {
    /// Appends at a place that no other connection gets.
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let at = self.end.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(bytes, at)
    }
}

impl Reference {
    /// Listens on `port` of the loopback (0 = any) and empties `file`.
    pub(crate) fn bind(port: u16, file: &Path, backlog: Option<&Spec>) -> Result<Reference> {
        let opened = File::create(file).with_context(|| format!("could not create {}", file.display()))?;
        let backlog = backlog.map(|spec| Backlog::make(file, spec)).transpose()?;
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))
            .with_context(|| format!("could not listen on 127.0.0.1:{port}; choose another --port"))?;
        listener.set_nonblocking(true)?;
        Ok(Reference { listener, log: Arc::new(Log { file: opened, end: AtomicU64::new(0), backlog }) })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the process ends, with one single-threaded runtime a core: connections never move between threads.
    pub(crate) fn serve(self, threads: usize) -> Result<()> {
        let mut workers = Vec::new();
        for index in 0..threads {
            let (sender, mut sockets) = mpsc::unbounded_channel::<std::net::TcpStream>();
            let log = self.log.clone();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name(format!("reference-{index}")).spawn(move || {
                runtime.block_on(async move {
                    while let Some(socket) = sockets.recv().await {
                        tokio::spawn(connection(socket, log.clone()));
                    }
                });
            })?;
            workers.push(sender);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(self.listener)?;
            for worker in workers.iter().cycle() {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                worker.send(stream.into_std()?).ok().context("a worker ended")?;
            }
            Ok(())
        })
    }
}

async fn connection(socket: std::net::TcpStream, log: Arc<Log>) {
    let result = match TcpStream::from_std(socket) {
        Ok(stream) => echo(stream, &log).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "reference connection ended");
    }
}

async fn echo(mut stream: TcpStream, log: &Log) -> io::Result<()> {
    let (json, binary) = (prepared(Codec::Json), prepared(Codec::Binary));
    let mut input = vec![0; READ_BYTES];
    let mut filled = 0;
    let mut replies = Vec::new();
    loop {
        if filled == input.len() {
            input.resize((input.len() * 2).min(FRAME_BYTES_MAX), 0);
        }
        match stream.read(&mut input[filled..]).await? {
            0 => return Ok(()),
            count => filled += count,
        }
        replies.clear();
        let taken = reply_to_all(&input[..filled], &json, &binary, log.backlog.as_ref(), &mut replies)
            .map_err(io::Error::other)?;
        if taken > 0 {
            log.append(&input[..taken])?;
            input.copy_within(taken..filled, 0);
            filled -= taken;
            stream.write_all(&replies).await?;
        }
    }
}

fn reply_to_all(
    bytes: &[u8],
    json: &Prepared,
    binary: &Prepared,
    backlog: Option<&Backlog>,
    out: &mut Vec<u8>,
) -> Result<usize> {
    let mut at = 0;
    while let Some(len) = frame_len(&bytes[at..], FRAME_BYTES_MAX)? {
        let Some(frame) = bytes.get(at..at + len) else { break };
        if let Some(backlog) = backlog {
            let mut answer = BytesMut::new();
            if backlog.answer(frame, &mut answer)? {
                out.extend_from_slice(&answer);
                at += len;
                continue;
            }
        }
        let prepared = if frame[4] == 0 { json } else { binary };
        prepared.append(out, scan::answer(frame).opaque);
        at += len;
    }
    Ok(at)
}

/// An answer to a send, as a broker of the same size would give it.
struct Prepared {
    frame: Vec<u8>,
    opaque_at: usize,
    codec: Codec,
}

/// A ten-digit opaque, as the benchmark's clients send them.
const PLACEHOLDER: i32 = 1_000_000_000;

fn prepared(codec: Codec) -> Prepared {
    let mut frame = BytesMut::new();
    let head = Head::response(0, PLACEHOLDER, None);
    let mut writer = FrameWriter::new(&mut frame, codec, &head);
    writer.ext("msgId", "7F00000100002A9F0000000000000000").ext("queueId", 0).ext("queueOffset", 1_000_000);
    writer.ext("transactionId", "GANTRYBENCHUNIQUE000000000000000");
    writer.ext("MSG_REGION", "DefaultRegion").ext("TRACE_ON", "true");
    writer.finish(&[]);
    let opaque_at = match codec {
        Codec::Binary => 8 + 5,
        // Written by the line above, so it is there.
        Codec::Json => memchr::memmem::find(&frame, b"\"opaque\":").map_or(0, |at| at + 9),
    };
    Prepared { frame: frame.to_vec(), opaque_at, codec }
}

impl Prepared {
    fn append(&self, out: &mut Vec<u8>, opaque: i32) {
        let start = out.len();
        out.extend_from_slice(&self.frame);
        match self.codec {
            Codec::Binary => {
                out[start + self.opaque_at..start + self.opaque_at + 4].copy_from_slice(&opaque.to_be_bytes());
            }
            Codec::Json => {
                let spot = start + self.opaque_at..start + self.opaque_at + 10;
                out.splice(spot, opaque.to_string().into_bytes());
                let length = (out.len() - start - 4) as u32;
                // Header and frame grow or shrink with the digits of the opaque.
                out[start..start + 4].copy_from_slice(&length.to_be_bytes());
                out[start + 5..start + 8].copy_from_slice(&(length - 4).to_be_bytes()[1..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use gantry_protocol::frame::Frame;

    use super::*;

    #[test]
    fn answers_in_the_encoding_and_with_the_opaque_of_the_request() {
        for codec in [Codec::Json, Codec::Binary] {
            for opaque in [7, 1_234_567_890] {
                let mut request = BytesMut::new();
                let head = Head::request(310, opaque);
                FrameWriter::new(&mut request, codec, &head).finish(b"body");
                let (json, binary) = (prepared(Codec::Json), prepared(Codec::Binary));
                let mut out = Vec::new();
                let taken = reply_to_all(&request, &json, &binary, None, &mut out).unwrap();
                assert_eq!(taken, request.len());
                let (answer, len) = Frame::parse(&out, FRAME_BYTES_MAX).unwrap().unwrap();
                assert_eq!((answer.header.opaque, answer.header.codec, len), (opaque, codec, out.len()));
                assert_eq!(answer.header.ext.number("queueOffset"), Some(1_000_000));
            }
        }
    }
}
