//! Rules for topic and group names, and the names that RocketMQ reserves or derives.
//!
//! Source: RocketMQ `TopicValidator`, `MixAll`, `Validators`. A name that passed [`check_topic`] or [`check_group`] is
//! ASCII without `/` or `.`, so it may become one path component.

/// Topics start with this followed by the group: messages to be delivered again.
pub const RETRY_PREFIX: &str = "%RETRY%";
/// Topics start with this followed by the group: messages that were given up.
pub const DLQ_PREFIX: &str = "%DLQ%";
/// Template that lets a broker create unknown topics.
pub const AUTO_CREATE_TOPIC: &str = "TBW102";
/// Where delayed messages wait; queue `level - 1` holds one level.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";
/// Where messages with an arbitrary delivery time wait; it has one queue.
pub const TIMER_TOPIC: &str = "rmq_sys_wheel_timer";
/// Groups with this prefix belong to RocketMQ's own tools.
pub const SYSTEM_GROUP_PREFIX: &str = "CID_RMQ_SYS_";
/// Topics with this prefix are internal (compared in any case).
pub const SYSTEM_TOPIC_PREFIX: &str = "rmq_sys_";

/// Longest topic name in bytes; one byte of length in a version 1 record is read as signed.
pub const TOPIC_LEN_MAX: usize = 127;
/// Longest `%RETRY%` and `%DLQ%` topic in bytes.
pub const DERIVED_TOPIC_LEN_MAX: usize = 255;
/// Longest group name in bytes.
pub const GROUP_LEN_MAX: usize = 120;
/// Longest cluster, broker or client name that a peer may send, in bytes.
pub const LABEL_LEN_MAX: usize = 255;

const SYSTEM_TOPICS: [&str; 10] = [
    AUTO_CREATE_TOPIC,
    SCHEDULE_TOPIC,
    "BenchmarkTest",
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRACE_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
    "CHECKPOINT_TOPIC",
];

const UNSENDABLE_TOPICS: [&str; 7] = [
    SCHEDULE_TOPIC,
    TIMER_TOPIC,
    "RMQ_SYS_TRANS_HALF_TOPIC",
    "RMQ_SYS_TRANS_OP_HALF_TOPIC",
    "TRANS_CHECK_MAX_TIME_TOPIC",
    "SELF_TEST_TOPIC",
    "OFFSET_MOVED_EVENT",
];

/// Why a name was refused; the text is fit for the client that sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty or only white space.
    #[error("the {kind} is blank")]
    Blank {
        /// "topic", "group" ...
        kind: &'static str,
    },
    /// Over the limit.
    #[error("the {kind} has {found} bytes, at most {limit} are allowed")]
    TooLong {
        /// "topic", "group" ...
        kind: &'static str,
        /// Its length in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// `.` or `..`, which are folders of their own.
    #[error("the {kind} is the name of a folder itself")]
    Folder {
        /// "broker name" ...
        kind: &'static str,
    },
    /// A character outside the allowed set.
    #[error("the {kind} contains {found:?}, allowed are letters, digits and the characters % | - _")]
    IllegalCharacter {
        /// "topic", "group" ...
        kind: &'static str,
        /// The first offending character.
        found: char,
    },
}

/// Checks a topic name that a client or tool sent.
pub fn check_topic(topic: &str) -> Result<(), NameError> {
    let derived = topic.starts_with(RETRY_PREFIX) || topic.starts_with(DLQ_PREFIX);
    check("topic", topic, if derived { DERIVED_TOPIC_LEN_MAX } else { TOPIC_LEN_MAX })
}

/// Checks a consumer or producer group name.
pub fn check_group(group: &str) -> Result<(), NameError> {
    check("group", group, GROUP_LEN_MAX)
}

fn check(kind: &'static str, name: &str, limit: usize) -> Result<(), NameError> {
    if name.trim().is_empty() {
        return Err(NameError::Blank { kind });
    }
    if name.len() > limit {
        return Err(NameError::TooLong { kind, found: name.len(), limit });
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '-' | '_'))) {
        Some(found) => Err(NameError::IllegalCharacter { kind, found }),
        None => Ok(()),
    }
}

/// Checks a cluster or broker name: the characters of a topic, and `.` besides because host names serve as broker
/// names. A broker's name is that of its folder, so `.` and `..` are none.
pub fn check_label(kind: &'static str, label: &str) -> Result<(), NameError> {
    if label.trim().is_empty() {
        return Err(NameError::Blank { kind });
    }
    if label.len() > LABEL_LEN_MAX {
        return Err(NameError::TooLong { kind, found: label.len(), limit: LABEL_LEN_MAX });
    }
    if matches!(label, "." | "..") {
        return Err(NameError::Folder { kind });
    }
    match label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '%' | '|' | '-' | '_' | '.'))) {
        Some(found) => Err(NameError::IllegalCharacter { kind, found }),
        None => Ok(()),
    }
}

/// Whether the topic is one that RocketMQ keeps for itself: refused in creation and deletion, hidden from listings.
pub fn is_system_topic(topic: &str) -> bool {
    SYSTEM_TOPICS.contains(&topic)
        || topic.get(..SYSTEM_TOPIC_PREFIX.len()).is_some_and(|head| head.eq_ignore_ascii_case(SYSTEM_TOPIC_PREFIX))
}

/// Whether clients may not send to this topic (NO_PERMISSION).
pub fn is_unsendable_topic(topic: &str) -> bool {
    UNSENDABLE_TOPICS.contains(&topic)
}

/// `%RETRY%<group>`.
pub fn retry_topic(group: &str) -> String {
    format!("{RETRY_PREFIX}{group}")
}

/// `%DLQ%<group>`.
pub fn dlq_topic(group: &str) -> String {
    format!("{DLQ_PREFIX}{group}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_rules() {
        for good in ["TopicTest", "a|b-c_d%e", "%RETRY%g", &"t".repeat(127), &format!("%DLQ%{}", "g".repeat(250))] {
            assert_eq!(check_topic(good), Ok(()), "{good}");
        }
        for bad in
            ["", "  ", "a b", "a/b", "..", "tööpic", "a\u{1}", &"t".repeat(128), &format!("%RETRY%{}", "g".repeat(249))]
        {
            assert!(check_topic(bad).is_err(), "{bad}");
        }
        assert!(check_group(&"g".repeat(121)).is_err());
    }

    #[test]
    fn label_rules() {
        for good in ["broker-a", "node1.example.com", "...", ".hidden"] {
            assert_eq!(check_label("broker name", good), Ok(()), "{good}");
        }
        for bad in ["", " ", ".", "..", "a/b", "../b", &"b".repeat(LABEL_LEN_MAX + 1)] {
            assert!(check_label("broker name", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn reserved_names() {
        assert!(is_system_topic("RMQ_SYS_anything") && is_system_topic("TBW102") && !is_system_topic("orders"));
        assert!(is_unsendable_topic(SCHEDULE_TOPIC) && !is_unsendable_topic("RMQ_SYS_TRACE_TOPIC"));
    }
}
