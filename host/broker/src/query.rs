//! QUERY_MESSAGE (12) and VIEW_MESSAGE_BY_ID (33): single messages, by key or by place. Source: RocketMQ
//! `QueryMessageProcessor`. Both read the disk, so they run beside the workers, as many at once as pulls that wait for it.

use std::sync::Arc;

use bytes::BytesMut;
use gantry_model::offset::PhysicalOffset;
use gantry_protocol::{
    code::{request, response},
    header::Header,
    request::{
        RequestError,
        query::{QueryMessage, QueryReply, ViewMessage},
    },
};
use gantry_store::{IndexState, KeyQuery, KeysFound, Wait};
use tokio::time::Instant;

use crate::{
    broker::Broker,
    reply::{Refusal, ReplyTo},
};

/// Most messages that a query by key returns. Source: RocketMQ `maxMsgsNumBatch`.
const QUERY_MESSAGES_MAX: usize = 64;

/// What a client wants to see.
pub(crate) enum Asked {
    ByKey(QueryMessage),
    ByPlace(ViewMessage),
}

impl Asked {
    /// Reads either request.
    pub(crate) fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        match header.code {
            request::QUERY_MESSAGE => QueryMessage::parse(header).map(Asked::ByKey),
            _ => ViewMessage::parse(header).map(Asked::ByPlace),
        }
    }
}

/// Looks and answers.
pub(crate) async fn answer(broker: Arc<Broker>, to: ReplyTo, asked: Asked, arrived: Instant) -> BytesMut {
    let worker = broker.clone();
    let look = move || match asked {
        Asked::ByKey(query) => by_key(&worker, to, &query),
        Asked::ByPlace(view) => by_place(&worker, to, view),
    };
    let answered = broker.run_blocking(arrived, look).await.flatten();
    let (code, out) = answered.unwrap_or_else(|refusal| {
        let mut out = BytesMut::new();
        to.refuse(&mut out, &refusal);
        (refusal.code, out)
    });
    broker.answered(to, arrived, code);
    out
}

/// The answer and its code.
type Answered = Result<(i32, BytesMut), Refusal>;

fn by_key(broker: &Broker, to: ReplyTo, query: &QueryMessage) -> Answered {
    let found = broker.store.query(&KeyQuery {
        topic: &query.topic,
        key: &query.key,
        begin_ms: query.begin_ms,
        end_ms: query.end_ms,
        limit: usize::try_from(query.messages_max).unwrap_or(0).min(QUERY_MESSAGES_MAX),
    });
    let found = found.map_err(|error| Refusal::new(response::SYSTEM_ERROR, format!("the query failed: {error}")))?;
    let code = if found.count > 0 { response::SUCCESS } else { response::QUERY_NOT_FOUND };
    let mut remarks = remarks(&found, broker.store.index_state());
    if found.count == 0 {
        remarks.insert(0, "can not find message, maybe time range not correct".to_owned());
    }
    let remark = Some(remarks.join("; ")).filter(|remark| !remark.is_empty());
    let reply =
        QueryReply { last_update_ms: found.last_update_ms as i64, last_update_offset: found.last_update_offset as i64 };
    let mut out = BytesMut::new();
    to.write(&mut out, code, remark.as_deref(), |writer| reply.write(writer), &found.records);
    Ok((code, out))
}

/// Why there may be more than was found.
fn remarks(found: &KeysFound, state: IndexState) -> Vec<String> {
    let stopped = found.stopped.map(|limit| {
        format!("the query stopped at its limit of {limit}: there may be older messages, ask for an earlier time range")
    });
    let index = match state {
        IndexState::Level => None,
        IndexState::Off => Some("this broker keeps no index (store.index = false)".to_owned()),
        IndexState::Behind { bytes } => {
            Some(format!("the index is being built, {bytes} bytes of the log are not in it yet"))
        }
        IndexState::Stopped { reason } => Some(format!("the index stopped, later messages are not in it: {reason}")),
    };
    let unreadable = found.unreadable.as_ref().map(|damage| format!("one that may match cannot be read: {damage}"));
    stopped.into_iter().chain(unreadable).chain(index).collect()
}

fn by_place(broker: &Broker, to: ReplyTo, view: ViewMessage) -> Answered {
    let gone = |reason: &str| {
        let remark = format!("can not find message by the offset, {}: {reason}", view.offset);
        Refusal::new(response::SYSTEM_ERROR, remark)
    };
    let offset = PhysicalOffset::from_wire(view.offset).ok_or_else(|| gone("it is negative"))?;
    let record = broker.store.record(offset, Wait::Allowed).map_err(|error| gone(&error.to_string()))?;
    let record = record.ok_or_else(|| gone("no message begins there, or it was deleted"))?;
    let mut out = BytesMut::new();
    to.success(&mut out, |_| {}, &record);
    Ok((response::SUCCESS, out))
}
