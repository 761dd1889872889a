//! The body of a batch: messages one after the other.
//!
//! ```text
//! i32 total · i32 0 · i32 0 · i32 flag · i32 body length · body · i16 properties length · properties
//! ```
//! Source: RocketMQ `MessageDecoder.encodeMessage`.

use bytes::{BufMut, BytesMut};

/// Bytes of a message beside its body and properties.
const FIXED_LEN: usize = 22;

/// One message of a batch, borrowed from the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// The application's own flag.
    pub flag: i32,
    /// Body.
    pub body: &'a [u8],
    /// Encoded properties.
    pub properties: &'a [u8],
}

/// A batch is malformed from a certain byte on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the batch is malformed at byte {at}: {problem}")]
pub struct BatchError {
    /// Byte of the body where the message begins.
    pub at: usize,
    /// What is wrong.
    pub problem: &'static str,
}

/// The messages of a batch body; ends after the first error.
pub fn messages(body: &[u8]) -> Messages<'_> {
    Messages { body, at: 0 }
}

/// See [`messages`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<BatchMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        match split_message(rest) {
            Ok((message, total)) => {
                self.at += total;
                Some(Ok(message))
            }
            Err(problem) => {
                let at = std::mem::replace(&mut self.at, self.body.len());
                Some(Err(BatchError { at, problem }))
            }
        }
    }
}

fn split_message(bytes: &[u8]) -> Result<(BatchMessage<'_>, usize), &'static str> {
    let int = |at: usize| -> Option<i32> {
        bytes.get(at..at + 4).and_then(|field| field.first_chunk()).map(|field| i32::from_be_bytes(*field))
    };
    let total = int(0).and_then(|total| usize::try_from(total).ok()).ok_or("no length")?;
    let flag = int(12).ok_or("it ends inside the fixed fields")?;
    let body_len = int(16).and_then(|len| usize::try_from(len).ok()).ok_or("no body length")?;
    let whole = bytes.get(..total).ok_or("a message is longer than the batch")?;
    let (body, rest) =
        whole.get(20..).and_then(|rest| rest.split_at_checked(body_len)).ok_or("a body is longer than its message")?;
    let (len, properties) = rest.split_first_chunk::<2>().ok_or("no properties length")?;
    if usize::try_from(i16::from_be_bytes(*len)) != Ok(properties.len()) {
        return Err("the properties do not fill the message");
    }
    Ok((BatchMessage { flag, body, properties }, total))
}

/// Appends one message to a batch body; `false`, and nothing written, when its properties are over 32767 bytes.
pub fn push(out: &mut BytesMut, message: &BatchMessage<'_>) -> bool {
    let Ok(properties_len) = i16::try_from(message.properties.len()) else { return false };
    out.put_u32((FIXED_LEN + message.body.len() + message.properties.len()) as u32);
    out.put_u64(0);
    out.put_i32(message.flag);
    out.put_u32(message.body.len() as u32);
    out.put_slice(message.body);
    out.put_i16(properties_len);
    out.put_slice(message.properties);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &[u8] = b"\0\0\0\x1f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x02hi\0\x07TAGS\x01A\x02\0\0\0\x19\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x03yo!\0\0";

    #[test]
    fn the_golden_batch_both_ways() {
        let found: Vec<_> = messages(GOLDEN).collect::<Result<_, _>>().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].body, found[0].properties), (&b"hi"[..], &b"TAGS\x01A\x02"[..]));
        assert_eq!((found[1].body, found[1].properties), (&b"yo!"[..], &b""[..]));
        let mut out = BytesMut::new();
        assert!(found.iter().all(|message| push(&mut out, message)));
        assert_eq!(out, GOLDEN);
    }

    #[test]
    fn every_cut_is_an_error_and_the_last_item() {
        for cut in 1..GOLDEN.len() {
            let found: Vec<_> = messages(&GOLDEN[..cut]).collect();
            assert_eq!(found.iter().filter(|item| item.is_err()).count(), usize::from(cut != 31), "cut at {cut}");
        }
        let lying = b"\0\0\0\x16\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0";
        assert!(messages(lying).next().unwrap().is_err());
        assert!(messages(&[0; 40]).next().unwrap().is_err(), "a length of zero does not loop");
    }
}
