//! The header of a frame: a few fixed fields and `extFields`, found in place.
//!
//! Both encodings are read without a map: [`Ext`] keeps the encoded pairs and is walked or searched.

use std::borrow::Cow;

use gantry_model::version::SERVER_VERSION;

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

/// Language of a peer's client; only logs and one reset body depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "names of RocketMQ's LanguageCode")]
pub enum Language {
    Java = 0,
    Cpp,
    Dotnet,
    Python,
    Delphi,
    Erlang,
    Ruby,
    Other,
    Http,
    Go,
    Php,
    Oms,
    Rust,
    NodeJs,
}

const LANGUAGES: [(Language, &str); 14] = [
    (Language::Java, "JAVA"),
    (Language::Cpp, "CPP"),
    (Language::Dotnet, "DOTNET"),
    (Language::Python, "PYTHON"),
    (Language::Delphi, "DELPHI"),
    (Language::Erlang, "ERLANG"),
    (Language::Ruby, "RUBY"),
    (Language::Other, "OTHER"),
    (Language::Http, "HTTP"),
    (Language::Go, "GO"),
    (Language::Php, "PHP"),
    (Language::Oms, "OMS"),
    (Language::Rust, "RUST"),
    (Language::NodeJs, "NODE_JS"),
];

impl Language {
    /// The code of the binary header.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The name of the JSON header.
    pub fn name(self) -> &'static str {
        LANGUAGES[self as usize].1
    }

    /// Unknown codes are OTHER.
    pub fn from_number(number: u8) -> Self {
        LANGUAGES.get(usize::from(number)).map_or(Language::Other, |(language, _)| *language)
    }

    /// Unknown names are OTHER.
    pub fn from_name(name: &str) -> Self {
        LANGUAGES.iter().find(|(_, known)| *known == name).map_or(Language::Other, |(language, _)| *language)
    }
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
    let mut header = Header {
        codec: Codec::Json,
        code: 0,
        language: Language::Other,
        version: 0,
        opaque: 0,
        flag: 0,
        remark: None,
        ext: Ext { codec: Codec::Json, pairs: b"{}" },
    };
    let mut cursor = json::Cursor::new(bytes);
    cursor.object(|cursor, key| {
        match key {
            "code" => header.code = cursor.int()?,
            "flag" => header.flag = cursor.int()?,
            "opaque" => header.opaque = cursor.int()?,
            "version" => header.version = cursor.int()?,
            "language" => header.language = cursor.text()?.map_or(Language::Other, |name| Language::from_name(&name)),
            "remark" => header.remark = cursor.text()?,
            "extFields" => {
                let span = cursor.skip()?;
                if span.first() == Some(&b'{') {
                    header.ext.pairs = span;
                }
            }
            _ => {
                cursor.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(header)
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
    let mut check = pairs;
    while !check.is_empty() {
        let (name, value, after) = split_pair(check).ok_or_else(|| truncated("a pair of extFields"))?;
        if std::str::from_utf8(name).is_err() || std::str::from_utf8(value).is_err() {
            return Err(HeaderError::Utf8("extFields"));
        }
        check = after;
    }
    let remark = std::str::from_utf8(remark).map_err(|_| HeaderError::Utf8("remark"))?;
    Ok(Header {
        codec: Codec::Binary,
        code: i32::from(i16_at(0)),
        language: Language::from_number(fixed[2]),
        version: i32::from(i16_at(3)),
        opaque: i32_at(5),
        flag: i32_at(9),
        remark: (!remark.is_empty()).then_some(Cow::Borrowed(remark)),
        ext: Ext { codec: Codec::Binary, pairs },
    })
}

/// Name, value and what follows of the first pair: i16 length, name, i32 length, value.
fn split_pair(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::try_from(i16::from_be_bytes(*len)).ok()?)?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_at_checked(usize::try_from(i32::from_be_bytes(*len)).ok()?)?;
    Some((name, value, rest))
}

/// The custom fields of a header, still encoded.
///
/// Numbers and booleans of a JSON header come out as their text (C++ sends them bare); nulls are left out.
#[derive(Debug, Clone, Copy)]
pub struct Ext<'a> {
    codec: Codec,
    /// JSON: the whole object with its braces, syntactically checked. Binary: the pairs, lengths and UTF-8 checked.
    pairs: &'a [u8],
}

impl<'a> Ext<'a> {
    /// Calls `each` for every field in the order of the wire. Stops at nothing: the fields were checked when parsed.
    pub fn for_each(&self, mut each: impl FnMut(&str, Cow<'a, str>)) {
        match self.codec {
            Codec::Binary => {
                let mut rest = self.pairs;
                while let Some((name, value, after)) = split_pair(rest) {
                    // Checked as UTF-8 when the header was parsed.
                    if let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) {
                        each(name, Cow::Borrowed(value));
                    }
                    rest = after;
                }
            }
            Codec::Json => {
                let walked = json::Cursor::new(self.pairs).object(|cursor, key| {
                    if let Some(value) = cursor.text()? {
                        each(key, value);
                    }
                    Ok(())
                });
                debug_assert!(walked.is_ok(), "extFields were checked when the header was parsed");
            }
        }
    }

    /// The value of one field; of duplicates the last.
    pub fn get(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut found = None;
        self.for_each(|key, value| {
            if key == name {
                found = Some(value);
            }
        });
        found
    }

    /// The value of one field as a number; a malformed number counts as absent, as it does in RocketMQ.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.trim().parse().ok()
    }

    /// The value of one field as a boolean: "true" in any case is true, anything else false.
    pub fn flag(&self, name: &str) -> Option<bool> {
        Some(self.get(name)?.eq_ignore_ascii_case("true"))
    }
}
