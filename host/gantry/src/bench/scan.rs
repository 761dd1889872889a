//! Reads answers only as far as a benchmark needs: length, code, opaque.

use gantry_protocol::frame::{FRAME_BYTES_MAX, FrameError, frame_len};

/// An answer's code and the opaque of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Response code; [`UNREADABLE`] when the header could not be read.
    pub(crate) code: i32,
    /// Opaque of the request.
    pub(crate) opaque: i32,
}

/// Stands for a code that was not found; no server sends it.
pub(crate) const UNREADABLE: i32 = i32::MIN;

/// Calls `each` for every whole answer that `bytes` begin with and returns how many bytes they took.
pub(crate) fn answers(bytes: &[u8], mut each: impl FnMut(Answer)) -> Result<usize, FrameError> {
    let mut at = 0;
    while let Some(len) = frame_len(&bytes[at..], FRAME_BYTES_MAX)? {
        let Some(frame) = bytes.get(at..at + len) else { break };
        each(answer(frame));
        at += len;
    }
    Ok(at)
}

/// `frame` is one whole frame.
pub(crate) fn answer(frame: &[u8]) -> Answer {
    let int = |name: &[u8]| json_int(frame, name).unwrap_or(UNREADABLE);
    match frame.get(4) {
        Some(1) if frame.len() >= 17 => Answer {
            code: i32::from(i16::from_be_bytes([frame[8], frame[9]])),
            opaque: i32::from_be_bytes([frame[13], frame[14], frame[15], frame[16]]),
        },
        _ => Answer { code: int(b"\"code\":"), opaque: int(b"\"opaque\":") },
    }
}

/// The number behind the first `name` in the frame. Answers have no text before these members that could contain it.
fn json_int(frame: &[u8], name: &[u8]) -> Option<i32> {
    let at = memchr::memmem::find(frame, name)? + name.len();
    let digits = frame[at..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'-').count();
    std::str::from_utf8(&frame[at..at + digits]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use gantry_protocol::{
        frame::{Codec, FrameWriter},
        header::Head,
    };

    use super::*;

    #[test]
    fn both_encodings_are_read_and_a_cut_answer_waits() {
        for codec in [Codec::Json, Codec::Binary] {
            let mut bytes = BytesMut::new();
            for opaque in [1_000_000_001, 1_000_000_002] {
                let head = Head::response(17, opaque, Some("no"));
                let mut writer = FrameWriter::new(&mut bytes, codec, &head);
                writer.ext("msgId", "7F000001");
                writer.finish(b"x");
            }
            for cut in 0..=bytes.len() {
                let mut found = Vec::new();
                let taken = answers(&bytes[..cut], |answer| found.push((answer.code, answer.opaque))).unwrap();
                let whole = cut * 2 / bytes.len();
                assert_eq!(found, [(17, 1_000_000_001), (17, 1_000_000_002)][..whole]);
                assert_eq!(taken, bytes.len() / 2 * whole);
            }
        }
    }
}
