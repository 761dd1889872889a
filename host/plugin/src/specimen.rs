//! Messages that are kept for a while: the latest that a plugin judged, and those of its cases.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use gantry_model::{
    message::MessageView,
    offset::{PhysicalOffset, QueueOffset},
};
use parking_lot::Mutex;
use std::time::Instant;

/// Messages that one plugin keeps.
const KEPT_MAX: usize = 512;
/// Bytes of them.
const KEPT_BYTES_MAX: usize = 1 << 20;
/// Messages taken of one batch.
const TAKEN_MAX: usize = 8;
/// Least time between two batches of which some are taken: copying costs what judging costs.
const TAKE_EVERY: Duration = Duration::from_millis(20);

/// A message that owns its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Specimen {
    pub(crate) topic: String,
    pub(crate) queue_id: u32,
    pub(crate) queue_offset: u64,
    pub(crate) sys_flag: i32,
    pub(crate) born_ms: i64,
    pub(crate) store_ms: i64,
    pub(crate) born_host: SocketAddr,
    pub(crate) reconsume_times: i32,
    pub(crate) body: Vec<u8>,
    pub(crate) properties: Vec<u8>,
}

impl Specimen {
    fn of(message: &MessageView<'_>) -> Self {
        Specimen {
            topic: message.topic.to_owned(),
            queue_id: message.queue_id,
            queue_offset: message.queue_offset.0,
            sys_flag: message.sys_flag,
            born_ms: message.born_ms,
            store_ms: message.store_ms,
            born_host: message.born_host,
            reconsume_times: message.reconsume_times,
            body: message.body.to_vec(),
            properties: message.properties.to_vec(),
        }
    }

    pub(crate) fn view(&self) -> MessageView<'_> {
        MessageView {
            topic: &self.topic,
            queue_id: self.queue_id,
            queue_offset: QueueOffset(self.queue_offset),
            physical_offset: PhysicalOffset(0),
            sys_flag: self.sys_flag,
            flag: 0,
            born_ms: self.born_ms,
            store_ms: self.store_ms,
            born_host: self.born_host,
            reconsume_times: self.reconsume_times,
            prepared_transaction_offset: 0,
            body: &self.body,
            properties: &self.properties,
        }
    }

    fn bytes(&self) -> usize {
        self.body.len() + self.properties.len()
    }
}

/// The latest messages that a plugin judged, a few of each moment, with the binding that they were judged for.
#[derive(Default)]
pub(crate) struct Recent(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    messages: VecDeque<(u32, Specimen)>,
    bytes: usize,
    latest: Option<Instant>,
}

impl Recent {
    /// Takes some of a batch, unless it is too soon or another thread is at it.
    pub(crate) fn offer(&self, binding: u32, messages: &[MessageView<'_>], now: Instant) {
        let Some(mut kept) = self.0.try_lock() else { return };
        if kept.latest.is_some_and(|latest| now.duration_since(latest) < TAKE_EVERY) {
            return;
        }
        kept.latest = Some(now);
        for message in messages.iter().take(TAKEN_MAX) {
            let specimen = Specimen::of(message);
            if specimen.bytes() > KEPT_BYTES_MAX / 4 {
                continue;
            }
            kept.bytes += specimen.bytes();
            kept.messages.push_back((binding, specimen));
            while kept.messages.len() > KEPT_MAX || kept.bytes > KEPT_BYTES_MAX {
                let Some((_, oldest)) = kept.messages.pop_front() else { break };
                kept.bytes -= oldest.bytes();
            }
        }
    }

    /// What is kept, oldest first.
    pub(crate) fn all(&self) -> Vec<(u32, Specimen)> {
        self.0.lock().messages.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_recent() {
        let recent = Recent::default();
        let start = Instant::now();
        let body = vec![0; 10_000];
        let specimen = |queue_offset: u64, body: &[u8]| Specimen {
            topic: "t".into(),
            queue_id: 0,
            queue_offset,
            sys_flag: 0,
            born_ms: 0,
            store_ms: 0,
            born_host: ([127, 0, 0, 1], 1).into(),
            reconsume_times: 0,
            body: body.to_vec(),
            properties: Vec::new(),
        };
        for step in 0..200u64 {
            let batch: Vec<Specimen> = (0..20).map(|index| specimen(step * 20 + index, &body)).collect();
            let views: Vec<_> = batch.iter().map(Specimen::view).collect();
            recent.offer(1, &views, start + Duration::from_millis(20 * step));
            recent.offer(1, &views, start + Duration::from_millis(20 * step + 1));
        }
        let kept = recent.all();
        assert_eq!(kept.len(), KEPT_BYTES_MAX / 10_000, "by bytes; the second offer of each moment came too soon");
        assert_eq!(kept.last().unwrap().1.queue_offset, 199 * 20 + 7);
        recent.offer(1, &[specimen(9, &vec![0; KEPT_BYTES_MAX]).view()], start + Duration::from_secs(60));
        assert_eq!(recent.all().len(), kept.len(), "one that would push out all others is not taken");
    }
}
