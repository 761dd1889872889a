//! Telling every name server which topics this broker serves: at the start, every 30 s, and at once when a topic changes; and
//! between that how busy it is.
//!
//! Each name server has a follower of its own, so that one that is down delays nobody.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gantry_base::watermark::Watermark;
use gantry_client::registration::{BrokerIdentity, NameServerLink};
use gantry_protocol::body::register::RegisterBrokerBody;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;

/// How often a broker registers when nothing changes.
const REGISTER_EVERY: Duration = Duration::from_secs(30);
/// How often a registered broker says how busy it is. RocketMQ's own heartbeats come every second, where they are on at all.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(2);
/// Pause after a registration that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Grows whenever a name server has heard of a change of topics.
#[derive(Default)]
pub(crate) struct Told {
    times: AtomicU64,
    mark: Watermark,
}

impl Told {
    pub(crate) fn again(&self) {
        let before = self.times.fetch_add(1, Ordering::Relaxed);
        self.mark.advance(before + 1);
    }

    pub(crate) fn mark(&self) -> &Watermark {
        &self.mark
    }
}

/// Keeps this broker registered with one name server until cancelled, then unregisters.
pub(crate) async fn follow(broker: Arc<Broker>, name_server: String, cancel: CancellationToken) {
    let identity = BrokerIdentity {
        cluster: broker.options.cluster.clone(),
        name: broker.options.name.clone(),
        id: broker.options.id,
        address: broker.options.advertised.to_string(),
        zone: broker.options.zone.clone(),
        labels: broker.options.labels.clone(),
    };
    let mut link = NameServerLink::new(name_server.clone(), identity);
    let (mut reachable, mut told) = (true, None);
    'registered: loop {
        let seen = broker.topics.changes().get();
        let (data_version, topics) = broker.topics.export();
        let body = RegisterBrokerBody::new(data_version, topics);
        let pause = match link.register(&body).await {
            Ok(()) => {
                if told.replace(seen) != Some(seen) {
                    broker.told.again();
                }
                if !std::mem::replace(&mut reachable, true) {
                    tracing::info!(%name_server, "registered again");
                }
                REGISTER_EVERY
            }
            Err(error) => {
                if std::mem::replace(&mut reachable, false) {
                    tracing::warn!(%name_server, %error, "not registered: clients that ask this name server do not find the broker; trying again every second");
                }
                RETRY_AFTER
            }
        };
        let again = Instant::now() + pause;
        // The first comes at once.
        let mut heartbeats = interval(HEARTBEAT_EVERY);
        loop {
            tokio::select! {
                () = cancel.cancelled() => break 'registered,
                _ = broker.topics.changes().reached(seen + 1), if reachable => break,
                () = link.closed(), if reachable => break,
                () = sleep_until(again) => break,
                // What a name server does not take is told again soon.
                _ = heartbeats.tick(), if reachable => {
                    link.heartbeat(broker.load.current());
                }
            }
        }
    }
    if let Err(error) = link.unregister().await {
        tracing::debug!(%name_server, %error, "not unregistered; the name server drops the broker when the connection closes");
    }
}

#[cfg(test)]
mod tests {
    use gantry_model::topic::{Perm, TopicConfig};
    use gantry_protocol::{
        code::request::{BROKER_HEARTBEAT, REGISTER_BROKER, UNREGISTER_BROKER},
        frame::{Frame, FrameWriter},
        header::Head,
    };
    use gantry_remoting::{Limits, Peer, Replies, Server, Service};
    use tokio::sync::mpsc;

    use super::*;
    use crate::scripted::{self, Scripted};

    /// Takes everything and says what it got: code, zone and load.
    struct Names(mpsc::UnboundedSender<(i32, Option<String>, Option<u64>)>);

    impl Service for Names {
        type Session = ();

        fn open(&self, _: &Peer) {}

        fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
            for Frame { header, .. } in requests {
                let zone = header.ext.get("__ZONE_NAME").map(|zone| zone.into_owned());
                self.0.send((header.code, zone, header.ext.number("gantryMessagesInPerS"))).unwrap();
                if !header.is_oneway() {
                    FrameWriter::new(replies.now(), header.codec, &Head::response(0, header.opaque, None)).finish(b"");
                }
            }
        }

        fn close(&self, (): ()) {}
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_registered_broker_says_how_busy_it_is_until_it_leaves() {
        let (sender, mut told) = mpsc::unbounded_channel();
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Limits::default()).unwrap();
        let address = server.local_addr().to_string();
        let (cancel, ended) = (CancellationToken::new(), CancellationToken::new());
        tokio::spawn(server.serve(Arc::new(Names(sender)), ended.clone()));
        let broker = scripted::broker_with(&Scripted::new(), |options| options.zone = Some("az1".to_owned()));
        let following = tokio::spawn(follow(broker.clone(), address, cancel.clone()));
        let register = (REGISTER_BROKER, Some("az1".to_owned()), None);
        let heartbeat = (BROKER_HEARTBEAT, None, Some(0));
        assert_eq!(told.recv().await.unwrap(), register);
        assert_eq!(told.recv().await.unwrap(), heartbeat, "at once");
        assert_eq!(told.recv().await.unwrap(), heartbeat, "and again");
        assert_eq!(broker.told.mark().get(), 1);
        tokio::task::block_in_place(|| broker.topics.update(TopicConfig::new("t", 1, Perm::READ_WRITE))).unwrap();
        // A heartbeat may be on its way.
        while told.recv().await.unwrap() != register {}
        broker.told.mark().reached(2).await.unwrap();
        cancel.cancel();
        following.await.unwrap();
        let mut last = told.recv().await.unwrap();
        while last.0 == BROKER_HEARTBEAT {
            last = told.recv().await.unwrap();
        }
        assert_eq!(last.0, UNREGISTER_BROKER);
        ended.cancel();
    }
}
