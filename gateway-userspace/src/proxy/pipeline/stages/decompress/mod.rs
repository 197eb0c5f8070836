//! Request bodies with a content coding, where the route does not pass them on as they are: unpacked
//! for what reads them later, or refused. Stops bombs (CWE-409) and what is packed to hide; the
//! bounds themselves are kept while the body streams, by `pipeline::body`.

use std::sync::{Arc, atomic::AtomicU32};

use gateway_common::Reason;
use http::{HeaderValue, header::ACCEPT_ENCODING};

use crate::{
    config::model::Encoded,
    proxy::{
        coding::{
            self,
            decode::{self, Decoding},
        },
        pipeline::{
            context::{Packed, RequestContext},
            decision::{Decision, Refusal},
            ticket::Ticket,
        },
        router::Route,
    },
};

/// Bodies that are unpacked at a time, by all workers: each may hold a window of 8 MiB.
const MOST: u32 = 128;

/// What we take, for who sent something else (RFC 9110 section 15.5.16).
static TAKEN: HeaderValue = HeaderValue::from_static("gzip, br, zstd");
static NONE: HeaderValue = HeaderValue::from_static("identity");

/// How many bodies are being unpacked.
#[derive(Debug, Default)]
pub(crate) struct Decompress {
    under_way: Arc<AtomicU32>,
}

impl Decompress {
    /// For another configuration: bodies under way go on counting.
    pub(crate) fn succeed(&self) -> Self {
        Self { under_way: Arc::clone(&self.under_way) }
    }

    pub(crate) fn check(&self, context: &mut RequestContext, route: &Route) -> Decision {
        let ratio = match route.encoded {
            Encoded::Pass => return Decision::Continue,
            Encoded::Decode { ratio } => Some(ratio),
            Encoded::Refuse => None,
        };
        match (coding::of(&context.head.headers), ratio) {
            (Ok(None), _) => Decision::Continue,
            (Ok(Some(coding)), Some(ratio)) => {
                let Some(place) = Ticket::take(&self.under_way, MOST) else {
                    let detail = "too many request bodies are being decoded";
                    return Refusal::new(Reason::Overloaded, detail).into();
                };
                let bounds = decode::Bounds { bytes: route.body_bytes, ratio };
                let Ok(decoding) = Decoding::new(coding, bounds) else {
                    return Refusal::new(Reason::Internal, "no decoder").into();
                };
                context.packed = Some(Packed { decoding, place });
                Decision::Continue
            }
            (Ok(Some(_)) | Err(coding::Unknown), None) => {
                unsupported("the route takes no encoded body", &NONE)
            }
            (Err(coding::Unknown), Some(_)) => unsupported("an unknown or stacked coding", &TAKEN),
        }
    }
}

fn unsupported(detail: &'static str, taken: &HeaderValue) -> Decision {
    Refusal::new(Reason::CodingUnsupported, detail)
        .with_header(ACCEPT_ENCODING, taken.clone())
        .into()
}
