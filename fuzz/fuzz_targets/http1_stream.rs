//! Whatever a client sends over HTTP/1.1: no panic, and where a read ends changes nothing.
#![no_main]

use gateway_userspace::proxy::http1::{
    Bounds,
    stream::{Rest, Stream},
};
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds { bytes: 4096, fields: 32 };

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = passed(&[bytes]);
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    assert_eq!(passed(&[first, second]), whole);
});

/// What goes on to hyper, and what becomes of the rest.
fn passed(pieces: &[&[u8]]) -> (Vec<u8>, Rest) {
    let mut stream = Stream::new(BOUNDS);
    let (mut kept, mut out) = (Vec::new(), Vec::new());
    let mut rest = Rest::Head;
    for piece in pieces {
        kept.extend_from_slice(piece);
        let passage = stream.advance(&kept);
        out.extend(kept.drain(..passage.pass));
        rest = passage.rest;
        if rest != Rest::Head {
            break;
        }
    }
    (out, rest)
}
