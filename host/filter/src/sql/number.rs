//! Texts as numbers, by Java's rules: `Integer.valueOf`, `Long.valueOf`, `Double.valueOf`.
//!
//! Two things that Java takes are no numbers here: digits of other scripts than ASCII, and hexadecimal floating point.

/// A decimal number of 32 bits, `+` or `-` before it allowed.
pub(super) fn int(text: &[u8]) -> Option<i32> {
    i32::try_from(long(text)?).ok()
}

/// A decimal number of 64 bits. Short ones are read without the detour over UTF-8.
pub(super) fn long(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut number = 0i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + i64::from(digit);
    }
    Some(if negative { -number } else { number })
}

/// A decimal floating point number: blanks and control characters around it, a trailing `f` or `d`, `NaN` and `Infinity`
/// are allowed. What is too large is infinite, what is too small is zero.
pub(super) fn double(text: &[u8]) -> Option<f64> {
    let blank = |byte: &u8| *byte <= b' ';
    let begin = text.iter().position(|byte| !blank(byte))?;
    let end = text.iter().rposition(|byte| !blank(byte))? + 1;
    let text = &text[begin..end];
    let (negative, unsigned) = match text {
        [b'-', unsigned @ ..] => (true, unsigned),
        [b'+', unsigned @ ..] => (false, unsigned),
        unsigned => (false, unsigned),
    };
    let number = match unsigned {
        b"NaN" => return Some(f64::NAN),
        b"Infinity" => f64::INFINITY,
        [digits @ .., b'f' | b'F' | b'd' | b'D'] | digits => {
            // Rust reads more words than Java does, and a second sign is none.
            if !digits.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.') {
                return None;
            }
            std::str::from_utf8(digits).ok()?.parse().ok()?
        }
    };
    Some(if negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_are_javas() {
        let cases = [
            ("1", Some(1.0)),
            (" \t-1.5 \x01", Some(-1.5)),
            ("+5.", Some(5.0)),
            (".5", Some(0.5)),
            ("1e3", Some(1000.0)),
            ("1E-3d", Some(0.001)),
            ("2F", Some(2.0)),
            ("0x1p3", None),
            ("1e400", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e-400", Some(0.0)),
            ("inf", None),
            ("nan", None),
            ("infinity", None),
            ("Infinityd", None),
            ("+-1", None),
            ("--1", None),
            ("1_0", None),
            ("1e", None),
            ("d", None),
            (".", None),
            ("1dd", None),
            ("1,5", None),
            ("", None),
            (" ", None),
            ("\u{661}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(double(text.as_bytes()), expected, "{text:?}");
        }
        assert!(double(b"-NaN").is_some_and(f64::is_nan));
    }

    #[test]
    fn ints_end_where_javas_do() {
        assert_eq!((int(b"2147483647"), int(b"-2147483648")), (Some(i32::MAX), Some(i32::MIN)));
        assert_eq!(
            (int(b"2147483648"), int(b"1.5"), int(b" 1"), int(b"1L"), int(b"0x1")),
            (None, None, None, None, None)
        );
        assert_eq!((int(b"+007"), int(b"-0")), (Some(7), Some(0)));
        assert_eq!(long(b"00000000000000000000009223372036854775807"), Some(i64::MAX));
        assert_eq!((long(b"9223372036854775808"), long(b"-9223372036854775808")), (None, Some(i64::MIN)));
    }

    proptest! {
        /// Rust's and Java's grammars of a whole number are the same over ASCII.
        #[test]
        fn whole_numbers_read_as_rust_reads_them(text in "[-+]{0,2}[0-9]{0,21}[a. ]?") {
            prop_assert_eq!(long(text.as_bytes()), text.parse::<i64>().ok());
            prop_assert_eq!(int(text.as_bytes()), text.parse::<i32>().ok());
        }
    }
}
