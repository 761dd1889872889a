//! Every resource is used up on purpose; each refusal names it, and each recovers by itself.

use std::{net::SocketAddr, path::Path};

use gantry_base::disk::sim::SimDisk;
use gantry_store::{Background, Draft, Flush, Options, Step};

use super::*;

/// A store whose flusher and dispatcher move only when they are told to.
fn stepped(flush: Flush) -> Store {
    let options = Options { flush, background: Background::Stepped, segment_size_bytes: 1 << 20, ..Options::default() };
    let (store, _) = Store::open(Arc::new(SimDisk::new(1)), Path::new("/store"), options, &mut |_| {}).unwrap();
    store
}

fn append(store: &Store, body: &[u8]) {
    let host = SocketAddr::from(([127, 0, 0, 1], 1));
    let queue = store.queue_or_create("topic", 0).unwrap();
    let draft = Draft {
        queue: &queue,
        flag: 0,
        sys_flag: 0,
        born_ms: 1,
        born_host: host,
        store_host: host,
        reconsume_times: 0,
        prepared_transaction_offset: 0,
        body,
        properties: &[],
    };
    store.append(&[draft], &mut Vec::new()).unwrap();
}

fn flow(change: impl FnOnce(&mut BrokerOptions)) -> Flow {
    let mut options = BrokerOptions::new("c", "b", SocketAddr::from(([127, 0, 0, 1], 1)), "/data".into());
    change(&mut options);
    Flow::new(&options)
}

fn refused(flow: &Flow, store: &Store, resource: &str) -> u64 {
    let levels = flow.levels(store, 0, 0);
    levels.iter().find(|level| level.resource == resource).unwrap().refused
}

#[tokio::test(start_paused = true)]
async fn senders_wait_for_a_slow_disk_then_are_told_and_go_on_when_it_caught_up() {
    let store = stepped(Flush::Sync);
    let flow = flow(|options| options.flush_backlog_bytes_max = 500);
    let arrived = Instant::now();
    append(&store, &[0; 300]);
    assert!(flow.hold_sends(&store, arrived).is_none(), "the backlog is within its limit");
    flow.admit_sends(&store, arrived, 1).unwrap();
    append(&store, &[0; 300]);

    let hold = flow.hold_sends(&store, arrived).expect("the backlog is over its limit");
    hold.await;
    assert_eq!(arrived.elapsed(), Duration::from_millis(200), "held to the deadline and no longer");
    assert!(flow.hold_sends(&store, arrived).is_none(), "its time is up");
    let level = store.appended().get();
    let refusal = flow.admit_sends(&store, arrived, 3).unwrap_err();
    assert_eq!(refusal.code, response::SYSTEM_BUSY);
    let text = format!(
        "flush backlog {level} bytes is over broker.flush_backlog_bytes_max (500); metric gantry_flush_backlog_bytes; \
         the disk is slower than the senders; not stored or read, try again"
    );
    assert_eq!(refusal.remark, text);
    assert_eq!(refused(&flow, &store, "flush backlog"), 3);

    let later = Instant::now();
    let hold = flow.hold_sends(&store, later).unwrap();
    assert!(store.step(Step::Flush));
    hold.await;
    assert_eq!(later.elapsed(), Duration::ZERO, "a flush lets go at once");
    flow.admit_sends(&store, later, 1).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dispatcher_that_stands_still_stops_senders() {
    let store = stepped(Flush::Async { interval_ms: 1 });
    let flow = flow(|options| options.dispatch_backlog_bytes_max = 100);
    let arrived = Instant::now();
    append(&store, &[0; 300]);
    assert!(flow.hold_sends(&store, arrived).is_some());
    let refusal = flow.admit_sends(&store, arrived, 1).unwrap_err();
    assert!(refusal.remark.contains("dispatch backlog") && refusal.remark.contains("(100)"), "{}", refusal.remark);
    assert_eq!(refused(&flow, &store, "dispatch backlog"), 1);
    assert!(store.step(Step::Dispatch));
    assert!(flow.hold_sends(&store, arrived).is_none());
    flow.admit_sends(&store, arrived, 1).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_send_that_waited_too_long_is_not_stored_late() {
    let (store, flow) = (stepped(Flush::Sync), flow(|_| ()));
    let arrived = Instant::now();
    tokio::time::advance(Duration::from_millis(200)).await;
    flow.admit_sends(&store, arrived, 1).unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    let refusal = flow.admit_sends(&store, arrived, 1).unwrap_err();
    let begins = "wait of a send 201 ms is over broker.send_wait_ms_max (200); metric gantry_send_wait_ms; ";
    assert!(refusal.code == response::SYSTEM_BUSY && refusal.remark.starts_with(begins), "{}", refusal.remark);
    flow.admit_sends(&store, Instant::now(), 1).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stopped_store_holds_nobody() {
    let (store, flow) = (stepped(Flush::Sync), flow(|options| options.flush_backlog_bytes_max = 0));
    append(&store, &[0; 300]);
    store.flushed().close();
    assert!(flow.hold_sends(&store, Instant::now()).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_line_for_disk_reads_is_bounded_in_length_and_time() {
    let store = stepped(Flush::Sync);
    let flow = Arc::new(flow(|options| options.blocking_waiting_max = 1));
    let places = Arc::new(Semaphore::new(1));
    let taken = flow.blocking_place(&places, Instant::now()).await.unwrap();
    let wait = |flow: Arc<Flow>, places: Arc<Semaphore>| async move {
        let since = Instant::now();
        flow.blocking_place(&places, since).await.map(drop).map_err(|refusal| (refusal, since.elapsed()))
    };
    let first = tokio::spawn(wait(flow.clone(), places.clone()));
    tokio::task::yield_now().await;

    let (refusal, waited) = wait(flow.clone(), places.clone()).await.unwrap_err();
    let begins =
        "queue for disk reads 2 requests is over broker.blocking_waiting_max (1); metric gantry_blocking_waiting;";
    assert!(refusal.code == response::SYSTEM_BUSY && refusal.remark.starts_with(begins), "{}", refusal.remark);
    assert_eq!(waited, Duration::ZERO, "who does not even fit in line is told at once");

    let (refusal, waited) = first.await.unwrap().unwrap_err();
    let begins =
        "wait for a disk read 5000 ms is over broker.blocking_wait_ms_max (5000); metric gantry_blocking_wait_ms;";
    assert!(refusal.remark.starts_with(begins), "{}", refusal.remark);
    assert_eq!(waited, Duration::from_secs(5));
    assert_eq!(
        (refused(&flow, &store, "queue for disk reads"), refused(&flow, &store, "wait for a disk read")),
        (1, 1)
    );

    let again = tokio::spawn(wait(flow.clone(), places.clone()));
    tokio::task::yield_now().await;
    drop(taken);
    again.await.unwrap().unwrap();
    assert_eq!(flow.levels(&store, 0, 0)[3].level, 0, "nobody waits any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_frees_no_place_while_its_work_goes_on() {
    let flow = flow(|options| options.blocking_wait_ms_max = 20);
    let places = Arc::new(Semaphore::new(1));
    let (goes_on, begun) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let work = move || {
        goes_on.send(()).unwrap();
        ended.recv().unwrap();
    };
    {
        let request = flow.run_blocking(&places, Instant::now(), work);
        // Long enough to begin; then the connection is gone.
        assert!(tokio::time::timeout(Duration::from_millis(10), request).await.is_err());
    }
    begun.recv().unwrap();
    let refusal = flow.run_blocking(&places, Instant::now(), || ()).await.unwrap_err();
    assert!(refusal.remark.starts_with("wait for a disk read"), "{}", refusal.remark);
    end.send(()).unwrap();
    flow.run_blocking(&places, Instant::now() + Duration::from_secs(60), || ()).await.unwrap();
}
