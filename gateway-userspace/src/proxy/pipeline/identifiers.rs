//! Request and trace identifiers: ours for the request, the caller's for a well-formed trace
//! (W3C Trace Context). A stranger's request id is not taken: it would poison our own log.

use std::fmt;

use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Random bytes drawn from the generator at once: one call serves about a hundred requests.
const POOL: usize = 4096;

/// A worker's source of identifiers.
#[derive(Debug)]
pub(crate) struct Generator {
    pool: Box<[u8; POOL]>,
    used: usize,
}

impl Generator {
    pub(crate) fn new() -> Self {
        Self { pool: Box::new([0; POOL]), used: POOL }
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        RequestId(hex(self.draw::<16>()))
    }

    /// Continues the caller's trace, or begins one.
    pub(crate) fn trace(&mut self, headers: &HeaderMap) -> Trace {
        let span = hex(self.draw::<8>());
        let mut values = headers.get_all(&TRACEPARENT).iter();
        let parent = values.next().and_then(|value| parent(value.as_bytes()));
        match parent.filter(|_| values.next().is_none()) {
            Some((id, flags)) => Trace { id, span, flags, continued: true },
            None => Trace { id: hex(self.draw::<16>()), span, flags: *b"00", continued: false },
        }
    }

    fn draw<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        if self.used + N > POOL {
            // Identifiers, not secrets: a failing generator must not stop requests.
            if rand::fill(self.pool.as_mut_slice()).is_err() {
                tracing::error!("the random generator failed; request ids may repeat");
            }
            self.used = 0;
        }
        if let Some(drawn) = self.pool.get(self.used..self.used + N) {
            bytes.copy_from_slice(drawn);
        }
        self.used += N;
        bytes
    }
}

/// 128 random bits in hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([[u8; 2]; 16]);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        text(self.0.as_flattened())
    }

    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(self.0.as_flattened())
            .unwrap_or_else(|_| HeaderValue::from_static("0"))
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where this request stands in a distributed trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trace {
    id: [[u8; 2]; 16],
    span: [[u8; 2]; 8],
    flags: [u8; 2],
    continued: bool,
}

impl Trace {
    pub(crate) fn id(&self) -> &str {
        text(self.id.as_flattened())
    }

    /// Writes this hop for the supplier. State of a trace that we began is not the caller's.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let mut line = [b'-'; 55];
        let parts: [(usize, &[u8]); 4] = [
            (0, b"00"),
            (3, self.id.as_flattened()),
            (36, self.span.as_flattened()),
            (53, &self.flags),
        ];
        for (at, part) in parts {
            if let Some(slot) = line.get_mut(at..at + part.len()) {
                slot.copy_from_slice(part);
            }
        }
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            headers.insert(&TRACEPARENT, value);
        }
        if !self.continued {
            headers.remove(&TRACESTATE);
        }
    }
}

/// Trace id and flags of a valid `traceparent`; later versions are read as version 00, as the
/// recommendation asks, where their first 55 bytes have its form.
fn parent(value: &[u8]) -> Option<([[u8; 2]; 16], [u8; 2])> {
    let (line, rest) = value.split_at_checked(55)?;
    let version = line.get(..2)?;
    let lawful_end = rest.is_empty() || (version != b"00" && rest.first() == Some(&b'-'));
    let dashes = [2, 35, 52].iter().all(|at| line.get(*at) == Some(&b'-'));
    let (id, span, flags) = (line.get(3..35)?, line.get(36..52)?, line.get(53..55)?);
    let all_hex = [version, id, span, flags].iter().all(|part| part.iter().copied().all(lower_hex));
    let zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    if !lawful_end || !dashes || !all_hex || version == b"ff" || zero(id) || zero(span) {
        return None;
    }
    let mut pairs = [[0; 2]; 16];
    pairs.as_flattened_mut().copy_from_slice(id);
    Some((pairs, flags.try_into().ok()?))
}

fn lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn hex<const N: usize>(bytes: [u8; N]) -> [[u8; 2]; N] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    bytes.map(|byte| [digit(byte >> 4), digit(byte & 15)])
}

fn text(hex: &[u8]) -> &str {
    std::str::from_utf8(hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn continues_a_valid_trace_with_a_span_of_its_own() {
        let headers =
            HeaderMap::from_iter([(TRACEPARENT.clone(), HeaderValue::from_static(PARENT))]);
        let trace = Generator::new().trace(&headers);
        let mut out = headers.clone();
        trace.write(&mut out);
        let line = out[&TRACEPARENT].to_str().unwrap();
        assert!(line.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{line}");
        assert!(line.ends_with("-01") && line.len() == 55);
        assert!(!line.contains("b7ad6b7169203331"));
    }

    #[test]
    fn begins_a_trace_where_the_callers_is_unlawful() {
        for bad in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        ] {
            assert!(parent(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(parent(b"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x").is_some());
    }

    #[test]
    fn request_ids_are_32_hexadecimal_digits_and_differ() {
        let mut generator = Generator::new();
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| generator.request_id().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(lower_hex)));
    }

    proptest! {
        #[test]
        fn reading_any_traceparent_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            parent(&bytes);
        }
    }
}
