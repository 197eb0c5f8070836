//! Default gateways, from the kernel's tables of routes (proc(5)).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::MOST;

/// `RTF_GATEWAY`
const GATEWAY: u32 = 2;

/// Columns: interface, destination, gateway and flags in hexadecimal, four others, the mask.
pub(super) fn gateways4(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().take(8).collect();
        let [_, destination, gateway, flags, _, _, _, mask] = *columns else { return None };
        let is_default = destination == "00000000" && mask == "00000000";
        let flags = u32::from_str_radix(flags, 16).ok()?;
        // The bytes of memory, printed as one number.
        let bytes = u32::from_str_radix(gateway, 16).ok()?.to_ne_bytes();
        (is_default && flags & GATEWAY != 0).then(|| Ipv4Addr::from(bytes).into())
    };
    table.lines().filter_map(gateway).take(MOST).collect()
}

/// Columns: destination, its length, source, its length, next hop, three others, flags, interface.
pub(super) fn gateways6(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().take(9).collect();
        let [_, length, _, _, hop, _, _, _, flags] = *columns else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let hop = u128::from_str_radix(hop, 16).ok()?;
        (length == "00" && flags & GATEWAY != 0).then(|| Ipv6Addr::from(hop).into())
    };
    table.lines().filter_map(gateway).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t0000000A\t0100000A\t0003\t0\t0\t0\t000000FF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
";
    const ROUTES6: &str = "\
20010db8000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

    #[test]
    #[cfg(target_endian = "little")]
    fn finds_default_gateways_and_no_other_hop() {
        assert_eq!(gateways4(ROUTES4), [IpAddr::from([192, 0, 2, 1])]);
        let router: IpAddr = "fe80::1".parse().unwrap();
        assert_eq!(gateways6(ROUTES6), [router]);
    }

    #[test]
    fn lines_that_are_none_are_nothing() {
        for text in ["", "\n\n", "eth0 zz zz zz zz zz zz zz", "a b c d e f g h i", "\u{fffd}"] {
            assert!(gateways4(text).is_empty() && gateways6(text).is_empty(), "{text:?}");
        }
    }
}
