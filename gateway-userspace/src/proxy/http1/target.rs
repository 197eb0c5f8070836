//! The request line: method, target, version (RFC 9112 section 3).

use gateway_common::Reason;
use http::uri::Authority;

use super::{
    Fault,
    grammar::{is_token, is_value},
};

/// Longest method; those of the registry have 17 letters at most.
const LONGEST_METHOD: usize = 32;

/// What the rest of a head depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestLine {
    /// HTTP/1.1, not 1.0.
    pub(super) one: bool,
    /// No body may follow these: servers disagree about where it would end.
    pub(super) bodiless: bool,
    /// `CONNECT`: nothing behind this head can be told apart from tunnelled bytes.
    pub(super) connect: bool,
}

/// `line` without its end.
pub(super) fn read(line: &[u8]) -> Result<RequestLine, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, parts.next())
    else {
        return Err(malformed(line));
    };
    if !is_token(method) || method.len() > LONGEST_METHOD {
        return Err(malformed(line));
    }
    let one = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Fault::new(Reason::VersionUnsupported, "neither HTTP/1.1 nor HTTP/1.0"));
        }
        _ => return Err(malformed(line)),
    };
    let connect = method == b"CONNECT";
    form(connect, method == b"OPTIONS", target)?;
    Ok(RequestLine { one, bodiless: connect || method == b"TRACE", connect })
}

fn malformed(line: &[u8]) -> Fault {
    if line.contains(&b'\r') {
        return Fault::new(Reason::LineEnding, "a CR inside a line");
    }
    if !is_value(line) {
        return Fault::new(Reason::HeadMalformed, "a control byte in the request line");
    }
    Fault::new(Reason::HeadMalformed, "no request line")
}

/// Which form the target has, and whether the method takes it (RFC 9112 section 3.2).
fn form(connect: bool, options: bool, target: &[u8]) -> Result<(), Fault> {
    let wrong = |detail| Err(Fault::new(Reason::TargetInvalid, detail));
    if !target.iter().fold(true, |all, byte| all & lawful(*byte)) {
        return wrong("a byte that no target has");
    }
    match target {
        [] => wrong("no target"),
        _ if connect => match target {
            [b'/' | b'*', ..] => wrong("CONNECT without an authority"),
            _ if target.contains(&b'/') || target.contains(&b'?') => {
                wrong("CONNECT without an authority")
            }
            _ if Authority::try_from(target).is_err() => wrong("CONNECT without an authority"),
            _ => Ok(()),
        },
        [b'/', ..] => Ok(()),
        b"*" if options => Ok(()),
        _ => absolute(target),
    }
}

/// `http://host…` or `https://host…`, without credentials. Whether it agrees with `Host` is asked
/// where that is read.
fn absolute(target: &[u8]) -> Result<(), Fault> {
    let after = |scheme: &[u8]| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let wrong = |detail| Err(Fault::new(Reason::TargetInvalid, detail));
    let Some(rest) = after(b"http://").or_else(|| after(b"https://")) else {
        return wrong("neither a path nor the URI of a web server");
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    match rest.get(..end.unwrap_or(rest.len())) {
        None | Some([]) => wrong("a URI without a host"),
        Some(authority) if authority.contains(&b'@') => wrong("a URI with credentials"),
        Some(authority) if Authority::try_from(authority).is_err() => {
            wrong("a URI whose host is none")
        }
        Some(_) => Ok(()),
    }
}

/// Visible ASCII without what RFC 3986 has in no part of a target. A fragment never leaves a
/// client that is one (RFC 9112 section 3.2.1).
fn lawful(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte) & !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'`')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The library behind refuses them too, but without a reason.
    #[test]
    fn a_host_that_is_none_is_refused() {
        for target in ["http://%/x", "http://a%b/", "https://[::1/"] {
            let fault = form(false, false, target.as_bytes()).unwrap_err();
            assert_eq!(fault.reason, Reason::TargetInvalid, "{target}");
        }
        assert!(form(true, false, b"%:443").is_err());
        for target in ["http://a.example:80/x", "http://[::1]/", "http://a"] {
            assert!(form(false, false, target.as_bytes()).is_ok(), "{target}");
        }
    }
}
