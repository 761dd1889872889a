//! Topics and groups as tools change them: codes 17, 215, 207, 351, 352.

use std::collections::BTreeMap;

use gantry_model::topic::{Perm, TopicConfig, TopicFilterType};

use super::{RequestError, int, int_opt, is_true, malformed, text};
use crate::header::Header;

/// UPDATE_AND_CREATE_TOPIC (17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateTopic {
    /// The settings, without attributes.
    pub config: TopicConfig,
    /// `+key=value,-key` changes of the attributes.
    pub attribute_changes: String,
}

impl UpdateTopic {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let filter_type = match header.ext.get("topicFilterType").as_deref() {
            None | Some("SINGLE_TAG") => TopicFilterType::SingleTag,
            Some("MULTI_TAG") => TopicFilterType::MultiTag,
            Some(other) => return Err(malformed("topicFilterType", other, "SINGLE_TAG or MULTI_TAG")),
        };
        Ok(UpdateTopic {
            config: TopicConfig {
                attributes: BTreeMap::new(),
                order: is_true(header, "order"),
                perm: Perm(int(header, "perm")?),
                read_queue_nums: int(header, "readQueueNums")?,
                topic_filter_type: filter_type,
                topic_name: text(header, "topic")?.into_owned(),
                topic_sys_flag: int_opt(header, "topicSysFlag")?.unwrap_or(0),
                write_queue_nums: int(header, "writeQueueNums")?,
            },
            attribute_changes: header.ext.get("attributes").unwrap_or_default().into_owned(),
        })
    }
}

/// GET_TOPIC_CONFIG (351), and DELETE_TOPIC_IN_BROKER (215) under the name [`DeleteTopic`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName {
    /// The topic.
    pub topic: String,
}

/// DELETE_TOPIC_IN_BROKER (215).
pub type DeleteTopic = TopicName;

impl TopicName {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(TopicName { topic: text(header, "topic")?.into_owned() })
    }
}

/// GANTRY_PLUGIN_PUSH (710001); the body is the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginPush {
    /// Name of the plugin in the cluster file.
    pub plugin: String,
    /// The contents of its signature file, if it has one: 128 hex digits.
    pub signature: Option<String>,
}

impl PluginPush {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        let signature = header.ext.get("signature").map(std::borrow::Cow::into_owned);
        Ok(PluginPush { plugin: text(header, "plugin")?.into_owned(), signature })
    }
}

/// GET_SUBSCRIPTIONGROUP_CONFIG (352).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName {
    /// The group.
    pub group: String,
}

impl GroupName {
    /// Reads the field.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(GroupName { group: text(header, "group")?.into_owned() })
    }
}

/// DELETE_SUBSCRIPTIONGROUP (207).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteGroup {
    /// The group.
    pub group: String,
    /// Whether its offsets go, too.
    pub clean_offset: bool,
}

impl DeleteGroup {
    /// Reads the fields.
    pub fn parse(header: &Header<'_>) -> Result<Self, RequestError> {
        Ok(DeleteGroup { group: text(header, "groupName")?.into_owned(), clean_offset: is_true(header, "cleanOffset") })
    }
}
