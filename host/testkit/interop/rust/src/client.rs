//! The runtime that this client wants around its producers and consumers.

use std::fmt::Display;
use std::sync::Arc;

use rocketmq_client_rust::{
    ClientRuntime, ClientRuntimeConfig, DefaultMQProducer, DefaultMQPushConsumer,
};
use rocketmq_model::common::consumer::consume_from_where::ConsumeFromWhere;
use rocketmq_observability::{install_global, TelemetryBootstrapConfig, TelemetryRuntimeGuard};
use rocketmq_runtime::{RuntimeConfig, RuntimeOwner};

/// Messages per call of the listener. One at a time, the default, overflows this client's queue of blocking tasks, and
/// what does not fit comes again as a retry 10 s later.
const BATCH: u32 = 32;

/// An error with what was being done.
pub fn failed<E: Display>(what: &str) -> impl Fn(E) -> String + '_ {
    move |error| format!("{what}: {error}")
}

/// Owns the client's threads and telemetry; both must outlive its producers and consumers.
pub struct Client {
    owner: RuntimeOwner,
    runtime: Arc<ClientRuntime>,
    _telemetry: TelemetryRuntimeGuard,
}

impl Client {
    pub fn new() -> Result<Self, String> {
        let owner = RuntimeOwner::plan(RuntimeConfig::default())
            .map_err(failed("runtime configuration"))?
            .build()
            .map_err(failed("client runtime"))?;
        let telemetry = install_global(&TelemetryBootstrapConfig::default())
            .map_err(failed("client telemetry"))?;
        let runtime = ClientRuntime::try_new(
            owner.root_context().component("client"),
            ClientRuntimeConfig::default(),
            telemetry.handle(),
        )
        .map_err(failed("client runtime"))?;
        Ok(Self {
            owner,
            runtime,
            _telemetry: telemetry,
        })
    }

    pub async fn producer(&self, namesrv: &str, group: &str) -> Result<DefaultMQProducer, String> {
        let mut producer = DefaultMQProducer::builder(Arc::clone(&self.runtime))
            .producer_group(group)
            .name_server_addr(namesrv)
            .send_msg_timeout(10_000)
            .build();
        producer.start().await.map_err(failed("start of the producer"))?;
        Ok(producer)
    }

    /// Not started; reads a new group's topics from the first message on.
    pub fn consumer(&self, namesrv: &str, group: &str) -> DefaultMQPushConsumer {
        DefaultMQPushConsumer::builder(Arc::clone(&self.runtime))
            .consumer_group(group)
            .name_server_addr(namesrv)
            .consume_from_where(ConsumeFromWhere::ConsumeFromFirstOffset)
            .consume_message_batch_max_size(BATCH)
            .build()
    }

    pub async fn shutdown(self) {
        self.runtime.shutdown().await;
        self.owner.shutdown_tasks().await;
        self.owner.shutdown_background();
    }
}
