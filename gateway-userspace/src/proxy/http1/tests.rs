//! What the reader lets through, hyper reads alike; and where reads end changes nothing.

use std::{cell::RefCell, convert::Infallible, rc::Rc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::{
    Bounds,
    chunked::Chunked,
    head::{Framing, Reader},
    stream::{Passage, Rest, Stream},
};

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 16 };

/// A request, as far as two readers can disagree about it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    method: String,
    target: String,
    fields: usize,
    /// `None` for a body that did not come whole.
    body: Option<usize>,
}

/// What the reader says of bytes it let through.
fn ours(mut bytes: &[u8]) -> Vec<Told> {
    let mut told = Vec::new();
    while let Ok(Some(head)) = Reader::new(BOUNDS).advance(bytes) {
        let (text, rest) = bytes.split_at(head.length);
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        let mut lines = lines.iter().map(|line| line.trim_ascii()).filter(|line| !line.is_empty());
        let first = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
        let words: Vec<&str> = first.split(' ').collect();
        let (read, body) = match head.body {
            Framing::None => (0, Some(0)),
            Framing::Length(length) => {
                let length = usize::try_from(length).unwrap();
                (length.min(rest.len()), Some(length).filter(|length| *length <= rest.len()))
            }
            Framing::Chunked => {
                let mut chunked = Chunked::new(BOUNDS);
                let read = chunked.advance(rest).read;
                (read, chunked.is_done().then(|| data(rest)))
            }
        };
        told.push(Told {
            method: words[0].to_owned(),
            target: words[1].to_owned(),
            fields: lines.count(),
            body,
        });
        bytes = &rest[read..];
    }
    told
}

/// The data of chunks as a plain reader would add them up.
fn data(mut bytes: &[u8]) -> usize {
    let mut sum = 0;
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let digits = line.split([';', '\r']).next().unwrap_or_default().to_owned();
        let Ok(size) = usize::from_str_radix(&digits, 16) else { break };
        let rest = &bytes[end + 1..];
        sum += size.min(rest.len());
        if size == 0 || rest.len() < size + 2 {
            break;
        }
        bytes = &rest[size + 2..];
    }
    sum
}

/// What hyper says of them.
async fn hypers(bytes: &[u8]) -> (Vec<Told>, bool) {
    let told = Rc::new(RefCell::new(Vec::new()));
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let service = service_fn(|request: Request<Incoming>| {
        let told = Rc::clone(&told);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().len());
            told.borrow_mut().push(Told {
                method: head.method.to_string(),
                target: head.uri.to_string(),
                fields: head.headers.len(),
                body,
            });
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut builder = http1::Builder::new();
    builder.half_close(true).max_headers(BOUNDS.fields);
    let connection = builder.serve_connection(TokioIo::new(server), service);
    let parsed = connection
        .await
        .err()
        .is_none_or(|error| !error.is_parse() || error.is_incomplete_message());
    let told = Rc::into_inner(told);
    (told.map(RefCell::into_inner).unwrap_or_default(), parsed)
}

/// Feeds the pieces one after another and returns what passed, with the last verdict.
fn passed(pieces: &[&[u8]]) -> (Vec<u8>, u32, Rest) {
    let mut stream = Stream::new(BOUNDS);
    let (mut kept, mut out, mut heads) = (Vec::new(), Vec::new(), 0);
    let mut last = Rest::Head;
    for piece in pieces {
        kept.extend_from_slice(piece);
        let Passage { pass, heads: more, rest } = stream.advance(&kept);
        out.extend(kept.drain(..pass));
        heads += more;
        last = rest;
        if !matches!(rest, Rest::Head) {
            break;
        }
    }
    (out, heads, last)
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => Just("GET /a?b HTTP/1.1\r\n"),
        2 => Just("POST / HTTP/1.1\r\n"),
        1 => Just("OPTIONS * HTTP/1.1\r\n"),
        1 => Just("GET http://h/x HTTP/1.1\r\n"),
        1 => Just("PUT /%41 HTTP/1.0\r\n"),
        1 => Just("G\tT /a HTTP/1.1\r\n"),
        1 => Just("GET /a\u{7f} HTTP/1.1\r\n"),
    ];
    let field = prop_oneof![
        4 => Just("Accept: */*\r\n"),
        2 => Just("X: \t y z \r\n"),
        1 => Just("X:\r\n"),
        1 => Just("X : y\r\n"),
        1 => Just("X: y\n"),
        1 => Just("X: y\r\n z\r\n"),
        1 => Just("Content-Length: 03\r\n"),
        1 => Just("Transfer-Encoding: gzip\r\n"),
        1 => Just("Host: i\r\n"),
        1 => Just("Expect: 100-continue\r\n"),
        1 => Just("X: \u{e9}\r\n"),
        1 => Just("\r\n"),
    ];
    let body = prop_oneof![
        4 => Just("\r\n"),
        3 => Just("Content-Length: 3\r\n\r\nabc"),
        3 => Just("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        2 => Just("Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n"),
        1 => Just("Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n"),
        1 => Just("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ];
    let fields = prop::collection::vec(field, 0..4);
    let parts = (line, fields, body);
    parts.prop_map(|(line, fields, body)| {
        format!("{line}Host: h\r\n{}{body}", fields.concat()).into_bytes()
    })
}

/// Several requests, with a few bytes changed.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let letter = prop_oneof![
        Just(b'\r'),
        Just(b'\n'),
        Just(b' '),
        Just(b'\t'),
        Just(b':'),
        Just(b';'),
        Just(b','),
        Just(0),
        Just(0x0b),
        Just(0x7f),
        Just(0xa0),
        Just(b'0'),
        Just(b'/'),
        any::<u8>(),
    ];
    let change = (any::<prop::sample::Index>(), letter, 0..3_u8);
    let requests = prop::collection::vec(request(), 1..4);
    (requests, prop::collection::vec(change, 0..3)).prop_map(|(requests, changes)| {
        let mut bytes = requests.concat();
        for (place, letter, how) in changes {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = letter,
                1 => bytes.insert(place, letter),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn hyper_reads_what_is_let_through_as_the_reader_does(bytes in bytes()) {
        let (out, heads, _) = passed(&[&bytes]);
        let told = ours(&out);
        prop_assert_eq!(told.len(), heads as usize);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (hypers, parsed) = runtime.block_on(hypers(&out));
        prop_assert!(parsed, "hyper refuses {:?}", String::from_utf8_lossy(&out));
        // hyper ends a connection by itself after HTTP/1.0.
        prop_assert!(hypers.len() == told.len() || out.windows(8).any(|word| word == b"HTTP/1.0"));
        for (hyper, ours) in hypers.iter().zip(&told) {
            // The path of a URI without one is a slash.
            let whole = if ours.target.starts_with('/') || ours.target == "*" {
                ours.target.clone()
            } else {
                ours.target.parse::<http::Uri>().unwrap().to_string()
            };
            prop_assert_eq!(&hyper.target, &whole);
            prop_assert_eq!((&hyper.method, hyper.fields), (&ours.method, ours.fields));
            prop_assert_eq!(hyper.body, ours.body, "{:?}", String::from_utf8_lossy(&out));
        }
    }

    #[test]
    fn where_a_read_ends_changes_nothing(bytes in bytes(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let whole = passed(&[&bytes]);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        places.extend([0, bytes.len()]);
        places.sort_unstable();
        let pieces: Vec<&[u8]> = places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect();
        prop_assert_eq!(passed(&pieces), whole);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let (out, _, _) = passed(&[&bytes]);
        prop_assert!(out.len() <= bytes.len());
    }
}
