//! A bare connection for campaigns: whole frames out and in, and bytes that are no frames at all.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use gantry_protocol::{
    code::request,
    frame::{Codec, FRAME_BYTES_MAX, FrameWriter, OwnedFrame, frame_len},
    header::Head,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long an answer may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One connection with blocking request and answer.
pub struct Wire {
    stream: TcpStream,
    read: BytesMut,
    opaque: i32,
}

impl Wire {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Result<Wire> {
        let stream = timeout(ANSWER_WITHIN, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, read: BytesMut::new(), opaque: 0 })
    }

    /// Writes bytes as they are.
    pub async fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Sends a request and waits for its answer: code, remark, frame.
    pub async fn call(&mut self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Result<(i32, OwnedFrame)> {
        self.opaque += 1;
        let mut out = BytesMut::new();
        let head = Head::request(code, self.opaque);
        let mut writer = FrameWriter::new(&mut out, Codec::Json, &head);
        for (name, value) in fields {
            writer.ext(name, *value);
        }
        writer.finish(body);
        self.raw(&out).await?;
        let frame = timeout(ANSWER_WITHIN, self.frame()).await.context("no answer in time")??;
        let (code, opaque) = frame.header().map(|header| (header.code, header.opaque))?;
        if opaque != self.opaque {
            bail!("answer {opaque} to request {}", self.opaque);
        }
        Ok((code, frame))
    }

    /// The next whole frame.
    pub async fn frame(&mut self) -> Result<OwnedFrame> {
        loop {
            if let Some(len) = frame_len(&self.read, FRAME_BYTES_MAX)?
                && self.read.len() >= len
            {
                let bytes: Bytes = self.read.split_to(len).freeze();
                return OwnedFrame::new(bytes, FRAME_BYTES_MAX)?.context("a whole frame");
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the connection was closed");
            }
        }
    }

    /// Whether the peer closes within `limit`; bytes that it sends before are dropped.
    pub async fn closed_within(&mut self, limit: Duration) -> bool {
        let drain = async {
            let mut sink = [0; 4096];
            while matches!(self.stream.read(&mut sink).await, Ok(count) if count > 0) {}
        };
        timeout(limit, drain).await.is_ok()
    }

    /// Sends one small message to queue 0 of `topic`; the code of the answer.
    pub async fn send(&mut self, topic: &str, body: &[u8]) -> Result<(i32, OwnedFrame)> {
        let fields = [
            ("a", "abuse"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", ""),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        self.call(request::SEND_MESSAGE_V2, &fields, body).await
    }
}
