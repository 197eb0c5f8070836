//! What the fields of proxies say, from the nearest to the farthest. Strict: what has no single
//! reading says nothing.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, uri::Authority};

use crate::proxy::pipeline::context::Claims;

static FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Longest host with its port.
const LONGEST_HOST: usize = 261;

/// One element of a field: what a proxy says of whom it was asked by.
#[derive(Debug, Default)]
pub(super) struct Hop {
    /// `None` for an identifier that is no address.
    pub(super) address: Option<IpAddr>,
    pub(super) claims: Claims,
}

pub(super) fn x_forwarded_for(headers: &HeaderMap, most: usize) -> Vec<Hop> {
    let hop = |text: &str| Hop { address: address(text), claims: Claims::default() };
    elements(headers, &FOR, most).into_iter().map(hop).collect()
}

/// What the nearest proxy says of the request itself; each of them writes all of it.
pub(super) fn x_forwarded(headers: &HeaderMap) -> Claims {
    let last = |name| elements(headers, name, 1).into_iter().next();
    let (scheme, host) = (last(&PROTO).and_then(scheme), last(&HOST).and_then(host));
    Claims { scheme, host, ..Claims::default() }
}

/// RFC 7239 section 4.
pub(super) fn forwarded(headers: &HeaderMap, most: usize) -> Vec<Hop> {
    let elements = elements(headers, &FORWARDED, most);
    elements.into_iter().map(|element| hop(element).unwrap_or_default()).collect()
}

/// The elements of a list, the last first.
fn elements<'h>(headers: &'h HeaderMap, name: &HeaderName, most: usize) -> Vec<&'h str> {
    let lines: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
    let mut elements = Vec::new();
    for line in lines.into_iter().rev() {
        // A line that is no text has no elements that could be told apart.
        let Ok(line) = line.to_str() else { break };
        let parts = split(line, b',');
        elements.extend(parts.into_iter().rev().take(most.saturating_sub(elements.len())));
    }
    elements
}

/// The parts between separators outside of quotes, trimmed. A quote without an end hides the rest:
/// it is one part, which no reading takes.
fn split(text: &str, separator: u8) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(|letter: char| {
        let inside = quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        !inside && !quoted && letter == char::from(separator)
    })
    .map(str::trim)
    .collect()
}

fn hop(element: &str) -> Option<Hop> {
    let mut hop = Hop::default();
    let mut seen: Vec<String> = Vec::new();
    for pair in split(element, b';') {
        let (name, value) = pair.split_once('=')?;
        let name = name.to_ascii_lowercase();
        if seen.contains(&name) {
            return None;
        }
        let value = unquoted(value)?;
        match name.as_str() {
            "for" => hop.address = Some(address(value)?),
            "proto" => hop.claims.scheme = scheme(value),
            "host" => hop.claims.host = host(value),
            _ => {}
        }
        seen.push(name);
    }
    Some(hop)
}

/// Without its quotes. No address, scheme or host needs an escape.
fn unquoted(value: &str) -> Option<&str> {
    let value = value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))?;
    (!value.contains(['"', '\\'])).then_some(value)
}

/// An address, with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let whole = bare.parse::<IpAddr>().ok();
    let address = whole.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

fn scheme(text: &str) -> Option<&'static str> {
    ["http", "https"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

fn host(text: &str) -> Option<HeaderValue> {
    let authority: Authority = text.parse().ok()?;
    let plain = !authority.as_str().contains('@') && text.len() <= LONGEST_HOST;
    plain.then(|| HeaderValue::from_str(text).ok()).flatten()
}
