//! Web origins (RFC 6454): one reading, so that a comparison of two is a comparison of all they are.

/// A scheme, a host and a port that is not the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    pub scheme: String,
    /// Lower case; IPv6 in brackets.
    pub host: String,
    pub port: Option<u16>,
}

/// What an origin is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Exact(Origin),
    /// One or more whole labels in front of the host.
    Below(Origin),
    /// The opaque origin that files, sandboxed frames and redirects have: it is nobody's.
    Null,
}

const LONGEST: usize = 255;

impl Origin {
    /// Reads `scheme://host` or `scheme://host:port` as a browser writes it, and nothing else.
    pub fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (host, port) = split_port(rest)?;
        let lawful_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
            && scheme.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.'));
        let own = match scheme {
            "https" => Some(443),
            "http" => Some(80),
            _ => None,
        };
        (lawful_scheme && lawful_host(host)).then(|| Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.filter(|port| Some(*port) != own),
        })
    }

    /// Whether the origin is of this machine alone.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl Pattern {
    pub fn read(text: &str) -> Option<Self> {
        if text == "null" {
            return Some(Self::Null);
        }
        let Some((scheme, rest)) = text.split_once("://*.") else {
            return Origin::read(text).map(Self::Exact);
        };
        Origin::read(&format!("{scheme}://{rest}")).map(Self::Below)
    }

    /// Whether what a request says of its origin is meant.
    pub fn matches(&self, sent: &str) -> bool {
        match self {
            Self::Null => sent == "null",
            Self::Exact(origin) => Origin::read(sent).as_ref() == Some(origin),
            Self::Below(origin) => Origin::read(sent).is_some_and(|sent| {
                // All labels of a host that was read are whole.
                let below = sent.host.strip_suffix(&origin.host);
                sent.scheme == origin.scheme
                    && sent.port == origin.port
                    && below.is_some_and(|labels| labels.len() > 1 && labels.ends_with('.'))
            }),
        }
    }
}

fn split_port(rest: &str) -> Option<(&str, Option<u16>)> {
    let end = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let (before, after) = rest.split_at_checked(end)?;
    let Some((name, port)) = after.split_once(':') else { return Some((rest, None)) };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let host = rest.get(..before.len() + name.len())?;
    digits.then(|| port.parse().ok()).flatten().map(|port| (host, Some(port)))
}

fn lawful_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse().ok());
        return address.is_some_and(|v6: std::net::Ipv6Addr| format!("[{v6}]") == host);
    }
    let lawful = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(lawful);
    host.len() <= LONGEST && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, origin: &str) -> bool {
        Pattern::read(pattern).unwrap().matches(origin)
    }

    #[test]
    fn an_exact_origin_is_itself_and_nothing_near_it() {
        let own = "https://app.example.com";
        assert!(matches(own, own) && matches(own, "https://app.example.com:443"));
        for other in [
            "http://app.example.com",
            "https://app.example.com:444",
            "https://app.example.com.",
            "https://app.example.com.evil.net",
            "https://app.example.com/",
            "https://app.example.com@evil.net",
            "https://APP.example.com",
            "https://evil-app.example.com",
            "https://appxexample.com",
            "https://app.example.com https://evil.net",
            "https://app.example.com%00.evil.net",
            "https://app.example.com#",
            "app.example.com",
            "null",
            "",
        ] {
            assert!(!matches(own, other), "{other}");
        }
    }

    #[test]
    fn a_pattern_takes_whole_labels_only() {
        let below = "https://*.example.com";
        assert!(
            matches(below, "https://a.example.com") && matches(below, "https://a.b.example.com")
        );
        for other in [
            "https://example.com",
            "https://.example.com",
            "https://a..example.com",
            "https://evil-example.com",
            "https://evilexample.com",
            "https://example.com.evil.net",
            "https://a.example.com.evil.net",
            "https://evil.net/.example.com",
            "https://evil.net?.example.com",
            "https://evil.net\\.example.com",
            "https://evil.net`.example.com",
            "https://evil.net:1.example.com",
            "https://user@a.example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "null",
        ] {
            assert!(!matches(below, other), "{other}");
        }
        assert!(matches("https://*.example.com:8443", "https://a.example.com:8443"));
    }

    #[test]
    fn null_is_only_what_is_written() {
        assert!(matches("null", "null") && !matches("null", "https://null"));
        for text in ["*", "https://*", "https://", "https://a b", "https://a:", "https://a:+1"] {
            assert_eq!(Pattern::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_matches_a_pattern_ends_with_it(sent in "https://[-a-z.:/@*0-9]{0,24}example.com") {
            if matches("https://*.example.com", &sent) {
                let labels = sent.strip_prefix("https://").unwrap();
                let labels = labels.strip_suffix(".example.com").unwrap();
                prop_assert!(labels.split('.').all(|label| !label.is_empty()));
                prop_assert!(!labels.contains([':', '/', '@', '*']));
            }
        }
    }
}
