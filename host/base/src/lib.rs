//! What std lacks and every crate above needs: a growing position with waiters ([`watermark`]), the disk behind one small
//! trait ([`disk`]), a file replaced so that a crash leaves the old or the new one ([`durable`]), JSON that carries its checksum
//! ([`sealed`]), time as a value ([`clock`]) and metric sources that their owner exposes ([`metric`]).
//!
//! It knows nothing of messages, sockets or runtimes.

pub mod access;
pub mod clock;
pub mod disk;
pub mod durable;
pub mod metric;
pub mod sealed;
pub mod watermark;
