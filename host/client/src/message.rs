//! Messages as an application sends and receives them.

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use bytes::Bytes;
use gantry_base::clock::Clock;
use gantry_model::{
    offset::{PhysicalOffset, QueueOffset},
    properties,
};
use gantry_protocol::record::RecordView;

use crate::ClientError;

/// One queue of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Queue {
    /// The topic.
    pub topic: String,
    /// Name of the broker group that holds it.
    pub broker: String,
    /// Number of the queue there.
    pub id: u32,
}

impl std::fmt::Display for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} queue {} of {}", self.topic, self.id, self.broker)
    }
}

/// A message to be sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// What.
    pub body: Bytes,
    /// The application's own flag.
    pub flag: i32,
    properties: Vec<u8>,
}

impl Message {
    /// A message without properties.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Message { topic: topic.into(), body: body.into(), flag: 0, properties: Vec::new() }
    }

    /// With the one tag that consumers select by.
    #[must_use]
    pub fn tag(self, tag: &str) -> Self {
        self.property(properties::TAGS, tag)
    }

    /// With keys that it is found by, separated by spaces.
    #[must_use]
    pub fn keys(self, keys: &str) -> Self {
        self.property(properties::KEYS, keys)
    }

    /// Delivered after the delay of this level, counted from 1 (1 s, 5 s, 10 s, 30 s, 1 min ...).
    #[must_use]
    pub fn delay_level(self, level: u32) -> Self {
        self.property(properties::DELAY, &level.to_string())
    }

    /// Whether the broker answers only once the message is as durable as the broker promises; the default is yes.
    #[must_use]
    pub fn wait_stored(self, wait: bool) -> Self {
        self.property(properties::WAIT, if wait { "true" } else { "false" })
    }

    /// With a property; an empty value is left out, as servers drop it.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        properties::push(&mut self.properties, name, value);
        self
    }

    /// Its properties with a UNIQ_KEY, encoded; the key is made when there is none.
    pub(crate) fn sealed_properties(&self) -> Result<(String, String), ClientError> {
        let mut encoded = self.properties.clone();
        let key = match properties::find_str(&encoded, properties::UNIQ_KEY) {
            Some(key) => key.to_owned(),
            None => {
                let key = unique_key();
                properties::push(&mut encoded, properties::UNIQ_KEY, &key);
                key
            }
        };
        let (found, limit) = (encoded.len(), properties::PROPERTIES_LEN_MAX);
        if found > limit {
            return Err(ClientError::Invalid(format!(
                "the properties take {found} bytes, at most {limit} are allowed"
            )));
        }
        let encoded =
            String::from_utf8(encoded).map_err(|_| ClientError::Invalid("the properties are not UTF-8".to_owned()))?;
        Ok((encoded, key))
    }
}

/// A message that was received, with its own bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Topic as the application knows it: of a message that is delivered again, the first one.
    pub topic: String,
    /// Queue that it was read from.
    pub queue: Queue,
    /// Place in that queue.
    pub queue_offset: QueueOffset,
    /// Place in the broker's log; what send-back names it by.
    pub physical_offset: PhysicalOffset,
    /// Bits of [`gantry_model::sys_flag`]; the body may be compressed.
    pub sys_flag: i32,
    /// The application's own flag.
    pub flag: i32,
    /// When it was made, ms since 1970, by the producer's clock.
    pub born_ms: i64,
    /// When it was stored, ms since 1970.
    pub store_ms: i64,
    /// How often it was sent back before.
    pub reconsume_times: i32,
    /// The body as stored.
    pub body: Bytes,
    /// Encoded properties, see [`gantry_model::properties`].
    pub properties: Bytes,
}

impl ReceivedMessage {
    /// Copies a record of `queue` out of a pull answer; body and properties share `source`, which the record lies in.
    pub(crate) fn new(queue: &Queue, record: &RecordView<'_>, source: &Bytes) -> Self {
        let topic = properties::find_str(record.properties(), properties::RETRY_TOPIC).unwrap_or(record.topic());
        ReceivedMessage {
            topic: topic.to_owned(),
            queue: queue.clone(),
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            sys_flag: record.sys_flag(),
            flag: record.message().flag,
            born_ms: record.born_ms(),
            store_ms: record.store_ms(),
            reconsume_times: record.reconsume_times(),
            body: source.slice_ref(record.body()),
            properties: source.slice_ref(record.properties()),
        }
    }

    /// The value of a property, if the message has it and it is UTF-8.
    pub fn property(&self, name: &str) -> Option<&str> {
        properties::find_str(&self.properties, name)
    }

    /// Its tag.
    pub fn tag(&self) -> Option<&str> {
        self.property(properties::TAGS)
    }

    /// Its keys, separated by spaces.
    pub fn keys(&self) -> Option<&str> {
        self.property(properties::KEYS)
    }

    /// The id that its producer gave it.
    pub fn unique_key(&self) -> Option<&str> {
        self.property(properties::UNIQ_KEY)
    }
}

/// A key like RocketMQ's: 32 hex digits of this host, this process, the time and a counter.
fn unique_key() -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    static START: OnceLock<u32> = OnceLock::new();
    let started = *START.get_or_init(|| Clock::system().now_ms() as u32);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // The counter's upper half takes the place of the clock: unique in the process without reading the time.
    let (host, process) = (host_ip().to_bits(), std::process::id());
    format!("{host:08X}{:04X}{started:08X}{:08X}{:04X}", process & 0xFFFF, process ^ (count >> 16), count & 0xFFFF)
}

/// The address that this host is seen by, without sending anything; loopback when there is no route.
pub(crate) fn host_ip() -> Ipv4Addr {
    static IP: OnceLock<Ipv4Addr> = OnceLock::new();
    *IP.get_or_init(|| {
        let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
            // Connecting a UDP socket only chooses the source address.
            socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
            socket.local_addr()
        });
        match local.map(|address| address.ip()) {
            Ok(IpAddr::V4(ip)) => ip,
            _ => Ipv4Addr::LOCALHOST,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_own_key_and_gets_one_otherwise() {
        let message = Message::new("t", "b").tag("A").keys("k1 k2").delay_level(3);
        let (encoded, key) = message.sealed_properties().unwrap();
        assert_eq!(encoded, format!("TAGS\u{1}A\u{2}KEYS\u{1}k1 k2\u{2}DELAY\u{1}3\u{2}UNIQ_KEY\u{1}{key}\u{2}"));
        assert_eq!((key.len(), key.bytes().all(|digit| digit.is_ascii_hexdigit())), (32, true));
        let own = Message::new("t", "b").property("UNIQ_KEY", "mine");
        assert_eq!(own.sealed_properties().unwrap().1, "mine");
    }

    #[test]
    fn keys_differ_and_too_many_properties_are_refused() {
        let keys: std::collections::HashSet<String> = (0..70_000).map(|_| unique_key()).collect();
        assert_eq!(keys.len(), 70_000);
        let fat = Message::new("t", "b").property("p", &"x".repeat(33_000));
        assert!(fat.sealed_properties().is_err());
    }
}
