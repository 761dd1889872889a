//! Frames: a cut frame is incomplete and never an error, a whole one is consumed exactly, every field can be read.
#![no_main]

use gantry_protocol::frame::{FRAME_BYTES_MAX, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(Some((frame, len))) = Frame::parse(bytes, FRAME_BYTES_MAX) else { return };
    assert!(len <= bytes.len() && frame.body.len() + 8 <= len);
    let mut fields = Vec::new();
    frame.header.ext.for_each(|name, value| fields.push((name.to_owned(), value.into_owned())));
    for (at, (name, value)) in fields.iter().enumerate().take(64) {
        let last = fields[at..].iter().rfind(|(other, _)| other == name).map_or(value, |(_, value)| value);
        assert_eq!(frame.header.ext.get(name).as_deref(), Some(last.as_str()));
    }
    for cut in [0, 1, 4, 7, 8, len / 2, len - 1] {
        assert!(matches!(Frame::parse(&bytes[..cut.min(len - 1)], FRAME_BYTES_MAX), Ok(None)));
    }
});
