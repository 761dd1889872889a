//! Decimal text to a number, without the detour over `str`.

/// A signed decimal integer, with white space around it that Java would trim; `None` when it is anything else or does not fit.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    // Eighteen digits cannot overflow, so the usual number pays for no checks.
    if text.is_empty() || text.len() > 18 {
        return unusual(text);
    }
    let mut number: i64 = 0;
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return unusual(text);
        }
        number = number * 10 + i64::from(digit);
    }
    Some(number)
}

/// Signs, white space and nineteen digits.
#[cold]
fn unusual(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn white_space_is_trimmed() {
        assert_eq!(integer(b" 12\t"), Some(12));
        assert_eq!((integer(b""), integer(b" "), integer(b"1 2"), integer(b"\xff")), (None, None, None, None));
    }

    proptest! {
        #[test]
        fn it_agrees_with_std(text in "[-+]?[0-9]{0,20}|[0-9a-e.+-]{0,6}") {
            prop_assert_eq!(integer(text.as_bytes()), text.parse().ok());
        }
    }
}
