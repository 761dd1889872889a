//! A server that answers by a script and remembers what it was asked.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use gantry_client::{Client, Options};
use gantry_model::{
    route::{BrokerData, QueueData, TopicRoute},
    topic::Perm,
};
use gantry_protocol::{
    code::{request, response},
    frame::{Frame, FrameWriter},
    header::Head,
};
use gantry_remoting::{Limits, Peer, Replies, Server, Service};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) code: i32,
    pub(crate) ext: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.ext.get(name).map_or("(absent)", String::as_str)
    }
}

/// What the script answers.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) remark: Option<&'static str>,
    pub(crate) ext: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn ok() -> Answer {
    Answer::default()
}

pub(crate) fn refused(code: i32, remark: &'static str) -> Answer {
    Answer { code, remark: Some(remark), ..ok() }
}

pub(crate) fn fields<const N: usize>(ext: [(&'static str, &str); N]) -> Answer {
    Answer { ext: ext.map(|(name, value)| (name, value.to_owned())).into(), ..ok() }
}

pub(crate) fn body(body: Vec<u8>) -> Answer {
    Answer { body, ..ok() }
}

/// The answer to a send that was stored.
pub(crate) fn stored(asked: &Asked) -> Answer {
    fields([("msgId", "ID"), ("queueId", asked.field("e")), ("queueOffset", "42"), ("MSG_REGION", "r")])
}

type Script = Box<dyn Fn(&Asked) -> Answer + Send + Sync>;

struct Scripted {
    script: Script,
    asked: Mutex<Vec<Asked>>,
    peers: Mutex<Vec<Peer>>,
}

impl Service for Scripted {
    type Session = ();

    fn open(&self, peer: &Peer) {
        self.peers.lock().push(peer.clone());
    }

    fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
        for request in requests {
            let mut ext = BTreeMap::new();
            request.header.ext.for_each(|name, value| {
                ext.insert(name.to_owned(), value.as_ref().to_owned());
            });
            let asked = Asked { code: request.header.code, ext, body: request.body.to_vec() };
            let answer = (self.script)(&asked);
            self.asked.lock().push(asked);
            let head = Head::response(answer.code, request.header.opaque, answer.remark);
            let mut writer = FrameWriter::new(replies.now(), request.header.codec, &head);
            for (name, value) in &answer.ext {
                writer.ext(name, value);
            }
            writer.finish(&answer.body);
        }
    }

    fn close(&self, (): ()) {}
}

pub(crate) struct Fake {
    pub(crate) address: String,
    scripted: Arc<Scripted>,
    cancel: CancellationToken,
    served: JoinHandle<()>,
}

impl Fake {
    pub(crate) fn start(script: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Fake {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
        let address = server.local_addr().to_string();
        let scripted =
            Arc::new(Scripted { script: Box::new(script), asked: Mutex::default(), peers: Mutex::default() });
        let cancel = CancellationToken::new();
        let served = tokio::spawn(server.serve(scripted.clone(), cancel.clone()));
        Fake { address, scripted, cancel, served }
    }

    /// What was asked with this code, in order.
    pub(crate) fn asked(&self, code: i32) -> Vec<Asked> {
        self.scripted.asked.lock().iter().filter(|asked| asked.code == code).cloned().collect()
    }

    /// Tells every client something.
    pub(crate) fn notify(&self, code: i32) {
        self.scripted.peers.lock().iter().for_each(|peer| _ = peer.notify(code, |_| (), b""));
    }

    pub(crate) fn close_connections(&self) {
        self.scripted.peers.lock().drain(..).for_each(|peer| peer.close());
    }

    pub(crate) async fn stop(self) {
        self.cancel.cancel();
        within("the server stops", self.served).await.unwrap();
    }
}

/// A name server with one route for every topic: these brokers, each `queues` queues.
pub(crate) fn name_server(brokers: &[(&str, &str)], queues: u32) -> Fake {
    let route = route(brokers, queues);
    Fake::start(move |asked| match asked.code {
        request::GET_ROUTEINFO_BY_TOPIC => body(route.clone()),
        _ => refused(response::REQUEST_CODE_NOT_SUPPORTED, "a name server"),
    })
}

/// A route's body.
pub(crate) fn route(brokers: &[(&str, &str)], queues: u32) -> Vec<u8> {
    let route = TopicRoute {
        broker_datas: brokers
            .iter()
            .map(|(name, address)| BrokerData {
                zone_name: None,
                broker_addrs: [(0, (*address).to_owned())].into(),
                broker_name: (*name).to_owned(),
                cluster: "c".to_owned(),
                enable_acting_master: false,
            })
            .collect(),
        queue_datas: brokers
            .iter()
            .map(|(name, _)| QueueData {
                broker_name: (*name).to_owned(),
                perm: Perm::READ_WRITE,
                read_queue_nums: queues,
                topic_sys_flag: 0,
                write_queue_nums: queues,
            })
            .collect(),
        ..TopicRoute::default()
    };
    serde_json::to_vec(&route).unwrap()
}

pub(crate) fn client(name_servers: &[&str]) -> Client {
    Client::new(name_servers.iter().map(|address| (*address).to_owned()).collect(), Options::default())
}

/// An address that nobody listens on.
pub(crate) fn nobody() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Waits until `condition` holds; fails after 20 s with `what`.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), work).await {
        Ok(done) => done,
        Err(_) => panic!("waited 20 s: {what}"),
    }
}
