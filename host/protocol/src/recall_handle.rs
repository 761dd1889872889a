//! The handle that recalls a timed message: URL-safe Base64, padded, of
//! `v1 <topic> <broker name> <ms since 1970> <unique key>`. Clients treat it as opaque, but for the broker's name, which
//! Java reads to find the address. Source: RocketMQ `RecallMessageHandle`.

/// Longest handle that is read, in bytes: the longest topic, broker name and key that fit a message.
const HANDLE_LEN_MAX: usize = 64 * 1024;
const VERSION: &str = "v1";
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// What a handle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecallHandle {
    /// Topic that the message is for.
    pub topic: String,
    /// Broker that keeps it.
    pub broker_name: String,
    /// Falls into the second after which the message is delivered, ms since 1970: a broker finds the message's second by it.
    pub timestamp_ms: i64,
    /// UNIQ_KEY of the message.
    pub unique_key: String,
}

impl RecallHandle {
    /// The handle as it is sent.
    pub fn encode(topic: &str, broker_name: &str, timestamp_ms: i64, unique_key: &str) -> String {
        base64_url(format!("{VERSION} {topic} {broker_name} {timestamp_ms} {unique_key}").as_bytes())
    }

    /// Reads a handle of a client. `None` when it is none; no field is checked against what the broker has.
    pub fn decode(handle: &str) -> Option<Self> {
        if handle.len() > HANDLE_LEN_MAX {
            return None;
        }
        let text = String::from_utf8(from_base64_url(handle.as_bytes())?).ok()?;
        let mut fields = text.splitn(5, ' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        if next()? != VERSION {
            return None;
        }
        Some(RecallHandle {
            topic: next()?.to_owned(),
            broker_name: next()?.to_owned(),
            timestamp_ms: next()?.parse().ok()?,
            unique_key: next()?.to_owned(),
        })
    }
}

fn base64_url(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let group = a << 16 | b << 8 | c;
        for digit in 0..4 {
            let value = (group >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { char::from(ALPHABET[value as usize]) } else { '=' });
        }
    }
    out
}

/// Padding may be missing, as Java's decoder allows; anything else that is not of the alphabet is `None`.
fn from_base64_url(text: &[u8]) -> Option<Vec<u8>> {
    let bare = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if bare.len() % 4 == 1 || (bare.len() != text.len() && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut out = Vec::with_capacity(bare.len() * 3 / 4);
    for chunk in bare.chunks(4) {
        let mut group = 0u32;
        for at in 0..4 {
            let value = match chunk.get(at) {
                Some(digit) => ALPHABET.iter().position(|known| known == digit)? as u32,
                None => 0,
            };
            group = group << 6 | value;
        }
        out.extend_from_slice(&group.to_be_bytes()[1..chunk.len()]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes of the Java original.
    const GOLDEN: &str = "djEgVG9waWNUZXN0IGJyb2tlci1hIDE3MDAwMDAxMDAwMDEgMEEwMTAyMDMwRjRDMThCNEFBQzJBMUIyQzNENDAwMDA=";

    #[test]
    fn it_is_what_java_writes_and_reads() {
        let key = "0A0102030F4C18B4AAC2A1B2C3D40000";
        assert_eq!(RecallHandle::encode("TopicTest", "broker-a", 1_700_000_100_001, key), GOLDEN);
        let expected = RecallHandle {
            topic: "TopicTest".into(),
            broker_name: "broker-a".into(),
            timestamp_ms: 1_700_000_100_001,
            unique_key: key.into(),
        };
        assert_eq!(RecallHandle::decode(GOLDEN).as_ref(), Some(&expected));
        assert_eq!(RecallHandle::decode(GOLDEN.trim_end_matches('=')), Some(expected));
    }

    #[test]
    fn what_is_no_handle_is_none() {
        for text in ["v2 t b 1 k", "v1 t b 1", "v1 t b x k", "v1  b 1 k", "", "v1 t b 99999999999999999999 k"] {
            assert_eq!(RecallHandle::decode(&base64_url(text.as_bytes())), None, "{text}");
        }
        for handle in ["", "=", "A", "djEg!", "djEgdCBiIDEga=", "djEgdCBiIDEga+==", &GOLDEN[..GOLDEN.len() - 3], "🦀🦀"]
        {
            assert_eq!(RecallHandle::decode(handle), None, "{handle}");
        }
    }

    #[test]
    fn the_alphabet_is_the_url_safe_one() {
        let texts = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("\u{3ff}?", "z78_")];
        for (text, encoded) in texts {
            assert_eq!(base64_url(text.as_bytes()), encoded);
            assert_eq!(from_base64_url(encoded.as_bytes()).as_deref(), Some(text.as_bytes()));
        }
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8=");
    }

    proptest! {
        #[test]
        fn handles_read_back(topic in "[^ ]{1,40}", broker in "[^ ]{1,40}", at in any::<i64>(), key in ".{1,40}") {
            let found = RecallHandle::decode(&RecallHandle::encode(&topic, &broker, at, &key));
            prop_assert_eq!(found, Some(RecallHandle { topic, broker_name: broker, timestamp_ms: at, unique_key: key }));
        }

        #[test]
        fn bytes_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in ".{0,60}") {
            prop_assert_eq!(from_base64_url(base64_url(&bytes).as_bytes()), Some(bytes));
            let _ = RecallHandle::decode(&text);
        }
    }
}
