//! The connecting side.

use std::{io, net::SocketAddr, ops::Deref, sync::Arc, time::Duration};

use bytes::BytesMut;
use gantry_protocol::{
    frame::{Frame, FrameWriter, OwnedFrame},
    header::Head,
};
use tokio::{net::TcpStream, sync::mpsc};

use crate::{
    Limits, Peer, Replies, Service,
    driver::{Driver, Shared},
};

/// The other side cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("cannot connect to {address}: {source}")]
pub struct ConnectError {
    /// As it was given.
    pub address: String,
    /// What the system says.
    #[source]
    pub source: io::Error,
}

/// A connection that we made. Dropping it closes it; reconnecting is the caller's.
#[derive(Debug)]
pub struct Connection {
    peer: Peer,
}

impl Connection {
    /// Connects to `host:port`, within `timeout`. Requests of the other side go to `service` ([`NoRequests`], [`Inbox`],
    /// or one that answers).
    pub async fn connect<S: Service>(
        address: &str,
        timeout: Duration,
        limits: Limits,
        service: Arc<S>,
    ) -> Result<Connection, ConnectError> {
        let failed = |source| ConnectError { address: address.to_owned(), source };
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(connected) => connected.map_err(failed)?,
            Err(_) => return Err(failed(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {timeout:?}")))),
        };
        let addresses = |stream: &TcpStream| -> io::Result<(SocketAddr, SocketAddr)> {
            stream.set_nodelay(true)?;
            Ok((stream.peer_addr()?, stream.local_addr()?))
        };
        let (remote, local) = addresses(&stream).map_err(failed)?;
        let shared = Shared::new(limits);
        let peer = Peer::new(remote, local, &shared.limits, shared.metrics.clone());
        let driver = Driver::new(stream, peer.clone(), service, shared.clone());
        let driven = peer.clone();
        tokio::spawn(async move { driver.run().await.report(&driven, &shared.metrics) });
        Ok(Connection { peer })
    }
}

/// What can be asked of the other side: [`Peer::call`], [`Peer::notify`].
impl Deref for Connection {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer.close();
    }
}

/// A service for connections on which the other side has nothing to ask; its requests are dropped.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRequests;

impl Service for NoRequests {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], _: &mut Replies) {
        tracing::debug!("{} requests of the other side are not wanted here", requests.len());
    }

    fn close(&self, (): ()) {}
}

/// A service that queues the other side's requests for whoever reads the channel; when it is full they are dropped, so a
/// notification must only ever mean "look again".
#[derive(Debug)]
pub struct Inbox {
    requests: mpsc::Sender<OwnedFrame>,
    frame_bytes_max: usize,
}

impl Inbox {
    /// An inbox of at most `capacity` requests and its reading end.
    pub fn new(capacity: usize) -> (Inbox, mpsc::Receiver<OwnedFrame>) {
        let (requests, reader) = mpsc::channel(capacity);
        (Inbox { requests, frame_bytes_max: Limits::default().frame_bytes_max }, reader)
    }
}

impl Service for Inbox {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], _: &mut Replies) {
        for request in requests {
            let queued = own(request, self.frame_bytes_max).is_some_and(|owned| self.requests.try_send(owned).is_ok());
            if !queued {
                tracing::debug!(
                    code = request.header.code,
                    "a request of the other side was dropped: its queue is full or gone"
                );
            }
        }
    }

    fn close(&self, (): ()) {}
}

/// The frame on its own, in its encoding, written anew: a frame read in place does not keep its outer bytes.
fn own(frame: &Frame<'_>, frame_bytes_max: usize) -> Option<OwnedFrame> {
    let header = &frame.header;
    let head = Head {
        code: header.code,
        language: header.language,
        version: header.version,
        opaque: header.opaque,
        flag: header.flag,
        remark: header.remark.as_deref(),
    };
    let mut bytes = BytesMut::new();
    let mut writer = FrameWriter::new(&mut bytes, header.codec, &head);
    header.ext.for_each(|name, value| {
        writer.ext(name, &*value);
    });
    writer.finish(frame.body);
    OwnedFrame::new(bytes.freeze(), frame_bytes_max).ok().flatten()
}
