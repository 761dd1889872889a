//! Which runs make up the index, in one small file that is replaced as a whole.
//!
//! ```text
//!  0  8 bytes "GANTRYDU"          then for each run, 48 bytes:
//!  8  u32 version, 1               0  u64 number          24  u64 queue offset of the greatest key
//! 12  u64 indexed_to               8  u64 entries         32  u64 least queue offset
//! 20  u64 next run number         16  u64 greatest due    40  u64 greatest queue offset
//! 28  u32 runs                    and at the end u32 CRC-32 of all before
//! ```

use super::{entry::DueKey, run::RunMeta};

const MAGIC: &[u8; 8] = b"GANTRYDU";
const VERSION: u32 = 1;
const HEAD_LEN: usize = 32;
const RUN_LEN: usize = 48;
/// Longest manifest that is read.
pub(super) const MANIFEST_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    /// The runs hold what is pending of all records before this queue offset.
    pub(super) indexed_to: u64,
    pub(super) next_number: u64,
    pub(super) runs: Vec<RunMeta>,
}

impl Manifest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_LEN + self.runs.len() * RUN_LEN + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&self.indexed_to.to_be_bytes());
        out.extend_from_slice(&self.next_number.to_be_bytes());
        out.extend_from_slice(&(self.runs.len() as u32).to_be_bytes());
        for run in &self.runs {
            let (last, offsets) = (run.last, run.offsets);
            for field in [run.number, run.entries, last.due_ms, last.queue_offset, offsets.0, offsets.1] {
                out.extend_from_slice(&field.to_be_bytes());
            }
        }
        let sum = crc32fast::hash(&out);
        out.extend_from_slice(&sum.to_be_bytes());
        out
    }

    /// `None` when the bytes are not a whole manifest of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if body.len() < HEAD_LEN || !body.starts_with(MAGIC) || u32::from_be_bytes(*sum) != crc32fast::hash(body) {
            return None;
        }
        let u32_at = |at: usize| body[at..].first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let u64_at = |at: usize| body[at..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let (runs, rest) = body[HEAD_LEN..].as_chunks::<RUN_LEN>();
        if u32_at(8) != VERSION || u32_at(28) as usize != runs.len() || !rest.is_empty() {
            return None;
        }
        let run = |bytes: &[u8; RUN_LEN]| {
            let field = |nth: usize| bytes[nth * 8..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let last = DueKey { due_ms: field(2), queue_offset: field(3) };
            RunMeta { number: field(0), entries: field(1), last, offsets: (field(4), field(5)) }
        };
        Some(Manifest { indexed_to: u64_at(12), next_number: u64_at(20), runs: runs.iter().map(run).collect() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_back_and_notices_a_flipped_bit(
            indexed_to in any::<u64>(),
            next_number in any::<u64>(),
            runs in proptest::collection::vec(any::<[u64; 6]>(), 0..9),
            bit in any::<proptest::sample::Index>(),
        ) {
            let run = |[number, entries, due_ms, queue_offset, least, greatest]: [u64; 6]| RunMeta {
                number,
                entries,
                last: DueKey { due_ms, queue_offset },
                offsets: (least, greatest),
            };
            let manifest = Manifest { indexed_to, next_number, runs: runs.into_iter().map(run).collect() };
            let mut bytes = manifest.encode();
            prop_assert_eq!(Manifest::decode(&bytes), Some(manifest));
            let bit = bit.index(bytes.len() * 8);
            prop_assert_eq!(Manifest::decode(&bytes[..bit / 8]), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Manifest::decode(&bytes), None);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut signed = b"GANTRYDU\0\0\0\x01".to_vec();
            signed.extend_from_slice(&bytes);
            let sum = crc32fast::hash(&signed);
            signed.extend_from_slice(&sum.to_be_bytes());
            let _ = (Manifest::decode(&bytes), Manifest::decode(&signed));
        }
    }
}
