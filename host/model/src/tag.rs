//! The tag hash of a consume queue entry. Source: Java `String.hashCode`, RocketMQ `MessageExtBrokerInner.tagsString2tagsCode`.

/// Java's `String.hashCode`: `h = 31 * h + unit` over UTF-16 units, wrapping in 32 bits.
pub fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// The tag code of an entry: the hash widened to 64 bits, 0 for a message without a tag.
pub fn tag_code(tag: Option<&str>) -> i64 {
    tag.map_or(0, |tag| i64::from(java_hash(tag)))
}

/// Whether a tag code is none but the address of an extension unit (RocketMQ's `enableConsumeQueueExt`): below every hash.
/// What tag the message has is not known then.
pub fn is_ext_address(tag_code: i64) -> bool {
    tag_code < i64::from(i32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_hashes() {
        assert_eq!(tag_code(Some("TagA")), 2598919);
        assert_eq!(tag_code(Some("TagB")), 2598920);
        assert_eq!(tag_code(None), 0);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(java_hash("\u{1F600}"), 0xD83D * 31 + 0xDE00, "a character outside the BMP counts as two units");
    }
}
