//! The address a request counts under: IPv4 whole, IPv6 by its /64, since one host owns all of it.

use std::net::{IpAddr, Ipv6Addr};

/// Lower half of an IPv6 address.
const INTERFACE: u128 = u64::MAX as u128;

/// `address` as limits and connection counts see it.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !INTERFACE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_one_ipv6_network_as_one_source_and_ipv4_by_address() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        let c: IpAddr = "2001:db8:1:3::1".parse().unwrap();
        assert_eq!(counted(a), counted(b));
        assert_ne!(counted(a), counted(c));
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(counted(v4), v4);
    }
}
