//! The header of a frame: a few fixed fields and `extFields`, found in place.
//!
//! Both encodings are read in one pass and without a map: [`Ext`] notes where each field stands.

mod ext;
mod language;

use std::borrow::Cow;

use ext::BinaryExtError;
pub use ext::Ext;
pub(crate) use ext::Value;
use gantry_model::version::SERVER_VERSION;
pub use language::Language;

use crate::{frame::Codec, json};

/// Bit of `flag`: this frame answers a request.
pub const FLAG_RESPONSE: i32 = 1;
/// Bit of `flag`: nobody waits for an answer. Go never sets it.
pub const FLAG_ONEWAY: i32 = 2;

/// Why a header cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a JSON object as clients send it.
    #[error("the JSON header is malformed at byte {at}: expected {expected}")]
    Json {
        /// Byte of the header.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A length inside the binary header reaches beyond its end.
    #[error("the binary header ends at byte {len} inside {field}")]
    Truncated {
        /// Length of the header.
        len: usize,
        /// Field that does not fit.
        field: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("{0} in the header is not UTF-8")]
    Utf8(&'static str),
}

/// The fixed fields of a frame to be written.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Request or response code, see [`crate::code`].
    pub code: i32,
    /// Language of the sender.
    pub language: Language,
    /// Release ordinal of the sender.
    pub version: i32,
    /// Number that pairs a response with its request.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`], [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Text for a person.
    pub remark: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// A request of ours that wants an answer.
    pub fn request(code: i32, opaque: i32) -> Head<'static> {
        Head { code, language: Language::Rust, version: SERVER_VERSION, opaque, flag: 0, remark: None }
    }

    /// A request of ours that nobody answers.
    pub fn oneway(code: i32, opaque: i32) -> Head<'static> {
        Head { flag: FLAG_ONEWAY, ..Head::request(code, opaque) }
    }

    /// An answer. The language is JAVA because clients know that name in every release (RUST came with 4.9).
    pub fn response(code: i32, opaque: i32, remark: Option<&'a str>) -> Head<'a> {
        Head { code, language: Language::Java, version: SERVER_VERSION, opaque, flag: FLAG_RESPONSE, remark }
    }
}

/// A parsed header, borrowing from the frame.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    /// Encoding that it came in; the answer uses the same.
    pub codec: Codec,
    /// Request or response code. A code that RocketMQ truncates in the binary header (POP) arrives truncated.
    pub code: i32,
    /// Sender's language.
    pub language: Language,
    /// Sender's release ordinal, 0 when absent.
    pub version: i32,
    /// Number that pairs a response with its request.
    pub opaque: i32,
    /// [`FLAG_RESPONSE`], [`FLAG_ONEWAY`].
    pub flag: i32,
    /// Text for a person.
    pub remark: Option<Cow<'a, str>>,
    /// The custom fields.
    pub ext: Ext<'a>,
}

impl<'a> Header<'a> {
    fn empty(codec: Codec) -> Self {
        let (code, version, opaque, flag) = (0, 0, 0, 0);
        Header { codec, code, language: Language::Other, version, opaque, flag, remark: None, ext: Ext::default() }
    }

    /// Whether this frame answers a request.
    pub fn is_response(&self) -> bool {
        self.flag & FLAG_RESPONSE != 0
    }

    /// Whether nobody waits for an answer.
    pub fn is_oneway(&self) -> bool {
        self.flag & FLAG_ONEWAY != 0
    }

    /// Parses the header's bytes. Absent members take 0 or none; unknown ones are skipped.
    pub fn parse(codec: Codec, bytes: &'a [u8]) -> Result<Header<'a>, HeaderError> {
        match codec {
            Codec::Json => parse_json(bytes),
            Codec::Binary => parse_binary(bytes),
        }
    }
}

fn parse_json(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    let text = std::str::from_utf8(bytes).map_err(|_| HeaderError::Utf8("the JSON text"))?;
    let mut header = Header::empty(Codec::Json);
    let mut cursor = json::Cursor::new(text, 0);
    match read_members(&mut header, text, &mut cursor) {
        Ok(()) => Ok(header),
        Err(expected) => Err(HeaderError::Json { at: cursor.at(), expected: expected.text() }),
    }
}

fn read_members<'a>(
    header: &mut Header<'a>,
    text: &'a str,
    cursor: &mut json::Cursor<'a>,
) -> Result<(), json::Expected> {
    let mut more = cursor.open_object()?;
    while more {
        let name = cursor.name()?;
        match cursor.bytes(name) {
            b"code" => header.code = cursor.int()?,
            b"flag" => header.flag = cursor.int()?,
            b"opaque" => header.opaque = cursor.int()?,
            b"version" => header.version = cursor.int()?,
            b"language" => {
                header.language =
                    cursor.value()?.map_or(Language::Other, |name| Language::from_name(cursor.text(name)));
            }
            b"remark" => header.remark = cursor.value()?.map(|text| Value::json(cursor, text).text()),
            b"extFields" => header.ext.read_json(text, cursor)?,
            _ => drop(cursor.value()?),
        }
        more = cursor.next_member()?;
    }
    Ok(())
}

fn parse_binary(bytes: &[u8]) -> Result<Header<'_>, HeaderError> {
    const FIXED: usize = 21;
    let Some(fixed) = bytes.first_chunk::<FIXED>() else {
        return Err(HeaderError::Truncated { len: bytes.len(), field: "the fixed fields" });
    };
    let i16_at = |at: usize| i16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let i32_at = |at: usize| i32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
    let truncated = |field| HeaderError::Truncated { len: bytes.len(), field };

    let remark_len = usize::try_from(i32_at(13)).map_err(|_| truncated("remark"))?;
    // The fixed part as RocketMQ counts it ends with the ext length, which lies behind the remark.
    let after_fixed = &bytes[17..];
    let remark = after_fixed.get(..remark_len).ok_or_else(|| truncated("remark"))?;
    let after_remark = &after_fixed[remark_len..];
    let (ext_len, pairs) = after_remark.split_first_chunk::<4>().ok_or_else(|| truncated("extFields"))?;
    let ext_len = usize::try_from(i32::from_be_bytes(*ext_len)).map_err(|_| truncated("extFields"))?;
    let pairs = pairs.get(..ext_len).ok_or_else(|| truncated("extFields"))?;
    let remark = std::str::from_utf8(remark).map_err(|_| HeaderError::Utf8("remark"))?;
    let mut header = Header {
        code: i32::from(i16_at(0)),
        language: Language::from_number(fixed[2]),
        version: i32::from(i16_at(3)),
        opaque: i32_at(5),
        flag: i32_at(9),
        remark: (!remark.is_empty()).then_some(Cow::Borrowed(remark)),
        ..Header::empty(Codec::Binary)
    };
    match header.ext.read_binary(pairs) {
        Ok(()) => Ok(header),
        Err(BinaryExtError::Truncated) => Err(truncated("a pair of extFields")),
        Err(BinaryExtError::Utf8) => Err(HeaderError::Utf8("extFields")),
    }
}
