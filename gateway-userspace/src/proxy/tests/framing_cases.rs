//! Attacks on the framing of HTTP/1.1, and the lawful requests next to them: what is sent, what the
//! answer is, and what reaches the supplier. From RFC 9112 and 9110, and from the published research
//! on request smuggling (CL.TE, TE.CL, TE.TE, CL.0, 0.CL, bare line feeds, chunk extensions).

use gateway_common::Reason;

/// One connection.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) bytes: &'static [u8],
    /// What the supplier gets, each as `METHOD target body`.
    pub(super) reaches: &'static [&'static str],
    /// How the connection ends, where it is by a refusal.
    pub(super) refused: Option<(u16, Reason)>,
}

const fn refused(name: &'static str, bytes: &'static [u8], status: u16, reason: Reason) -> Case {
    Case { name, bytes, reaches: &[], refused: Some((status, reason)) }
}

const fn served(
    name: &'static str,
    bytes: &'static [u8],
    reaches: &'static [&'static str],
) -> Case {
    Case { name, bytes, reaches, refused: None }
}

const fn then(
    name: &'static str,
    bytes: &'static [u8],
    reaches: &'static [&'static str],
    status: u16,
    reason: Reason,
) -> Case {
    Case { name, bytes, reaches, refused: Some((status, reason)) }
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Case> {
    [CONFLICTS, LENGTHS, CODINGS, LINES, FIELDS, HOSTS, TARGETS, REQUEST_LINES, CHUNKS, LAWFUL]
        .into_iter()
        .flatten()
}

/// Two framings in one head.
const CONFLICTS: &[Case] = &[
    refused(
        "CL.TE",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "TE.CL",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nG\r\n0\r\n\r\n",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "CL of zero beside TE",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "TE with an underscore, for CGI heirs",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "CL with an underscore, for CGI heirs",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent_Length: 5\r\n\r\nhello",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "a body behind TRACE",
        b"TRACE / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        400,
        Reason::FramingConflict,
    ),
    refused(
        "a body behind CONNECT",
        b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
        Reason::FramingConflict,
    ),
];

/// Lengths with two readings.
const LENGTHS: &[Case] = &[
    refused(
        "lengths that differ",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "lengths that agree",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a list of lengths",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2, 2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with plus",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: +2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with minus",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a hexadecimal length",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "an octal length",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 010\r\n\r\nabcdefghij",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with a blank inside",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1 2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "an empty length",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n\r\n",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with a decimal point",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2.0\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with an exponent",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e1\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length over 64 bits",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551617\r\n\r\na",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length of minus one in 64 bits",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 18446744073709551615\r\n\r\na",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length in quotes",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \"2\"\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
    refused(
        "a length with a form feed",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: \x0c2\r\n\r\nab",
        400,
        Reason::FieldInvalid,
    ),
    refused(
        "a length folded",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length:\r\n 2\r\n\r\nab",
        400,
        Reason::LengthInvalid,
    ),
];

/// TE.TE: codings that one reader knows and another does not.
const CODINGS: &[Case] = &[
    refused("two codings", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked not last", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked twice", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("two coding lines", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked, then a line of another", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("identity", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n", 400, Reason::TransferCoding),
    refused("xchunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked in quotes", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked with a parameter", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked with a comma", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("an empty coding", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\nContent-Length: 0\r\n\r\n", 400, Reason::TransferCoding),
    refused("chunked in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("a blank before the colon", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a tab before the colon", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a vertical tab before chunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a NUL behind chunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a letter above ASCII behind chunked", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\xa0\r\n\r\n0\r\n\r\n", 400, Reason::TransferCoding),
    refused("a coding line that begins with a blank", b"POST / HTTP/1.1\r\nHost: localhost\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::FieldFolded),
    refused("a coding behind a bare CR", b"POST / HTTP/1.1\r\nHost: localhost\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::LineEnding),
    refused("a coding behind a bare LF", b"POST / HTTP/1.1\r\nHost: localhost\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::LineEnding),
    refused("a coding folded", b"POST / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, Reason::FieldFolded),
];

/// Where lines end.
const LINES: &[Case] = &[
    refused("bare LF everywhere", b"GET / HTTP/1.1\nHost: localhost\n\n", 400, Reason::LineEnding),
    refused(
        "bare LF behind the request line",
        b"GET / HTTP/1.1\nHost: localhost\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "bare LF behind a field",
        b"GET / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "bare LF as the last line",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "bare LF before the head",
        b"\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused("CR CR LF", b"GET / HTTP/1.1\r\nHost: localhost\r\r\n\r\n", 400, Reason::LineEnding),
    refused(
        "a bare CR in the request line",
        b"GET /\rHTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "a bare CR in a name",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX\ry: z\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "a CR as the last line",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\rGET / HTTP/1.1\r\n\r\n",
        400,
        Reason::LineEnding,
    ),
    refused(
        "more empty lines than a client of old sends",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a folded value",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n z\r\n\r\n",
        400,
        Reason::FieldFolded,
    ),
    refused(
        "a fold as the first line",
        b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n",
        400,
        Reason::FieldFolded,
    ),
    refused(
        "a fold of blanks alone",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\r\n  \r\n\r\n",
        400,
        Reason::FieldFolded,
    ),
];

/// Field lines.
const FIELDS: &[Case] = &[
    refused("an empty name", b"GET / HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n", 400, Reason::FieldInvalid),
    refused("no colon", b"GET / HTTP/1.1\r\nHost: localhost\r\nNonsense\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a blank in a name", b"GET / HTTP/1.1\r\nHost: localhost\r\nX Y: z\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a NUL in a name", b"GET / HTTP/1.1\r\nHost: localhost\r\nX\x00: z\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a name above ASCII", b"GET / HTTP/1.1\r\nHost: localhost\r\nX\xc3\xa9: z\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a bracket in a name", b"GET / HTTP/1.1\r\nHost: localhost\r\nX(y): z\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a NUL in a value", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\x00z\r\n\r\n", 400, Reason::FieldInvalid),
    refused("a DEL in a value", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: y\x7fz\r\n\r\n", 400, Reason::FieldInvalid),
    refused("an escape in a value", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x1b[2J\r\n\r\n", 400, Reason::FieldInvalid),
    refused("two Content-Types", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 0\r\n\r\n", 400, Reason::FieldDuplicate),
    refused("two Authorizations", b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic YQ==\r\nauthorization: Basic Yg==\r\n\r\n", 400, Reason::FieldDuplicate),
    refused("two Ranges", b"GET / HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", 400, Reason::FieldDuplicate),
    refused("two Origins", b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a\r\nOrigin: https://b\r\n\r\n", 400, Reason::FieldDuplicate),
    refused("two expectations", b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 400, Reason::FieldDuplicate),
    refused("an unknown expectation", b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: x-miracle\r\nContent-Length: 1\r\n\r\nx", 417, Reason::ExpectationUnknown),
    refused("Connection: Host", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close, Host\r\n\r\n", 400, Reason::NominationRefused),
    refused("Connection: Content-Length", b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", 400, Reason::NominationRefused),
    refused("Connection: Authorization", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, authorization\r\n\r\n", 400, Reason::NominationRefused),
    refused("Connection: X-Forwarded-For", b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: X-Forwarded-For\r\n\r\n", 400, Reason::NominationRefused),
];

/// Hosts, which routes are chosen by.
const HOSTS: &[Case] = &[
    refused("no Host", b"GET / HTTP/1.1\r\n\r\n", 400, Reason::HostInvalid),
    refused(
        "two Hosts",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "two equal Hosts",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "a Host behind a blank",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n Host: other\r\n\r\n",
        400,
        Reason::FieldFolded,
    ),
    refused(
        "a Host before a blank",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        400,
        Reason::FieldInvalid,
    ),
    refused(
        "a Host with a path",
        b"GET / HTTP/1.1\r\nHost: localhost/x\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "a Host with credentials",
        b"GET / HTTP/1.1\r\nHost: a@localhost\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "a list of Hosts",
        b"GET / HTTP/1.1\r\nHost: localhost, other\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "an empty Host",
        b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "a port that is none",
        b"GET / HTTP/1.1\r\nHost: localhost:443x\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
    refused(
        "a URI that disagrees with Host",
        b"GET https://other/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        400,
        Reason::HostInvalid,
    ),
];

/// Forms of targets.
const TARGETS: &[Case] = &[
    refused(
        "an authority for GET",
        b"GET localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a relative path",
        b"GET x/y HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "an asterisk for GET",
        b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a path for CONNECT",
        b"CONNECT /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "another scheme",
        b"GET file:///etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a URI with credentials",
        b"GET https://a:b@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a URI without a host",
        b"GET https:///x HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a fragment",
        b"GET /x#y HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a target above ASCII",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a control byte in the target",
        b"GET /\x01 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
    refused(
        "a line break encoded in the path",
        b"GET /%0d%0aHost:evil HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        400,
        Reason::PathInvalid,
    ),
];

/// Request lines.
const REQUEST_LINES: &[Case] = &[
    refused("HTTP/0.9", b"GET /\r\n\r\n", 400, Reason::HeadMalformed),
    refused(
        "HTTP/1.2",
        b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n",
        505,
        Reason::VersionUnsupported,
    ),
    refused(
        "HTTP/2.0",
        b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n",
        505,
        Reason::VersionUnsupported,
    ),
    refused(
        "the preface of h2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
        Reason::VersionUnsupported,
    ),
    refused(
        "a version in small letters",
        b"GET / http/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a version with more digits",
        b"GET / HTTP/1.10\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "two blanks",
        b"GET  / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a blank at the end",
        b"GET / HTTP/1.1 \r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a blank at the start",
        b" GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "tabs for blanks",
        b"GET\t/\tHTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a blank in the target",
        b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a method that is no token",
        b"G@T / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a method without end",
        b"GETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "TLS in TLS",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        400,
        Reason::HeadMalformed,
    ),
    refused(
        "a NUL in the request line",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        400,
        Reason::TargetInvalid,
    ),
];

/// Chunked bodies. What is refused in one has reached no supplier as a whole request.
const CHUNKS: &[Case] = &[
    refused("a size that is no number", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, Reason::ChunkInvalid),
    refused("a size with 0x", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a size with a sign", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("no size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a size over 64 bits", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a size with leading zeros without end", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000000005\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a blank before the size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a blank behind the size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("bare LF behind the size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("bare CR behind the size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\rhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("bare LF behind the data", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("data longer than its size", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("data without an end", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a line feed in an extension", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a carriage return in an extension", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a NUL in an extension", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5;a\x00\r\nhello\r\n0\r\n\r\n", 400, Reason::ChunkInvalid),
    refused("a trailer with bare LF", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400, Reason::TrailerInvalid),
    refused("a body ended by bare LF", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n", 400, Reason::TrailerInvalid),
    refused("a Content-Length as a trailer", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400, Reason::TrailerInvalid),
    refused("an Authorization as a trailer", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n", 400, Reason::TrailerInvalid),
    refused("a folded trailer", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 400, Reason::TrailerInvalid),
    refused("a trailer that is a request", b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nGET /evil HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, Reason::TrailerInvalid),
    then("bytes behind the last chunk", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n!!\r\n\r\n", &["POST /a hi"], 400, Reason::HeadMalformed),
];

/// What must go through, as it is; and what follows it must not.
const LAWFUL: &[Case] = &[
    served("a length", b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", &["POST /a hello"]),
    served("blanks around a length", b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: \t5 \r\nConnection: close\r\n\r\nhello", &["POST /a hello"]),
    served("CL.0: a body behind GET is its body", b"GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 24\r\nConnection: close\r\n\r\nGET /evil HTTP/1.1\r\nX: y", &["GET /a GET /evil HTTP/1.1\r\nX: y"]),
    served("0.CL: a head behind a length of zero is the next", b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &["POST /a ", "GET /b "]),
    served("chunks", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n", &["POST /a hello0123456789"]),
    served("Chunked in capitals", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: CHUNKED\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n\r\n", &["POST /a hi"]),
    served("a chunk extension, which ends here", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2;x=\"y\"\r\nhi\r\n0;last\r\n\r\n", &["POST /a hi"]),
    served("a trailer", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", &["POST /a hi"]),
    served("two requests in one write", b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b?c=d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &["GET /a ", "GET /b?c=d "]),
    served("a request behind chunks", b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &["POST /a hi", "GET /b "]),
    served("an empty line between requests", b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi\r\nGET /b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &["POST /a hi", "GET /b "]),
    served("a URI for a target", b"GET https://LOCALHOST/a?b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", &["GET /a?b "]),
    served("HTTP/1.0", b"GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n", &["GET /a "]),
    served("HTTP/1.0 with a body", b"POST /a HTTP/1.0\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi", &["POST /a hi"]),
    served("HTTP/1.0 kept alive", b"GET /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\nHost: localhost\r\n\r\n", &["GET /a ", "GET /b "]),
    served("a value above ASCII", b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: \xc3\xa9\r\nConnection: close\r\n\r\n", &["GET /a "]),
    served("an empty value", b"GET /a HTTP/1.1\r\nHost: localhost\r\nX:\r\nConnection: close\r\n\r\n", &["GET /a "]),
    served("several lines of a list", b"GET /a HTTP/1.1\r\nHost: localhost\r\nAccept: a/b\r\nAccept: c/d\r\nConnection: close\r\n\r\n", &["GET /a "]),
    served("what comes behind Connection: close is nothing", b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n", &["GET /a "]),
    then("a faulty head behind a lawful request", b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n", &["GET /a "], 400, Reason::HostInvalid),
    then("a conflict behind two requests", b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhiPOST /c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", &["GET /a ", "POST /b hi"], 400, Reason::FramingConflict),
    then("a length shorter than what is sent", b"POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi!!\r\n\r\n", &["POST /a hi"], 400, Reason::HeadMalformed),
];
