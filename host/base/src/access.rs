//! Networks that the operator named, and who may do something: loopback and these.

use std::net::IpAddr;

/// A network: `10.1.0.0/16`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_len: u8,
}

/// Networks as a set of addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Reads addresses and networks.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, AccessError> {
        entries.iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>().map(Networks)
    }

    /// Whether `address` is in one of them; an IPv4 address written as IPv6 is the IPv4 address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Loopback is always on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessList(Networks);

/// An entry is neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is neither an address nor a network such as 10.1.0.0/16")]
pub struct AccessError {
    /// The entry.
    pub found: String,
}

impl AccessList {
    /// Reads addresses and networks.
    pub fn parse(entries: &[impl AsRef<str>]) -> Result<Self, AccessError> {
        Networks::parse(entries).map(AccessList)
    }

    /// Whether the peer at `address` may.
    pub fn allows(&self, address: IpAddr) -> bool {
        address.to_canonical().is_loopback() || self.0.contain(address)
    }
}

fn network(entry: &str) -> Result<Network, AccessError> {
    let refused = || AccessError { found: entry.to_owned() };
    let (address, prefix_len) = match entry.split_once('/') {
        Some((address, len)) => (address, Some(len.parse::<u8>().map_err(|_| refused())?)),
        None => (entry, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| refused())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix_len = prefix_len.unwrap_or(longest);
    if prefix_len > longest {
        return Err(refused());
    }
    Ok(Network { address, prefix_len })
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits() ^ other.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= u32::from(self.prefix_len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_named_networks_only() {
        let list = AccessList::parse(&["10.1.0.0/16", "192.168.1.7", "fd00::/8"]).unwrap();
        for (address, allowed) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.255.1", true),
            ("10.2.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(list.allows(address.parse().unwrap()), allowed, "{address}");
        }
        assert!(!AccessList::default().allows("10.1.0.1".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in ["", "10.1.0.0/33", "10.1/16", "host", "::/129", "10.0.0.0/x"] {
            assert!(AccessList::parse(&[bad]).is_err(), "{bad}");
        }
    }
}
