//! What clients are told while the log is shortened, the disk is full, or the disk fails: a broker over a simulated disk.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use gantry_base::{
    clock::Clock,
    disk::{
        DirEntry, Disk, DiskFile, Space, Volume,
        sim::{Fault, Operation, SimDisk},
    },
    watermark::Watermark,
};
use gantry_broker::{Broker, BrokerOptions};
use gantry_plugin::{HostOptions, PluginHost};
use gantry_protocol::{
    code::{
        request::{
            CONSUMER_SEND_MSG_BACK, GET_EARLIEST_MSG_STORETIME, GET_MAX_OFFSET, GET_MIN_OFFSET, PULL_MESSAGE,
            QUERY_CONSUMER_OFFSET, RECALL_MESSAGE, SEARCH_OFFSET_BY_TIMESTAMP, SEND_MESSAGE_V2,
            UPDATE_AND_CREATE_TOPIC, UPDATE_CONSUMER_OFFSET,
        },
        response::{
            INVALID_PARAMETER, PULL_NOT_FOUND, PULL_OFFSET_MOVED, PULL_RETRY_IMMEDIATELY, SERVICE_NOT_AVAILABLE,
            SUCCESS, SYSTEM_BUSY,
        },
    },
    frame::{FrameWriter, OwnedFrame},
};
use gantry_remoting::{Connection, Limits, NoRequests, Server};
use gantry_store::{Health, Hold, Options, RetentionOptions, Step, Store};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

const DATA: &str = "/data/broker-a";
const SEGMENT: u64 = 16_384;
const LONG: Duration = Duration::from_secs(30);

/// A served broker and a client.
struct Rig {
    disk: SimDisk,
    store: Store,
    broker: Arc<Broker>,
    client: Connection,
    cancel: CancellationToken,
}

/// An answer: code, remark, `nextBeginOffset` or `offset` or `timestamp`, body.
#[derive(Debug, PartialEq)]
struct Said {
    code: i32,
    remark: String,
    number: i64,
    body_len: usize,
}

impl Said {
    fn of(frame: &OwnedFrame) -> Said {
        let header = frame.header().unwrap();
        let number = |name| header.ext.number::<i64>(name);
        Said {
            code: header.code,
            remark: header.remark.as_deref().unwrap_or_default().to_owned(),
            number: number("nextBeginOffset").or(number("offset")).or(number("timestamp")).unwrap_or(-7),
            body_len: frame.body().len(),
        }
    }
}

/// Only what a test asks for deletes.
fn never() -> RetentionOptions {
    RetentionOptions {
        age_ms: 0,
        interval_ms: 3_600_000,
        disk_force_percent: 101,
        disk_refuse_percent: 101,
        ..RetentionOptions::default()
    }
}

impl Rig {
    async fn new(retention: RetentionOptions) -> Rig {
        let disk = SimDisk::new(1);
        Rig::on(disk.clone(), Arc::new(disk), retention).await
    }

    async fn on(disk: SimDisk, watched: Arc<dyn Disk>, retention: RetentionOptions) -> Rig {
        Rig::with(disk, watched, retention, vec![], |_| ()).await
    }

    /// With somebody else who holds a part of the log, and other options of the broker.
    async fn with(
        disk: SimDisk,
        watched: Arc<dyn Disk>,
        retention: RetentionOptions,
        holds: Vec<Hold>,
        change: impl FnOnce(&mut BrokerOptions),
    ) -> Rig {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), Limits::default()).unwrap();
        let address = server.local_addr();
        let clock = Clock::manual(1_700_000_000_000);
        let mut options =
            BrokerOptions { clock: clock.clone(), ..BrokerOptions::new("c", "broker-a", address, DATA.into()) };
        change(&mut options);
        let store = Options {
            segment_size_bytes: SEGMENT,
            record_size_max_bytes: 8_192,
            allocate_ahead_bytes: 4_096,
            queue_file_entries: 16,
            retention,
            holds: [options.holds.of_store(), holds].concat(),
            clock,
            ..Options::default()
        };
        let (store, _) = Store::open(watched.clone(), Path::new(DATA), store, &mut |_| {}).unwrap();
        let plugins = PluginHost::start(HostOptions::default()).unwrap();
        let broker = Broker::open(options, watched, store.clone(), plugins).unwrap();
        let cancel = CancellationToken::new();
        tokio::spawn(server.serve(Arc::new(broker.service()), cancel.clone()));
        broker.start(&TaskTracker::new(), &cancel);
        let address = address.to_string();
        let client = Connection::connect(&address, LONG, Limits::default(), Arc::new(NoRequests)).await.unwrap();
        Rig { disk, store, broker, client, cancel }
    }

    async fn call(&self, code: i32, fields: &[(&str, &str)], body: &[u8]) -> Said {
        let write = |writer: &mut FrameWriter<'_, '_>| {
            for (name, value) in fields {
                writer.ext(name, *value);
            }
        };
        Said::of(&self.client.call(code, write, body, LONG).await.unwrap())
    }

    async fn send_with(&self, topic: &str, properties: &str, body: &[u8]) -> Said {
        let fields = [
            ("a", "producer"),
            ("b", topic),
            ("c", "TBW102"),
            ("d", "1"),
            ("e", "0"),
            ("f", "0"),
            ("g", "1700000000000"),
            ("h", "0"),
            ("i", properties),
            ("j", "0"),
            ("k", "false"),
            ("m", "false"),
        ];
        self.call(SEND_MESSAGE_V2, &fields, body).await
    }

    async fn send(&self, topic: &str) -> Said {
        self.send_with(topic, "", &[b'x'; 1000]).await
    }

    async fn fill(&self, topic: &str, count: usize) {
        for _ in 0..count {
            let said = self.send(topic).await;
            assert_eq!(said.code, SUCCESS, "{said:?}");
        }
        let queue = self.store.queue(topic, 0).unwrap();
        queue.end().reached(queue.next_offset().0).await.unwrap();
    }

    async fn pull(&self, topic: &str, offset: i64) -> Said {
        let offset = offset.to_string();
        let fields = [
            ("consumerGroup", "group"),
            ("topic", topic),
            ("queueId", "0"),
            ("queueOffset", &*offset),
            ("maxMsgNums", "32"),
            ("sysFlag", "6"),
            ("commitOffset", "0"),
            ("suspendTimeoutMillis", "20"),
            ("subscription", "*"),
            ("subVersion", "0"),
            ("expressionType", "TAG"),
        ];
        self.call(PULL_MESSAGE, &fields, b"").await
    }

    async fn ask(&self, code: i32, topic: &str, more: &[(&str, &str)]) -> Said {
        let fields = [&[("topic", topic), ("queueId", "0"), ("consumerGroup", "group")], more].concat();
        self.call(code, &fields, b"").await
    }

    /// Deletes what is due, once nothing but the due part's own age is in the way.
    async fn retain(&self) -> u64 {
        self.broker.save().unwrap();
        let begun = Instant::now();
        loop {
            self.store.step(Step::Checkpoint);
            self.store.step(Step::Retain);
            let status = self.store.retention();
            if status.min == status.expiring {
                return status.min;
            }
            assert!(begun.elapsed() < LONG, "{status:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

fn said(code: i32, remark: &str, number: i64) -> (i32, String, i64) {
    (code, remark.to_owned(), number)
}

fn parts(said: Said) -> (i32, String, i64) {
    (said.code, said.remark, said.number)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_what_a_pull_is_told() {
    let rig = Rig::new(RetentionOptions { size_bytes: 2 * SEGMENT, ..never() }).await;
    rig.fill("drained", 20).await;
    rig.fill("t", 60).await;
    let topic = [("topic", "empty"), ("defaultTopic", "TBW102"), ("readQueueNums", "1"), ("writeQueueNums", "1")];
    let made = [("perm", "6"), ("topicFilterType", "SINGLE_TAG"), ("topicSysFlag", "0"), ("order", "false")];
    let created = rig.call(UPDATE_AND_CREATE_TOPIC, &[&topic[..], &made[..]].concat(), b"").await;
    assert_eq!(created.code, SUCCESS, "{created:?}");

    assert_eq!(parts(rig.pull("empty", 0).await), said(PULL_NOT_FOUND, "NO_MESSAGE_IN_QUEUE", 0));
    assert_eq!(parts(rig.pull("empty", 5).await), said(PULL_OFFSET_MOVED, "NO_MESSAGE_IN_QUEUE", 0));
    let first = rig.pull("t", 0).await;
    assert!(
        first.code == SUCCESS && first.remark == "FOUND" && first.number == 32 && first.body_len > 32_000,
        "{first:?}"
    );
    assert_eq!(parts(rig.pull("t", 60).await), said(PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 60));
    assert_eq!(parts(rig.pull("t", 61).await), said(PULL_OFFSET_MOVED, "OFFSET_OVERFLOW_BADLY", 60));
    assert_eq!(rig.ask(GET_MIN_OFFSET, "t", &[]).await.number, 0);

    assert!(rig.retain().await >= 3 * SEGMENT);
    // At once, for every question.
    let min = rig.ask(GET_MIN_OFFSET, "t", &[]).await.number;
    assert!(min > 0 && min < 60);
    for below in [-1, 0, min - 1] {
        assert_eq!(parts(rig.pull("t", below).await), said(PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", min));
    }
    let kept = rig.pull("t", min).await;
    assert!(kept.code == SUCCESS && kept.number > min, "{kept:?}");
    assert_eq!(rig.ask(GET_MAX_OFFSET, "t", &[]).await.number, 60);
    assert_eq!(rig.ask(GET_EARLIEST_MSG_STORETIME, "t", &[]).await.number, 1_700_000_000_000);
    for (timestamp, expected) in [("0", min), ("1700000000000", min), ("1700000000001", 60)] {
        let found = rig.ask(SEARCH_OFFSET_BY_TIMESTAMP, "t", &[("timestamp", timestamp)]).await;
        assert_eq!((found.code, found.number), (SUCCESS, expected));
    }
    // All of it is gone: the queue is empty and goes on where it was.
    for code in [GET_MIN_OFFSET, GET_MAX_OFFSET] {
        assert_eq!(rig.ask(code, "drained", &[]).await.number, 20);
    }
    assert_eq!(rig.ask(GET_EARLIEST_MSG_STORETIME, "drained", &[]).await.number, -1);
    assert_eq!(parts(rig.pull("drained", 3).await), said(PULL_OFFSET_MOVED, "OFFSET_TOO_SMALL", 20));
    assert_eq!(parts(rig.pull("drained", 20).await), said(PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 20));
    rig.fill("drained", 1).await;
    assert_eq!(rig.pull("drained", 20).await.number, 21);
}

/// A disk on which a segment goes between a look at a queue and the look at the log.
struct Interposed {
    disk: SimDisk,
    armed: AtomicBool,
    store: OnceLock<Store>,
    /// Keeps the whole log until then, from the store's own thread too.
    hold: Watermark,
}

struct Interposing(Arc<Interposed>);
struct InterposedFile(Arc<dyn DiskFile>, Arc<Interposed>, PathBuf);

impl InterposedFile {
    fn act(&self) {
        if self.2.starts_with("/data/broker-a/consumequeue/t") && self.1.armed.swap(false, Ordering::SeqCst) {
            self.1.hold.advance(u64::MAX);
            while self.1.store.get().unwrap().step(Step::Retain) {}
        }
    }
}

impl DiskFile for InterposedFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let found = self.0.read_at(buf, offset);
        self.act();
        found
    }
    fn try_read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        let found = self.0.try_read_at(buf, offset);
        self.act();
        found
    }
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        self.0.allocate(offset, len)
    }
}

impl Disk for Interposing {
    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(InterposedFile(self.0.disk.open(path, create)?, self.0.clone(), path.into())))
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.disk.list(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.disk.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.disk.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.disk.remove_dir_all(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.disk.sync_dir(path)
    }
    fn volume(&self, path: &Path) -> io::Result<Arc<dyn Volume>> {
        self.0.disk.volume(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.0.disk.space(path)
    }
    fn boot(&self) -> String {
        self.0.disk.boot()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        self.0.disk.lock(path)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_goes_while_it_is_pulled_sends_the_consumer_on() {
    let disk = SimDisk::new(1);
    let (armed, hold) = (AtomicBool::new(false), Watermark::new(0));
    let held = Hold::new("the test", hold.clone());
    let between = Arc::new(Interposed { disk: disk.clone(), armed, store: OnceLock::new(), hold });
    let retention = RetentionOptions { size_bytes: 2 * SEGMENT, ..never() };
    let rig = Rig::with(disk, Arc::new(Interposing(between.clone())), retention, vec![held], |_| ()).await;
    between.store.set(rig.store.clone()).unwrap();
    rig.fill("t", 60).await;
    rig.broker.save().unwrap();
    rig.store.step(Step::Checkpoint);
    // The first pass announces, so that the holds move on; the second is the one under the pull.
    rig.store.step(Step::Retain);
    let begun = Instant::now();
    let free = |rig: &Rig| {
        let (holds, expiring) = (rig.store.retention().holds, rig.store.expiring().get());
        holds.iter().all(|(name, position)| *name == "the test" || *position >= expiring)
    };
    while !free(&rig) {
        assert!(begun.elapsed() < LONG);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    between.armed.store(true, Ordering::SeqCst);
    assert_eq!(rig.store.retention().min, 0);
    let found = rig.pull("t", 0).await;
    let min = rig.ask(GET_MIN_OFFSET, "t", &[]).await.number;
    assert!(min > 0);
    assert_eq!(parts(found), said(PULL_RETRY_IMMEDIATELY, "MESSAGE_WAS_REMOVING", min));
    assert_eq!(rig.pull("t", min).await.code, SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_level_senders_are_told_why_and_the_rest_goes_on() {
    let rig = Rig::new(RetentionOptions { disk_refuse_percent: 90, ..never() }).await;
    rig.fill("t", 20).await;
    let sent = rig.store.queue("t", 0).unwrap().first_physical_offset().unwrap();
    let at = sent.0.to_string();
    let back = [("group", "group"), ("offset", &*at), ("delayLevel", "1")];
    assert_eq!(rig.pull("t", 0).await.code, SUCCESS);
    assert_eq!(rig.call(CONSUMER_SEND_MSG_BACK, &back, b"").await.code, SUCCESS);
    rig.disk.set_capacity(Some(rig.disk.used_bytes() * 100 / 95));
    rig.store.step(Step::Retain);
    let refused = rig.send("t").await;
    assert_eq!(refused.code, SERVICE_NOT_AVAILABLE);
    for part in ["disk_refuse_percent = 90", "9", "% full", DATA, "free space"] {
        assert!(refused.remark.contains(part), "{} lacks {part}", refused.remark);
    }
    assert_eq!(rig.pull("t", 0).await.code, SUCCESS);
    let back = rig.call(CONSUMER_SEND_MSG_BACK, &back, b"").await;
    assert_eq!(back.code, SERVICE_NOT_AVAILABLE, "not dropped: the consumer keeps it, {back:?}");
    assert_eq!(rig.ask(UPDATE_CONSUMER_OFFSET, "t", &[("commitOffset", "7")]).await.code, SUCCESS);
    assert_eq!(rig.ask(QUERY_CONSUMER_OFFSET, "t", &[]).await.number, 7);
    assert_eq!(rig.store.health(), Health::Healthy);
    rig.disk.set_capacity(None);
    rig.store.step(Step::Retain);
    assert_eq!(rig.send("t").await.code, SUCCESS);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_space_commits_go_on_and_are_kept_once_there_is_some() {
    let rig = Rig::new(never()).await;
    rig.fill("t", 20).await;
    assert_eq!(rig.pull("t", 0).await.code, SUCCESS, "which makes the group");
    rig.disk.set_capacity(Some(rig.disk.used_bytes()));
    let mut refused = rig.send("t").await;
    for _ in 0..40 {
        if refused.code != SUCCESS {
            break;
        }
        refused = rig.send("t").await;
    }
    assert_eq!(refused.code, SERVICE_NOT_AVAILABLE);
    assert!(
        refused.remark.starts_with("the disk is full: ") && refused.remark.contains("free space"),
        "{}",
        refused.remark
    );
    assert_eq!(rig.pull("t", 0).await.code, SUCCESS);
    assert_eq!(rig.ask(UPDATE_CONSUMER_OFFSET, "t", &[("commitOffset", "9")]).await.code, SUCCESS);
    assert_eq!(rig.ask(QUERY_CONSUMER_OFFSET, "t", &[]).await.number, 9);
    assert_eq!(rig.store.health(), Health::Healthy);
    rig.disk.set_capacity(None);
    assert_eq!(rig.send("t").await.code, SUCCESS);
    rig.broker.save().unwrap();
    let snapshot = gantry_base::durable::read(&rig.disk, &Path::new(DATA).join("config/consumerOffset.json"), 1 << 20);
    assert!(
        String::from_utf8(snapshot.unwrap().unwrap())
            .unwrap()
            .replace(char::is_whitespace, "")
            .contains("\"t@group\":{\"0\":9}")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_error_stops_the_log_for_good_and_reads_go_on() {
    for operation in [Operation::Sync, Operation::Write] {
        let rig = Rig::new(never()).await;
        rig.fill("t", 20).await;
        rig.disk.fail(Fault { path_contains: "commitlog".to_owned(), ..Fault::once(operation) });
        let unsure = rig.send("t").await;
        assert_eq!(unsure.code, SERVICE_NOT_AVAILABLE);
        assert!(unsure.remark.contains("the log stopped") && unsure.remark.contains("error 5"), "{}", unsure.remark);
        let later = rig.send("t").await;
        assert_eq!(later.code, SERVICE_NOT_AVAILABLE);
        assert!(later.remark.contains("the log stopped") && later.remark.contains("error 5"), "{}", later.remark);
        assert!(matches!(rig.store.health(), Health::Failed(_)));
        let found = rig.pull("t", 0).await;
        assert!(found.code == SUCCESS && found.number == 20, "{found:?}");
        assert_eq!(parts(rig.pull("t", 20).await), said(PULL_NOT_FOUND, "OFFSET_OVERFLOW_ONE", 20));
        assert_eq!(rig.ask(UPDATE_CONSUMER_OFFSET, "t", &[("commitOffset", "9")]).await.code, SUCCESS);
        assert_eq!(rig.ask(QUERY_CONSUMER_OFFSET, "t", &[]).await.number, 9);
        // The journal is closed; the snapshot still holds what was committed.
        rig.broker.save().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_that_waits_keeps_its_part_of_the_log() {
    let rig = Rig::new(RetentionOptions { size_bytes: SEGMENT, ..never() }).await;
    rig.fill("t", 40).await;
    let delayed = rig.store.appended().get();
    assert_eq!(rig.send_with("t", "DELAY\u{1}18\u{2}", b"in two hours").await.code, SUCCESS);
    rig.fill("t", 60).await;
    rig.broker.save().unwrap();
    rig.store.step(Step::Checkpoint);
    let begun = Instant::now();
    let expected = delayed / SEGMENT * SEGMENT;
    while rig.store.retention().min < expected {
        assert!(begun.elapsed() < LONG, "{:?}", rig.store.retention());
        rig.store.step(Step::Retain);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..3 {
        rig.store.step(Step::Retain);
    }
    let status = rig.store.retention();
    assert_eq!((status.min, status.held_by), (expected, Some("delayed messages")));
    assert!(status.expiring > expected);
    let held = status.holds.iter().find(|(name, _)| *name == "delayed messages").unwrap().1;
    assert!(held >= expected && held <= delayed, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_waits_in_line_like_everybody() {
    let disk = SimDisk::new(1);
    let no_places = |options: &mut BrokerOptions| (options.blocking_pulls_max, options.blocking_wait_ms_max) = (0, 1);
    let rig = Rig::with(disk.clone(), Arc::new(disk), never(), vec![], no_places).await;
    let said = rig.call(RECALL_MESSAGE, &[("topic", "t"), ("recallHandle", "any")], b"").await;
    assert!(said.code == SYSTEM_BUSY && said.remark.starts_with("wait for a disk read"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_of_a_queue_that_no_topic_can_have_is_refused() {
    let rig = Rig::new(never()).await;
    rig.fill("t", 1).await;
    assert_eq!(rig.pull("t", 0).await.code, SUCCESS, "which makes the group");
    let commit = async |id: &str| {
        let fields = [("topic", "t"), ("queueId", id), ("consumerGroup", "group"), ("commitOffset", "7")];
        rig.call(UPDATE_CONSUMER_OFFSET, &fields, b"").await
    };
    assert_eq!(commit("65535").await.code, SUCCESS);
    for id in ["65536", "2147483647"] {
        let refused = commit(id).await;
        assert_eq!(refused.code, INVALID_PARAMETER);
        assert!(refused.remark.contains("65536 queues"), "{}", refused.remark);
    }
}
