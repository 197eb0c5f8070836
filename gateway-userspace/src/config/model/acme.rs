//! `[acme]`: an authority that issues certificates by itself (RFC 8555), and the names it is asked for.

use std::{net::SocketAddr, path::PathBuf};

/// How certificates are come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// URL of the authority's directory, https.
    pub directory: String,
    /// Its host, as it resolves.
    pub host: String,
    /// Who is told of trouble, as `mailto:` URLs.
    pub contacts: Vec<String>,
    pub challenge: Challenge,
    pub key: KeyKind,
    /// PEM file of authorities instead of the built-in roots: whom the directory's own certificate
    /// has to be from.
    pub authorities: Option<PathBuf>,
    pub binding: Option<Binding>,
    /// Where HTTP-01 is answered and everything else sent to https.
    pub http: Option<SocketAddr>,
    /// Where the account is kept, in the state folder.
    pub account: PathBuf,
}

impl Acme {
    /// What the operator provides, and whether it is secret.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, bool)> {
        let binding = self.binding.iter().map(|binding| (&binding.key_file, true));
        self.authorities.iter().map(|path| (path, false)).chain(binding)
    }
}

/// How the authority is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// On port 80 (RFC 8555 section 8.3).
    Http01,
    /// In a handshake on port 443 (RFC 8737).
    TlsAlpn01,
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    EcdsaP256,
    EcdsaP384,
}

/// An account that the authority knows already (RFC 8555 section 7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    pub key_id: String,
    /// File of the key, in base64url as authorities give it out.
    pub key_file: PathBuf,
}

/// A name whose certificate is issued and renewed by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// In lower case.
    pub name: String,
    /// Key and chain, kept in the state folder.
    pub file: PathBuf,
}
