//! Where a client stands, by its address.

use std::{net::IpAddr, sync::Arc};

use gantry_base::access::Networks;

/// Zones of clients: networks by name, the first that contains an address counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones(Vec<(Arc<str>, Networks)>);

impl Zones {
    /// Zones in this order.
    pub fn new(zones: impl IntoIterator<Item = (Arc<str>, Networks)>) -> Self {
        Zones(zones.into_iter().collect())
    }

    /// The zone of a client: of the address that its id begins with (`10.0.0.1@…`, as every RocketMQ client has it), else of
    /// the one that it is connected from. Its id comes first because every broker sees the same.
    pub fn of_client(&self, client_id: &str, connected_from: IpAddr) -> Option<Arc<str>> {
        if self.0.is_empty() {
            return None;
        }
        let named = client_id.split('@').next().and_then(|host| host.parse().ok());
        self.of(named.unwrap_or(connected_from))
    }

    fn of(&self, address: IpAddr) -> Option<Arc<str>> {
        self.0.iter().find(|(_, networks)| networks.contain(address)).map(|(name, _)| name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_stands_where_its_id_or_its_connection_says() {
        let zone = |name: &str, networks: &[&str]| (Arc::from(name), Networks::parse(networks).unwrap());
        let zones = Zones::new([zone("az1", &["10.1.0.0/16", "fd00:1::/32"]), zone("az2", &["10.0.0.0/8"])]);
        for (client_id, address, expected) in [
            ("10.1.2.3@7#8", "10.2.0.1", Some("az1")),
            ("10.2.2.3@7", "10.1.0.1", Some("az2")),
            ("fd00:1::7@DEFAULT", "10.2.0.1", Some("az1")),
            ("host@7", "10.1.0.1", Some("az1")),
            ("", "::ffff:10.1.0.1", Some("az1")),
            ("192.168.0.1@7", "10.1.0.1", None),
        ] {
            let found = zones.of_client(client_id, address.parse().unwrap());
            assert_eq!(found.as_deref(), expected, "{client_id} from {address}");
        }
        assert_eq!(Zones::default().of_client("10.1.2.3@7", "10.1.0.1".parse().unwrap()), None);
    }
}
