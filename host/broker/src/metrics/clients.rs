//! Who is connected, by group, language and release.

use gantry_base::metric::{Family, Sink};
use gantry_model::version::release_name;

use super::{is_system_group, truth};
use crate::broker::Broker;

static PRODUCERS: Family = Family::gauge("rocketmq_producer_connections", "Producers that are connected.");
static CONSUMERS: Family = Family::gauge("rocketmq_consumer_connections", "Members of consumer groups.");

impl Broker {
    pub(super) fn collect_connections(&self, out: &mut dyn Sink) {
        let connections = self.clients.connections();
        for (client, count) in &connections.producers {
            let (language, release) = (client.language.to_lowercase(), release_name(client.version));
            let labels = [("language", &*language), ("version", &release), ("protocol_type", "remoting")];
            out.number(&PRODUCERS, &labels, *count as f64);
        }
        for ((group, mode, client), count) in &connections.consumers {
            let (language, release) = (client.language.to_lowercase(), release_name(client.version));
            let labels = [
                ("consumer_group", &**group),
                ("language", &language),
                ("version", &release),
                ("consume_mode", mode),
                ("protocol_type", "remoting"),
                ("is_system", truth(is_system_group(group))),
            ];
            out.number(&CONSUMERS, &labels, *count as f64);
        }
    }
}
