//! Unpacks a body piece by piece. A few bytes can say gigabytes (CWE-409), so no step makes more than
//! one piece, and what was made is held against a cap and against what came.

use brotli::{BrotliDecompressStream, BrotliResult, BrotliState, enc::StandardAlloc};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder as Zstd, Operation as _};

use super::Coding;

/// Bytes made in one step.
const PIECE: usize = 16 << 10;

/// Up to here a ratio says nothing: an empty list of a hundred spaces is no attack.
const HARMLESS: u64 = 64 << 10;

/// The greatest window is 8 MiB (RFC 9659), in brotli as in zstd.
const WINDOW_LOG: u32 = 23;

/// Why a body is not unpacked to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the body is over its cap once it is decoded")]
    TooLarge,
    #[error("the body grows too much as it is decoded")]
    Ratio,
    #[error("the body is not what its content coding says")]
    Corrupt,
}

/// What a body may become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: u64,
    /// Decoded bytes for each that came.
    pub(crate) ratio: u32,
}

/// A body that is being unpacked.
pub(crate) struct Decoding {
    engine: Engine,
    /// What came and was not read yet.
    input: Bytes,
    output: Box<[u8]>,
    /// The last step filled the whole output: there may be more without further input.
    full: bool,
    over: bool,
    read: u64,
    written: u64,
    bounds: Bounds,
}

enum Engine {
    Gzip(Decompress),
    Brotli { state: Box<BrotliDecoder>, begun: bool },
    Zstd(Zstd<'static>),
}

type BrotliDecoder = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// What one step did.
struct Step {
    read: usize,
    written: usize,
    over: bool,
}

impl Decoding {
    pub(crate) fn new(coding: Coding, bounds: Bounds) -> Result<Self, Fault> {
        Ok(Self {
            engine: Engine::new(coding)?,
            input: Bytes::new(),
            output: vec![0; PIECE].into_boxed_slice(),
            full: false,
            over: false,
            read: 0,
            written: 0,
            bounds,
        })
    }

    /// More of the packed body. To be called once `next` has nothing more.
    pub(crate) fn feed(&mut self, bytes: Bytes) {
        self.input = bytes;
    }

    /// The next piece; `None` asks for more of the packed body.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while self.full || !self.input.is_empty() {
            if self.over {
                // A second member or frame: others would not read it (or read it alone).
                return if self.input.is_empty() { Ok(None) } else { Err(Fault::Corrupt) };
            }
            let step = self.engine.step(&self.input, &mut self.output)?;
            self.input.advance(step.read.min(self.input.len()));
            self.full = step.written == self.output.len();
            self.over = step.over;
            self.account(&step)?;
            if step.written > 0 {
                let piece = self.output.get(..step.written).unwrap_or_default();
                return Ok(Some(Bytes::copy_from_slice(piece)));
            }
            if step.read == 0 && !step.over && !self.input.is_empty() {
                return Err(Fault::Corrupt);
            }
        }
        Ok(None)
    }

    /// The packed body has ended: so must what is in it.
    pub(crate) fn finish(&self) -> Result<(), Fault> {
        if self.over && self.input.is_empty() { Ok(()) } else { Err(Fault::Corrupt) }
    }

    fn account(&mut self, step: &Step) -> Result<(), Fault> {
        self.read = self.read.saturating_add(step.read as u64);
        self.written = self.written.saturating_add(step.written as u64);
        let grown = self.read.saturating_mul(self.bounds.ratio.into());
        if self.written > grown.max(HARMLESS) {
            return Err(Fault::Ratio);
        }
        if self.written > self.bounds.bytes {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Decoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoding").field("written", &self.written).finish_non_exhaustive()
    }
}

impl Engine {
    fn new(coding: Coding) -> Result<Self, Fault> {
        Ok(match coding {
            // A window of 32 KiB is all that gzip knows.
            Coding::Gzip => Self::Gzip(Decompress::new_gzip(15)),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                let state = Box::new(BrotliState::new(alloc(), alloc(), alloc()));
                Self::Brotli { state, begun: false }
            }
            Coding::Zstd => {
                let mut decoder = Zstd::new().map_err(corrupt)?;
                decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG)).map_err(corrupt)?;
                Self::Zstd(decoder)
            }
        })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
        match self {
            Self::Gzip(inflate) => gzip(inflate, input, output),
            Self::Brotli { state, begun } => {
                if let (false, Some(first)) = (*begun, input.first()) {
                    *begun = true;
                    window(*first)?;
                }
                brotli(state, input, output)
            }
            Self::Zstd(decoder) => {
                let status = decoder.run_on_buffers(input, output).map_err(corrupt)?;
                Ok(Step {
                    read: status.bytes_read,
                    written: status.bytes_written,
                    over: status.remaining == 0,
                })
            }
        }
    }
}

fn corrupt(_source: std::io::Error) -> Fault {
    Fault::Corrupt
}

fn gzip(inflate: &mut Decompress, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, output, FlushDecompress::None)
        .map_err(|_source| Fault::Corrupt)?;
    let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    Ok(Step {
        read: since(inflate.total_in(), read),
        written: since(inflate.total_out(), written),
        over: status == Status::StreamEnd,
    })
}

fn brotli(state: &mut BrotliDecoder, input: &[u8], output: &mut [u8]) -> Result<Step, Fault> {
    let (mut left, mut read) = (input.len(), 0);
    let (mut room, mut written, mut total) = (output.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut read,
        input,
        &mut room,
        &mut written,
        output,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => Err(Fault::Corrupt),
        BrotliResult::ResultSuccess => Ok(Step { read, written, over: true }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
            Ok(Step { read, written, over: false })
        }
    }
}

/// The window a brotli stream asks for stands in its first bits (RFC 7932 section 9.1); the library
/// would grant a gigabyte.
fn window(first: u8) -> Result<(), Fault> {
    let high = (first >> 1) & 7;
    let low = (first >> 4) & 7;
    let log = match (first & 1, high) {
        (0, _) => 16,
        (_, 1..) => 17 + u32::from(high),
        (_, 0) if low == 1 => return Err(Fault::Corrupt),
        (_, 0) if low == 0 => 17,
        (_, 0) => 8 + u32::from(low),
    };
    if log <= WINDOW_LOG { Ok(()) } else { Err(Fault::Corrupt) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proxy::coding::encode::Encoder;

    const WIDE: Bounds = Bounds { bytes: 1 << 30, ratio: 10_000 };

    fn packed(coding: Coding, text: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(text).unwrap();
        encoder.finish().unwrap().to_vec()
    }

    fn unpacked(
        coding: Coding,
        bytes: &[u8],
        cut: usize,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Fault> {
        let mut decoding = Decoding::new(coding, bounds)?;
        let mut out = Vec::new();
        for piece in bytes.chunks(cut) {
            decoding.feed(Bytes::copy_from_slice(piece));
            while let Some(made) = decoding.next()? {
                assert!(made.len() <= PIECE);
                out.extend_from_slice(&made);
            }
        }
        decoding.finish().map(|()| out)
    }

    #[test]
    fn unpacks_what_was_packed_in_every_cut() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| (n % 977).to_le_bytes()).collect();
        for coding in Coding::ALL {
            for text in [&b""[..], b"x", &text] {
                let bytes = packed(coding, text);
                for cut in [1, 7, 4096, 1 << 20] {
                    let out = unpacked(coding, &bytes, cut, WIDE);
                    assert_eq!(out.as_deref(), Ok(text), "{coding:?} in cuts of {cut}");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_cut_by_ratio_and_by_size() {
        for coding in Coding::ALL {
            let bomb = packed(coding, &vec![0; 8 << 20]);
            assert!(bomb.len() < 20_000, "{coding:?}: {}", bomb.len());
            let by_ratio = Bounds { bytes: 1 << 30, ratio: 100 };
            assert_eq!(unpacked(coding, &bomb, 512, by_ratio), Err(Fault::Ratio), "{coding:?}");
            let by_size = Bounds { bytes: 1 << 20, ratio: u32::MAX };
            assert_eq!(unpacked(coding, &bomb, 512, by_size), Err(Fault::TooLarge), "{coding:?}");
        }
    }

    #[test]
    fn what_is_cut_short_goes_on_or_is_no_such_coding_is_corrupt() {
        for coding in Coding::ALL {
            let whole = packed(coding, b"a body with some text in it");
            let twice = [&whole[..], &whole].concat();
            let short = &whole[..whole.len() - 1];
            for bytes in [short, &twice, b"{\"a\":1}, which is no packed body at all", b""] {
                let out = unpacked(coding, bytes, 5, WIDE);
                assert_eq!(out, Err(Fault::Corrupt), "{coding:?} {bytes:?}");
            }
        }
    }

    #[test]
    fn a_window_that_is_too_wide_is_refused() {
        assert_eq!(window(0x0b), Ok(()), "22");
        assert_eq!(window(0x0f), Err(Fault::Corrupt), "24");
        assert_eq!(window(0x11), Err(Fault::Corrupt), "a large window");
        // A frame header that asks for 16 MiB: window log 24.
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, (24 - 10) << 3, 0x01, 0x00, 0x00];
        assert_eq!(unpacked(Coding::Zstd, &frame, 64, WIDE), Err(Fault::Corrupt));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            for coding in Coding::ALL {
                drop(unpacked(coding, &bytes, 16, WIDE));
            }
        }
    }
}
