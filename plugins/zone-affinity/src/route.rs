//! Which zones producers are sent to.

use gantry_plugin_sdk::prelude::*;

pub(crate) struct Zones {
    drain: Vec<String>,
    prefer: Vec<String>,
}

impl Zones {
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        let list = |name: &str| -> Vec<String> {
            let value = params.param(name).unwrap_or_default();
            value.split(',').map(str::trim).filter(|zone| !zone.is_empty()).map(str::to_owned).collect()
        };
        let (drain, prefer) = (list("drain"), list("prefer"));
        match prefer.iter().find(|zone| drain.contains(zone)) {
            Some(zone) => Err(format!("the zone {zone:?} is in `prefer` and in `drain`; take it out of one of them")),
            None => Ok(Zones { drain, prefer }),
        }
    }

    pub(crate) fn who_stays(&self, brokers: &[BrokerOffer]) -> Vec<bool> {
        let drained = |broker: &BrokerOffer| self.drain.contains(&broker.zone);
        let preferred = |broker: &BrokerOffer| self.prefer.contains(&broker.zone);
        let any =
            |chosen: &dyn Fn(&BrokerOffer) -> bool| brokers.iter().any(|broker| broker.writable && chosen(broker));
        if any(&preferred) {
            return brokers.iter().map(preferred).collect();
        }
        if any(&|broker| !drained(broker)) {
            return brokers.iter().map(|broker| !drained(broker)).collect();
        }
        vec![true; brokers.len()]
    }
}
