//! HEART_BEAT (34). C++ sends enums as ordinals and leaves sets out. Source: RocketMQ `HeartbeatData`.

use gantry_model::subscription::Subscription;
use serde::{Deserialize, Deserializer, Serialize};

use super::BodyError;

/// Who a client is and what it takes part in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Heartbeat {
    /// The client's id, unique among clients.
    #[serde(rename = "clientID")]
    pub client_id: String,
    /// Consumer groups.
    pub consumer_data_set: Vec<ConsumerData>,
    /// 0 for a heartbeat of the first version.
    pub heartbeat_fingerprint: i32,
    /// Producer groups.
    pub producer_data_set: Vec<ProducerData>,
    /// Whether the subscriptions were left out because they did not change.
    pub without_sub: bool,
}

impl Heartbeat {
    /// Reads a heartbeat of any client.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        super::parse(body)
    }

    /// The body to send.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// One producer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProducerData {
    /// The group.
    pub group_name: String,
}

/// One consumer group of a client.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConsumerData {
    /// Where a group without an offset begins.
    pub consume_from_where: ConsumeFromWhere,
    /// Pull, push or POP.
    pub consume_type: ConsumeType,
    /// The group.
    pub group_name: String,
    /// Clustering or broadcasting.
    pub message_model: MessageModel,
    /// What it subscribes to.
    pub subscription_data_set: Vec<Subscription>,
    /// Kept for unit clients.
    pub unit_mode: bool,
}

macro_rules! named_or_numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $number:literal $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[$case_doc])* #[serde(rename = $text)] $case,)*
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Wire {
                    Number(i64),
                    Text(String),
                }
                match Wire::deserialize(deserializer)? {
                    $(Wire::Number($number) => Ok($name::$case),)*
                    Wire::Text(text) => match text.as_str() {
                        $($text => Ok($name::$case),)*
                        other => Err(serde::de::Error::unknown_variant(other, &[$($text),*])),
                    },
                    Wire::Number(other) => Err(serde::de::Error::custom(format!("{other} names no {}", stringify!($name)))),
                }
            }
        }
    };
}

named_or_numbered! {
    /// How a group consumes.
    ConsumeType {
        /// Pull consumers.
        Actively = 0 "CONSUME_ACTIVELY",
        /// Push consumers.
        #[default]
        Passively = 1 "CONSUME_PASSIVELY",
        /// POP consumers.
        Pop = 2 "CONSUME_POP",
    }
}

named_or_numbered! {
    /// Whether the group's members share the messages out or each gets all.
    MessageModel {
        /// Each gets all.
        Broadcasting = 0 "BROADCASTING",
        /// They share.
        #[default]
        Clustering = 1 "CLUSTERING",
    }
}

named_or_numbered! {
    /// Where a group without an offset begins; the client acts on it.
    ConsumeFromWhere {
        /// At the end.
        #[default]
        LastOffset = 0 "CONSUME_FROM_LAST_OFFSET",
        /// Deprecated.
        LastOffsetAndFromMinWhenBootFirst = 1 "CONSUME_FROM_LAST_OFFSET_AND_FROM_MIN_WHEN_BOOT_FIRST",
        /// Deprecated.
        MinOffset = 2 "CONSUME_FROM_MIN_OFFSET",
        /// Deprecated.
        MaxOffset = 3 "CONSUME_FROM_MAX_OFFSET",
        /// At the beginning.
        FirstOffset = 4 "CONSUME_FROM_FIRST_OFFSET",
        /// At a time.
        Timestamp = 5 "CONSUME_FROM_TIMESTAMP",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_java_heartbeat() {
        let text = r#"{"clientID":"10.0.0.1@1#2","consumerDataSet":[{"consumeFromWhere":"CONSUME_FROM_LAST_OFFSET","consumeType":"CONSUME_PASSIVELY","groupName":"cg","messageModel":"BROADCASTING","subscriptionDataSet":[{"classFilterMode":false,"codeSet":[2598919],"expressionType":"TAG","subString":"TagA","subVersion":1700000000000,"tagsSet":["TagA"],"topic":"TopicTest"}],"unitMode":false}],"heartbeatFingerprint":0,"producerDataSet":[{"groupName":"pg"}],"withoutSub":false}"#;
        let found = Heartbeat::parse(text.as_bytes()).unwrap();
        assert_eq!(found.consumer_data_set[0].message_model, MessageModel::Broadcasting);
        assert_eq!(found.consumer_data_set[0].subscription_data_set[0].sub_version, 1_700_000_000_000);
        assert_eq!(Heartbeat::parse(&found.to_json().unwrap()).unwrap(), found);
    }

    #[test]
    fn a_cpp_heartbeat_has_ordinals() {
        let text = r#"{"clientID":"c","consumerDataSet":[{"consumeFromWhere":4,"consumeType":1,"groupName":"cg","messageModel":1,"subscriptionDataSet":[{"subString":"*","subVersion":"7","topic":"t"}]}]}"#;
        let found = Heartbeat::parse(text.as_bytes()).unwrap();
        assert_eq!(found.consumer_data_set[0].consume_from_where, ConsumeFromWhere::FirstOffset);
        assert!(Heartbeat::parse(br#"{"consumerDataSet":[{"messageModel":9}]}"#).is_err());
    }
}
