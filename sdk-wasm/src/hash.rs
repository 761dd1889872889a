//! A hash for decisions that must come out alike on every broker, in every version, and in other languages.

/// 64 bits of `bytes`, for ever the same: FNV-1a of 64 bits, then [`mix`].
///
/// The standard library's hashes may change between its versions; a canary or a sharding key that changed with them would
/// move. In Python:
///
/// ```python
/// def stable_hash(data: bytes) -> int:
///     h = 0xcbf29ce484222325
///     for byte in data:
///         h = (h ^ byte) * 0x100000001b3 % 2**64
///     return mix(h)
/// ```
pub fn stable_hash(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
}

/// Lets every bit of the result depend on every bit of `number`: the finaliser of MurmurHash3 for 64 bits.
///
/// ```python
/// def mix(h: int) -> int:
///     h = (h ^ h >> 33) * 0xff51afd7ed558ccd % 2**64
///     h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53 % 2**64
///     return h ^ h >> 33
/// ```
pub fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

/// A hash as a place from 0 to below 1, for shares: `fraction(hash) < 0.05` holds for one key in twenty, and for the same keys
/// when the share grows. In Python: `(hash >> 11) / 2**53`.
pub fn fraction(hash: u64) -> f64 {
    // A double holds 53 bits exactly.
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the Python above, with CPython 3.11.
    #[test]
    fn it_is_the_documented_one() {
        let golden: [(&str, u64); 4] = [
            ("", 0xefd0_1f60_ba99_2926),
            ("a", 0x82a2_a958_a9be_ce5b),
            ("order-1", 0x491b_422e_3af0_d9a5),
            ("käse", 0x5f36_cdea_f19e_5148),
        ];
        for (text, expected) in golden {
            assert_eq!(stable_hash(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(fraction(stable_hash(b"a")), 0.5102945176565711);
        assert_eq!((fraction(0), fraction(u64::MAX) < 1.0), (0.0, true));
    }
}
