//! What the properties of a message ask of the broker.

use std::borrow::Cow;

use gantry_model::{delay::DelayLevel, properties};
use gantry_protocol::{batch, code::response};

use crate::{metrics::MessageKind, reply::Refusal, timer::TimerWish};

/// What a message's properties ask of the broker.
pub(super) struct Traits<'a> {
    pub(super) unique_key: Option<&'a str>,
    pub(super) delay: Option<DelayLevel>,
    pub(super) timer: TimerWish<'a>,
    /// Names the order that the message belongs to.
    pub(super) sharding_key: Option<&'a [u8]>,
    /// Whether the sender waits for the disk.
    pub(super) waits: bool,
    /// Holds properties that no client may store.
    unclean: bool,
}

impl<'a> Traits<'a> {
    pub(super) fn of(properties: &'a [u8]) -> Result<Self, Refusal> {
        let timer = TimerWish::default();
        let mut traits =
            Traits { unique_key: None, delay: None, timer, sharding_key: None, waits: true, unclean: false };
        let text = |value: &'a [u8]| std::str::from_utf8(value).unwrap_or_default();
        for (name, value) in properties::pairs(properties) {
            match name {
                b"UNIQ_KEY" => traits.unique_key = Some(text(value)),
                b"WAIT" => traits.waits = !value.eq_ignore_ascii_case(b"false"),
                b"DELAY" => traits.delay = text(value).parse().ok().and_then(DelayLevel::clamped),
                b"POP_CK" | b"__CRC32#" => traits.unclean = true,
                b"__SHARDINGKEY" | b"SHARDING_KEY" => traits.sharding_key = Some(value),
                b"TRAN_MSG" if value.eq_ignore_ascii_case(b"true") => {
                    let remark = "transactional messages are not built yet; the message was not stored";
                    return Err(Refusal::new(response::NO_PERMISSION, remark));
                }
                timer if timer.starts_with(b"TIMER_") => traits.timer.see(timer, text(value)),
                _ => {}
            }
        }
        if traits.delay.is_some() {
            // The level wins.
            traits.unclean |= traits.timer.is_some();
            traits.timer = TimerWish::default();
        }
        Ok(traits)
    }

    /// What RocketMQ calls such a message, when it is to be delivered at once.
    pub(super) fn kind(&self) -> MessageKind {
        if self.sharding_key.is_some() { MessageKind::Fifo } else { MessageKind::Normal }
    }

    /// The properties fit to be followed by others: without what no client may store, the last pair terminated.
    pub(super) fn clean(&self, source: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.unclean && source.last().is_none_or(|last| *last == properties::VALUE_END) {
            return Cow::Borrowed(source);
        }
        let mut clean = Vec::with_capacity(source.len() + 1);
        properties::copy_where(&mut clean, source, |name| {
            let timer = matches!(name, b"TIMER_DELAY_SEC" | b"TIMER_DELAY_MS" | b"TIMER_DELIVER_MS");
            name != properties::POP_CK.as_bytes()
                && name != properties::CRC32.as_bytes()
                && !(timer && self.delay.is_some())
        });
        Cow::Owned(clean)
    }
}

/// The first sharding key in a batch. A batch that is none has none: it is refused where it is taken apart.
pub(super) fn first_key(batch: &[u8]) -> Option<&[u8]> {
    batch::messages(batch).map_while(Result::ok).find_map(|message| sharding_key(message.properties))
}

fn sharding_key(properties: &[u8]) -> Option<&[u8]> {
    let is_key =
        |name: &[u8]| name == properties::SHARDING_KEY.as_bytes() || name == properties::SHARDING_KEY_GO.as_bytes();
    properties::pairs(properties).find(|(name, _)| is_key(name)).map(|(_, value)| value)
}
