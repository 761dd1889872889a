//! What the bare reference server has to be read: messages made when it starts, each queue in one file, sent from the page
//! cache with one read an answer. No broker's reading can be faster than this with this client.

use std::{
    fs::File,
    io::{BufWriter, Write},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use bytes::BytesMut;
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_protocol::{
    code::{request, response},
    frame::{FRAME_BYTES_MAX, Frame, FrameWriter},
    header::Head,
    record::{self, RecordDraft},
};
use serde_json::json;

use super::stamp::{STAMP_LEN, Stamp, Stamper};

/// Most bytes of one answer, a broker's default.
const ANSWER_BYTES: u64 = 256 * 1024;
/// Whose messages they are: none of a producer of `bench produce`, whose numbers end in zeros.
const PRODUCER: u32 = 1;

/// What is made.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) topic: String,
    /// Messages of all queues together.
    pub(crate) messages: u64,
    pub(crate) queues: u32,
    /// Bytes of a body.
    pub(crate) size: usize,
}

/// Queues ready to be sent. All records have one length.
pub(crate) struct Backlog {
    topic: String,
    queues: Vec<File>,
    record_len: u64,
    messages_per_queue: u64,
}

impl Backlog {
    /// Writes the queues beside `file`. The files have no name afterwards.
    pub(crate) fn make(file: &Path, spec: &Spec) -> Result<Backlog> {
        ensure!(spec.queues > 0 && spec.size >= STAMP_LEN, "a backlog needs queues, and bodies of {STAMP_LEN} bytes");
        let folder = file.parent().context("the reference's file has a folder")?;
        let messages_per_queue = spec.messages / u64::from(spec.queues);
        let (mut queues, mut record_len) = (Vec::new(), 0);
        for queue in 0..spec.queues {
            let path = folder.join(format!("backlog-{queue}"));
            let opened = File::options().create(true).truncate(true).read(true).write(true).open(&path)?;
            std::fs::remove_file(&path)?;
            record_len = fill(&opened, spec, queue, messages_per_queue)?;
            queues.push(opened);
        }
        Ok(Backlog { topic: spec.topic.clone(), queues, record_len, messages_per_queue })
    }

    /// Answers a request for the queues, with codec and opaque of `frame`; `false` for any other request.
    pub(crate) fn answer(&self, frame: &[u8], out: &mut BytesMut) -> Result<bool> {
        let Some((parsed, _)) = Frame::parse(frame, FRAME_BYTES_MAX)? else { return Ok(false) };
        let header = &parsed.header;
        let head = Head::response(response::SUCCESS, header.opaque, None);
        let mut writer = FrameWriter::new(out, header.codec, &head);
        match header.code {
            request::PULL_MESSAGE => {
                let queue =
                    header.ext.number::<usize>("queueId").and_then(|id| self.queues.get(id)).context("queueId")?;
                let from: u64 = header.ext.number("queueOffset").context("queueOffset")?;
                let left = self.messages_per_queue.saturating_sub(from);
                let count = left.min((ANSWER_BYTES / self.record_len).max(1));
                let mut body = vec![0; (count * self.record_len) as usize];
                queue.read_exact_at(&mut body, from * self.record_len)?;
                writer.ext("maxOffset", self.messages_per_queue).ext("minOffset", 0);
                writer.ext("nextBeginOffset", from + count).ext("suggestWhichBrokerId", 0);
                writer.finish(&body);
            }
            request::GET_MAX_OFFSET => {
                writer.ext("offset", self.messages_per_queue);
                writer.finish(b"");
            }
            request::GET_ALL_TOPIC_CONFIG => {
                let queues = self.queues.len();
                let config = json!({
                    "attributes": {}, "order": false, "perm": 6, "readQueueNums": queues, "writeQueueNums": queues,
                    "topicFilterType": "SINGLE_TAG", "topicName": self.topic, "topicSysFlag": 0,
                });
                let version = json!({ "counter": 1, "stateVersion": 0, "timestamp": 0 });
                let mut table = serde_json::Map::new();
                table.insert(self.topic.clone(), config);
                let body = json!({ "dataVersion": version, "topicConfigTable": table });
                writer.finish(&serde_json::to_vec(&body)?);
            }
            _ => {
                drop(writer);
                out.clear();
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Writes the records of one queue; the length of each.
fn fill(file: &File, spec: &Spec, queue_id: u32, messages: u64) -> Result<u64> {
    let host = SocketAddr::from(([127, 0, 0, 1], 10_911));
    let mut body = vec![0; spec.size];
    let stamper = Stamper::new(&mut body);
    let mut file = BufWriter::with_capacity(1 << 20, file);
    let (mut bytes, mut encoded, mut at) = (Vec::new(), Vec::new(), 0);
    for number in 0..messages {
        if let Some(tail) = body.last_chunk_mut() {
            stamper.write(tail, Stamp { producer: PRODUCER, sequence: number, sent_ns: 0 });
        }
        // What a broker stores with a message of `bench produce`.
        encoded.clear();
        properties::push(&mut encoded, properties::UNIQ_KEY, &format!("{number:032X}"));
        properties::push(&mut encoded, properties::MSG_REGION, "DefaultRegion");
        properties::push(&mut encoded, properties::TRACE_ON, "true");
        properties::push(&mut encoded, properties::CLUSTER, "DefaultCluster");
        let draft = RecordDraft {
            topic: &spec.topic,
            queue_id,
            flag: 0,
            queue_offset: QueueOffset(number),
            physical_offset: PhysicalOffset(at),
            sys_flag: 0,
            born_ms: 1,
            born_host: host,
            store_ms: 1,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
            body: &body,
            properties: &[&encoded],
        };
        bytes.clear();
        at += record::encode(&draft, &mut bytes)? as u64;
        file.write_all(&bytes)?;
    }
    file.flush()?;
    Ok(at.checked_div(messages).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use gantry_protocol::{frame::Codec, record::records};

    use super::*;
    use crate::bench::stamp;

    #[test]
    fn a_pull_is_answered_with_the_records_from_its_offset_on() {
        let folder = tempfile::tempdir().unwrap();
        let spec = Spec { topic: "t".into(), messages: 2_000, queues: 2, size: 1_024 };
        let backlog = Backlog::make(&folder.path().join("file"), &spec).unwrap();
        let mut frame = BytesMut::new();
        let head = Head::request(request::PULL_MESSAGE, 7);
        let mut writer = FrameWriter::new(&mut frame, Codec::Binary, &head);
        writer.ext("queueId", 1).ext("queueOffset", 900);
        writer.finish(b"");
        let mut out = BytesMut::new();
        assert!(backlog.answer(&frame, &mut out).unwrap());
        let (answer, _) = Frame::parse(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!((answer.header.opaque, answer.header.ext.number("nextBeginOffset")), (7, Some(1_000)));
        let sequences: Vec<u64> =
            records(answer.body).map(|record| stamp::read(record.unwrap().body()).unwrap().sequence).collect();
        assert_eq!(sequences, Vec::from_iter(900..1_000));
    }
}
