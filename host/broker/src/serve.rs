//! One exhaustive match from request code to meaning.

use std::{net::SocketAddr, sync::Arc};

use bytes::BytesMut;
use gantry_protocol::{
    body::{
        assignment::{QueryAssignment, RequestModeConfig},
        lock::{LockBatch, LockedQueues},
    },
    code::{self, request::*, response},
    frame::{Frame, FrameWriter},
    request::{
        admin::{DeleteGroup, DeleteTopic, GroupName, PluginPush, TopicName, UpdateTopic},
        client::{ConsumerListRequest, UnregisterClient},
        offset::{QueryConsumerOffset, QueueRequest, SearchOffset, UpdateConsumerOffset},
        pull::PullRequest,
        recall::RecallRequest,
        send_back::SendBackRequest,
    },
};
use gantry_remoting::{Hold, Peer, Replies, Service};
use tokio::time::Instant;

use crate::{
    assign,
    broker::Broker,
    membership::malformed,
    metrics::Manner,
    pull::pull,
    query::{self, Asked},
    reply::{Refusal, ReplyTo},
    send,
    send_back::send_back,
    timer,
};

/// The broker's requests, served on its listeners.
#[derive(Clone)]
pub struct BrokerService(pub(crate) Arc<Broker>);

impl Service for BrokerService {
    type Session = Peer;

    fn open(&self, peer: &Peer) -> Peer {
        peer.clone()
    }

    fn hold(&self, _: &mut Peer, requests: &[Frame<'_>], arrived: Instant) -> Option<Hold> {
        let hold = self.0.flow.hold_sends(&self.0.store, arrived)?;
        let sends = requests.iter().filter(|frame| is_send(frame)).count();
        (sends > 0).then(|| self.0.flow.counted(hold, sends))
    }

    fn serve(&self, peer: &mut Peer, requests: &[Frame<'_>], replies: &mut Replies) {
        let mut rest = requests;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|frame| is_send(frame)).count();
            if run > 0 {
                send::serve(&self.0, peer, &rest[..run], replies);
            } else {
                serve_one(&self.0, peer, first, replies);
            }
            rest = &rest[run.max(1)..];
        }
    }

    fn close(&self, peer: Peer) {
        self.0.disconnected(&peer);
    }
}

fn is_send(frame: &Frame<'_>) -> bool {
    matches!(frame.header.code, SEND_MESSAGE | SEND_MESSAGE_V2 | SEND_BATCH_MESSAGE)
}

/// Serves everything but sends. What may wait or read the disk is answered later, off this call.
fn serve_one(broker: &Arc<Broker>, peer: &Peer, frame: &Frame<'_>, replies: &mut Replies) {
    let to = ReplyTo::of(frame);
    let arrived = replies.arrived();
    match frame.header.code {
        PULL_MESSAGE | LITE_PULL_MESSAGE => match PullRequest::parse(&frame.header) {
            Ok(request) => replies.later(1, pull(broker.clone(), to, request, arrived)),
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        CONSUMER_SEND_MSG_BACK => match SendBackRequest::parse(&frame.header) {
            Ok(request) => {
                let outcome = send_back(broker.clone(), request, arrived);
                let broker = broker.clone();
                replies.later(1, async move {
                    let outcome = outcome.await;
                    broker.answered(to, arrived, code_of(&outcome));
                    answer(to, outcome)
                });
            }
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        RECALL_MESSAGE => match RecallRequest::parse(&frame.header) {
            Ok(request) => {
                let outcome = recall(broker.clone(), peer.address(), request, arrived);
                let broker = broker.clone();
                replies.later(1, async move {
                    let mut out = BytesMut::new();
                    let outcome = outcome.await;
                    broker.answered(to, arrived, code_of(&outcome));
                    match outcome {
                        Ok(key) => {
                            let fields = |writer: &mut FrameWriter<'_, '_>| {
                                writer.ext("msgId", &*key).ext("MSG_REGION", &*broker.options.region);
                            };
                            to.success(&mut out, fields, b"");
                        }
                        Err(refusal) => to.refuse(&mut out, &refusal),
                    }
                    out
                });
            }
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        SEARCH_OFFSET_BY_TIMESTAMP => match SearchOffset::parse(&frame.header) {
            Ok(request) => off_worker(broker, to, replies, "offset", move |broker| broker.search_offset(&request)),
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        GET_EARLIEST_MSG_STORETIME => match QueueRequest::parse(&frame.header) {
            Ok(request) => {
                off_worker(broker, to, replies, "timestamp", move |broker| broker.earliest_store_time(&request))
            }
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        GANTRY_PLUGIN_PUSH => match broker.check_admin(peer).and_then(|()| Ok(PluginPush::parse(&frame.header)?)) {
            Ok(request) => {
                let outcome = broker.push_plugin(request, frame.body.to_vec());
                replies.later(1, async move {
                    let mut out = BytesMut::new();
                    match outcome.await {
                        Ok(label) => to.success(&mut out, |writer| _ = writer.ext("serves", &*label), b""),
                        Err(refusal) => to.refuse(&mut out, &refusal),
                    }
                    out
                });
            }
            Err(refusal) => to.refuse(replies.now(), &refusal),
        },
        QUERY_ASSIGNMENT => match QueryAssignment::parse(frame.body) {
            Ok(query) => replies.later(1, assign::answer(broker.clone(), to, query, replies.arrived())),
            Err(error) => to.refuse(replies.now(), &malformed("question for an assignment", &error)),
        },
        QUERY_MESSAGE | VIEW_MESSAGE_BY_ID => match Asked::parse(&frame.header) {
            Ok(asked) => replies.later(1, query::answer(broker.clone(), to, asked, arrived)),
            Err(error) => refuse(broker, to, replies, &error.into()),
        },
        _ => match serve_now(broker, peer, to, frame, replies.now()) {
            Ok(()) => broker.answered(to, arrived, response::SUCCESS),
            Err(refusal) => refuse(broker, to, replies, &refusal),
        },
    }
}

fn refuse(broker: &Broker, to: ReplyTo, replies: &mut Replies, refusal: &Refusal) {
    broker.answered(to, replies.arrived(), refusal.code);
    to.refuse(replies.now(), refusal);
}

/// The code that an outcome is answered with.
pub(crate) fn code_of<T>(outcome: &Result<T, Refusal>) -> i32 {
    outcome.as_ref().err().map_or(response::SUCCESS, |refusal| refusal.code)
}

impl Broker {
    /// Notes that a request which arrived then is answered now.
    pub(crate) fn answered(&self, to: ReplyTo, arrived: Instant, response: i32) {
        let manner = if to.oneway { Manner::Oneway } else { Manner::Plain };
        self.calls.answered(to.request, response, manner, arrived.elapsed(), 1);
    }
}

/// Lets a recall in as a send, which it is to the log, and carries it out in a place for who may block.
async fn recall(
    broker: Arc<Broker>,
    peer: SocketAddr,
    request: RecallRequest,
    arrived: Instant,
) -> Result<String, Refusal> {
    broker.flow.admit_sends(&broker.store, arrived, 1)?;
    let place = broker.flow.blocking_place(&broker.blocking_pulls, arrived).await?;
    // A task of its own: the place is taken until the recall is through, also when the client leaves.
    let outcome = tokio::spawn(async move {
        let _place = place;
        timer::recall(broker, peer, request).await
    });
    outcome.await.unwrap_or_else(|stopped| Err(Refusal::stopped(&stopped)))
}

fn answer(to: ReplyTo, outcome: Result<(), Refusal>) -> BytesMut {
    let mut out = BytesMut::new();
    match outcome {
        Ok(()) => to.ok(&mut out),
        Err(refusal) => to.refuse(&mut out, &refusal),
    }
    out
}

/// Answers with one number that takes reading the log to find.
fn off_worker(
    broker: &Arc<Broker>,
    to: ReplyTo,
    replies: &mut Replies,
    field: &'static str,
    find: impl FnOnce(&Broker) -> Result<i64, Refusal> + Send + 'static,
) {
    let (broker, arrived) = (broker.clone(), replies.arrived());
    replies.later(1, async move {
        let worker = broker.clone();
        let found = broker.run_blocking(arrived, move || find(&worker)).await.flatten();
        broker.answered(to, arrived, code_of(&found));
        let mut out = BytesMut::new();
        match found {
            Ok(number) => to.field(&mut out, field, number),
            Err(refusal) => to.refuse(&mut out, &refusal),
        }
        out
    });
}

/// Everything that is answered from memory, or that changes a table.
fn serve_now(
    broker: &Arc<Broker>,
    peer: &Peer,
    to: ReplyTo,
    frame: &Frame<'_>,
    out: &mut BytesMut,
) -> Result<(), Refusal> {
    let header = &frame.header;
    match header.code {
        HEART_BEAT => {
            broker.heartbeat(peer, frame)?;
            // No fingerprints are kept: "changed" makes clients send their full subscriptions every time.
            let fields = |writer: &mut FrameWriter<'_, '_>| {
                writer.ext("IS_SUPPORT_HEART_BEAT_V2", true).ext("IS_SUB_CHANGE", true);
            };
            to.success(out, fields, b"");
        }
        UNREGISTER_CLIENT => {
            broker.unregister(&UnregisterClient::parse(header)?);
            to.ok(out);
        }
        GET_CONSUMER_LIST_BY_GROUP => {
            let list = broker.consumer_list(&ConsumerListRequest::parse(header)?.group)?;
            to.success(out, |_| {}, &list);
        }
        CHECK_CLIENT_CONFIG => {
            broker.check_client_config(frame.body)?;
            to.ok(out);
        }
        QUERY_CONSUMER_OFFSET => {
            let offset = broker.query_consumer_offset(&QueryConsumerOffset::parse(header)?)?;
            to.field(out, "offset", offset.to_wire());
        }
        UPDATE_CONSUMER_OFFSET => {
            broker.update_consumer_offset(&UpdateConsumerOffset::parse(header)?)?;
            to.ok(out);
        }
        GET_MAX_OFFSET => {
            let offset = broker.max_offset(&QueueRequest::parse(header)?);
            to.field(out, "offset", offset);
        }
        GET_MIN_OFFSET => {
            let offset = broker.min_offset(&QueueRequest::parse(header)?);
            to.field(out, "offset", offset);
        }
        LOCK_BATCH_MQ => {
            let request = LockBatch::parse(frame.body).map_err(|error| malformed("lock request", &error))?;
            let now_ms = broker.options.clock.now_ms();
            let held = broker.queue_locks.lock(&request.consumer_group, &request.client_id, request.mq_set, now_ms);
            let body = LockedQueues { lock_ok_mq_set: held }.to_json();
            to.success(out, |_| {}, &body.map_err(|error| Refusal::new(response::SYSTEM_ERROR, error.to_string()))?);
        }
        UNLOCK_BATCH_MQ => {
            let request = LockBatch::parse(frame.body).map_err(|error| malformed("unlock request", &error))?;
            broker.queue_locks.unlock(&request.consumer_group, &request.client_id, &request.mq_set);
            to.ok(out);
        }
        SET_MESSAGE_REQUEST_MODE => {
            broker.check_admin(peer)?;
            let config = RequestModeConfig::parse(frame.body);
            broker.set_request_mode(config.map_err(|error| malformed("message request mode", &error))?)?;
            to.ok(out);
        }
        UPDATE_AND_CREATE_TOPIC => {
            broker.check_admin(peer)?;
            broker.update_topic(UpdateTopic::parse(header)?)?;
            to.ok(out);
        }
        UPDATE_AND_CREATE_TOPIC_LIST => {
            broker.check_admin(peer)?;
            broker.update_topics(frame.body)?;
            to.ok(out);
        }
        DELETE_TOPIC_IN_BROKER => {
            broker.check_admin(peer)?;
            broker.delete_topic(&DeleteTopic::parse(header)?.topic)?;
            to.ok(out);
        }
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP => {
            broker.check_admin(peer)?;
            broker.update_group(frame.body)?;
            to.ok(out);
        }
        UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST => {
            broker.check_admin(peer)?;
            broker.update_groups(frame.body)?;
            to.ok(out);
        }
        DELETE_SUBSCRIPTIONGROUP => {
            broker.check_admin(peer)?;
            let request = DeleteGroup::parse(header)?;
            broker.delete_group(&request.group, request.clean_offset)?;
            to.ok(out);
        }
        GET_ALL_TOPIC_CONFIG => to.success(out, |_| {}, &broker.all_topic_configs()?),
        GET_ALL_SUBSCRIPTIONGROUP_CONFIG => to.success(out, |_| {}, &broker.all_group_configs()?),
        GET_TOPIC_CONFIG => to.success(out, |_| {}, &broker.topic_config(&TopicName::parse(header)?.topic)?),
        GET_SUBSCRIPTIONGROUP_CONFIG => {
            to.success(out, |_| {}, &broker.group_config(&GroupName::parse(header)?.group)?)
        }
        unknown => {
            tracing::debug!(code = unknown, name = code::request::name(unknown), peer = %peer.address(), "request code not supported");
            let remark = format!(" request type {unknown} not supported");
            return Err(Refusal::new(response::REQUEST_CODE_NOT_SUPPORTED, remark));
        }
    }
    Ok(())
}
