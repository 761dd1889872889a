//! What a metric is called and means, and where its values are told.

use std::borrow::Cow;

use super::{Counter, Distribution, Gauge};

/// One metric: a constant beside what it measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Its name. A counter's ends in `_total`.
    pub name: Cow<'static, str>,
    /// What its values do.
    pub kind: Kind,
    /// What they count.
    pub unit: Unit,
    /// What it says, in a sentence without a line break.
    pub help: Cow<'static, str>,
}

/// What the values of a family do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They grow until the process ends.
    Counter,
    /// They go up and down.
    Gauge,
    /// Each is a [`Distribution`].
    Histogram,
}

/// What values count. RocketMQ's exporter appends it to names that do not say it yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things, which the name says.
    None,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Unit {
    /// As names spell it; empty for things.
    pub fn suffix(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Bytes => "bytes",
            Unit::Milliseconds => "milliseconds",
            Unit::Seconds => "seconds",
        }
    }
}

impl Family {
    /// A counter; `name` ends in `_total`.
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Family::of(Kind::Counter, name, help)
    }

    /// A gauge.
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Family::of(Kind::Gauge, name, help)
    }

    /// A histogram.
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Family::of(Kind::Histogram, name, help)
    }

    const fn of(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Family { name: Cow::Borrowed(name), kind, unit: Unit::None, help: Cow::Borrowed(help) }
    }

    /// The same, counted in `unit`. Where the name does not say the unit, the family is shown under a second name that
    /// does: RocketMQ's dashboards and rules exist for both.
    #[must_use]
    pub const fn counted_in(self, unit: Unit) -> Self {
        // Not `..self`: a constant function may drop no `Cow`.
        let mut family = self;
        family.unit = unit;
        family
    }

    /// The second name, if there is one.
    pub fn name_with_unit(&self) -> Option<String> {
        let suffix = self.unit.suffix();
        let said = suffix.is_empty() || self.name.split('_').any(|word| word == suffix);
        (!said).then(|| match self.name.strip_suffix("_total") {
            Some(bare) => format!("{bare}_{suffix}_total"),
            None => format!("{}_{suffix}", self.name),
        })
    }
}

/// Labels of one value, by name.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

/// Takes what sources tell.
pub trait Sink {
    /// One value of a counter or gauge.
    fn number(&mut self, family: &Family, labels: Labels<'_>, value: f64);

    /// One value of a histogram.
    fn distribution(&mut self, family: &Family, labels: Labels<'_>, value: &Distribution);

    /// Whether the family is of use to whoever asks: a source that is costly to read asks first.
    fn wants(&self, _family: &Family) -> bool {
        true
    }
}

impl dyn Sink + '_ {
    /// A counter without labels.
    pub fn counter(&mut self, family: &Family, counter: &Counter) {
        self.number(family, &[], counter.get() as f64);
    }

    /// A gauge without labels.
    pub fn gauge(&mut self, family: &Family, gauge: &Gauge) {
        self.number(family, &[], gauge.get() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_said_once() {
        let name = |family: Family| family.name_with_unit();
        let latency = Family::gauge("rocketmq_consumer_lag_latency", "").counted_in(Unit::Milliseconds);
        assert_eq!(name(latency).as_deref(), Some("rocketmq_consumer_lag_latency_milliseconds"));
        assert_eq!(name(Family::gauge("rocketmq_storage_flush_behind_bytes", "").counted_in(Unit::Bytes)), None);
        assert_eq!(name(Family::counter("a_total", "").counted_in(Unit::Bytes)).as_deref(), Some("a_bytes_total"));
        assert_eq!(name(Family::counter("a_bytes_total", "").counted_in(Unit::Bytes)), None);
        assert_eq!(name(Family::gauge("rocketmq_topic_number", "")), None);
    }
}
