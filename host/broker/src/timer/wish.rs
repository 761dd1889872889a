//! What a sender asks for, and what becomes of it.

use gantry_model::properties;
use gantry_protocol::{code::response, recall_handle::RecallHandle};
use gantry_store::due::DUE_MS_MAX;

use super::slot_of;
use crate::{options::BrokerOptions, reply::Refusal};

/// Bytes of the properties that a timed message leaves free, for what its delivery or its second storing adds.
pub(crate) const PROPERTIES_RESERVE: usize = 160;

/// The timer properties of one message, as they came.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct TimerWish<'a> {
    /// `TIMER_DELAY_SEC`, `TIMER_DELAY_MS`, `TIMER_DELIVER_MS`: the first that is there counts.
    values: [Option<&'a str>; 3],
    /// It was timed before: it is delivered as it is.
    was_timed: bool,
    /// It is the recall of another message.
    recalls: bool,
}

/// A message that is to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timed {
    /// When it falls due, ms since 1970.
    pub(crate) due_ms: u64,
}

impl<'a> TimerWish<'a> {
    /// Takes note of a property.
    pub(crate) fn see(&mut self, name: &[u8], value: &'a str) {
        match name {
            b"TIMER_DELAY_SEC" => self.values[0] = Some(value),
            b"TIMER_DELAY_MS" => self.values[1] = Some(value),
            b"TIMER_DELIVER_MS" => self.values[2] = Some(value),
            b"TIMER_OUT_MS" => self.was_timed = true,
            b"TIMER_DEL_UNIQKEY" => self.recalls = true,
            _ => {}
        }
    }

    /// Whether any time was named.
    pub(crate) fn is_some(&self) -> bool {
        !self.was_timed && self.values.iter().any(Option::is_some)
    }

    /// When the message is to be delivered; `None` = now.
    pub(crate) fn resolve(&self, options: &BrokerOptions) -> Result<Option<Timed>, Refusal> {
        if !self.is_some() {
            return Ok(None);
        }
        let now_ms = options.clock.now_ms();
        let [seconds, delay, deliver] = self.values;
        let number = |name: &str, value: &str| {
            value.parse::<i64>().map_err(|_| {
                illegal(format!(
                    "the property {name} is {value:?}, expected is a whole number; the message was not stored"
                ))
            })
        };
        let now = now_ms as i64;
        let due = match (seconds, delay, deliver) {
            (Some(value), ..) => {
                number(properties::TIMER_DELAY_SEC, value)?.checked_mul(1_000).and_then(|ms| now.checked_add(ms))
            }
            (None, Some(value), _) => now.checked_add(number(properties::TIMER_DELAY_MS, value)?),
            (None, None, value) => Some(number(properties::TIMER_DELIVER_MS, value.unwrap_or_default())?),
        };
        let limit_s = options.timer_delay_max_s;
        let due = due.filter(|due| due.saturating_sub(now) <= (limit_s as i64).saturating_mul(1_000)).ok_or_else(|| {
            illegal(format!(
                "the delivery time lies further ahead than timer_delay_max_s = {limit_s} s; the message was not stored"
            ))
        })?;
        match u64::try_from(due).ok().filter(|due_ms| *due_ms > now_ms) {
            Some(due_ms) => Ok(Some(Timed { due_ms: due_ms.min(DUE_MS_MAX) })),
            None if self.recalls => {
                Err(illegal("a recall must name a time ahead; the message was not stored".to_owned()))
            }
            None => Ok(None),
        }
    }
}

impl Timed {
    /// Adds what the broker must know when the time has come.
    pub(crate) fn push_properties(self, topic: &str, queue_id: u32, added: &mut Vec<u8>) {
        properties::push(added, properties::TIMER_OUT_MS, &slot_of(self.due_ms).to_string());
        properties::push(added, properties::TIMER_DUE_MS, &self.due_ms.to_string());
        properties::push(added, properties::REAL_TOPIC, topic);
        properties::push(added, properties::REAL_QID, &queue_id.to_string());
    }

    /// What recalls the message. RocketMQ puts the floored time and one more millisecond here, which makes recalls fail for
    /// up to the last second; the time itself lies in the same second and is right for both.
    pub(crate) fn handle(self, options: &BrokerOptions, topic: &str, unique_key: &str) -> String {
        RecallHandle::encode(topic, &options.name, self.due_ms as i64, unique_key)
    }
}

fn illegal(remark: String) -> Refusal {
    Refusal::new(response::MESSAGE_ILLEGAL, remark)
}

#[cfg(test)]
mod tests {
    use gantry_base::clock::Clock;

    use super::*;

    const NOW: u64 = 1_700_000_000_500;

    fn resolve(pairs: &[(&str, &str)]) -> Result<Option<u64>, i32> {
        let mut options = BrokerOptions::new("c", "b", ([127, 0, 0, 1], 1).into(), "d".into());
        options.clock = Clock::manual(NOW);
        options.timer_delay_max_s = 100;
        let mut wish = TimerWish::default();
        pairs.iter().for_each(|(name, value)| wish.see(name.as_bytes(), value));
        wish.resolve(&options).map(|timed| timed.map(|timed| timed.due_ms)).map_err(|refusal| refusal.code)
    }

    #[test]
    fn the_first_property_counts_and_the_millisecond_is_kept() {
        let at = |ms: u64| Ok(Some(NOW + ms));
        assert_eq!(resolve(&[]), Ok(None));
        assert_eq!(resolve(&[("TIMER_DELAY_MS", "1")]), at(1));
        assert_eq!(resolve(&[("TIMER_DELAY_SEC", "3")]), at(3_000));
        assert_eq!(resolve(&[("TIMER_DELIVER_MS", "1700000000777")]), at(277));
        let all = [("TIMER_DELIVER_MS", "1700000000777"), ("TIMER_DELAY_MS", "7"), ("TIMER_DELAY_SEC", "1")];
        assert_eq!(resolve(&all), at(1_000));
        assert_eq!(resolve(&all[..2]), at(7));
    }

    #[test]
    fn a_past_time_is_now_and_one_too_far_is_refused() {
        for (name, value) in [("TIMER_DELAY_MS", "0"), ("TIMER_DELAY_SEC", "-9"), ("TIMER_DELIVER_MS", "1700000000500")]
        {
            assert_eq!(resolve(&[(name, value)]), Ok(None), "{name}");
        }
        assert_eq!(resolve(&[("TIMER_DELAY_SEC", "100")]), Ok(Some(NOW + 100_000)));
        for (name, value) in [
            ("TIMER_DELAY_MS", "100001"),
            ("TIMER_DELAY_SEC", "101"),
            ("TIMER_DELAY_SEC", "9223372036854775807"),
            ("TIMER_DELAY_MS", "9223372036854775807"),
            ("TIMER_DELIVER_MS", "9223372036854775807"),
            ("TIMER_DELAY_SEC", "soon"),
            ("TIMER_DELAY_MS", "1.5"),
        ] {
            assert_eq!(resolve(&[(name, value)]), Err(response::MESSAGE_ILLEGAL), "{name} {value}");
        }
        let recall = [("TIMER_DELIVER_MS", "1"), ("TIMER_DEL_UNIQKEY", "t+k")];
        assert_eq!(resolve(&recall), Err(response::MESSAGE_ILLEGAL));
        assert_eq!(resolve(&[("TIMER_DELAY_SEC", "5"), ("TIMER_OUT_MS", "1")]), Ok(None), "it was timed before");
    }

    #[test]
    fn seconds_are_those_of_rocketmq() {
        // An exact second goes to the one before; source: HookUtils.transformTimerMessage.
        assert_eq!([5_000, 5_001, 5_999, 6_000].map(slot_of), [4_000, 5_000, 5_000, 5_000]);
    }
}
