//! What is wrong with certificates, keys and lists. Each says which file and what to do.

use std::path::PathBuf;

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{path} was not passed to the proxy; restart the gateway")]
    Missing { path: PathBuf },
    #[error("reading {path}: not PEM, or nothing of the wanted kind in it")]
    Pem {
        path: PathBuf,
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    #[error("{path} holds no certificate; write the chain into it, the server's own first")]
    NoCertificate { path: PathBuf },
    #[error("{path} holds something that is not an X.509 certificate; have it issued anew")]
    NotX509 { path: PathBuf },
    #[error("the key {path} is of a kind that is not supported; use ECDSA P-256 or RSA 2048")]
    Key {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error("{path} holds a certificate that cannot be an authority")]
    Authority {
        path: PathBuf,
        #[source]
        source: rustls::Error,
    },
    #[error(
        "the key {key} does not belong to the certificate {certificate}; install both of one issue"
    )]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("{path} holds a certificate that is not for {name}")]
    AnotherName { path: PathBuf, name: String },
    #[error("{path} ended {days} days ago; have it issued anew")]
    Expired { path: PathBuf, days: u64 },
    #[error(
        "{path} does not hold for another {hours} hours; reload when it does, or set the clock"
    )]
    Early { path: PathBuf, hours: u64 },
    #[error("{path} is not a list of revoked certificates (CRL) in PEM")]
    NotCrl { path: PathBuf },
    #[error("the list {path} should have been replaced {days} days ago; fetch the next one")]
    StaleCrl { path: PathBuf, days: u64 },
    #[error("{path} and its lists of revoked certificates do not fit together")]
    Verifier {
        path: PathBuf,
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    #[error("setting up the check of suppliers' keys")]
    Pins {
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    #[error("making a self-signed certificate")]
    SelfSigned {
        #[source]
        source: rcgen::Error,
    },
    #[error("setting up TLS")]
    Setup {
        #[source]
        source: rustls::Error,
    },
}

impl TlsError {
    /// With what led to it, in one line.
    pub(crate) fn told(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
