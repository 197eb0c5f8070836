//! A supplier's target: `https://host:port`, `http://…` or `h2c://…`.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::{
    defaults,
    model::{Host, Protocol, Target},
};

/// What is wrong and what to write.
type Wrong = (&'static str, &'static str);

const FORM: Wrong = ("is not a target", "write one such as \"https://ledger.example.net:8443\"");

/// Reads one target. Nothing behind host and port is taken: the route's path goes there.
pub(in crate::config) fn parse(text: &str, protocol: Protocol) -> Result<Target, Wrong> {
    let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    let (tls, port, protocol) = match (scheme, protocol) {
        ("https", protocol) => (true, 443, protocol),
        ("http", protocol) => (false, 80, protocol),
        ("h2c", Protocol::Auto | Protocol::Http2) => (false, 80, Protocol::Http2),
        ("h2c", Protocol::Http1) => {
            return Err((
                "is h2, and protocol says \"http1\"",
                "write http:// or leave protocol out",
            ));
        }
        _ => return Err(("has an unknown scheme", "write https://, http:// or h2c://")),
    };
    if authority.contains('@') {
        return Err(("carries a user name", "leave it out; no credential stands in this file"));
    }
    if authority.contains(['/', '?', '#']) {
        return Err(("has a path", "write host and port only; the request's path is kept"));
    }
    let (host, written_port) = split(authority)?;
    let port = written_port.map_or(Ok(port), parse_port)?;
    Ok(Target { tls, host: parse_host(host)?, port, protocol, weight: defaults::WEIGHT })
}

/// Host and port; an IPv6 address stands in brackets.
fn split(authority: &str) -> Result<(&str, Option<&str>), Wrong> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(FORM)?;
        let (host, rest) = authority.split_at_checked(end + 1).ok_or(FORM)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(FORM),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(("has an IPv6 address without brackets", "write it as https://[2001:db8::1]:443"))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn parse_port(text: &str) -> Result<u16, Wrong> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if digits { text.parse().unwrap_or(0) } else { 0 };
    if port == 0 { Err(("has no lawful port", "write a port from 1 to 65535")) } else { Ok(port) }
}

fn parse_host(text: &str) -> Result<Host, Wrong> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = inner.parse().ok().ok_or(FORM)?;
        return Ok(Host::Address(IpAddr::V6(address)));
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Host::Address(address));
    }
    host_name(text).map(Host::Name).ok_or(FORM)
}

/// A DNS name in lower case (RFC 1123 section 2.1), or nothing.
pub(super) fn host_name(text: &str) -> Option<String> {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(lawful)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Resolvers read an all-digit last label as an address: 127.1, 2130706433.
    let numeric =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    let hexadecimal = text.rsplit('.').next().is_some_and(|last| last.starts_with("0x"));
    let fits = text.len() <= 253 && !numeric && !hexadecimal;
    (fits && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(tls: bool, host: Host, port: u16, protocol: Protocol) -> Target {
        Target { tls, host, port, protocol, weight: 1 }
    }

    #[test]
    fn reads_names_addresses_and_ports() {
        let name = |name: &str| Host::Name(name.to_owned());
        let read = |text| parse(text, Protocol::Auto).unwrap();
        assert_eq!(read("https://A.example"), target(true, name("a.example"), 443, Protocol::Auto));
        assert_eq!(read("http://a:8080/"), target(false, name("a"), 8080, Protocol::Auto));
        let v6 = Host::Address("2001:db8::1".parse().unwrap());
        assert_eq!(read("h2c://[2001:db8::1]:50051"), target(false, v6, 50_051, Protocol::Http2));
        let v4 = Host::Address("192.0.2.7".parse().unwrap());
        assert_eq!(read("https://192.0.2.7"), target(true, v4, 443, Protocol::Auto));
    }

    #[test]
    fn refuses_what_leads_elsewhere_than_it_seems() {
        for text in [
            "",
            "ledger",
            "ftp://a",
            "https://",
            "https://:443",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a:+1",
            "https://u:p@a",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://2001:db8::1",
            "https://[::1",
            "https://[::1]x",
            "https://[a]",
            "https://127.1",
            "https://2130706433",
            "https://0x7f000001",
            "https://a..b",
            "https://-a",
            "https://a b",
            "https://a%00",
        ] {
            assert!(parse(text, Protocol::Auto).is_err(), "{text}");
        }
        assert!(parse("h2c://a", Protocol::Http1).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in any::<String>(), authority in "[a-z:/\\[\\]@.0-9é]{0,20}") {
            drop(parse(&text, Protocol::Auto));
            drop(parse(&format!("https://{authority}"), Protocol::Auto));
        }
    }
}
