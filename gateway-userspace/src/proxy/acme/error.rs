//! Why a certificate is not issued.

/// Characters of an error that are shown: part of them are the authority's.
const SHOWN: usize = 300;

/// What went wrong with an order, in the order of its steps.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    #[error("setting up TLS with the authority")]
    Tls(#[source] crate::proxy::tls::TlsError),
    #[error("reading [acme] binding's key: it has to be base64url, as the authority gave it out")]
    Binding,
    #[error("making the account with the authority")]
    Account(#[source] instant_acme::Error),
    #[error("the account that is kept cannot be read; remove account.json to make another")]
    Notes(#[source] serde_json::Error),
    #[error("placing the order")]
    Order(#[source] instant_acme::Error),
    #[error("the authority offers no {challenge} for this name")]
    NoChallenge { challenge: &'static str },
    #[error("the challenge")]
    Challenge(#[source] instant_acme::Error),
    #[error("the order became invalid: {why}")]
    Invalid { why: String },
    #[error("making key and request")]
    Request(#[source] rcgen::Error),
    #[error("setting up the answer to the challenge")]
    Answer(#[source] rustls::Error),
    #[error("finalizing the order")]
    Finalize(#[source] instant_acme::Error),
    #[error("what was issued is refused: {why}")]
    Refused { why: String },
    #[error("the guard did not keep it: {why}")]
    NotKept { why: String },
    #[error("it was kept and yet is not served; the log says why")]
    NotServed,
    #[error("it took longer than {minutes} minutes")]
    Late { minutes: u64 },
}

impl AcmeError {
    /// With what led to it, in one line of a bearable length.
    pub(super) fn told(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |cause| cause.source());
        let all = std::iter::once(self.to_string()).chain(causes.map(ToString::to_string));
        all.collect::<Vec<_>>().join(": ").chars().take(SHOWN).collect()
    }
}
