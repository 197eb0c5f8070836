//! `[tls]` and the certificates of a listener.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Managed, Rate};

/// `[tls]`: what holds for every listener.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsBounds {
    /// Handshakes of one source (/32, /64).
    pub handshakes: Rate,
    /// Handshakes of one source under way at once.
    pub handshakes_at_once: u32,
    /// A certificate that ends within this is warned of.
    pub expiry_warning: Duration,
}

/// How a listener shows who it is, and whom it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    pub certificates: Certificates,
    /// Names whose certificates are issued by `[acme]`; they follow those of files.
    pub managed: Vec<Managed>,
    /// What a client gets that names no host, or one without a certificate.
    pub unknown_names: UnknownNames,
    /// Who has to show a certificate too.
    pub clients: Option<ClientCertificates>,
    /// `Strict-Transport-Security` of every answer, unless the supplier says its own.
    pub hsts: Option<String>,
}

impl Tls {
    /// With these certificates and every default.
    pub fn of(certificates: Certificates) -> Self {
        Self {
            certificates,
            managed: Vec::new(),
            unknown_names: UnknownNames::Default,
            clients: None,
            hsts: Some(crate::config::defaults::HSTS.to_owned()),
        }
    }

    /// Those that end one day, in the order in which they are shown: certificates, authorities of
    /// clients, lists of revoked ones.
    pub fn dated_files(&self) -> Vec<String> {
        let shown = |path: &PathBuf| path.display().to_string();
        let mut files = match &self.certificates {
            Certificates::Files(pairs) => pairs.iter().map(|one| shown(&one.certificate)).collect(),
            Certificates::SelfSigned => vec![MADE_AT_START.to_owned()],
        };
        files.extend(self.managed.iter().map(|one| shown(&one.file)));
        if let Some(clients) = &self.clients {
            files.push(shown(&clients.authorities));
            files.extend(clients.crls.iter().map(shown));
        }
        files
    }

    /// Whether a file of [`dated_files`](Self::dated_files) is a managed name's.
    pub fn manages(&self, file: &str) -> bool {
        self.managed.iter().any(|one| one.file == Path::new(file))
    }

    /// Every file that the operator provides for it, and whether it is secret.
    pub fn files(&self) -> Vec<(&PathBuf, bool)> {
        let mut files = Vec::new();
        if let Certificates::Files(pairs) = &self.certificates {
            files
                .extend(pairs.iter().flat_map(|one| [(&one.certificate, false), (&one.key, true)]));
        }
        if let Some(clients) = &self.clients {
            files.push((&clients.authorities, false));
            files.extend(clients.crls.iter().map(|path| (path, false)));
        }
        files
    }
}

/// Stands for a file where there is none.
pub const MADE_AT_START: &str = "made at start";

/// Where the certificates of a listener come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Certificates {
    /// At least one, or none beside managed names; the first is the default.
    Files(Vec<Pair>),
    /// Made at start; only a listener on loopback goes without files.
    SelfSigned,
}

/// A certificate chain and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What becomes of a client that asks for a name without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownNames {
    /// It gets the first certificate.
    Default,
    /// Its handshake is refused.
    Refuse,
}

/// Certificates of clients (mutual TLS).
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCertificates {
    /// PEM file of those that sign them.
    pub authorities: PathBuf,
    /// Refuses clients without one.
    pub required: bool,
    /// PEM files of revoked certificates.
    pub crls: Vec<PathBuf>,
    /// A list that is past its next update still counts.
    pub stale_crls: bool,
    /// How suppliers are told.
    pub forward: ForwardCertificate,
}

/// The header field that tells a supplier of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardCertificate {
    Off,
    /// `Client-Cert` (RFC 9440): the certificate itself.
    ClientCert,
    /// `X-Forwarded-Client-Cert` as Envoy writes it: fingerprint, subject and names.
    Xfcc,
}
