//! Why an h2 connection ends at our word.

use gateway_common::Reason;

/// A connection error: what the client reads in GOAWAY, and what we write down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: h2::Reason,
    pub(super) reason: Reason,
    pub(super) detail: &'static str,
}

impl Fault {
    /// A breach of RFC 9113.
    pub(super) const fn breach(code: h2::Reason, detail: &'static str) -> Self {
        Self { code, reason: Reason::H2Protocol, detail }
    }

    pub(super) const fn protocol(detail: &'static str) -> Self {
        Self::breach(h2::Reason::PROTOCOL_ERROR, detail)
    }

    pub(super) const fn size(detail: &'static str) -> Self {
        Self::breach(h2::Reason::FRAME_SIZE_ERROR, detail)
    }

    /// Lawful frames in unlawful numbers.
    pub(super) const fn flood(reason: Reason, detail: &'static str) -> Self {
        Self { code: h2::Reason::ENHANCE_YOUR_CALM, reason, detail }
    }
}

/// How the library gets to know: it ends the connection without a word of its own.
#[derive(Debug, thiserror::Error)]
#[error("the h2 guard ended the connection")]
pub(super) struct Ended;
