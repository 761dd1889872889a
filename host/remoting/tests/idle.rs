//! What idle connections cost; alone in its process, because it measures the process.

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::BytesMut;
    use gantry_protocol::{
        frame::{Codec, Frame, FrameWriter},
        header::Head,
    };
    use gantry_remoting::{Limits, Peer, Replies, Server, Service};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };
    use tokio_util::sync::CancellationToken;

    struct Acknowledge;

    impl Service for Acknowledge {
        type Session = ();

        fn open(&self, _: &Peer) {}

        fn serve(&self, (): &mut (), requests: &[Frame<'_>], replies: &mut Replies) {
            for request in requests {
                let head = Head::response(0, request.header.opaque, None);
                FrameWriter::new(replies.now(), Codec::Json, &head).finish(b"");
            }
        }

        fn close(&self, (): ()) {}
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn idle_connections_cost_little() {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).unwrap();
        let (address, metrics) = (server.local_addr(), server.metrics());
        tokio::spawn(server.serve(Arc::new(Acknowledge), CancellationToken::new()));
        let mut request = BytesMut::new();
        FrameWriter::new(&mut request, Codec::Json, &Head::request(1, 1)).finish(&[0; 1000]);

        let used_once = async || {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(&request).await.unwrap();
            let mut reply = [0; 50];
            socket.read_exact(&mut reply).await.unwrap();
            // An unfinished frame is all that a connection keeps.
            socket.write_all(&request[..50]).await.unwrap();
            socket
        };
        let mut idle = Vec::new();
        // Warm up: buffers, the runtime, the allocator.
        for _ in 0..50 {
            idle.push(used_once().await);
        }
        // Both ends take a descriptor of this process.
        let count = if open_files_max() > 8_000 { 3_000 } else { 400 };
        let before = resident_bytes();
        for _ in 0..count {
            idle.push(used_once().await);
        }
        let each = resident_bytes().saturating_sub(before) / count;
        assert!(each < 4 << 10, "an idle connection and its client's end take {each} bytes");
        assert_eq!(metrics.connections.get(), idle.len() as i64);
    }

    fn resident_bytes() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    fn open_files_max() -> usize {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
    }
}
