//! What a plugin asks for when it is opened, checked against the host's bounds.

use gantry_model::{properties, tag};

use crate::{
    columns::Extractor,
    wit::{
        filter::exports::gantry::plugin::filter,
        shapes::{Shape, Source, SystemField},
    },
};

/// Messages in one call when the plugin does not care.
pub const BATCH_DEFAULT: usize = 32;
/// Most messages in one call.
pub const BATCH_MAX: usize = 256;
/// Most columns of a plan.
pub const COLUMNS_MAX: usize = 64;
/// Longest body prefix, bytes.
pub const BODY_PREFIX_MAX: u32 = 64 << 10;
/// Most tags of a plan.
pub const TAGS_MAX: usize = 1_024;

/// A checked plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    pub(crate) extractor: Extractor,
    pub(crate) tags: Option<TagSet>,
    pub(crate) max_batch: usize,
}

impl Plan {
    /// An error is a sentence that follows "its plan cannot be served:".
    pub(crate) fn check(plan: filter::Plan) -> Result<Self, String> {
        if plan.columns.len() > COLUMNS_MAX {
            return Err(format!("it asks for {} columns, at most {COLUMNS_MAX} are given", plan.columns.len()));
        }
        if plan.tags.len() > TAGS_MAX {
            return Err(format!("it names {} tags, at most {TAGS_MAX} are allowed", plan.tags.len()));
        }
        for column in &plan.columns {
            check_column(&column.source, column.shape)?;
        }
        let max_batch = match plan.max_batch {
            0 => BATCH_DEFAULT,
            asked => (asked as usize).min(BATCH_MAX),
        };
        let tags = (!plan.tags.is_empty()).then(|| TagSet::new(plan.tags));
        Ok(Plan { extractor: Extractor::new(plan.columns), tags, max_batch })
    }
}

fn check_column(source: &Source, shape: Shape) -> Result<(), String> {
    use SystemField::{BodySize, BornHost, BornTime, DeliveryAttempt, Keys, QueueOffset, StoreTime, Tag};
    let shapes: &[Shape] = match source {
        Source::Property(name) => {
            let separators = [properties::NAME_END, properties::VALUE_END];
            if name.is_empty()
                || name.len() > properties::PROPERTIES_LEN_MAX
                || name.bytes().any(|byte| separators.contains(&byte))
            {
                return Err(format!("{name:?} cannot be a property's name"));
            }
            &[Shape::Text, Shape::Int, Shape::Float]
        }
        Source::BodyPrefix(len) if *len > BODY_PREFIX_MAX => {
            return Err(format!("a body prefix of {len} bytes is over the limit of {BODY_PREFIX_MAX}"));
        }
        Source::BodyPrefix(_) => &[Shape::Text],
        Source::System(Tag | Keys | BornHost) => &[Shape::Text],
        Source::System(BornTime | StoreTime | QueueOffset | BodySize | DeliveryAttempt) => &[Shape::Int],
    };
    if shapes.contains(&shape) {
        return Ok(());
    }
    Err(format!("{source:?} cannot be read as {shape:?}"))
}

/// Tags that a plugin restricts itself to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagSet {
    tags: Vec<String>,
    codes: Vec<i64>,
}

impl TagSet {
    fn new(mut tags: Vec<String>) -> Self {
        tags.sort();
        tags.dedup();
        let mut codes: Vec<i64> = tags.iter().map(|found| tag::tag_code(Some(found))).collect();
        codes.sort_unstable();
        TagSet { tags, codes }
    }

    /// Whether an entry of the consume queue may have one of the tags; hashes collide, so the text decides later.
    pub fn admits_code(&self, tag_code: i64) -> bool {
        self.codes.binary_search(&tag_code).is_ok() || tag::is_ext_address(tag_code)
    }

    /// Whether the tag is one of them.
    pub fn admits(&self, tag: Option<&str>) -> bool {
        tag.is_some_and(|tag| self.tags.binary_search_by(|found| found.as_str().cmp(tag)).is_ok())
    }

    /// The tags, sorted.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wit::shapes::ColumnRequest;

    #[test]
    fn plans_are_bounded() {
        let plan = |source, shape| {
            let columns = vec![ColumnRequest { source, shape }];
            Plan::check(filter::Plan { columns, tags: vec![], max_batch: 0 })
        };
        assert_eq!(plan(Source::Property("p".into()), Shape::Int).unwrap().max_batch, BATCH_DEFAULT);
        for (source, shape, expected) in [
            (Source::Property(String::new()), Shape::Text, "cannot be a property's name"),
            (Source::Property("a\u{1}".into()), Shape::Text, "cannot be a property's name"),
            (Source::BodyPrefix(65_537), Shape::Text, "over the limit"),
            (Source::BodyPrefix(8), Shape::Int, "cannot be read as"),
            (Source::System(SystemField::Tag), Shape::Int, "cannot be read as"),
            (Source::System(SystemField::BornTime), Shape::Text, "cannot be read as"),
        ] {
            let error = plan(source, shape).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn colliding_tags_pass_the_code_but_not_the_text() {
        let tags = TagSet::new(vec!["Aa".into()]);
        assert!(tags.admits_code(tag::tag_code(Some("BB"))), "Aa and BB have one Java hash");
        assert!(tags.admits(Some("Aa")) && !tags.admits(Some("BB")) && !tags.admits(None));
    }
}
