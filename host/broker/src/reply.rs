//! Writing an answer: the few shapes that handlers share.

use bytes::BytesMut;
use gantry_protocol::{
    code::response,
    frame::{Codec, ExtValue, Frame, FrameWriter},
    header::Head,
};

/// Where an answer goes: the encoding and number of its request. `None` for a one-way request, which nothing answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReplyTo {
    pub(crate) codec: Codec,
    pub(crate) opaque: i32,
    pub(crate) oneway: bool,
    /// Code of the request.
    pub(crate) request: i32,
}

impl ReplyTo {
    pub(crate) fn of(request: &Frame<'_>) -> Self {
        let header = &request.header;
        ReplyTo { codec: header.codec, opaque: header.opaque, oneway: header.is_oneway(), request: header.code }
    }

    /// Success with extFields and a body.
    pub(crate) fn success(self, out: &mut BytesMut, fields: impl FnOnce(&mut FrameWriter<'_, '_>), body: &[u8]) {
        self.write(out, response::SUCCESS, None, fields, body);
    }

    /// Success with one field.
    pub(crate) fn field(self, out: &mut BytesMut, name: &str, value: impl ExtValue) {
        let fields = |writer: &mut FrameWriter<'_, '_>| {
            writer.ext(name, value);
        };
        self.success(out, fields, b"");
    }

    /// Success without anything.
    pub(crate) fn ok(self, out: &mut BytesMut) {
        self.success(out, |_| {}, b"");
    }

    /// A refusal: a code for the client's logic and a sentence for a person.
    pub(crate) fn refuse(self, out: &mut BytesMut, refusal: &Refusal) {
        self.write(out, refusal.code, Some(&refusal.remark), |_| {}, b"");
    }

    pub(crate) fn write(
        self,
        out: &mut BytesMut,
        code: i32,
        remark: Option<&str>,
        fields: impl FnOnce(&mut FrameWriter<'_, '_>),
        body: &[u8],
    ) {
        if self.oneway {
            return;
        }
        let head = Head::response(code, self.opaque, remark);
        let mut writer = FrameWriter::new(out, self.codec, &head);
        fields(&mut writer);
        writer.finish(body);
    }
}

/// Why a request is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{remark} (code {code})")]
pub struct Refusal {
    /// Response code, see [`gantry_protocol::code::response`].
    pub code: i32,
    /// Sentence for a person; says what to do.
    pub remark: String,
}

impl Refusal {
    pub(crate) fn new(code: i32, remark: impl Into<String>) -> Self {
        Refusal { code, remark: remark.into() }
    }

    /// The thread that did it is gone.
    pub(crate) fn stopped(error: &tokio::task::JoinError) -> Self {
        Refusal::new(response::SYSTEM_ERROR, error.to_string())
    }

    pub(crate) fn no_topic(topic: &str) -> Self {
        Refusal::new(
            response::TOPIC_NOT_EXIST,
            format!("topic[{topic}] not exist, create it or send to it with auto_create_topics on"),
        )
    }

    pub(crate) fn no_group(group: &str) -> Self {
        Refusal::new(
            response::SUBSCRIPTION_GROUP_NOT_EXIST,
            format!("subscription group [{group}] does not exist, create it or turn auto_create_groups on"),
        )
    }
}

impl From<gantry_model::name::NameError> for Refusal {
    fn from(error: gantry_model::name::NameError) -> Self {
        Refusal::new(response::INVALID_PARAMETER, error.to_string())
    }
}

impl From<gantry_protocol::request::RequestError> for Refusal {
    fn from(error: gantry_protocol::request::RequestError) -> Self {
        Refusal::new(response::SYSTEM_ERROR, error.to_string())
    }
}
