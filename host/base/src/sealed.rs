//! A JSON object that carries a checksum of itself, as its first member:
//!
//! ```text
//! {
//!   "gantryChecksum": "9f3c01aa",      CRC-32 of every byte behind this line, in hex
//!   "topicConfigTable": { ...
//! ```
//!
//! The checksum is in the file and not beside it, so one rename replaces both and no crash can come between. RocketMQ reads
//! past members that it does not know, and drops them when it writes: a file without one is taken as it is. Somebody who
//! edits the file by hand takes the line out; that is how a file is told that was changed on purpose.

use std::fmt;

/// The member, up to its value.
const HEAD: &[u8] = b"{\n  \"gantryChecksum\": \"";
const TAIL: &[u8] = b"\",\n";
const DIGITS: usize = 8;

/// What the checksum says about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// There is none: RocketMQ wrote it, an operator did, or an older Gantry.
    Absent,
    /// The bytes are those that were written.
    Whole,
    /// They are not.
    Broken {
        /// Of the bytes as they are.
        found: u32,
        /// As written with them.
        expected: u32,
    },
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Seal::Absent => f.write_str("it carries no checksum"),
            Seal::Whole => f.write_str("its checksum is right"),
            Seal::Broken { found, expected } => write!(
                f,
                "its bytes have checksum {found:08x}, and it was written with {expected:08x}: a disk or a program changed it. If \
                 that was you, take its line \"gantryChecksum\" out and start again; else put the .bak beside it, or a copy, in \
                 its place"
            ),
        }
    }
}

/// Adds the checksum to the text of a JSON object, pretty or not. Text that is no object with members is given back as it is.
pub fn seal(text: &[u8]) -> Vec<u8> {
    let Some(members) = text.strip_prefix(b"{").filter(|rest| rest.trim_ascii_start().first() == Some(&b'"')) else {
        return text.to_vec();
    };
    let members = members.strip_prefix(b"\n").unwrap_or(members);
    let checksum = format!("{:08x}", crc32fast::hash(members));
    [HEAD, checksum.as_bytes(), TAIL, members].concat()
}

/// What the checksum of a file says.
pub fn check(file: &[u8]) -> Seal {
    let Some((digits, rest)) = file.strip_prefix(HEAD).and_then(|rest| rest.split_at_checked(DIGITS)) else {
        return Seal::Absent;
    };
    let Some(members) = rest.strip_prefix(TAIL) else {
        // The line itself is damaged: what it was to guard cannot be vouched for.
        return Seal::Broken { found: crc32fast::hash(rest), expected: 0 };
    };
    let found = crc32fast::hash(members);
    if digits == format!("{found:08x}").as_bytes() {
        return Seal::Whole;
    }
    let expected = std::str::from_utf8(digits).ok().and_then(|digits| u32::from_str_radix(digits, 16).ok());
    Seal::Broken { found, expected: expected.unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_object_has_one_more_member() {
        assert_eq!(
            String::from_utf8(seal(b"{\n  \"b\": 1\n}")).unwrap(),
            "{\n  \"gantryChecksum\": \"7969106a\",\n  \"b\": 1\n}"
        );
        for text in ["{\"b\": {\"c\": 1}}", "{\n  \"b\": {\"c\": 1}\n}", "{ \"b\":{\"c\":1} }"] {
            assert_eq!(check(&seal(text.as_bytes())), Seal::Whole, "{text}");
            assert_eq!(check(text.as_bytes()), Seal::Absent);
        }
        for text in ["{}", "{ \n}", "[]", ""] {
            assert_eq!(seal(text.as_bytes()), text.as_bytes());
        }
    }

    /// No flip gives an object that parses, differs and counts as whole, and none that parses counts as unsealed unless the
    /// damage is to the name of the member alone.
    #[test]
    fn every_flipped_bit_is_noticed() {
        let sealed = seal(b"{\n  \"topics\": {\"a\": 12345}\n}");
        let members = sealed.iter().position(|byte| *byte == b',').unwrap() + 2;
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[at] ^= 1 << bit;
                match check(&flipped) {
                    Seal::Broken { .. } => {}
                    Seal::Absent => assert!(at < HEAD.len(), "byte {at}: and there nothing of the content lies"),
                    Seal::Whole => panic!("byte {at} bit {bit}"),
                }
            }
        }
        assert_eq!(&sealed[members..], b"  \"topics\": {\"a\": 12345}\n}");
    }
}
