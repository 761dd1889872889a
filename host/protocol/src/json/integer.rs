//! Decimal text to a number, without the detour over `str`.

/// A signed decimal integer, with white space around it as Java's clients never send and its server would trim; `None` when
/// it is anything else or does not fit.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // Nineteen digits may overflow, eighteen cannot: the usual number pays for no checks.
    let fits = digits.len() <= 18;
    if digits.is_empty() {
        return None;
    }
    let mut number: i64 = 0;
    for byte in digits {
        let digit = i64::from(byte.wrapping_sub(b'0'));
        if digit > 9 {
            return None;
        }
        number = match (fits, negative) {
            (true, _) => number * 10 + digit,
            // Counted downwards, so that the smallest number needs no special case.
            (false, true) => number.checked_mul(10)?.checked_sub(digit)?,
            (false, false) => number.checked_mul(10)?.checked_add(digit)?,
        };
    }
    Some(if fits && negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_std() {
        for text in [
            "0",
            "-0",
            "+7",
            "7",
            "-1",
            "1700000000000",
            "9223372036854775807",
            "-9223372036854775808",
            "007",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999",
            "",
            "-",
            "+",
            "1.0",
            "1e3",
            "x",
            "--1",
            "1 2",
        ] {
            assert_eq!(integer(text.as_bytes()), text.parse().ok(), "{text:?}");
        }
        assert_eq!(integer(b" 12\t"), Some(12));
    }
}
