//! What a benchmark message carries in the last bytes of its body, so that whoever reads it can tell loss, repetition,
//! alteration and disorder.
//!
//! ```text
//! filler .. | u32 producer | u64 sequence | u64 intended send time, ns since 1970 | u32 CRC-32 of all before it
//! ```
//! The stamp stands at the end because the filler never changes: its checksum is computed once, and a message costs the
//! checksum of 20 bytes whatever its size. Big-endian.

/// Bytes of the stamp; the smallest body.
pub(crate) const STAMP_LEN: usize = 24;

/// Which message of which producer a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The producing connection; random in its upper bits, so that runs on one topic do not mix.
    pub(crate) producer: u32,
    /// Number of the message within its producer and queue, from 0.
    pub(crate) sequence: u64,
    /// When it was meant to be sent, nanoseconds since 1970.
    pub(crate) sent_ns: u64,
}

/// Writes stamps into bodies that share one filler.
#[derive(Debug, Clone)]
pub(crate) struct Stamper {
    /// CRC state after the filler.
    filler_crc: crc32fast::Hasher,
}

impl Stamper {
    /// Fills all of `body` but the stamp, and remembers the filler's checksum. `body` has at least [`STAMP_LEN`] bytes.
    pub(crate) fn new(body: &mut [u8]) -> Stamper {
        let filler_len = body.len() - STAMP_LEN;
        for (index, byte) in body[..filler_len].iter_mut().enumerate() {
            *byte = b'a' + (index % 26) as u8;
        }
        let mut filler_crc = crc32fast::Hasher::new();
        filler_crc.update(&body[..filler_len]);
        Stamper { filler_crc }
    }

    /// Writes the stamp into the last bytes of a body, `tail`.
    pub(crate) fn write(&self, tail: &mut [u8; STAMP_LEN], stamp: Stamp) {
        tail[..4].copy_from_slice(&stamp.producer.to_be_bytes());
        tail[4..12].copy_from_slice(&stamp.sequence.to_be_bytes());
        tail[12..20].copy_from_slice(&stamp.sent_ns.to_be_bytes());
        let mut crc = self.filler_crc.clone();
        crc.update(&tail[..20]);
        tail[20..].copy_from_slice(&crc.finalize().to_be_bytes());
    }
}

/// The stamp of a body; `None` when the body is not one of ours or was altered.
pub(crate) fn read(body: &[u8]) -> Option<Stamp> {
    let (_, tail) = body.split_last_chunk::<STAMP_LEN>()?;
    let u32_at = |at: usize| u32::from_be_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) << 32 | u64::from(u32_at(at + 4));
    let crc = crc32fast::hash(&body[..body.len() - 4]);
    (crc == u32_at(20)).then(|| Stamp { producer: u32_at(0), sequence: u64_at(4), sent_ns: u64_at(12) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        for size in [STAMP_LEN, 25, 128] {
            let mut body = vec![0; size];
            let stamper = Stamper::new(&mut body);
            let stamp = Stamp { producer: 7, sequence: u64::MAX - 1, sent_ns: 1_700_000_000_000_000_000 };
            stamper.write(body.last_chunk_mut().unwrap(), stamp);
            assert_eq!(read(&body), Some(stamp));
            for bit in 0..size * 8 {
                let mut altered = body.clone();
                altered[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(read(&altered), None, "bit {bit} of {size} bytes");
            }
        }
        assert_eq!(read(&[0; STAMP_LEN - 1]), None);
    }
}
