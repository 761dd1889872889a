//! A listener that keeps and acknowledges everything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rocketmq_client_rust::{
    ClientResult, ConsumeConcurrentlyContext, ConsumeConcurrentlyStatus, MessageListenerConcurrently,
};
use rocketmq_model::common::message::message_ext::MessageExt;

use crate::payload;

const POLL: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Default)]
struct Received {
    /// How often each message came.
    ids: BTreeMap<String, usize>,
    altered: usize,
}

#[derive(Clone, Default)]
pub struct Inbox(Arc<Mutex<Received>>);

impl Inbox {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.0.lock().expect("no listener panics")
    }

    /// Waits for the messages with these ids, and fails on any other or altered one.
    pub async fn await_exactly(&self, ids: &[String]) -> Result<(), String> {
        let deadline = Instant::now() + LIMIT;
        loop {
            let missing = {
                let received = self.received();
                ids.iter().filter(|id| !received.ids.contains_key(*id)).count()
            };
            if missing == 0 {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!("{missing} of {} messages missing", ids.len()));
            }
            tokio::time::sleep(POLL).await;
        }
        let received = self.received();
        match received.ids.keys().find(|id| !ids.contains(id)) {
            Some(id) => Err(format!("unknown message {id}")),
            None if received.altered > 0 => Err(format!("{} altered messages", received.altered)),
            None => Ok(()),
        }
    }

    pub fn duplicates(&self) -> usize {
        self.received().ids.values().map(|times| times - 1).sum()
    }
}

impl MessageListenerConcurrently for Inbox {
    fn consume_message(
        &self,
        batch: &[&MessageExt],
        _context: &ConsumeConcurrentlyContext,
    ) -> ClientResult<ConsumeConcurrentlyStatus> {
        let mut received = self.received();
        for message in batch {
            if !payload::intact(message) {
                received.altered += 1;
            }
            let id = payload::id(message).unwrap_or_else(|| "without id".to_owned());
            *received.ids.entry(id).or_default() += 1;
        }
        Ok(ConsumeConcurrentlyStatus::ConsumeSuccess)
    }
}
