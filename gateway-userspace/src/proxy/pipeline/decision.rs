//! What a stage says. Refusing is an outcome, not an error.

use std::{borrow::Cow, time::Duration};

use gateway_common::Reason;
use http::{HeaderName, HeaderValue, Response};

use super::body::Payload;

/// The outcome of one stage.
#[derive(Debug)]
pub enum Decision {
    /// To the next stage.
    Continue,
    /// The gateway answers by itself; no later stage of the list runs.
    Answer(Box<Response<Payload>>),
    /// The request ends here.
    Refuse(Refusal),
}

impl Decision {
    /// What ends the request, if this does.
    pub(super) fn end(self) -> Option<Result<Response<Payload>, Refusal>> {
        match self {
            Self::Continue => None,
            Self::Answer(response) => Some(Ok(*response)),
            Self::Refuse(refusal) => Some(Err(refusal)),
        }
    }
}

/// Why a request ends. Status, client text, label and strike weight come from the reason's row.
#[derive(Debug)]
pub struct Refusal {
    pub reason: Reason,
    /// When the client may try again.
    pub retry_after: Option<Duration>,
    /// A header the status asks for, such as `Allow` or `WWW-Authenticate`.
    pub header: Option<(HeaderName, HeaderValue)>,
    /// For operators only: never reaches the client.
    pub detail: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, retry_after: None, header: None, detail: detail.into() }
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.header = Some((name, value));
        self
    }
}

impl From<Refusal> for Decision {
    fn from(refusal: Refusal) -> Self {
        Self::Refuse(refusal)
    }
}
