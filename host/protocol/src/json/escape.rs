//! Strings with escapes, both ways.

use bytes::{BufMut, BytesMut};

const ONES: u64 = 0x0101_0101_0101_0101;
const QUOTES: u64 = ONES * b'"' as u64;
const BACKSLASHES: u64 = ONES * b'\\' as u64;

/// The top bit of every byte that is zero. Only the lowest of them is sure: a borrow can fake those above it.
#[inline(always)]
const fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & (ONES << 7)
}

/// The place of the next quote or backslash at or after `at`; the end when there is none.
///
/// Eight bytes at a step: most strings of a header are shorter than what a call to a vectorised search costs.
#[inline(always)]
pub(super) fn next_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let hits = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES);
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

/// Length of the escape that begins with the backslash at the start of `bytes`; `None` when it is none.
pub(super) fn escape_len(bytes: &[u8]) -> Option<usize> {
    let digits = match bytes.get(1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
        b'u' => 4,
        // fastjson writes control characters so in its older output.
        b'x' => 2,
        _ => return None,
    };
    bytes.get(2..2 + digits)?.iter().all(u8::is_ascii_hexdigit).then_some(2 + digits)
}

/// Whether the escape of byte 1 or 2 stands at `at`. They are nearly all escapes that there are: properties are made with them.
#[inline]
pub(super) fn is_java_separator(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..).and_then(|rest| rest.first_chunk()), Some([b'\\', b'u', b'0', b'0', b'0', b'1' | b'2']))
}

/// The text that `raw`, whose escapes were checked by [`escape_len`], stands for.
pub(crate) fn unescape(raw: &str) -> String {
    let bytes = raw.as_bytes();
    let mut text = String::with_capacity(raw.len());
    let mut from = 0;
    loop {
        let at = next_special(bytes, from);
        text.push_str(raw.get(from..at).unwrap_or_default());
        let Some(escape) = bytes.get(at..).filter(|rest| !rest.is_empty()) else { return text };
        let (meant, len) =
            if is_java_separator(bytes, at) { (char::from(escape[5] - b'0'), 6) } else { unescape_one(escape) };
        text.push(meant);
        from = at + len;
    }
}

/// What the escape at the start of `bytes` means, and its length.
fn unescape_one(bytes: &[u8]) -> (char, usize) {
    match bytes.get(1) {
        Some(b'b') => ('\u{8}', 2),
        Some(b'f') => ('\u{c}', 2),
        Some(b'n') => ('\n', 2),
        Some(b'r') => ('\r', 2),
        Some(b't') => ('\t', 2),
        Some(b'u') => utf16_escape(bytes),
        Some(b'x') => (char::from_u32(hex(bytes, 2, 2)).unwrap_or(char::REPLACEMENT_CHARACTER), 4),
        Some(other) => (char::from(*other), 2),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

fn utf16_escape(bytes: &[u8]) -> (char, usize) {
    let unit = hex(bytes, 2, 4);
    if (0xD800..0xDC00).contains(&unit) && bytes.get(6..8) == Some(b"\\u") {
        let low = hex(bytes, 8, 4);
        if (0xDC00..0xE000).contains(&low) {
            let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return (char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
        }
    }
    // A lone surrogate has no character; Java would send it as well.
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

fn hex(bytes: &[u8], at: usize, digits: usize) -> u32 {
    let digits = bytes.get(at..at + digits).unwrap_or_default();
    digits.iter().fold(0, |value, digit| value << 4 | char::from(*digit).to_digit(16).unwrap_or(0))
}

/// Appends `text` with the escapes that a JSON string needs, without quotes.
pub(crate) fn escape_into(out: &mut BytesMut, text: &str) {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = next_to_escape(bytes, from);
        out.put_slice(&bytes[from..at]);
        let Some(byte) = bytes.get(at) else { return };
        from = at + 1;
        match byte {
            b'"' => out.put_slice(b"\\\""),
            b'\\' => out.put_slice(b"\\\\"),
            b'\n' => out.put_slice(b"\\n"),
            b'\r' => out.put_slice(b"\\r"),
            b'\t' => out.put_slice(b"\\t"),
            control => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let [high, low] = [control >> 4, control & 15].map(|digit| DIGITS[usize::from(digit)]);
                out.put_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
}

/// The place of the next byte at or after `at` that a JSON string may not hold as it is; the end when there is none.
#[inline]
fn next_to_escape(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        // Below 0x20: a borrow reaches the top bit. As above, only the lowest hit is exact.
        let controls = word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7);
        let hits = zeros(word ^ QUOTES) | zeros(word ^ BACKSLASHES) | controls;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_escape_means_its_character() {
        let cases = [
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"a\u0001b\x02c", "a\u{1}b\u{2}c"),
            (r"\ud83d\ude00!", "\u{1F600}!"),
            (r"\ud83dx\ude00", "\u{FFFD}x\u{FFFD}"),
            (r"\ud83d\u0041", "\u{FFFD}A"),
        ];
        for (raw, meant) in cases {
            assert_eq!(unescape(raw), meant, "{raw}");
        }
        for bad in [&b"\\"[..], b"\\q", b"\\u12", b"\\u12g4", b"\\x1"] {
            assert_eq!(escape_len(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_read_back(text in ".*", tail in "[a-z]{0,9}") {
            let mut out = BytesMut::new();
            escape_into(&mut out, &text);
            let end = out.len();
            out.extend_from_slice(b"\"");
            out.extend_from_slice(tail.as_bytes());
            let mut at = next_special(&out, 0);
            while at < end {
                at += escape_len(&out[at..]).unwrap();
                at = next_special(&out, at);
            }
            prop_assert_eq!(at, end);
            prop_assert_eq!(unescape(std::str::from_utf8(&out[..end]).unwrap()), text);
        }

        #[test]
        fn the_next_special_byte_is_found(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>()], 0..40), at in 0_usize..48) {
            let slow = bytes.iter().skip(at).position(|byte| matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(next_special(&bytes, at), slow.map_or(bytes.len().max(at), |found| at + found));
        }
    }
}
