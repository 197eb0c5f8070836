//! One reading of the host a request is for (RFC 9112 section 3.2, RFC 9113 section 8.3.1).

use std::net::Ipv6Addr;

use http::{HeaderMap, HeaderValue, Uri, header::HOST};

/// Longest name (RFC 1035) with a port.
const LONGEST: usize = 255 + 6;

/// Why a request names no host, or more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostFault {
    #[error("no host")]
    Missing,
    #[error("more than one Host field")]
    Several,
    #[error("Host and request target differ")]
    Differ,
    #[error("not a host")]
    Malformed,
}

/// The host as sent, and as routes compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    pub(crate) sent: HeaderValue,
    /// Lower case, without port and final dot.
    pub(crate) name: String,
}

/// Reads the host from the target's authority and the `Host` field; both must agree.
pub(crate) fn read(uri: &Uri, headers: &HeaderMap) -> Result<Host, HostFault> {
    let mut fields = headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(HostFault::Several);
    }
    let sent = match (uri.authority(), field) {
        (None, None) => return Err(HostFault::Missing),
        (None, Some(field)) => field.clone(),
        (Some(authority), field) => {
            let value = HeaderValue::from_str(authority.as_str()).or(Err(HostFault::Malformed))?;
            if field.is_some_and(|field| !field.as_bytes().eq_ignore_ascii_case(value.as_bytes())) {
                return Err(HostFault::Differ);
            }
            value
        }
    };
    let name = name(sent.to_str().or(Err(HostFault::Malformed))?)?;
    Ok(Host { sent, name })
}

fn name(sent: &str) -> Result<String, HostFault> {
    if sent.is_empty() {
        return Err(HostFault::Missing);
    }
    if sent.len() > LONGEST {
        return Err(HostFault::Malformed);
    }
    if let Some(rest) = sent.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostFault::Malformed)?;
        let address: Ipv6Addr = address.parse().or(Err(HostFault::Malformed))?;
        return lawful_port(port).then(|| format!("[{address}]")).ok_or(HostFault::Malformed);
    }
    let (name, port) = sent.split_at(sent.find(':').unwrap_or(sent.len()));
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.split('.').all(|label| !label.is_empty() && label.bytes().all(letter));
    if !labels || !lawful_port(port) {
        return Err(HostFault::Malformed);
    }
    Ok(name.to_ascii_lowercase())
}

fn letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// Nothing, or a colon and a port.
fn lawful_port(port: &str) -> bool {
    let Some(digits) = port.strip_prefix(':') else { return port.is_empty() };
    !digits.starts_with('+') && digits.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_names_and_addresses_without_port_case_and_final_dot() {
        for (sent, name) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8443", "example.com"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:DB8::1]:443", "[2001:db8::1]"),
        ] {
            assert_eq!(super::name(sent).as_deref(), Ok(name), "{sent}");
        }
    }

    #[test]
    fn refuses_what_is_no_host() {
        for sent in [
            "a b",
            "a,b",
            "user@host",
            "host:",
            "host:99999",
            "host:+80",
            "a..b",
            ".",
            "a/b",
            "[::1",
            "[::g]",
            "host:80:80",
            "a#b",
            "a?b",
            "a\\b",
        ] {
            assert!(name(sent).is_err(), "{sent}");
        }
    }

    #[test]
    fn refuses_two_hosts_and_none() {
        let uri = Uri::from_static("https://a.example/x");
        let path = Uri::from_static("/x");
        let one = HeaderMap::from_iter([(HOST, HeaderValue::from_static("a.example"))]);
        let other = HeaderMap::from_iter([(HOST, HeaderValue::from_static("b.example"))]);
        let mut both = one.clone();
        both.append(HOST, HeaderValue::from_static("a.example"));

        assert_eq!(read(&uri, &one).map(|host| host.name).as_deref(), Ok("a.example"));
        assert_eq!(read(&uri, &HeaderMap::new()).map(|host| host.name).as_deref(), Ok("a.example"));
        assert_eq!(read(&uri, &other), Err(HostFault::Differ));
        assert_eq!(read(&path, &both), Err(HostFault::Several));
        assert_eq!(read(&path, &HeaderMap::new()), Err(HostFault::Missing));
    }

    proptest! {
        #[test]
        fn a_read_name_reads_as_itself(sent in "[-a-zA-Z0-9.:_\\[\\]@/ ]{0,30}") {
            if let Ok(once) = name(&sent) {
                let again = name(&once);
                prop_assert_eq!(again.as_ref(), Ok(&once));
            }
        }
    }
}
