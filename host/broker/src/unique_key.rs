//! The UNIQ_KEY of a message whose producer gave it none.

use std::{
    net::IpAddr,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::options::BrokerOptions;

/// A key that no other message has: address, process, time and a counter in upper-case hex, 32 characters for IPv4 and 56
/// for IPv6. Clients treat it as opaque; the shape is RocketMQ's `MessageClientIDSetter` with the clock's low bits.
pub(crate) fn generate(options: &BrokerOptions) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id() as u16;
    let now_ms = options.clock.now_ms();
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // A counter of 16 bits could wrap within a millisecond under load: the time's field carries its high bits too.
    let (high, low) = ((now_ms as u32).wrapping_add(count >> 16), count as u16);
    let epoch = (now_ms >> 32) as u32;
    match options.advertised.ip() {
        IpAddr::V4(ip) => format!("{:08X}{process:04X}{epoch:08X}{high:08X}{low:04X}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032X}{process:04X}{epoch:08X}{high:08X}{low:04X}", u128::from(ip)),
    }
}
