//! Brokers that are far busier than the others of a topic.

use gantry_plugin_sdk::prelude::*;

/// A figure of a broker's load.
type Figure = fn(&Load) -> f64;

/// Each with the value below which nobody is called busy, whatever the others do.
const FIGURES: [(Figure, f64); 4] = [
    (|load| load.in_flight.into(), 1_000.0),
    (|load| load.send_micros.into(), 50_000.0),
    (|load| load.backlog_bytes as f64, (64 << 20) as f64),
    (|load| load.recent_errors.into(), 100.0),
];

pub(crate) struct Overload {
    factor: f64,
    disk_percent: f64,
}

impl Overload {
    pub(crate) fn read(params: &Params) -> Result<Self, String> {
        let factor = params.parse("overload_factor")?.unwrap_or(4.0);
        if !(1.0..=1_000.0).contains(&factor) {
            return Err(format!("`overload_factor` is {factor}, expected 1 to 1000"));
        }
        let disk_percent = params.parse("disk_percent")?.unwrap_or(85);
        if !(1..=100).contains(&disk_percent) {
            return Err(format!("`disk_percent` is {disk_percent}, expected 1 to 100"));
        }
        Ok(Overload { factor, disk_percent: disk_percent.into() })
    }

    /// One answer a broker. Those that are not written to anyway, or tell no load, stay.
    pub(crate) fn who_stays(&self, brokers: &[BrokerOffer]) -> Vec<bool> {
        let loads: Vec<&Load> = brokers.iter().filter_map(|broker| broker.load.as_ref()).collect();
        let limits = FIGURES.map(|(figure, floor)| (figure, (self.factor * middle(&loads, figure)).max(floor)));
        let mut busy: Vec<(f64, usize)> = Vec::new();
        for (index, broker) in brokers.iter().enumerate() {
            let Some(load) = broker.load.as_ref().filter(|_| broker.writable) else { continue };
            let disk = f64::from(load.disk_used_percent) / self.disk_percent;
            let most = limits.iter().map(|(figure, limit)| figure(load) / limit).fold(disk, f64::max);
            if most >= 1.0 {
                busy.push((most, index));
            }
        }
        busy.sort_by(|(a, first), (b, second)| b.total_cmp(a).then(first.cmp(second)));
        let writable = brokers.iter().filter(|broker| broker.writable).count();
        let mut stays = vec![true; brokers.len()];
        busy.iter().take(writable / 2).for_each(|(_, index)| stays[*index] = false);
        stays
    }
}

/// The middle one of all values; of an even number the lower, so that of two brokers one can be too busy.
fn middle(loads: &[&Load], figure: Figure) -> f64 {
    let mut values: Vec<f64> = loads.iter().map(|load| figure(load)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}
