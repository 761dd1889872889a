//! fastjson's loose JSON made strict: map keys that are bare integers get quotes.
//!
//! Java brokers and tools write `Map<Integer, …>` as `{0:"host:port"}`. Everything else in their output is standard, so one
//! pass that quotes such keys is enough; serde_json then judges the rest.

use std::borrow::Cow;

/// The text cannot be made strict: a string in it does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a string that begins at byte {at} does not end")]
pub struct LooseJsonError {
    /// Byte of its opening quote.
    pub at: usize,
}

/// `text` with bare integer keys quoted; borrowed when there are none. Takes at most twice the input's size.
pub fn to_strict(text: &[u8]) -> Result<Cow<'_, [u8]>, LooseJsonError> {
    let mut strict: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => at = end_of_string(text, at)?,
            b'{' | b',' => {
                let start = at + 1 + text[at + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
                let end = start + digits;
                let colon = text[end..].iter().find(|byte| !byte.is_ascii_whitespace());
                // Numbers in an array are followed by a comma or a bracket, never by a colon.
                if digits > 0 && colon == Some(&b':') {
                    let out = strict.get_or_insert_with(|| Vec::with_capacity(text.len() + 64));
                    out.extend_from_slice(&text[copied..start]);
                    out.push(b'"');
                    out.extend_from_slice(&text[start..end]);
                    out.push(b'"');
                    copied = end;
                    at = end;
                } else {
                    at = start;
                }
            }
            _ => at += 1,
        }
    }
    Ok(match strict {
        None => Cow::Borrowed(text),
        Some(mut out) => {
            out.extend_from_slice(&text[copied..]);
            Cow::Owned(out)
        }
    })
}

fn end_of_string(text: &[u8], start: usize) -> Result<usize, LooseJsonError> {
    let mut at = start + 1;
    while let Some(stop) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        match text[at + stop] {
            b'"' => return Ok(at + stop + 1),
            _ => at += stop + 2,
        }
    }
    Err(LooseJsonError { at: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_keys_are_quoted_and_nothing_else_changes() {
        let strict = |text: &str| String::from_utf8(to_strict(text.as_bytes()).unwrap().into_owned()).unwrap();
        assert_eq!(strict("{0:1,1:2\n\t}"), "{\"0\":1,\"1\":2\n\t}");
        assert_eq!(strict(r#"{"T@g":{0:250, 12 :1},"a":[1,2,3]}"#), r#"{"T@g":{"0":250, "12" :1},"a":[1,2,3]}"#);
        for same in [r#"{"a":"{0:1}"}"#, r#"{"a\"{0:":1}"#, "[1,2]", "", "{}", "{", ","] {
            assert!(matches!(to_strict(same.as_bytes()), Ok(Cow::Borrowed(text)) if text == same.as_bytes()), "{same}");
        }
        assert_eq!(to_strict(b"{\"a"), Err(LooseJsonError { at: 1 }));
        assert_eq!(to_strict(b"\"\\"), Err(LooseJsonError { at: 0 }));
    }
}
