//! Sends, and every other request that is read from extFields: what is taken is written and read back the same.
#![no_main]

use bytes::BytesMut;
use gantry_protocol::{
    frame::{Codec, FRAME_BYTES_MAX, Frame, FrameWriter},
    header::{Head, Header},
    request::{
        admin::{DeleteGroup, GroupName, TopicName, UpdateTopic},
        client::{ConsumerListRequest, UnregisterClient},
        name_server::{BrokerFields, ClusterField, RegisterBroker, TopicField},
        offset::{QueryConsumerOffset, QueueRequest, SearchOffset, UpdateConsumerOffset},
        pull::{PullAnswer, PullRequest},
        recall::RecallRequest,
        send::{SendAnswer, SendRequest},
        send_back::SendBackRequest,
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((selector, header)) = bytes.split_first() else { return };
    let codec = if selector & 1 == 0 { Codec::Json } else { Codec::Binary };
    let Ok(mut header) = Header::parse(codec, header) else { return };
    header.code = if selector & 2 == 0 { 310 } else { 10 };
    others(&header);
    let Ok(send) = SendRequest::parse(&header) else { return };
    let head = Head::request(header.code, header.opaque);
    for codec in [Codec::Json, Codec::Binary] {
        let mut out = BytesMut::new();
        let mut writer = FrameWriter::new(&mut out, codec, &head);
        send.write(&mut writer);
        writer.finish(b"");
        let (again, _) = Frame::parse(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        assert_eq!(SendRequest::parse(&again.header).unwrap(), send);
    }
});

fn others(header: &Header<'_>) {
    drop(PullRequest::parse(header));
    drop(PullAnswer::parse(header));
    drop(SendAnswer::parse(header));
    drop((SendBackRequest::parse(header), RecallRequest::parse(header)));
    drop((QueryConsumerOffset::parse(header), UpdateConsumerOffset::parse(header)));
    drop((QueueRequest::parse(header), SearchOffset::parse(header)));
    drop((UpdateTopic::parse(header), TopicName::parse(header), GroupName::parse(header), DeleteGroup::parse(header)));
    drop((UnregisterClient::parse(header), ConsumerListRequest::parse(header)));
    drop((RegisterBroker::parse(header), BrokerFields::parse(header)));
    drop((TopicField::parse(header), ClusterField::parse(header)));
}
