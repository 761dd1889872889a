//! What a consumer group asked for, in the shape of a heartbeat. Source: RocketMQ `SubscriptionData`, `FilterAPI`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::tag::java_hash;

/// Expression type of a tag subscription; absent means the same.
pub const TYPE_TAG: &str = "TAG";
/// Expression type of a SQL92 subscription.
pub const TYPE_SQL92: &str = "SQL92";

/// One topic of a group's subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subscription {
    /// Class filters went with RocketMQ 4.3; such a subscription is not filtered.
    pub class_filter_mode: bool,
    /// Hashes of the tags; a message whose tag code is among them is delivered. Empty = all. Go writes them as strings.
    #[serde(deserialize_with = "numbers_or_texts")]
    pub code_set: BTreeSet<i32>,
    /// "TAG" or "SQL92"; absent means TAG.
    pub expression_type: Option<String>,
    /// The expression as typed.
    pub sub_string: String,
    /// Grows with each change of the client's subscription (ms in Java, ns in Go; a string in C++).
    #[serde(deserialize_with = "number_or_text")]
    pub sub_version: i64,
    /// The tags themselves.
    pub tags_set: BTreeSet<String>,
    /// The topic.
    pub topic: String,
}

impl Subscription {
    /// The subscription that a tag expression asks for: `*` or blank is everything, else tags separated by `||`.
    pub fn from_tags(topic: &str, expression: &str) -> Self {
        let everything = expression.trim().is_empty() || expression.trim() == "*";
        let tags: BTreeSet<String> = if everything {
            BTreeSet::new()
        } else {
            expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
        };
        Subscription {
            code_set: tags.iter().map(|tag| java_hash(tag)).collect(),
            expression_type: Some(TYPE_TAG.to_owned()),
            sub_string: if everything { "*".to_owned() } else { expression.to_owned() },
            tags_set: tags,
            topic: topic.to_owned(),
            ..Self::default()
        }
    }

    /// Whether this is a tag expression (and not SQL92 or another type).
    pub fn is_tag(&self) -> bool {
        self.expression_type.as_deref().is_none_or(|kind| kind.is_empty() || kind == TYPE_TAG)
    }

    /// Whether the tag code of an entry may pass; false positives are allowed, clients compare the text again.
    pub fn accepts_code(&self, tag_code: i64) -> bool {
        self.class_filter_mode
            || self.code_set.is_empty()
            || self.sub_string == "*"
            || i32::try_from(tag_code).is_ok_and(|code| self.code_set.contains(&code))
            || crate::tag::is_ext_address(tag_code)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Bare(i64),
    Text(String),
}

impl Number {
    fn value<E: serde::de::Error>(self) -> Result<i64, E> {
        match self {
            Number::Bare(number) => Ok(number),
            Number::Text(text) => text.trim().parse().map_err(E::custom),
        }
    }
}

fn number_or_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Number::deserialize(deserializer)?.value()
}

fn numbers_or_texts<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<i32>, D::Error> {
    let codes = Option::<Vec<Number>>::deserialize(deserializer)?.unwrap_or_default();
    codes.into_iter().map(|code| i32::try_from(code.value()?).map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_expressions() {
        let two = Subscription::from_tags("t", " TagA || TagB ||");
        assert_eq!(two.code_set, BTreeSet::from([2598919, 2598920]));
        assert!(two.accepts_code(2598919) && !two.accepts_code(1) && !two.accepts_code(0));
        assert!(two.accepts_code(i64::MIN + 7), "an address says nothing about the tag");
        assert!(Subscription::from_tags("t", " * ").accepts_code(1));
        assert!(Subscription::from_tags("t", "").accepts_code(0));
    }

    #[test]
    fn a_cpp_heartbeat_omits_sets_and_quotes_the_version() {
        let found: Subscription = serde_json::from_str(r#"{"topic":"t","subString":"*","subVersion":"17"}"#).unwrap();
        assert_eq!((found.sub_version, found.is_tag(), found.accepts_code(5)), (17, true, true));
    }

    #[test]
    fn a_go_heartbeat_quotes_the_codes() {
        let text =
            r#"{"topic":"t","subString":"TagA || TagB","codeSet":["2598919","2598920"],"tagsSet":["TagA","TagB"]}"#;
        let found: Subscription = serde_json::from_str(text).unwrap();
        assert_eq!(found.code_set, BTreeSet::from([2598919, 2598920]));
        assert!(serde_json::from_str::<Subscription>(r#"{"codeSet":["99999999999"]}"#).is_err());
    }
}
