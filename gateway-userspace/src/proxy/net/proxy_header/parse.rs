//! The two forms of a PROXY header, as the protocol's text of 2020 has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Begins every header of version 2.
pub(super) const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// A line of version 1, with its end.
pub(super) const LONGEST_V1: usize = 107;

/// Addresses and TLVs of version 2: those in use (ALPN, host name, certificate, cloud ids) come to
/// some hundred bytes.
pub(super) const LONGEST_V2: usize = 2048;

const IPV4: usize = 12;
const IPV6: usize = 36;

/// Why a header cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("malformed")]
    Malformed,
    #[error("too long")]
    TooLong,
    #[error("neither TCP over IPv4 nor over IPv6")]
    Family,
    #[error("malformed TLVs")]
    Tlv,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Client(SocketAddr),
    /// The proxy's own: a health check, or a client it does not name.
    Proxy,
}

/// Whether a line of version 1 can begin like this.
pub(super) fn may_begin(line: &[u8]) -> bool {
    line.starts_with(b"PROXY ") && !line.contains(&b'\n')
}

/// A whole line of version 1, with its end.
pub(super) fn first(line: &[u8]) -> Result<Source, Fault> {
    let line = line.strip_suffix(b"\r\n").ok_or(Fault::Malformed)?;
    let text = std::str::from_utf8(line).or(Err(Fault::Malformed))?;
    let rest = text.strip_prefix("PROXY ").ok_or(Fault::Malformed)?;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Ok(Source::Proxy);
    }
    let words: Vec<&str> = rest.split(' ').collect();
    let [family, source, destination, source_port, destination_port] = words.as_slice() else {
        return Err(Fault::Malformed);
    };
    let (source, _) = match *family {
        "TCP4" => (address::<Ipv4Addr>(source)?, address::<Ipv4Addr>(destination)?),
        "TCP6" => (address::<Ipv6Addr>(source)?, address::<Ipv6Addr>(destination)?),
        _ => return Err(Fault::Family),
    };
    port(destination_port)?;
    Ok(Source::Client(SocketAddr::new(source, port(source_port)?)))
}

fn address<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Fault> {
    text.parse::<A>().map(Into::into).or(Err(Fault::Malformed))
}

/// Digits without a sign or leading zeros, as the text has it.
fn port(text: &str) -> Result<u16, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = plain && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain).ok_or(Fault::Malformed)
}

/// What follows the signature and the length of version 2.
pub(super) fn second(command: u8, family: u8, rest: &[u8]) -> Result<Source, Fault> {
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::Malformed),
    };
    if local {
        // Whatever it says of addresses is to be ignored.
        return Ok(Source::Proxy);
    }
    let (source, tlvs) = match family {
        0x11 => {
            let (addresses, tlvs) = rest.split_first_chunk::<IPV4>().ok_or(Fault::Malformed)?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let port = u16::from_be_bytes([high, low]);
            (SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port), tlvs)
        }
        0x21 => {
            let (addresses, tlvs) = rest.split_first_chunk::<IPV6>().ok_or(Fault::Malformed)?;
            let (source, others) = addresses.split_first_chunk::<16>().ok_or(Fault::Malformed)?;
            let (_, ports) = others.split_first_chunk::<16>().ok_or(Fault::Malformed)?;
            let [high, low, ..] = *ports else { return Err(Fault::Malformed) };
            let port = u16::from_be_bytes([high, low]);
            (SocketAddr::new(Ipv6Addr::from(*source).into(), port), tlvs)
        }
        // The proxy does not say who it is.
        0x00 => return Ok(Source::Proxy),
        _ => return Err(Fault::Family),
    };
    walk(tlvs)?;
    Ok(Source::Client(source))
}

/// None of them is used; but what does not add up was not written by a proxy.
fn walk(mut tlvs: &[u8]) -> Result<(), Fault> {
    while let [_, high, low, rest @ ..] = tlvs {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        tlvs = rest.get(length..).ok_or(Fault::Tlv)?;
    }
    if tlvs.is_empty() { Ok(()) } else { Err(Fault::Tlv) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(text: &str) -> Source {
        Source::Client(text.parse().unwrap())
    }

    #[test]
    fn reads_lines_of_version_1() {
        let v4 = first(b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\r\n");
        assert_eq!(v4, Ok(client("203.0.113.7:56324")));
        assert_eq!(first(b"PROXY TCP6 2001:db8::7 ::1 1 443\r\n"), Ok(client("[2001:db8::7]:1")));
        assert_eq!(first(b"PROXY UNKNOWN\r\n"), Ok(Source::Proxy));
        assert_eq!(first(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Ok(Source::Proxy));
    }

    #[test]
    fn refuses_lines_that_are_not_as_the_text_says() {
        for line in [
            "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443\n",
            "PROXY  TCP4 203.0.113.7 192.0.2.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 56324\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 56324 443 \r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 056 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 +56 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
            "PROXY TCP4 203.0.113.07 192.0.2.1 56324 443\r\n",
            "PROXY TCP4 2001:db8::7 ::1 1 443\r\n",
            "PROXY TCP6 203.0.113.7 192.0.2.1 1 443\r\n",
            "PROXY UDP4 203.0.113.7 192.0.2.1 1 443\r\n",
            "proxy TCP4 203.0.113.7 192.0.2.1 1 443\r\n",
            "PROXY UNKNOWNS\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            assert!(first(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn reads_version_2_with_and_without_tlvs() {
        let mut v4 = vec![203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 1, 187];
        assert_eq!(second(0x21, 0x11, &v4), Ok(client("203.0.113.7:56324")));
        v4.extend([0x01, 0, 2, b'h', b'2', 0x04, 0, 0]);
        assert_eq!(second(0x21, 0x11, &v4), Ok(client("203.0.113.7:56324")));
        let mut v6 = [0; 36];
        (v6[0], v6[1], v6[15], v6[33]) = (0x20, 0x01, 7, 9);
        assert_eq!(second(0x21, 0x21, &v6), Ok(client("[2001::7]:9")));
        assert_eq!(second(0x20, 0x00, &[]), Ok(Source::Proxy));
        assert_eq!(second(0x21, 0x00, &[]), Ok(Source::Proxy));
    }

    #[test]
    fn refuses_version_2_that_does_not_add_up() {
        let v4 = [203, 0, 113, 7, 192, 0, 2, 1, 0xdc, 0x04, 1, 187];
        assert_eq!(second(0x21, 0x11, &v4[..11]), Err(Fault::Malformed));
        assert_eq!(second(0x22, 0x11, &v4), Err(Fault::Malformed));
        assert_eq!(second(0x11, 0x11, &v4), Err(Fault::Malformed));
        for family in [0x12, 0x22, 0x31, 0x32, 0xff] {
            assert_eq!(second(0x21, family, &v4), Err(Fault::Family));
        }
        for tlvs in [&[1][..], &[1, 0], &[1, 0, 2, 3], &[1, 0, 0, 9]] {
            let whole = [&v4[..], tlvs].concat();
            assert_eq!(second(0x21, 0x11, &whole), Err(Fault::Tlv), "{tlvs:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(line in prop::collection::vec(any::<u8>(), 0..160), command: u8, family: u8) {
            let _first = first(&line);
            let _second = second(command, family, &line);
        }
    }
}
