//! Stopping a server.

use std::{sync::atomic::Ordering, time::Duration};

use gantry_remoting::{CallError, Limits, Server};
use tokio::net::TcpStream;

use crate::echo::{self, ECHO, PARK, until, within};

const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn answers_in_flight_are_finished_and_nothing_new_is_taken() {
    let server = echo::start(Limits::default());
    let connection = echo::connect(server.address).await;
    let parked: Vec<_> = (0..5).map(|n| connection.call(PARK, |_| (), &[n], TIMEOUT)).collect();
    until("five requests in flight", || server.metrics.in_flight_requests.get() == 5).await;
    server.cancel.cancel();
    until("the listener is closed", || std::net::TcpStream::connect(server.address).is_err()).await;
    let refused = connection.call(ECHO, |_| (), b"too late", TIMEOUT);
    server.echo.release.notify_waiters();
    for (n, answer) in parked.into_iter().enumerate() {
        assert_eq!(answer.await.unwrap().body(), [n as u8][..]);
    }
    assert!(matches!(refused.await, Err(CallError::Closed)));
    within("the server ends", server.served).await.unwrap();
    assert_eq!(server.echo.closed.load(Ordering::SeqCst), server.echo.opened.load(Ordering::SeqCst));
    assert_eq!(server.metrics.connections.get(), 0);
}

#[tokio::test]
async fn draining_ends_although_an_answer_never_comes() {
    let server = echo::start(Limits { drain_timeout: Duration::from_millis(50), ..Limits::default() });
    let connection = echo::connect(server.address).await;
    let parked = connection.call(PARK, |_| (), b"", TIMEOUT);
    until("one request in flight", || server.metrics.in_flight_requests.get() == 1).await;
    server.cancel.cancel();
    within("the server ends", server.served).await.unwrap();
    assert!(matches!(parked.await, Err(CallError::Closed)));
    assert_eq!(server.echo.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error_and_a_left_one_is_free() {
    let server = echo::start(Limits::default());
    let taken = Server::bind(server.address, Limits::default()).err().unwrap().to_string();
    assert!(taken.contains(&format!("cannot listen on {}", server.address)), "{taken}");
    let _open = TcpStream::connect(server.address).await.unwrap();
    server.cancel.cancel();
    within("the server ends", server.served).await.unwrap();
    Server::bind(server.address, Limits::default()).unwrap();
}
