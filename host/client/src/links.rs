//! One connection per address, made when needed and made again when it broke.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gantry_base::watermark::Watermark;
use gantry_protocol::{
    code,
    frame::{Frame, FrameWriter},
    header::Head,
};
use gantry_remoting::{ConnectError, Connection, Limits, Peer, Replies, Service};
use parking_lot::Mutex;

/// The connections of one client.
pub(crate) struct Links {
    connect_timeout: Duration,
    limits: Limits,
    pushes: Arc<Pushes>,
    by_address: Mutex<HashMap<String, Slot>>,
}

/// A lock of its own for each address: callers wait for one attempt to connect instead of making one each, and an address
/// that does not answer delays nobody else.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

impl Links {
    pub(crate) fn new(connect_timeout: Duration, limits: Limits) -> Self {
        Links { connect_timeout, limits, pushes: Arc::default(), by_address: Mutex::default() }
    }

    pub(crate) async fn get(&self, address: &str) -> Result<Arc<Connection>, ConnectError> {
        let slot = self.by_address.lock().entry(address.to_owned()).or_default().clone();
        let mut link = slot.lock().await;
        if let Some(open) = link.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        let made = Connection::connect(address, self.connect_timeout, self.limits.clone(), self.pushes.clone()).await?;
        Ok(link.insert(Arc::new(made)).clone())
    }

    /// Grows whenever a broker says that the members of a group changed.
    pub(crate) fn membership_changes(&self) -> &Watermark {
        &self.pushes.membership_changes
    }
}

/// What brokers ask of this client.
#[derive(Default)]
struct Pushes {
    membership_changes: Watermark,
    counted: Mutex<u64>,
}

impl Service for Pushes {
    type Session = ();

    fn open(&self, _: &Peer) {}

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        for request in requests {
            let header = &request.header;
            if header.code == code::request::NOTIFY_CONSUMER_IDS_CHANGED {
                let mut counted = self.counted.lock();
                *counted += 1;
                self.membership_changes.advance(*counted);
            } else if !header.is_oneway() {
                // An unanswered request would keep the broker's admin waiting.
                let remark = "this client does not support the request";
                let head = Head::response(code::response::REQUEST_CODE_NOT_SUPPORTED, header.opaque, Some(remark));
                FrameWriter::new(replies.now(), header.codec, &head).finish(b"");
            }
        }
    }

    fn close(&self, (): ()) {}
}
