//! One spelling for an address: a mapped IPv4 address is the IPv4 one, a prefix has no host bits,
//! and a source is what one subscriber holds.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Bits of the prefix that one IPv6 subscriber commonly holds whole.
const SUBSCRIBER_BITS: u8 = 64;

/// Prefix of the IPv4-mapped addresses, `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

/// `address` itself, or the IPv4 address it carries.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `net` without host bits, as IPv4 where it lies within the mapped range.
pub(crate) fn canonical_net(net: IpNet) -> IpNet {
    mapped(net).unwrap_or(net).trunc()
}

/// What strikes are counted by, and banned by: an IPv4 address, or an IPv6 /64.
pub(crate) fn source(address: IpAddr) -> IpNet {
    match canonical(address) {
        IpAddr::V4(v4) => Ipv4Net::from(v4).into(),
        IpAddr::V6(v6) => subscriber(v6),
    }
}

/// Whether the two have an address in common.
pub(crate) fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

fn mapped(net: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = net else { return None };
    let bits = v6.prefix_len().checked_sub(MAPPED_BITS)?;
    let v4 = v6.addr().to_ipv4_mapped()?;
    Ipv4Net::new(v4, bits).ok().map(IpNet::from)
}

fn subscriber(address: Ipv6Addr) -> IpNet {
    Ipv6Net::new(address, SUBSCRIBER_BITS).unwrap_or_else(|_| Ipv6Net::from(address)).trunc().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_addresses_are_ipv4_and_host_bits_go() {
        for (given, expected) in [
            ("::ffff:192.0.2.1/128", "192.0.2.1/32"),
            ("::ffff:192.0.2.77/120", "192.0.2.0/24"),
            ("192.0.2.77/24", "192.0.2.0/24"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(canonical_net(given.parse().unwrap()), expected.parse::<IpNet>().unwrap());
        }
    }

    #[test]
    fn an_ipv6_source_is_its_64_and_an_ipv4_source_is_itself() {
        for (given, expected) in [
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ] {
            assert_eq!(source(given.parse().unwrap()), expected.parse::<IpNet>().unwrap());
        }
    }
}
