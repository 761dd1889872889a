//! A member of a consumer group: it is known to brokers by heartbeats, shares the queues out with the other members, pulls
//! its own and remembers how far they are done.

mod allocate;
mod follow;
mod positions;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use gantry_base::clock::Clock;
use gantry_model::{name::retry_topic, offset::QueueOffset, subscription::Subscription};
use gantry_protocol::{
    body::heartbeat::{ConsumeFromWhere, ConsumeType, ConsumerData, Heartbeat, MessageModel},
    code::{request, response},
    record::RecordError,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::allocate::Allocation;
use self::positions::Positions;
use crate::{Client, ClientError, PullResult, Queue, ReceivedMessage};

/// Settings of a group's member.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The group.
    pub group: String,
    /// What it subscribes to; messages of its own that are delivered again come besides.
    pub subscriptions: Vec<Subscription>,
    /// Where a queue begins that the group never committed: at its first or at its next message.
    pub from: ConsumeFromWhere,
    /// How queues are shared out.
    pub allocation: Allocation,
    /// Most messages asked for in one pull. Default 32, as in Java.
    pub pull_messages_max: u32,
    /// How long a broker may hold a pull. Default 15 s, as in Java.
    pub suspend: Duration,
    /// Batches pulled ahead of the application, over all queues; then pulling waits. Default 16.
    pub batches_ahead_max: usize,
    /// How often brokers hear of the member. Default 30 s, as in Java.
    pub heartbeat_interval: Duration,
    /// How often the queues are shared out anew without being told. Default 20 s, as in Java.
    pub rebalance_interval: Duration,
    /// How often committed offsets go to the brokers. Default 5 s, as in Java.
    pub commit_interval: Duration,
}

impl ConsumerOptions {
    /// A member of `group` with these subscriptions and Java's defaults, beginning at a queue's first message.
    pub fn new(group: impl Into<String>, subscriptions: Vec<Subscription>) -> Self {
        ConsumerOptions {
            group: group.into(),
            subscriptions,
            from: ConsumeFromWhere::FirstOffset,
            allocation: Allocation::Average,
            pull_messages_max: 32,
            suspend: Duration::from_secs(15),
            batches_ahead_max: 16,
            heartbeat_interval: Duration::from_secs(30),
            rebalance_interval: Duration::from_secs(20),
            commit_interval: Duration::from_secs(5),
        }
    }
}

/// What one pull of one queue brought.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The queue.
    pub queue: Queue,
    /// The answer.
    pub result: PullResult,
}

impl Batch {
    /// The messages, each with its own handle on the bytes.
    pub fn messages(&self) -> Result<Vec<ReceivedMessage>, RecordError> {
        self.result.messages(&self.queue)
    }
}

/// A running member of a group. Dropping it stops it without a word to the brokers; [`stop`](Self::stop) says goodbye.
pub struct Consumer {
    member: Arc<Member>,
    batches: mpsc::Receiver<Batch>,
}

/// What the member's tasks share.
struct Member {
    client: Client,
    options: ConsumerOptions,
    positions: Positions,
    batches: mpsc::Sender<Batch>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl Consumer {
    /// Joins the group and begins to pull what it is allotted. Fails when the brokers of the first subscription cannot be
    /// found or do not take the member; a topic that does not exist yet is waited for. A client has one id: of one group
    /// it can be one member only.
    pub async fn start(client: Client, mut options: ConsumerOptions) -> Result<Consumer, ClientError> {
        let version = Clock::system().now_ms() as i64;
        let retries = Subscription::from_tags(&retry_topic(&options.group), "*");
        options.subscriptions.push(retries);
        for subscription in &mut options.subscriptions {
            subscription.sub_version = version;
        }
        let (sender, batches) = mpsc::channel(options.batches_ahead_max.max(1));
        let member = Arc::new(Member {
            client,
            options,
            positions: Positions::default(),
            batches: sender,
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        let seen = member.client.membership_changes().get();
        member.heartbeat().await?;
        Arc::clone(&member).rebalance().await?;
        member.tasks.spawn(run(member.clone(), seen));
        Ok(Consumer { member, batches })
    }

    /// The next messages of any queue; waits for them. After [`commit`](Self::commit) they are not delivered again.
    pub async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Notes that everything of the batch's queue up to its end is done. Brokers hear of it within `commit_interval`.
    /// Of a queue that another member has by now, nothing is noted: its messages may be delivered twice.
    pub fn commit(&self, batch: &Batch) {
        self.member.positions.commit(&batch.queue, batch.result.next_offset);
    }

    /// Has a message delivered to the group again later; see [`Client::send_back`].
    pub async fn send_back(&self, message: &ReceivedMessage, delay_level: i32) -> Result<(), ClientError> {
        self.member.client.send_back(&self.member.options.group, message, delay_level).await
    }

    /// The queues that are this member's now.
    pub fn queues(&self) -> Vec<Queue> {
        self.member.positions.queues()
    }

    /// Stops pulling, commits what was noted, and leaves the group so that others take over at once.
    pub async fn stop(mut self) {
        self.member.cancel.cancel();
        self.member.tasks.close();
        self.batches.close();
        self.member.tasks.wait().await;
        self.member.store_offsets().await;
        self.member.leave().await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.member.cancel.cancel();
    }
}

/// Heartbeats, rebalances and commits until cancelled.
async fn run(member: Arc<Member>, mut seen: u64) {
    let every = |period: Duration| {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    };
    let mut heartbeats = every(member.options.heartbeat_interval);
    let mut rebalances = every(member.options.rebalance_interval);
    let mut commits = every(member.options.commit_interval);
    let group = member.options.group.clone();
    let complain = |what: &str, result: Result<(), ClientError>| {
        if let Err(error) = result {
            tracing::warn!(%group, "{what} failed and will be tried again: {error}");
        }
    };
    loop {
        let changes = member.client.membership_changes();
        tokio::select! {
            () = member.cancel.cancelled() => return,
            _ = changes.reached(seen + 1) => {
                seen = changes.get();
                complain("rebalance", member.clone().rebalance().await);
            }
            _ = rebalances.tick() => {
                // Routes may name brokers that do not know this member yet.
                complain("heartbeat", member.heartbeat().await);
                complain("rebalance", member.clone().rebalance().await);
            }
            _ = heartbeats.tick() => complain("heartbeat", member.heartbeat().await),
            _ = commits.tick() => member.store_offsets().await,
        }
    }
}

impl Member {
    /// The queues of a subscribed topic; none while it does not exist.
    async fn queues(&self, topic: &str) -> Result<Vec<Queue>, ClientError> {
        match self.client.subscribe_queues(topic).await {
            Err(error @ ClientError::Refused { .. }) if error.refusal() == Some(response::TOPIC_NOT_EXIST) => {
                Ok(Vec::new())
            }
            Err(ClientError::NoQueue { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// Addresses of every broker that holds something subscribed.
    async fn addresses(&self) -> Result<BTreeSet<String>, ClientError> {
        let mut addresses = BTreeSet::new();
        for subscription in &self.options.subscriptions {
            for queue in self.queues(&subscription.topic).await? {
                addresses.insert(self.client.broker_address(&queue.broker)?);
            }
        }
        Ok(addresses)
    }

    /// Tells every broker concerned who this member is. One broker that fails is enough for an error, but all are told.
    async fn heartbeat(&self) -> Result<(), ClientError> {
        let options = &self.options;
        let heartbeat = Heartbeat {
            client_id: self.client.client_id().to_owned(),
            consumer_data_set: vec![ConsumerData {
                consume_from_where: options.from,
                consume_type: ConsumeType::Passively,
                group_name: options.group.clone(),
                message_model: MessageModel::Clustering,
                subscription_data_set: options.subscriptions.clone(),
                unit_mode: false,
            }],
            ..Heartbeat::default()
        };
        let body = heartbeat
            .to_json()
            .map_err(|error| ClientError::Invalid(format!("the subscriptions cannot be written as JSON: {error}")))?;
        let mut told = Ok(());
        for address in self.addresses().await? {
            if let Err(error) = self.client.ask(&address, request::HEART_BEAT, |_| (), &body).await {
                told = Err(error);
            }
        }
        told
    }

    /// Shares the queues out and starts and stops pulling accordingly.
    async fn rebalance(self: Arc<Self>) -> Result<(), ClientError> {
        let mut mine = BTreeSet::new();
        for subscription in &self.options.subscriptions {
            let queues = self.queues(&subscription.topic).await?;
            let Some(first) = queues.first() else { continue };
            let members = match self.options.allocation {
                Allocation::All => Vec::new(),
                Allocation::Average => {
                    let address = self.client.broker_address(&first.broker)?;
                    self.client.group_members(&address, &self.options.group).await?
                }
            };
            mine.extend(self.options.allocation.allot(queues, members, self.client.client_id()));
        }
        for (queue, done) in self.positions.retain(&mine) {
            // Before another member asks where to begin.
            self.store_offset(&queue, done).await;
        }
        for queue in mine {
            if let Some(stop) = self.positions.take(&queue, &self.cancel) {
                self.tasks.spawn(follow::follow(self.clone(), queue, stop));
            }
        }
        Ok(())
    }

    async fn store_offsets(&self) {
        for (queue, done) in self.positions.unstored() {
            self.store_offset(&queue, done).await;
        }
    }

    async fn store_offset(&self, queue: &Queue, done: QueueOffset) {
        if let Err(error) = self.client.commit_offset(&self.options.group, queue, done).await {
            self.positions.not_stored(queue);
            tracing::warn!("the offset {done} of {queue} is not stored and will be tried again: {error}");
        }
    }

    async fn leave(&self) {
        let (client, group) = (self.client.client_id(), &self.options.group);
        let Ok(addresses) = self.addresses().await else { return };
        for address in addresses {
            let write = |ext: &mut gantry_protocol::frame::FrameWriter<'_, '_>| {
                ext.ext("clientID", client).ext("consumerGroup", group);
            };
            if let Err(error) = self.client.ask(&address, request::UNREGISTER_CLIENT, write, b"").await {
                tracing::debug!(%address, %error, "not unregistered; the broker notices when the connection closes");
            }
        }
    }
}
