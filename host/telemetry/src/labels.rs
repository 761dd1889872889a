//! Labels of a series as one piece of text: `name 0x01 value 0x02` for each. All labels of a snapshot lie in one buffer, so
//! that gathering a hundred thousand series takes a handful of allocations.

use gantry_base::metric::Labels;

const NAME_END: char = '\u{1}';
const VALUE_END: char = '\u{2}';

/// Appends labels. Control characters in them, which nobody could read, become spaces.
pub(crate) fn push(out: &mut String, labels: Labels<'_>) {
    for (name, value) in labels {
        push_clean(out, name);
        out.push(NAME_END);
        push_clean(out, value);
        out.push(VALUE_END);
    }
}

fn push_clean(out: &mut String, text: &str) {
    if text.bytes().any(|byte| byte <= VALUE_END as u8) {
        out.extend(text.chars().map(|c| if c <= VALUE_END { ' ' } else { c }));
    } else {
        out.push_str(text);
    }
}

/// The labels of such a text, in order.
pub fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> + Clone {
    text.split_terminator(VALUE_END).filter_map(|pair| pair.split_once(NAME_END))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_in_a_label_can_be_taken_for_another() {
        let mut text = String::new();
        push(&mut text, &[("a", "1\u{2}b\u{1}2"), ("c", "")]);
        assert_eq!(pairs(&text).collect::<Vec<_>>(), [("a", "1 b 2"), ("c", "")]);
    }

    proptest! {
        #[test]
        fn labels_come_back(labels in prop::collection::vec(("[a-z_]{1,8}", "[ -~äß\n]{0,12}"), 0..6)) {
            let labels: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (&**name, &**value)).collect();
            let mut text = "before\u{2}".to_owned();
            let start = text.len();
            push(&mut text, &labels);
            prop_assert_eq!(pairs(&text[start..]).collect::<Vec<_>>(), labels);
        }
    }
}
