//! fastjson's loose JSON made strict: map keys that are no strings become strings.
//!
//! Java brokers and tools write `Map<Integer, …>` as `{0:"host:port"}` and maps by queue as
//! `{{"brokerName":"b","queueId":0,"topic":"T"}:7}`. An integer key gets quotes; an object key becomes a string that holds the
//! object's text, which is how fastjson reads such a map, too. Everything else in its output is standard: serde_json judges it.

use std::borrow::Cow;

/// Deepest nesting of objects and arrays, that of serde_json.
const DEPTH_MAX: usize = 128;

/// The text cannot be made strict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LooseJsonError {
    /// A string does not end.
    #[error("a string that begins at byte {at} does not end")]
    String {
        /// Byte of its opening quote.
        at: usize,
    },
    /// An object that serves as a key does not end, or contains an object or array.
    #[error("the object at byte {at}, a key, does not end or is not flat")]
    Key {
        /// Byte of its opening brace.
        at: usize,
    },
    /// Objects and arrays in one another beyond the limit.
    #[error("objects and arrays are nested deeper than {DEPTH_MAX} at byte {at}")]
    Depth {
        /// Byte of the bracket too many.
        at: usize,
    },
}

/// `text` with string keys only; borrowed when it was so already. Takes at most about three times the input's size.
pub fn to_strict(text: &[u8]) -> Result<Cow<'_, [u8]>, LooseJsonError> {
    let mut out = Strict { text, copied: 0, changed: Vec::new() };
    // For every open bracket, whether it is an object's.
    let mut open: Vec<bool> = Vec::new();
    let mut key_follows = false;
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => at = end_of_string(text, start)?,
            b'{' if key_follows => {
                at = end_of_key(text, start)?;
                out.quote(start, at);
            }
            b'0'..=b'9' | b'-' if key_follows => {
                at += text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                out.quote(start, at);
            }
            b'{' | b'[' if open.len() == DEPTH_MAX => return Err(LooseJsonError::Depth { at: start }),
            b'{' | b'[' => open.push(*byte == b'{'),
            b'}' | b']' => drop(open.pop()),
            _ => {}
        }
        key_follows = match byte {
            b'{' => at == start + 1,
            b',' => open.last() == Some(&true),
            space => key_follows && space.is_ascii_whitespace(),
        };
    }
    Ok(out.finish())
}

struct Strict<'a> {
    text: &'a [u8],
    /// How much of the text is in `changed`.
    copied: usize,
    changed: Vec<u8>,
}

impl<'a> Strict<'a> {
    /// Makes a string of the text from `start` to `end`.
    fn quote(&mut self, start: usize, end: usize) {
        self.changed.extend_from_slice(&self.text[self.copied..start]);
        self.changed.push(b'"');
        for byte in &self.text[start..end] {
            match byte {
                b'"' | b'\\' => self.changed.extend_from_slice(&[b'\\', *byte]),
                // Spaces between the parts of a key; inside its strings there are none of these unescaped.
                space if space.is_ascii_whitespace() => self.changed.push(b' '),
                plain => self.changed.push(*plain),
            }
        }
        self.changed.push(b'"');
        self.copied = end;
    }

    fn finish(mut self) -> Cow<'a, [u8]> {
        if self.copied == 0 {
            return Cow::Borrowed(self.text);
        }
        self.changed.extend_from_slice(&self.text[self.copied..]);
        Cow::Owned(self.changed)
    }
}

fn end_of_string(text: &[u8], start: usize) -> Result<usize, LooseJsonError> {
    let mut at = start + 1;
    while let Some(stop) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        match text[at + stop] {
            b'"' => return Ok(at + stop + 1),
            _ => at += stop + 2,
        }
    }
    Err(LooseJsonError::String { at: start })
}

/// Where the flat object that begins at `start` ends. A nested one could hold keys of its own, whose escapes would double with
/// every level.
fn end_of_key(text: &[u8], start: usize) -> Result<usize, LooseJsonError> {
    let mut at = start + 1;
    loop {
        match text.get(at) {
            Some(b'"') => at = end_of_string(text, at)?,
            Some(b'}') => return Ok(at + 1),
            Some(b'{' | b'[') | None => return Err(LooseJsonError::Key { at: start }),
            Some(_) => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn strict(text: &str) -> String {
        String::from_utf8(to_strict(text.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn integer_keys_are_quoted_and_nothing_else_changes() {
        assert_eq!(strict("{0:1,1:2\n\t}"), "{\"0\":1,\"1\":2\n\t}");
        assert_eq!(strict(r#"{"T@g":{0:250, -12 :1},"a":[1,2,3]}"#), r#"{"T@g":{"0":250, "-12" :1},"a":[1,2,3]}"#);
        assert_eq!(strict(r#"{"a":[{1:{2:[3,{4:5}]}},6]}"#), r#"{"a":[{"1":{"2":[3,{"4":5}]}},6]}"#);
        for same in [
            r#"{"a":"{0:1}"}"#,
            r#"{"a\"{0:":1}"#,
            "[1,2]",
            "[[],{},{}]",
            r#"{"a":1,"b":-2}"#,
            "",
            "{}",
            "{",
            ",",
            "}}",
        ] {
            assert!(matches!(to_strict(same.as_bytes()), Ok(Cow::Borrowed(text)) if text == same.as_bytes()), "{same}");
        }
    }

    #[test]
    fn object_keys_become_strings_of_their_text() {
        let stats = r#"{"offsetTable":{{"brokerName":"b","queueId":0,"topic":"T"}:{"maxOffset":7},{"brokerName":"b}\"","queueId":1,"topic":"T"}:{"maxOffset":8}},"topicPutTps":0.0}"#;
        let value: Value = serde_json::from_str(&strict(stats)).unwrap();
        let table = value["offsetTable"].as_object().unwrap();
        assert_eq!(table.len(), 2);
        let queues: Vec<Value> = table.keys().map(|key| serde_json::from_str(key).unwrap()).collect();
        let first = queues.iter().find(|queue| queue["queueId"] == 0).unwrap();
        assert_eq!((&first["brokerName"], &first["topic"]), (&"b".into(), &"T".into()));
        assert!(queues.iter().any(|queue| queue["brokerName"] == "b}\""));
    }

    #[test]
    fn what_does_not_end_or_is_too_deep_is_refused() {
        let refused = |text: &str| to_strict(text.as_bytes()).unwrap_err();
        assert_eq!(refused("{\"a"), LooseJsonError::String { at: 1 });
        assert_eq!(refused("\"\\"), LooseJsonError::String { at: 0 });
        assert_eq!(refused("{{\"a\":1"), LooseJsonError::Key { at: 1 });
        assert_eq!(refused("{{{}:1}:1}"), LooseJsonError::Key { at: 1 });
        assert_eq!(refused("{{\"a\":[]}:1}"), LooseJsonError::Key { at: 1 });
        assert_eq!(refused(&"[".repeat(1_000_000)), LooseJsonError::Depth { at: 128 });
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn standard_json_stays_as_it_is(value in json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_vec_pretty(&value) } else { serde_json::to_vec(&value) }.unwrap();
            prop_assert!(matches!(to_strict(&text), Ok(Cow::Borrowed(same)) if same == text));
        }

        #[test]
        fn any_text_is_made_strict_once(text in r#"[{}\[\],:"\\0-9a \n-]{0,60}"#) {
            if let Ok(once) = to_strict(text.as_bytes()) {
                prop_assert!(once.len() <= text.len() * 3);
                prop_assert_eq!(to_strict(&once).map(Cow::into_owned), Ok(once.clone().into_owned()));
            }
        }
    }
}
