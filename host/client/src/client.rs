//! What every use shares: connections, routes, and one request with one answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use gantry_base::watermark::Watermark;
use gantry_protocol::{
    code::response,
    frame::{FrameWriter, OwnedFrame},
};
use gantry_remoting::Limits;

use crate::{
    ClientError, Producer,
    links::Links,
    message::host_ip,
    route::{Routes, Topology},
};

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name that brokers know this client by; must differ among the members of a group. Default `ip@pid#number`.
    pub client_id: String,
    /// How long connecting may take. Default 3 s.
    pub connect_timeout: Duration,
    /// How long one request may take, unless a method says otherwise. Default 3 s, as in Java.
    pub call_timeout: Duration,
    /// After how long a route is asked for again. Default 30 s, as in Java.
    pub route_age_max: Duration,
    /// Bounds of each connection.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        static CLIENTS: AtomicUsize = AtomicUsize::new(0);
        let number = CLIENTS.fetch_add(1, Ordering::Relaxed);
        Options {
            client_id: format!("{}@{}#{number}", host_ip(), std::process::id()),
            connect_timeout: Duration::from_secs(3),
            call_timeout: Duration::from_secs(3),
            route_age_max: Duration::from_secs(30),
            limits: Limits::default(),
        }
    }
}

/// A client of one cluster; clones share connections and routes.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) name_servers: Vec<String>,
    pub(crate) options: Options,
    pub(crate) links: Links,
    pub(crate) routes: Routes,
    pub(crate) topology: Topology,
    /// Name server that answered last; asked first.
    pub(crate) name_server_at: AtomicUsize,
}

impl Client {
    /// A client that finds brokers through these name servers (`host:port` each). Connects when first used.
    pub fn new(name_servers: Vec<String>, options: Options) -> Client {
        let links = Links::new(options.connect_timeout, options.limits.clone());
        Client(Arc::new(Shared {
            name_servers,
            options,
            links,
            routes: Routes::default(),
            topology: Topology::default(),
            name_server_at: AtomicUsize::new(0),
        }))
    }

    /// The name that brokers know this client by.
    pub fn client_id(&self) -> &str {
        &self.0.options.client_id
    }

    /// Sends messages for a producer group.
    pub fn producer(&self, group: impl Into<String>) -> Producer {
        Producer::new(self.clone(), group.into())
    }

    /// Grows whenever a broker says that the members of one of this client's groups changed.
    pub(crate) fn membership_changes(&self) -> &Watermark {
        self.0.links.membership_changes()
    }

    /// One request to the server at `address`, and its answer whatever its code.
    pub async fn request<F: FnOnce(&mut FrameWriter<'_, '_>)>(
        &self,
        address: &str,
        code: i32,
        ext: F,
        body: &[u8],
        timeout: Duration,
    ) -> Result<OwnedFrame, ClientError> {
        let link = self.0.links.get(address).await?;
        let answer = link.call(code, ext, body, timeout).await;
        answer.map_err(|source| ClientError::Call { address: address.to_owned(), request: code, source })
    }

    /// One request whose answer must be SUCCESS.
    pub(crate) async fn ask<F: FnOnce(&mut FrameWriter<'_, '_>)>(
        &self,
        address: &str,
        code: i32,
        ext: F,
        body: &[u8],
    ) -> Result<OwnedFrame, ClientError> {
        let answer = self.request(address, code, ext, body, self.0.options.call_timeout).await?;
        succeeded(address, code, answer)
    }
}

/// The answer itself when its code is SUCCESS, else the refusal.
pub(crate) fn succeeded(address: &str, request: i32, answer: OwnedFrame) -> Result<OwnedFrame, ClientError> {
    let header = answer.header().map_err(|error| ClientError::answer(address, request, error))?;
    let (code, remark) = (header.code, header.remark.as_deref().unwrap_or_default().to_owned());
    match code {
        response::SUCCESS => Ok(answer),
        _ => Err(ClientError::Refused { address: address.to_owned(), request, code, remark }),
    }
}

/// A number that the answer must carry.
pub(crate) fn number<T: std::str::FromStr>(
    address: &str,
    request: i32,
    answer: &OwnedFrame,
    field: &'static str,
) -> Result<T, ClientError> {
    let header = answer.header().map_err(|error| ClientError::answer(address, request, error))?;
    header.ext.number(field).ok_or_else(|| ClientError::answer(address, request, format!("no number in field {field}")))
}
