//! Pulls one queue until it is another member's.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use gantry_model::{name::RETRY_PREFIX, offset::QueueOffset};
use gantry_protocol::body::heartbeat::ConsumeFromWhere;
use tokio_util::sync::CancellationToken;

use super::{Batch, Member};
use crate::{ClientError, Pull, PullStatus, Queue};

/// Pause after a failure, and after answers that come at once and bring nothing (a filter that holds).
const PAUSE: Duration = Duration::from_secs(1);
/// A pull that was held at least this long paused by itself.
const HELD_MIN: Duration = Duration::from_millis(100);

pub(super) async fn follow(member: Arc<Member>, queue: Queue, stop: CancellationToken) {
    stop.run_until_cancelled(follow_on(&member, &queue)).await;
}

async fn follow_on(member: &Member, queue: &Queue) {
    let mut offset = loop {
        match begin(member, queue).await {
            Ok(offset) => break offset,
            Err(error) => pause(queue, &error).await,
        }
    };
    member.positions.begin(queue, offset);
    let Some(subscription) = member.options.subscriptions.iter().find(|known| known.topic == queue.topic) else {
        return;
    };
    loop {
        let asked = Instant::now();
        let pull = Pull {
            group: &member.options.group,
            queue,
            offset,
            messages_max: member.options.pull_messages_max,
            suspend: member.options.suspend,
            subscription,
            commit: None,
        };
        let result = match member.client.pull(&pull).await {
            Ok(result) => result,
            Err(error) => {
                pause(queue, &error).await;
                continue;
            }
        };
        let next = result.next_offset;
        match result.status {
            PullStatus::Found => {
                // Noted before it is handed over, so that a quick commit is not taken for one beyond the end.
                member.positions.handed_over(queue, next);
                if member.batches.send(Batch { queue: queue.clone(), result }).await.is_err() {
                    return;
                }
            }
            PullStatus::NothingNew | PullStatus::NothingMatched => {
                member.positions.skipped(queue, next);
                if next == offset && asked.elapsed() < HELD_MIN {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            PullStatus::OffsetMoved => {
                tracing::warn!("{queue} does not reach from {offset}; the group goes on at {next}");
                member.positions.begin(queue, next);
            }
        }
        offset = next;
    }
}

/// Where the group goes on, or begins.
async fn begin(member: &Member, queue: &Queue) -> Result<QueueOffset, ClientError> {
    let client = &member.client;
    match client.consumer_offset(&member.options.group, queue).await? {
        Some(offset) => Ok(offset),
        // What is delivered again was meant for this group, however long it waited.
        None if queue.topic.starts_with(RETRY_PREFIX) => client.min_offset(queue).await,
        None if member.options.from == ConsumeFromWhere::FirstOffset => client.min_offset(queue).await,
        None => client.max_offset(queue).await,
    }
}

async fn pause(queue: &Queue, error: &ClientError) {
    tracing::warn!("{queue} cannot be pulled and will be tried again: {error}");
    tokio::time::sleep(PAUSE).await;
}
