//! What the demo shows, in order.

use std::{cell::Cell, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use gantry_base::metric::Counter;
use gantry_client::{Client, Consumer, ConsumerOptions, Options};
use gantry_model::subscription::Subscription;
use serde_json::json;
use tokio::time::timeout;

use super::{
    folder::Folder,
    orders::{self, Order, TOPIC},
};
use crate::{
    exit::{Exit, Failure, Outcome},
    node::{Node, Overrides, Plan},
    output,
};

/// Orders shown with each filter.
const SHOWN: usize = 8;
/// How long a chapter may take.
const CHAPTER_WITHIN: Duration = Duration::from_secs(60);

/// One state of the filter.
struct Chapter {
    /// What the operator does.
    act: &'static str,
    /// Parameters in the cluster file.
    params: &'static str,
    /// Edition of the plugin's file.
    edition: u8,
    /// What the group then gets.
    accepts: fn(&Order) -> bool,
}

const CHAPTERS: [Chapter; 3] = [
    Chapter {
        act: "The group billing has a filter: European orders from 100 on.",
        params: r#"{ "region.equals" = "eu", "amount.min" = 100 }"#,
        edition: 0,
        accepts: |order| order.region == "eu" && order.amount >= 100,
    },
    Chapter {
        act: "The cluster file is saved with other parameters: small orders from elsewhere.",
        params: r#"{ "region.one_of" = "us, asia", "amount.max" = 50 }"#,
        edition: 0,
        accepts: |order| ["us", "asia"].contains(&order.region.as_str()) && order.amount <= 50,
    },
    Chapter {
        act: "Now the plugin itself is replaced by another build, in the same file.",
        params: r#"{ "region.one_of" = "us, asia", "amount.max" = 50 }"#,
        edition: 1,
        accepts: |order| ["us", "asia"].contains(&order.region.as_str()) && order.amount <= 50,
    },
];

pub(super) struct Story<'f> {
    folder: &'f Folder,
    rate: u32,
    stay: bool,
    json: bool,
    /// Whether everything was shown: an interruption is then the intended end.
    seen: Cell<bool>,
}

impl<'f> Story<'f> {
    pub(super) fn new(folder: &'f Folder, rate: u32, stay: bool, json: bool) -> Self {
        Story { folder, rate, stay, json, seen: Cell::new(false) }
    }

    pub(super) async fn tell(&self) -> Outcome {
        self.folder.write_plugin(0)?;
        self.folder.write_config(CHAPTERS[0].params)?;
        let config = self.folder.load()?;
        let data = Overrides { data: Some(self.folder.data()), ..Overrides::default() };
        let plan = Plan::new(&config, config.node(None).map_err(|problem| anyhow!(problem))?, &data);
        let node = Box::pin(Node::start(config, plan.map_err(|problem| anyhow!(problem))?)).await?;
        let outcome = tokio::select! {
            shown = self.show(&node) => shown.map_err(Failure::from),
            _ = tokio::signal::ctrl_c() => match self.seen.get() {
                true => Ok(()),
                false => Err(Failure::new(Exit::Interrupted, "the demo was interrupted")),
            },
        };
        node.stop().await?;
        outcome
    }

    async fn show(&self, node: &Node) -> Result<()> {
        self.say(&format!("{}\n", node.ready()), json!({ "event": "ready", "node": node.ready() }))?;
        let name_server = node.ready().name_server.context("the demo's node has a name server")?.to_string();
        let client = || Client::new(vec![name_server.clone()], Options::default());
        let sent = Counter::default();
        tokio::select! {
            failed = orders::produce(client(), self.rate, &sent) => Ok(failed?),
            shown = self.consume(client(), &sent, &name_server) => shown,
        }
    }

    async fn consume(&self, client: Client, sent: &Counter, name_server: &str) -> Result<()> {
        // The first order makes the topic, and clients find it once the broker has told the name server.
        while client.subscribe_queues(TOPIC).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let group = ConsumerOptions::new("billing", vec![Subscription::from_tags(TOPIC, "*")]);
        let mut consumer = Consumer::start(client, group).await?;
        let mut before = None;
        for chapter in &CHAPTERS {
            let told = timeout(CHAPTER_WITHIN, self.chapter(chapter, before, &mut consumer, sent)).await;
            let version =
                told.map_err(|_| anyhow!("not enough came in {CHAPTER_WITHIN:?}; the log above says why"))??;
            before = Some((chapter, version));
        }
        let (config, data) = (self.folder.config_path(), self.folder.data());
        self.say(
            &format!(
                "Nothing was restarted, no order was lost and no client noticed.\n\nConnect a client of your own to name \
                 server {name_server}, topic {TOPIC}.\nChange {} and watch,\nor ask: gantry plugin list --data {}",
                config.display(),
                data.display()
            ),
            json!({ "event": "done", "name_server": name_server, "config": config, "data": data }),
        )?;
        self.seen.set(true);
        if self.stay {
            self.say("\nOrders go on until Ctrl-C.", json!({ "event": "waiting" }))?;
            while let Some(batch) = consumer.next().await {
                consumer.commit(&batch);
            }
        }
        consumer.stop().await;
        Ok(())
    }

    /// Changes the filter, shows what then arrives, and returns the version that judged it.
    async fn chapter(
        &self,
        chapter: &Chapter,
        before: Option<(&Chapter, String)>,
        consumer: &mut Consumer,
        sent: &Counter,
    ) -> Result<String> {
        let plugins = self.folder.write_config(chapter.params)?;
        self.folder.write_plugin(chapter.edition)?;
        let binding = plugins.lines().skip_while(|line| *line != "[[filter]]").collect::<Vec<_>>().join("\n    ");
        self.say(
            &format!("{}\n\n    {binding}\n", chapter.act),
            json!({ "event": "filter", "params": chapter.params }),
        )?;
        // What was judged before the change still arrives. A new build has a label of its own; new parameters show in what
        // passes.
        let is_new = |version: &str, first: &Order| match &before {
            None => true,
            Some((former, label)) if former.edition != chapter.edition => version != label,
            Some((former, _)) => !(former.accepts)(first),
        };
        let (mut shown, mut begun) = (0, None);
        loop {
            let batch = consumer.next().await.context("the consumer ended")?;
            consumer.commit(&batch);
            let orders: Vec<Order> = batch.messages()?.iter().filter_map(Order::of).collect();
            let (Some(version), Some(first)) = (&batch.result.filter, orders.first()) else { continue };
            if begun.is_none() && !is_new(version, first) {
                continue;
            }
            let begun = *begun.get_or_insert(sent.get());
            for order in &orders {
                if !(chapter.accepts)(order) {
                    bail!("{order:?} was delivered by {version} against the filter");
                }
                let (Order { number, region, amount }, version) = (order, version.as_str());
                let text = format!("  order {number:>5}   {region:<7} {amount:>4}   judged by {version}");
                self.say(&text, json!({ "event": "order", "order": order, "version": version }))?;
                shown += 1;
                if shown == SHOWN {
                    let others = sent.get() - begun;
                    let text = format!("  ... while {others} orders were sent\n");
                    self.say(&text, json!({ "event": "shown", "delivered": shown, "sent": others }))?;
                    return Ok(version.to_owned());
                }
            }
        }
    }

    fn say(&self, text: &str, event: serde_json::Value) -> Result<()> {
        Ok(output::line(&if self.json { event.to_string() } else { text.to_owned() })?)
    }
}
