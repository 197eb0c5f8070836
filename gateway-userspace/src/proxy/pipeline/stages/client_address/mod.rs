//! Who asks: the peer, or whom a trusted proxy names in the one field it is believed in (RFC 7239,
//! X-Forwarded-For). Stops forged client addresses (CWE-348, CWE-290) and takes every other claim
//! out of the request. What is behind an untrusted address is never believed, whoever passes it on.

mod claim;

use std::{net::IpAddr, rc::Rc};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::{
    config::model::{Config, Forwarded},
    proxy::pipeline::{
        context::{Claims, Peer, RequestContext},
        decision::Decision,
    },
};

/// Proxies in a row that are followed, at most.
const HOPS: usize = 16;

/// Whom to believe, and in what.
#[derive(Debug)]
pub(crate) struct ClientAddress {
    trusted: Vec<IpNet>,
    field: Forwarded,
    stripped: Vec<HeaderName>,
}

impl ClientAddress {
    pub(crate) fn from_config(config: &Config) -> Self {
        let names = config.proxy.client_fields.iter();
        Self {
            trusted: config.kernel.trusted_proxies.clone(),
            field: config.proxy.forwarded,
            stripped: names
                .filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok())
                .collect(),
        }
    }

    pub(crate) fn check(&self, context: &mut RequestContext) -> Decision {
        // Few peers are proxies; all others are done here.
        if context.peer.behind_proxy {
            let (client, claims) = self.read(context.peer.source, &context.head.headers);
            context.claims = claims;
            if client != context.peer.source {
                let peer = Peer::clone(&context.peer);
                context.peer = Rc::new(Peer { source: client, ..peer });
            }
        }
        self.strip(&mut context.head.headers);
        Decision::Continue
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client, and what is said of its request. Each proxy vouches for the one before it, and
    /// for what that one was asked.
    fn read(&self, peer: IpAddr, headers: &HeaderMap) -> (IpAddr, Claims) {
        let mut client = peer;
        let mut claims = Claims::default();
        if self.is_trusted(peer) {
            let hops = match self.field {
                Forwarded::XForwardedFor => claim::x_forwarded_for(headers, HOPS),
                Forwarded::Forwarded => claim::forwarded(headers, HOPS),
                Forwarded::None => Vec::new(),
            };
            if self.field == Forwarded::XForwardedFor {
                claims = claim::x_forwarded(headers);
            }
            for hop in hops {
                let Some(address) = hop.address.filter(|_| self.is_trusted(client)) else { break };
                client = address;
                if self.field == Forwarded::Forwarded {
                    claims = hop.claims;
                }
            }
        }
        claims.client = !self.is_trusted(client);
        (client, claims)
    }

    /// One pass over the names: nearly no request has any of these.
    fn strip(&self, headers: &mut HeaderMap) {
        let found: Vec<HeaderName> =
            headers.keys().filter(|name| self.is_stripped(name.as_str())).cloned().collect();
        for name in found {
            headers.remove(name);
        }
    }

    /// CGI heirs read an underscore and a hyphen as one.
    fn is_stripped(&self, name: &str) -> bool {
        self.stripped.iter().any(|stripped| {
            let stripped = stripped.as_str();
            let alike = |(a, b): (u8, u8)| a == b || (a == b'-' && b == b'_');
            stripped.len() == name.len() && stripped.bytes().zip(name.bytes()).all(alike)
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn stage(field: Forwarded) -> ClientAddress {
        ClientAddress {
            trusted: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
            field,
            stripped: vec![HeaderName::from_static("true-client-ip")],
        }
    }

    fn client(
        stage: &ClientAddress,
        source: &str,
        fields: &[(&'static str, &'static str)],
    ) -> (String, Claims) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let (client, claims) = stage.read(source.parse().unwrap(), &headers);
        (client.to_string(), claims)
    }

    #[test]
    fn the_first_untrusted_address_from_the_right_is_the_client() {
        let stage = stage(Forwarded::XForwardedFor);
        for (value, address) in [
            ("203.0.113.7", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
            ("203.0.113.7, 192.0.2.9", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7, 192.0.2.9, 2001:db8::1", "203.0.113.7"),
            ("203.0.113.7:4711", "203.0.113.7"),
            ("[2a00::7]:443", "2a00::7"),
            ("2a00::7", "2a00::7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            // What cannot be read is not guessed at: the proxy answers for it.
            ("6.6.6.6, nonsense", "192.0.2.1"),
            ("6.6.6.6,", "192.0.2.1"),
            ("6.6.6.6, unknown, 192.0.2.9", "192.0.2.9"),
            ("", "192.0.2.1"),
        ] {
            assert_eq!(
                client(&stage, "192.0.2.1", &[("x-forwarded-for", value)]).0,
                address,
                "{value}"
            );
        }
        let lines = [("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.7")];
        assert_eq!(client(&stage, "192.0.2.1", &lines).0, "203.0.113.7");
    }

    #[test]
    fn only_the_configured_field_of_a_trusted_peer_is_believed() {
        let fields = [("x-forwarded-for", "6.6.6.6"), ("forwarded", "for=7.7.7.7;proto=http")];
        let (address, claims) = client(&stage(Forwarded::Forwarded), "192.0.2.1", &fields);
        assert_eq!((&*address, claims.scheme), ("7.7.7.7", Some("http")));
        assert_eq!(client(&stage(Forwarded::XForwardedFor), "192.0.2.1", &fields).0, "6.6.6.6");
        assert_eq!(client(&stage(Forwarded::None), "192.0.2.1", &fields).0, "192.0.2.1");
        let (address, claims) = client(&stage(Forwarded::Forwarded), "203.0.113.9", &fields);
        assert_eq!((&*address, claims.scheme), ("203.0.113.9", None));
    }

    #[test]
    fn reads_forwarded_as_its_grammar_says() {
        let stage = stage(Forwarded::Forwarded);
        for (value, address, scheme, host) in [
            (
                "for=203.0.113.7;proto=https;host=a.example",
                "203.0.113.7",
                Some("https"),
                "a.example",
            ),
            ("For=\"[2a00::7]:4711\";Proto=HTTP", "2a00::7", Some("http"), ""),
            (
                "for=6.6.6.6, for=\"203.0.113.7\";host=\"b.example:8443\"",
                "203.0.113.7",
                None,
                "b.example:8443",
            ),
            (
                "for=203.0.113.7;host=a.example, for=192.0.2.9;host=inner",
                "203.0.113.7",
                None,
                "a.example",
            ),
            ("for=\"a, for=6.6.6.6", "192.0.2.1", None, ""),
            ("for=_hidden", "192.0.2.1", None, ""),
            ("for=unknown", "192.0.2.1", None, ""),
            ("by=203.0.113.7", "192.0.2.1", None, ""),
            ("for=1.2.3.4;for=6.6.6.6", "192.0.2.1", None, ""),
            ("for=203.0.113.7;proto=gopher;host=a@b", "203.0.113.7", None, ""),
        ] {
            let (seen, claims) = client(&stage, "192.0.2.1", &[("forwarded", value)]);
            assert_eq!(seen, address, "{value}");
            assert_eq!(claims.scheme, scheme, "{value}");
            let seen = claims.host.as_ref().map_or("", |host| host.to_str().unwrap());
            assert_eq!(seen, host, "{value}");
        }
    }

    #[test]
    fn no_list_is_followed_without_end() {
        let stage = stage(Forwarded::XForwardedFor);
        let list = format!("6.6.6.6{}", ", 192.0.2.9".repeat(5000));
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-forwarded-for"),
            HeaderValue::from_str(&list).unwrap(),
        )]);
        let (client, claims) = stage.read("192.0.2.1".parse().unwrap(), &headers);
        assert_eq!((client.to_string(), claims.client), ("192.0.2.9".to_owned(), false));
    }

    #[test]
    fn other_claims_end_here_whoever_makes_them() {
        let mut headers = HeaderMap::new();
        for name in ["true-client-ip", "true_client_ip", "true-client_ip", "x-kept"] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static("6.6.6.6"));
        }
        stage(Forwarded::None).strip(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-kept"]);
    }
}
