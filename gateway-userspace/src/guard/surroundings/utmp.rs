//! Logins by utmp: fixed records (utmp(5)), written by login and sshd once somebody is
//! authenticated. A record stays behind when its process dies badly, so that is asked for too.

use std::{
    mem::{offset_of, size_of},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use nix::libc::{USER_PROCESS, utmpx};

use super::{Login, MOST, address};

/// Logins from elsewhere whose process lives.
pub(super) fn logins(bytes: &[u8], is_alive: impl Fn(i32) -> bool) -> Vec<Login> {
    let records = bytes.chunks_exact(size_of::<utmpx>());
    records.filter_map(|record| login(record, &is_alive)).take(MOST).collect()
}

fn login(record: &[u8], is_alive: &impl Fn(i32) -> bool) -> Option<Login> {
    let kind = i16::from_ne_bytes(field(record, offset_of!(utmpx, ut_type))?);
    let process = i32::from_ne_bytes(field(record, offset_of!(utmpx, ut_pid))?);
    if kind != USER_PROCESS || !is_alive(process) {
        return None;
    }
    let user = text(&field::<32>(record, offset_of!(utmpx, ut_user))?);
    let from = peer(&field(record, offset_of!(utmpx, ut_addr_v6))?)
        .or_else(|| address(&text(&field::<256>(record, offset_of!(utmpx, ut_host))?)))?;
    Some(Login { user, from })
}

/// Four words in network order; an IPv4 address fills the first.
fn peer(bytes: &[u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, rest @ ..] = *bytes;
    if rest != [0; 12] {
        return Some(IpAddr::from(Ipv6Addr::from(*bytes)).to_canonical());
    }
    let v4 = Ipv4Addr::new(a, b, c, d);
    (!v4.is_unspecified()).then_some(v4.into())
}

fn field<const N: usize>(record: &[u8], at: usize) -> Option<[u8; N]> {
    record.get(at..)?.first_chunk().copied()
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as sshd on x86-64 writes it: 384 bytes, fields at these places.
    fn record(kind: i16, process: i32, host: &str, peer: &[u8]) -> Vec<u8> {
        let mut record = vec![0; size_of::<utmpx>()];
        record[..2].copy_from_slice(&kind.to_ne_bytes());
        record[4..8].copy_from_slice(&process.to_ne_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..49].copy_from_slice(b"alice");
        record[76..76 + host.len()].copy_from_slice(host.as_bytes());
        record[348..348 + peer.len()].copy_from_slice(peer);
        record
    }

    fn found(bytes: &[u8]) -> Vec<String> {
        let logins = logins(bytes, |process| process == 77);
        logins.iter().map(|login| format!("{} {}", login.user, login.from)).collect()
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn finds_who_is_logged_in_from_elsewhere() {
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 7).octets();
        let mapped = Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets();
        let file = [
            record(2, 0, "6.1.0-18-amd64", &[]),
            record(7, 77, "edge.example.net", &[192, 0, 2, 7]),
            record(7, 77, "", &v6),
            record(7, 77, "", &mapped),
            record(7, 77, "198.51.100.4", &[]),
            record(7, 77, "fe80::7%eth0", &[]),
        ]
        .concat();
        let expected = ["192.0.2.7", "2001:db8::7", "192.0.2.9", "198.51.100.4", "fe80::7"];
        assert_eq!(found(&file), expected.map(|from| format!("alice {from}")));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn others_are_nobody() {
        let peer = [192, 0, 2, 7];
        for (what, record) in [
            ("dead process", record(7, 78, "", &peer)),
            ("login prompt", record(6, 77, "", &peer)),
            ("logged out", record(8, 77, "", &peer)),
            ("console", record(7, 77, "", &[])),
            ("a name alone", record(7, 77, "host.example.net", &[])),
        ] {
            assert!(found(&record).is_empty(), "{what}");
        }
    }

    #[test]
    fn any_bytes_are_survived_and_the_list_is_bounded() {
        for length in [0, 1, 383, 385, 5000] {
            found(&vec![0xff; length]);
        }
        let endless = record(7, 77, "", &[192, 0, 2, 7]).repeat(2000);
        assert_eq!(found(&endless).len(), MOST);
    }
}
