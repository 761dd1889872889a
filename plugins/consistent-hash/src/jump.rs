//! Jump consistent hash: a key's place among numbered buckets, of which the last ones come and go.
//! Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014).

/// Multiplier of the paper's generator.
const STEP: u64 = 2_862_933_555_777_941_757;

/// The bucket of `key`, 0 to `buckets` - 1; none without buckets. Takes about ln(`buckets`) steps.
pub(crate) fn bucket(key: u64, buckets: u32) -> Option<u32> {
    let (mut key, mut bucket, mut next) = (key, None, 0u64);
    while next < u64::from(buckets) {
        bucket = Some(next as u32);
        key = key.wrapping_mul(STEP).wrapping_add(1);
        // The bucket in whose arrival the key would jump again.
        next = ((next + 1) as f64 * (f64::from(1u32 << 31) / ((key >> 33) + 1) as f64)) as u64;
    }
    bucket
}

#[cfg(test)]
mod tests {
    use super::bucket;

    /// By the paper's C++, transcribed to Python.
    #[test]
    fn keys_are_where_the_paper_puts_them() {
        let golden: [(u64, [u32; 5]); 5] = [
            (0, [0, 0, 0, 0, 0]),
            (1, [0, 0, 6, 6, 549]),
            (0xdeadbeef, [0, 3, 5, 5, 285]),
            (0xffffffffffffffff, [0, 2, 7, 7, 313]),
            (0x491b422e3af0d9a5, [0, 0, 4, 4, 520]),
        ];
        for (key, expected) in golden {
            assert_eq!([1, 4, 8, 9, 1_000].map(|buckets| bucket(key, buckets).unwrap()), expected, "{key:x}");
        }
    }

    #[test]
    fn keys_move_only_to_the_new_bucket() {
        let moved = (0..10_000u64).map(|key| key.wrapping_mul(0x9e37_79b9_7f4a_7c15)).filter(|key| {
            let (before, after) = (bucket(*key, 8).unwrap(), bucket(*key, 9).unwrap());
            assert!(after == before || after == 8);
            after != before
        });
        let moved = moved.count();
        assert!((1_000..1_222).contains(&moved), "{moved} of 10,000; a ninth is 1,111");
        assert_eq!(bucket(7, 0), None);
    }
}
