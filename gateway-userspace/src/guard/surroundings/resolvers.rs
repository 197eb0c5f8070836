//! Name servers, from resolv.conf(5).

use std::net::IpAddr;

use super::{MOST, address};

pub(super) fn resolvers(text: &str) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next()? == "nameserver").then(|| address(words.next()?))?
    };
    text.lines().filter_map(server).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_servers_of_both_families_and_nothing_else() {
        let text = "# nameserver 192.0.2.1\n; no\nsearch example.net\nnameserver 192.0.2.53\n  nameserver\t2001:db8::53 # second\nnameserver fe80::1%eth0\nnameserver\nnameserver here\noptions edns0\n";
        let expected = ["192.0.2.53", "2001:db8::53", "fe80::1"];
        assert_eq!(resolvers(text), expected.map(|text| text.parse::<IpAddr>().unwrap()));
    }
}
