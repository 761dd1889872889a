//! Limits and deadlines of one connection, over a pipe and under a clock that jumps.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};

use bytes::BytesMut;
use gantry_protocol::{
    frame::{Codec, FRAME_BYTES_MAX, FrameWriter},
    header::Head,
};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split},
    sync::Notify,
    task::JoinHandle,
};

use super::*;

/// A request of this code is held for a second from its arrival.
const HELD: i32 = 77;

/// Answers with as many bytes as the request's code says; 0 waits for [`Fake::release`] first, below 0 panics.
#[derive(Default)]
struct Fake {
    served: AtomicUsize,
    opened: AtomicUsize,
    closed: AtomicUsize,
    release: Arc<Notify>,
}

impl Service for Fake {
    type Session = Arc<()>;

    fn open(&self, _: &Peer) -> Arc<()> {
        self.opened.fetch_add(1, SeqCst);
        Arc::default()
    }

    fn hold(&self, _: &mut Arc<()>, requests: &[Frame<'_>], arrived: Instant) -> Option<Hold> {
        let until = arrived + Duration::from_secs(1);
        let holds = requests.iter().any(|request| request.header.code == HELD) && Instant::now() < until;
        holds.then(|| -> Hold { Box::pin(tokio::time::sleep_until(until)) })
    }

    fn serve(&self, session: &mut Arc<()>, requests: &[Frame<'_>], replies: &mut Replies) {
        self.served.fetch_add(requests.len(), SeqCst);
        for request in requests {
            let head = Head::response(0, request.header.opaque, None);
            let answer = move |out: &mut BytesMut, len| FrameWriter::new(out, Codec::Json, &head).finish(&vec![0; len]);
            match usize::try_from(request.header.code).expect("a code below 0 panics") {
                0 => {
                    let (released, held) = (self.release.clone().notified_owned(), session.clone());
                    replies.later(1, async move {
                        released.await;
                        drop(held);
                        let mut out = BytesMut::new();
                        answer(&mut out, 1);
                        out
                    });
                }
                len => answer(replies.now(), len),
            }
        }
    }

    fn close(&self, session: Arc<()>) {
        self.closed.fetch_add(1, SeqCst);
        assert_eq!(Arc::strong_count(&session), 1, "answers in flight are dropped before their session is closed");
    }
}

/// The other end of a driven pipe.
struct Client {
    read: ReadHalf<DuplexStream>,
    write: WriteHalf<DuplexStream>,
    driver: JoinHandle<End>,
    peer: Peer,
}

fn shared(change: impl FnOnce(&mut Limits)) -> Arc<Shared> {
    let mut limits = Limits::default();
    change(&mut limits);
    Shared::new(limits)
}

fn drive(fake: &Arc<Fake>, shared: &Arc<Shared>) -> Client {
    let (near, far) = duplex(16 << 10);
    let address = "127.0.0.1:1".parse().unwrap();
    let peer = Peer::new(address, address, &shared.limits, shared.metrics.clone());
    let driver = tokio::spawn(Driver::new(far, peer.clone(), fake.clone(), shared.clone()).run());
    let (read, write) = split(near);
    Client { read, write, driver, peer }
}

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.unwrap();
    }

    /// How the connection ended, and after how many seconds from now. What is replied is not read.
    async fn end(self) -> (End, u64) {
        let start = Instant::now();
        let end = self.driver.await.unwrap();
        (end, start.elapsed().as_secs())
    }

    /// Reads replies until `count` whole frames came.
    async fn replies(&mut self, count: usize) {
        let (mut bytes, mut found) = (BytesMut::new(), 0);
        while found < count {
            assert!(self.read.read_buf(&mut bytes).await.unwrap() > 0, "closed after {found} replies");
            while let Some((_, len)) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap() {
                drop(bytes.split_to(len));
                found += 1;
            }
        }
    }
}

fn request(code: i32, body: usize) -> Vec<u8> {
    let mut out = BytesMut::new();
    FrameWriter::new(&mut out, Codec::Json, &Head::request(code, 1)).finish(&vec![0; body]);
    out.to_vec()
}

/// Lets every task run until all wait; on this runtime time stands meanwhile.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_closed_and_traffic_is_not() {
    let (fake, shared) = (Arc::default(), shared(|_| ()));
    let silent = drive(&fake, &shared);
    let mut talking = drive(&fake, &shared);
    let (end, seconds) = silent.end().await;
    assert!(matches!(end, End::Idle), "{end:?}");
    assert_eq!(seconds, 120);
    assert!(talking.driver.is_finished(), "it said nothing either");
    talking = drive(&fake, &shared);
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        talking.send(&request(1, 0)).await;
        talking.replies(1).await;
    }
    let (end, seconds) = talking.end().await;
    assert!(matches!(end, End::Idle), "{end:?}");
    assert_eq!((seconds, fake.closed.load(SeqCst)), (120, 3));
}

#[tokio::test(start_paused = true)]
async fn a_frame_may_come_slowly_but_not_for_ever() {
    /// Sends one request of `len` bytes in `pieces`, `pause` apart; the number served and how it ended.
    async fn drip(len: usize, pieces: usize, pause: Duration) -> (usize, String) {
        let (fake, shared) = (Arc::<Fake>::default(), shared(|_| ()));
        let mut client = drive(&fake, &shared);
        let bytes = request(1, len);
        for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
            if client.write.write_all(piece).await.is_err() {
                break;
            }
            tokio::time::sleep(pause).await;
        }
        client.peer.close();
        let (end, _) = client.end().await;
        (fake.served.load(SeqCst), format!("{end:?}"))
    }
    let ms = Duration::from_millis;
    assert_eq!(drip(0, 1000, ms(60)).await, (1, "Closed".into()), "byte by byte, within 10 s");
    let (served, end) = drip(0, 1000, ms(1000)).await;
    assert!(served == 0 && end.starts_with("SlowFrame"), "{end}");
    assert_eq!(drip(4 << 20, 32, ms(1000)).await, (1, "Closed".into()), "128 KiB/s for 32 s");
    let (served, end) = drip(4 << 20, 128, ms(1000)).await;
    assert!(served == 0 && end.starts_with("SlowFrame"), "32 KiB/s: {end}");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_no_replies_is_no_longer_read_and_then_closed() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|limits| limits.reply_buffer_bytes_max = 100_000));
    let client = drive(&fake, &shared);
    let Client { mut write, driver, read, .. } = client;
    let flood = tokio::spawn(async move { while write.write_all(&request(1000, 0)).await.is_ok() {} });
    settle().await;
    let served = fake.served.load(SeqCst);
    assert!(served < 100 + 2 * BATCH_MAX, "{served} requests were served for nobody");
    let start = Instant::now();
    let end = driver.await.unwrap();
    assert!(matches!(end, End::Stalled { .. }), "{end:?}");
    assert_eq!(start.elapsed().as_secs(), 30);
    flood.await.unwrap();
    drop(read);
}

#[tokio::test(start_paused = true)]
async fn requests_in_flight_stop_the_reading_and_answers_resume_it() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|limits| limits.in_flight_requests_max = 3));
    let mut client = drive(&fake, &shared);
    client.send(&request(0, 0).repeat(10)).await;
    for served in [3, 6, 9, 10] {
        settle().await;
        assert_eq!(fake.served.load(SeqCst), served);
        // Longer than a frame may take: what waits for us is not the peer's fault.
        tokio::time::sleep(Duration::from_secs(60)).await;
        fake.release.notify_waiters();
        client.replies(3.min(served - (served - 1) / 3 * 3)).await;
    }
    assert_eq!(shared.metrics.in_flight_requests.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_the_service_holds_is_served_in_order_when_it_lets_go() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|_| ()));
    let mut client = drive(&fake, &shared);
    let begun = Instant::now();
    client.send(&[request(1, 0), request(HELD, 0), request(2, 0)].concat()).await;
    settle().await;
    assert_eq!(fake.served.load(SeqCst), 0, "the whole batch is held");
    // Far more than the pipe takes: it is written only if the connection is read.
    let Client { mut write, mut read, driver, peer } = client;
    let flood = tokio::spawn(async move { write.write_all(&request(1, 0).repeat(1000)).await });
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(!flood.is_finished(), "a held connection is read");
    assert_eq!(fake.served.load(SeqCst), 0);
    let mut lens = Vec::new();
    let mut bytes = BytesMut::new();
    while lens.len() < 1003 {
        assert!(read.read_buf(&mut bytes).await.unwrap() > 0);
        while let Some((frame, len)) = Frame::parse(&bytes, FRAME_BYTES_MAX).unwrap() {
            lens.push(frame.body.len());
            drop(bytes.split_to(len));
        }
    }
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(lens[..4], [1, HELD as usize, 2, 1]);
    flood.await.unwrap().unwrap();
    peer.close();
    assert!(matches!(driver.await.unwrap(), End::Closed));
}

#[tokio::test(start_paused = true)]
async fn large_frames_share_a_budget_and_small_ones_pass() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|limits| limits.in_flight_bytes_max = 1 << 20));
    let mut hoarder = drive(&fake, &shared);
    hoarder.send(&request(1, 1 << 20)[..300 << 10]).await;
    settle().await;
    assert!((900 << 10..=1 << 20).contains(&shared.budget.used()), "the whole frame is reserved");

    let sent: Vec<_> = (0..3)
        .map(|_| {
            let mut large = drive(&fake, &shared);
            tokio::spawn(async move {
                large.send(&request(1, 600 << 10)).await;
                large.replies(1).await;
            })
        })
        .collect();
    let mut small = drive(&fake, &shared);
    small.send(&request(1, 1000)).await;
    small.replies(1).await;
    assert_eq!(fake.served.load(SeqCst), 1, "the large frames wait, the small one does not");

    let (end, seconds) = hoarder.end().await;
    assert!(matches!(end, End::SlowFrame { .. }), "{end:?}");
    assert!(seconds <= 2, "others wait, and still it was left {seconds} s");
    for large in sent {
        large.await.unwrap();
    }
    let mut alone = drive(&fake, &shared);
    alone.send(&request(1, 5 << 20)).await;
    alone.replies(1).await;
    drop((alone, small));
    settle().await;
    assert_eq!(shared.budget.used(), 0);
}

#[tokio::test]
async fn an_announced_length_allocates_nothing() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|_| ()));
    let mut client = drive(&fake, &shared);
    client.send(&request(1, 15 << 20)[..100]).await;
    settle().await;
    assert_eq!(shared.budget.used(), 0);
    let mut inbound = Inbound::default();
    inbound.room(FRAME_BYTES_MAX).extend_from_slice(&request(1, 15 << 20)[..100]);
    inbound.room(FRAME_BYTES_MAX);
    assert_eq!(inbound.capacity(), BUFFER_BYTES);
    inbound.rest();
    assert!(inbound.capacity() < 200, "{} bytes are kept for 100", inbound.capacity());
    client.peer.close();
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_closes_the_session() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|_| ()));
    let (mut bad, mut good) = (drive(&fake, &shared), drive(&fake, &shared));
    bad.send(&request(-1, 0)).await;
    let (end, _) = bad.end().await;
    assert!(matches!(end, End::Panicked), "{end:?}");
    good.send(&request(1, 0)).await;
    good.replies(1).await;
    assert_eq!((fake.opened.load(SeqCst), fake.closed.load(SeqCst)), (2, 1));
}

#[tokio::test]
async fn a_session_is_closed_whatever_ends_the_connection() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|_| ()));
    let mut parked = drive(&fake, &shared);
    parked.send(&request(0, 0)).await;
    settle().await;
    let Client { read, write, driver, .. } = parked;
    drop(read.unsplit(write));
    assert!(matches!(driver.await.unwrap(), End::PeerClosed));
    let mut aborted = drive(&fake, &shared);
    aborted.send(&request(0, 0)).await;
    settle().await;
    aborted.driver.abort();
    assert!(aborted.driver.await.unwrap_err().is_cancelled());
    assert_eq!((fake.opened.load(SeqCst), fake.closed.load(SeqCst)), (2, 2));
    assert_eq!(shared.metrics.in_flight_requests.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn pushes_to_a_peer_that_does_not_read_are_bounded() {
    let (fake, shared) = (Arc::<Fake>::default(), shared(|limits| limits.push_buffer_bytes_max = 10_000));
    let client = drive(&fake, &shared);
    let mut queued = 0;
    while client.peer.notify(40, |_| (), &[0; 1000]) {
        queued += 1;
        if queued % 10 == 0 {
            settle().await;
        }
        assert!(queued < 10_000, "pushes pile up");
    }
    assert!(shared.metrics.pushes_dropped.get() > 0);
    let peer = client.peer.clone();
    let (end, _) = client.end().await;
    assert!(matches!(end, End::Stalled { .. }), "{end:?}");
    assert!(!peer.notify(40, |_| (), b""), "a closed peer takes nothing");
}
