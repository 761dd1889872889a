//! Batch bodies: messages lie in the body in order, an error is the last item, and what is taken is written back the same.
#![no_main]

use bytes::BytesMut;
use gantry_protocol::batch::{messages, push};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let mut out = BytesMut::new();
    let mut ended = false;
    for message in messages(body) {
        assert!(!ended, "nothing follows an error");
        match message {
            Ok(message) => assert!(push(&mut out, &message)),
            Err(error) => {
                assert!(error.at < body.len());
                ended = true;
            }
        }
    }
    assert!(ended || out.len() == body.len(), "every byte belongs to a message");
    assert_eq!(messages(&out).filter(Result::is_ok).count(), messages(body).filter(Result::is_ok).count());
});
