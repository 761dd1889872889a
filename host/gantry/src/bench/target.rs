//! Which brokers a benchmark runs against, and with how many queues.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use gantry_client::{Client, Options, Queue};
use gantry_model::topic::{Perm, TopicConfig};
use gantry_protocol::{code::request::GET_MAX_OFFSET, frame::FrameWriter};

use crate::exit::{Exit, OrExit, Outcome};

/// How long a broker may take to say where a queue ends.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One broker.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Its name.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Queues of the topic on it.
    pub(crate) queues: u32,
}

/// Where the brokers are found.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// Name servers, separated by ; or ,
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9876")]
    namesrv: String,
    /// A broker, instead of those that name servers know
    #[arg(long, value_name = "HOST:PORT")]
    broker: Option<String>,
    /// Topic; it is made when it is missing
    #[arg(long, value_name = "NAME", default_value = "gantry-bench")]
    pub(crate) topic: String,
    /// Queues of the topic on each broker, if it has to be made
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    queues: u32,
}

impl Where {
    /// A client for these brokers.
    pub(crate) fn client(&self) -> Client {
        let servers = if self.broker.is_some() { Vec::new() } else { list(&self.namesrv) };
        Client::new(servers, Options::default())
    }

    /// The brokers that have the topic, which is made when none has it.
    pub(crate) async fn targets(&self, client: &Client) -> Outcome<Vec<Target>> {
        let masters = match &self.broker {
            Some(address) => vec![(String::new(), address.clone())],
            None => client
                .masters(None)
                .await
                .context("could not ask the name server for brokers")
                .or_exit(Exit::Unreachable)?,
        };
        let mut targets = Vec::new();
        for (name, address) in &masters {
            let topics = client.broker_topics(address).await;
            let topics =
                topics.with_context(|| format!("could not ask broker {address}")).or_exit(Exit::Unreachable)?;
            if let Some(config) = topics.topic_config_table.get(&self.topic) {
                targets.push(target(name, address, config.write_queue_nums)?);
            }
        }
        if targets.is_empty() {
            for (name, address) in &masters {
                self.make_topic(client, address, &self.topic).await?;
                targets.push(target(name, address, self.queues)?);
            }
        }
        if targets.is_empty() {
            Err(anyhow::anyhow!("the name server at {} knows no broker; is one running?", self.namesrv))
                .or_exit(Exit::Unreachable)?;
        }
        Ok(targets)
    }

    /// Makes those of `topics` that are missing on the targets.
    pub(crate) async fn make_missing(&self, client: &Client, targets: &[Target], topics: &[String]) -> Outcome {
        for target in targets {
            let address = target.address.to_string();
            let known = client.broker_topics(&address).await;
            let known = known.with_context(|| format!("could not ask broker {address}")).or_exit(Exit::Unreachable)?;
            for topic in topics.iter().filter(|topic| !known.topic_config_table.contains_key(*topic)) {
                self.make_topic(client, &address, topic).await?;
            }
        }
        Ok(())
    }

    async fn make_topic(&self, client: &Client, address: &str, topic: &str) -> Result<()> {
        let config = TopicConfig::new(topic, self.queues, Perm::READ_WRITE);
        client.put_topic(address, &config).await.with_context(|| format!("could not make topic {topic}"))
    }
}

/// Addresses of a list as RocketMQ writes it.
fn list(text: &str) -> Vec<String> {
    text.split([';', ',']).map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn target(name: &str, address: &str, queues: u32) -> Result<Target> {
    let mut found =
        std::net::ToSocketAddrs::to_socket_addrs(address).with_context(|| format!("broker address {address}"))?;
    let Some(resolved) = found.next() else { bail!("broker address {address} resolves to nothing") };
    Ok(Target { name: name.to_owned(), address: resolved, queues: queues.max(1) })
}

impl Target {
    /// Its queues of `topic`, in order.
    pub(crate) fn queues_of(&self, topic: &str) -> Vec<Queue> {
        (0..self.queues).map(|id| Queue { topic: topic.to_owned(), broker: self.name.clone(), id }).collect()
    }
}

/// One past the last message of each queue that is ready to be delivered.
pub(crate) async fn max_offsets(client: &Client, target: &Target, topic: &str) -> Result<Vec<u64>> {
    let address = target.address.to_string();
    let mut offsets = Vec::new();
    for queue in 0..target.queues {
        let fields = |ext: &mut FrameWriter<'_, '_>| _ = ext.ext("queueId", queue).ext("topic", topic);
        let answer = client.request(&address, GET_MAX_OFFSET, fields, b"", ANSWER_WITHIN).await?;
        let offset = answer.header()?.ext.number("offset");
        offsets.push(offset.with_context(|| format!("broker {address} says no end of queue {queue} of {topic}"))?);
    }
    Ok(offsets)
}
