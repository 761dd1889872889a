//! Requests to a name server: registration (103, 104, 322, 904) and the rest (105, 205, 216, 217, 224, 327).

use gantry_model::load::BrokerLoad;

use super::{RequestError, int_opt, text};
use crate::{frame::FrameWriter, header::Header};

/// RocketMQ's field for the zone of who asks, on any request.
pub const ZONE_FIELD: &str = "__ZONE_NAME";

/// Who a broker is; the fields that 103, 104 and 322 share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerFields {
    /// Cluster.
    pub cluster: String,
    /// Broker group.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// 0 = master.
    pub id: u64,
}

impl BrokerFields {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(BrokerFields {
            cluster: text(header, "clusterName")?.into_owned(),
            name: text(header, "brokerName")?.into_owned(),
            address: text(header, "brokerAddr")?.into_owned(),
            id: int_opt(header, "brokerId")?.unwrap_or(0),
        })
    }
}

/// REGISTER_BROKER (103).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Who registers.
    pub broker: BrokerFields,
    /// Address of its replication listener, may be empty.
    pub ha_address: String,
    /// How long the entry lives without another word.
    pub heartbeat_timeout_ms: Option<u64>,
    /// Zone that the broker stands in.
    pub zone: Option<String>,
    /// Whether the body is compressed.
    pub compressed: bool,
    /// CRC-32 of the body without its top bit; 0 = unchecked.
    pub body_crc: u32,
}

impl RegisterBroker {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(RegisterBroker {
            broker: BrokerFields::parse(header)?,
            ha_address: header.ext.get("haServerAddr").unwrap_or_default().into_owned(),
            heartbeat_timeout_ms: int_opt(header, "heartbeatTimeoutMillis")?,
            zone: header.ext.get(ZONE_FIELD).filter(|zone| !zone.is_empty()).map(|zone| zone.into_owned()),
            compressed: header.ext.flag("compressed").unwrap_or(false),
            body_crc: int_opt(header, "bodyCrc32")?.unwrap_or(0),
        })
    }
}

/// BROKER_HEARTBEAT (904). What a Gantry broker tells besides is in fields that RocketMQ's name server does not know; a
/// Java broker sends none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerHeartbeat {
    /// Who lives.
    pub broker: BrokerFields,
    /// Its labels as they were sent, `name=value` joined by commas.
    pub labels: Option<String>,
    /// How busy it is.
    pub load: Option<BrokerLoad>,
}

/// Whether a broker tells its load at all is told by the first of its fields.
const LOAD_FIELDS: [&str; 7] = [
    "gantryInFlight",
    "gantrySendMicros",
    "gantryFlushBacklogBytes",
    "gantryDispatchBacklogBytes",
    "gantryDiskUsedPercent",
    "gantryMessagesInPerS",
    "gantryRecentErrors",
];
const LABELS_FIELD: &str = "gantryLabels";

impl BrokerHeartbeat {
    /// Reads the fields. Extra ones that are no numbers are as if they were not there: a broker lives whatever it says of
    /// itself.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let number = |name: &str| header.ext.number::<u64>(name);
        let [in_flight, send_micros, flush, dispatch, disk, messages_in, errors] = LOAD_FIELDS.map(number);
        let rest = |value: Option<u64>| value.unwrap_or(0);
        let load = in_flight.map(|in_flight| BrokerLoad {
            in_flight,
            send_micros: rest(send_micros),
            flush_backlog_bytes: rest(flush),
            dispatch_backlog_bytes: rest(dispatch),
            disk_used_percent: rest(disk).min(100) as u8,
            messages_in_per_s: rest(messages_in),
            recent_errors: rest(errors),
        });
        let labels = header.ext.get(LABELS_FIELD).map(|labels| labels.into_owned());
        Ok(BrokerHeartbeat { broker: BrokerFields::parse(header)?, labels, load })
    }

    /// Writes the fields.
    pub fn write(&self, ext: &mut FrameWriter<'_, '_>) {
        let BrokerHeartbeat { broker, labels, load } = self;
        ext.ext("brokerAddr", &broker.address)
            .ext("brokerId", broker.id)
            .ext("brokerName", &broker.name)
            .ext("clusterName", &broker.cluster)
            .ext_opt(LABELS_FIELD, labels.as_deref());
        if let Some(load) = load {
            let values = [
                load.in_flight,
                load.send_micros,
                load.flush_backlog_bytes,
                load.dispatch_backlog_bytes,
                load.disk_used_percent.into(),
                load.messages_in_per_s,
                load.recent_errors,
            ];
            for (name, value) in LOAD_FIELDS.into_iter().zip(values) {
                ext.ext(name, value);
            }
        }
    }
}

/// A broker by name: WIPE_WRITE_PERM_OF_BROKER (205), ADD_WRITE_PERM_OF_BROKER (327).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerNameField {
    /// Broker group.
    pub broker: String,
}

impl BrokerNameField {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(BrokerNameField { broker: text(header, "brokerName")?.into_owned() })
    }
}

/// A topic by name: GET_ROUTEINFO_BY_TOPIC (105), REGISTER_TOPIC_IN_NAMESRV (217).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicField {
    /// The topic.
    pub topic: String,
}

impl TopicField {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(TopicField { topic: text(header, "topic")?.into_owned() })
    }
}

/// DELETE_TOPIC_IN_NAMESRV (216).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteTopic {
    /// The topic.
    pub topic: String,
    /// The cluster to take it from; everywhere when absent.
    pub cluster: Option<String>,
}

impl DeleteTopic {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let cluster = header.ext.get("clusterName").filter(|name| !name.is_empty());
        Ok(DeleteTopic { topic: text(header, "topic")?.into_owned(), cluster: cluster.map(|name| name.into_owned()) })
    }
}

/// GET_TOPICS_BY_CLUSTER (224).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterField {
    /// The cluster.
    pub cluster: String,
}

impl ClusterField {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(ClusterField { cluster: text(header, "cluster")?.into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::{
        code::request,
        frame::{Codec, FRAME_BYTES_MAX, Frame},
        header::Head,
    };

    fn parse(codec: Codec, write: impl FnOnce(&mut FrameWriter<'_, '_>)) -> Result<BrokerHeartbeat, RequestError> {
        let (head, mut bytes) = (Head::oneway(request::BROKER_HEARTBEAT, 1), BytesMut::new());
        let mut writer = FrameWriter::new(&mut bytes, codec, &head);
        write(&mut writer);
        writer.finish(b"");
        let (frame, _) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap().unwrap();
        BrokerHeartbeat::parse(&frame.header)
    }

    #[test]
    fn a_heartbeat_is_read_as_it_is_written() {
        let broker = BrokerFields { cluster: "c".into(), name: "b".into(), address: "127.0.0.1:10911".into(), id: 0 };
        let load = BrokerLoad {
            in_flight: 1,
            send_micros: 2,
            flush_backlog_bytes: u64::MAX,
            dispatch_backlog_bytes: 4,
            disk_used_percent: 100,
            messages_in_per_s: 6,
            recent_errors: 7,
        };
        let full = BrokerHeartbeat { broker: broker.clone(), labels: Some("disk=nvme".into()), load: Some(load) };
        let bare = BrokerHeartbeat { broker, labels: None, load: None };
        for codec in [Codec::Json, Codec::Binary] {
            for heartbeat in [&full, &bare] {
                assert_eq!(parse(codec, |ext| heartbeat.write(ext)).as_ref(), Ok(heartbeat));
            }
        }
    }

    /// As RocketMQ's broker writes it, and with values that are none.
    #[test]
    fn a_javas_heartbeat_tells_no_load() {
        let java = [("brokerAddr", "10.0.0.1:10911"), ("brokerName", "b"), ("clusterName", "c"), ("maxOffset", "7")];
        let with = |more: &'static [(&str, &str)]| {
            let fields = java.iter().chain(more);
            parse(Codec::Json, |ext| fields.clone().for_each(|(name, value)| _ = ext.ext(name, *value)))
        };
        assert_eq!(with(&[]).unwrap().load, None);
        assert_eq!(with(&[("gantryInFlight", "-1")]).unwrap().load, None);
        let odd = with(&[("gantryInFlight", "3"), ("gantrySendMicros", "fast"), ("gantryDiskUsedPercent", "700")]);
        let expected = BrokerLoad { in_flight: 3, disk_used_percent: 100, ..BrokerLoad::default() };
        assert_eq!(odd.unwrap().load, Some(expected));
        assert!(parse(Codec::Json, |ext| _ = ext.ext("brokerName", "b")).is_err(), "who lives must be said");
    }
}
