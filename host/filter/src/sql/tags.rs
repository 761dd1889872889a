//! What an expression says of the tag, so that entries of other tags need not be read.

use gantry_model::{properties, tag};

use super::{
    Expression,
    ast::{Condition, Operand},
};

impl Expression {
    /// Tag codes, sorted, of all messages that the expression can select; `None` when it may be any.
    pub(crate) fn tag_codes(&self) -> Option<Box<[i64]>> {
        let mut codes = self.tags(&self.condition)?;
        codes.sort_unstable();
        codes.dedup();
        Some(codes.into())
    }

    /// Tag codes of what makes `condition` true: only comparisons of TAGS with texts say any.
    fn tags(&self, condition: &Condition) -> Option<Vec<i64>> {
        let is_tag = |place: usize| self.names.name(place) == properties::TAGS;
        match condition {
            Condition::Equal(equal) if !equal.negated => match (&equal.left, &equal.right) {
                (Operand::Property(place), Operand::Text(text)) | (Operand::Text(text), Operand::Property(place)) => {
                    is_tag(*place).then(|| vec![tag::tag_code(Some(text))])
                }
                _ => None,
            },
            Condition::In(list) if !list.negated && is_tag(list.place) => {
                Some(list.texts.iter().map(|text| tag::tag_code(Some(text))).collect())
            }
            // All must be true, so what one of them says holds.
            Condition::All(conditions) => conditions.iter().find_map(|condition| self.tags(condition)),
            Condition::Any(conditions) => {
                let each: Option<Vec<_>> = conditions.iter().map(|condition| self.tags(condition)).collect();
                each.map(|codes| codes.concat())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_known_where_only_they_can_be_true() {
        let (a, b) = (2598919, 2598920);
        let cases: [(&str, Option<&[i64]>); 11] = [
            ("TAGS = 'TagA'", Some(&[a])),
            ("'TagB' = TAGS", Some(&[b])),
            ("TAGS IN ('TagB', 'TagA', 'TagB')", Some(&[a, b])),
            ("x > 1 AND TAGS = 'TagA'", Some(&[a])),
            ("TAGS = 'TagA' OR TAGS = 'TagB' AND x > 1", Some(&[a, b])),
            ("TAGS = 'TagA' OR x > 1", None),
            ("TAGS <> 'TagA'", None),
            ("NOT (TAGS = 'TagA')", None),
            ("TAGS NOT IN ('TagA')", None),
            ("tags = 'TagA'", None),
            ("TAGS = x", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Expression::parse(text).unwrap().tag_codes().as_deref(), expected, "{text}");
        }
    }
}
