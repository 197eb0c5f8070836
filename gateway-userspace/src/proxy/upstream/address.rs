//! Which addresses a supplier may have. Stops a name under a stranger's control from turning the
//! gateway against its own machine or a cloud's metadata service (SSRF, DNS rebinding); private
//! ranges stay allowed, as most suppliers live there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The NAT64 prefix `64:ff9b::/96` (RFC 6052): the IPv4 address is in the last 32 bits.
const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];

/// Whether a supplier may stand at `address`; `local` ones also inside this machine.
pub(in crate::proxy) fn permitted(address: IpAddr, local: bool) -> bool {
    let canonical = address.to_canonical();
    // No connection leads there, `local` or not.
    let nowhere = canonical.is_unspecified() || canonical.is_multicast();
    !nowhere && (local || is_remote(canonical))
}

fn is_remote(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => is_remote_v4(v4),
        IpAddr::V6(v6) => match embedded(v6) {
            Some(v4) => is_remote_v4(v4),
            None => is_remote_v6(v6),
        },
    }
}

fn is_remote_v4(v4: Ipv4Addr) -> bool {
    let this_network = v4.octets().first() == Some(&0);
    !(this_network
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast())
}

fn is_remote_v6(v6: Ipv6Addr) -> bool {
    !(v6.is_unspecified() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_multicast())
}

/// The IPv4 address inside a NAT64 or an IPv4-compatible address (`::a.b.c.d`, RFC 4291).
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [prefix @ .., high, low] = v6.segments();
    let compatible = prefix == [0; 6] && high != 0;
    (compatible || prefix == NAT64)
        .then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_points_at_this_machine_or_its_link_in_every_spelling() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!permitted(text.parse().unwrap(), false), "{text}");
        }
    }

    #[test]
    fn a_local_supplier_may_stand_in_this_machine_but_not_nowhere() {
        for inside in ["127.0.0.1", "127.8.8.8", "169.254.169.254", "::1", "fe80::1"] {
            assert!(permitted(inside.parse().unwrap(), true), "{inside}");
        }
        for nowhere in ["0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "ff02::1"] {
            assert!(!permitted(nowhere.parse().unwrap(), true), "{nowhere}");
        }
    }

    #[test]
    fn allows_public_and_private_addresses() {
        for text in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1", "64:ff9b::c000:201"] {
            assert!(permitted(text.parse().unwrap(), false), "{text}");
        }
    }
}
