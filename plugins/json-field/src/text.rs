//! JSON's strings as they lie between their quotes.

/// Whether the raw string means `expected`.
pub(crate) fn is(raw: &[u8], expected: &[u8]) -> bool {
    if raw.contains(&b'\\') { unescape(raw).is_some_and(|text| text == expected) } else { raw == expected }
}

/// What it means; `None` when an escape is none.
fn unescape(raw: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let (escape, behind) = rest.split_first()?;
        rest = behind;
        text.push(match escape {
            b'"' | b'\\' | b'/' => *escape,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, behind) = unicode(rest)?;
                rest = behind;
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    Some(text)
}

/// The character whose four digits, or whose pair of surrogates, begin here, and what is behind it.
fn unicode(rest: &[u8]) -> Option<(char, &[u8])> {
    let (high, behind) = digits(rest)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, behind));
    }
    let (low, behind) = digits(behind.strip_prefix(b"\\u")?)?;
    let low = low.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low)?, behind))
}

fn digits(rest: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, behind) = rest.split_at_checked(4)?;
    let number = digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))?;
    Some((number, behind))
}

#[cfg(test)]
mod tests {
    use super::is;

    #[test]
    fn escapes_mean_what_rfc_8259_says() {
        assert!(is(br#"a\"\\\/\b\f\n\r\t"#, b"a\"\\/\x08\x0c\n\r\t"));
        assert!(is(br"\u00e4\u20AC\ud83d\ude00", "ä€😀".as_bytes()));
        assert!(is("ä".as_bytes(), "ä".as_bytes()) && !is(b"a", b"b"));
        for bad in [&br"\x"[..], br"\", br"\u00g0", br"\u00", br"\ud83d", br"\ud83d\u0041", br"\ude00"] {
            assert!(!is(bad, bad), "{}", String::from_utf8_lossy(bad));
        }
    }
}
