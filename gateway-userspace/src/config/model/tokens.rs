//! `[[identity]]` by access tokens: whose they are, what they have to say, and whose hands they may
//! be in.

use std::{path::PathBuf, time::Duration};

use super::{Algorithm, Pair, Url};

/// How tokens of an identity are judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokens {
    /// As it stands in `iss`, byte by byte.
    pub issuer: String,
    pub keys: KeySource,
    /// Whom to ask about tokens that cannot be read.
    pub introspection: Option<Introspection>,
    pub audiences: Vec<String>,
    /// In lower case, without `application/`; `none` is a token without `typ`.
    pub types: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// Keys are asked for again after this long, or earlier by the provider's word.
    pub refresh: Duration,
    /// Known keys count for this long while the provider is away.
    pub stale: Duration,
    pub way: Way,
    pub sender: Sender,
    pub dpop: Dpop,
    /// The issuer's last good key set, in the state folder.
    pub kept: PathBuf,
}

/// Where an issuer's keys come from.
#[derive(Debug, Clone, PartialEq)]
pub enum KeySource {
    /// The document at the issuer's well-known place names the key set's URL.
    Discovery(Url),
    Jwks(Url),
    File(PathBuf),
    /// Tokens cannot be read, only asked about.
    None,
}

/// How the provider is spoken with.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// PEM file of authorities instead of the built-in roots.
    pub ca: Option<PathBuf>,
    /// The certificate that we show.
    pub certificate: Option<Pair>,
    /// A provider inside this machine is meant.
    pub local: bool,
}

/// RFC 7662.
#[derive(Debug, Clone, PartialEq)]
pub struct Introspection {
    pub url: Url,
    pub client_id: String,
    /// `None` where our certificate says who we are (RFC 8705 section 2).
    pub secret: Option<PathBuf>,
    /// An answer counts for this long at most, and never beyond `exp`.
    pub cache: Duration,
}

/// Whether a token has to be bound to its holder. One that is bound counts only in its holder's hands
/// whatever is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    Optional,
    /// By either.
    Required,
    /// RFC 8705.
    Certificate,
    /// RFC 9449.
    Dpop,
}

/// Proofs of possession (RFC 9449).
#[derive(Debug, Clone, PartialEq)]
pub struct Dpop {
    /// Origins that clients know us by, such as `https://api.example.com`; empty where none is taken.
    pub origins: Vec<String>,
    /// Proofs need a nonce of ours.
    pub nonce: bool,
    /// A proof is this old at most.
    pub window: Duration,
}

impl Tokens {
    /// What the operator provides, and whether it is secret.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, bool)> {
        let pair = self.way.certificate.as_ref();
        let pair = pair.map(|pair| [(&pair.certificate, false), (&pair.key, true)]);
        let secret = self.introspection.iter().filter_map(|one| one.secret.as_ref());
        let file = match &self.keys {
            KeySource::File(path) => Some((path, false)),
            KeySource::Discovery(_) | KeySource::Jwks(_) | KeySource::None => None,
        };
        let ca = self.way.ca.iter().map(|ca| (ca, false));
        ca.chain(pair.into_iter().flatten()).chain(secret.map(|path| (path, true))).chain(file)
    }

    /// Whether keys come from afar, and are kept.
    pub fn fetches(&self) -> bool {
        matches!(self.keys, KeySource::Discovery(_) | KeySource::Jwks(_))
    }

    /// Hosts that are asked, as far as the configuration names them.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        let keys = match &self.keys {
            KeySource::Discovery(url) | KeySource::Jwks(url) => Some(url),
            KeySource::File(_) | KeySource::None => None,
        };
        let asked = self.introspection.as_ref().map(|one| &one.url);
        keys.into_iter().chain(asked).map(Url::host)
    }
}
