//! What operators want to know of a certificate or a list: whose it is, from whom, until when. Read
//! for showing alone; whom to trust is decided by the verifier.

use std::{net::IpAddr, path::Path};

use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::Serialize;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, parse_x509_crl};

use super::TlsError;
use crate::{clock::Wall, proxy::identity::certificate::fingerprint};

const DAY: u64 = 24 * 60 * 60;
const HOUR: u64 = 60 * 60;

/// Names shown of one certificate; the rest are counted.
const SHOWN: usize = 4;

/// Characters of one name that are shown.
const NAME_CHARACTERS: usize = 64;

/// What is known of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// All of them: clients ask by these.
    pub(super) names: Vec<String>,
    pub(super) issuer: String,
    pub(super) fingerprint: String,
    /// Seconds since 1970.
    pub(super) from: u64,
    pub(super) until: u64,
}

/// What is shown of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Shown {
    names: Vec<String>,
    more_names: usize,
    issuer: String,
    fingerprint: String,
    until: u64,
    seconds_left: u64,
}

impl Facts {
    /// Of a server's certificate.
    pub(super) fn of(der: &CertificateDer<'_>, path: &Path) -> Result<Self, TlsError> {
        let wrong = || TlsError::NotX509 { path: path.to_owned() };
        let (_, certificate) = X509Certificate::from_der(der).map_err(|_nom| wrong())?;
        let validity = certificate.validity();
        Ok(Self {
            names: names(&certificate),
            issuer: certificate.issuer().to_string(),
            fingerprint: fingerprint(der),
            from: seconds(validity.not_before.timestamp()),
            until: seconds(validity.not_after.timestamp()),
        })
    }

    /// Of authorities: the first that ends says when.
    pub(super) fn of_authorities(
        all: &[CertificateDer<'_>],
        path: &Path,
    ) -> Result<Self, TlsError> {
        let mut facts = Self { until: u64::MAX, ..Self::default() };
        for der in all {
            let wrong = || TlsError::NotX509 { path: path.to_owned() };
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_nom| wrong())?;
            facts.names.push(certificate.subject().to_string());
            facts.until = facts.until.min(seconds(certificate.validity().not_after.timestamp()));
        }
        Ok(facts)
    }

    /// Of lists of revoked certificates: the first that has to be replaced says when.
    pub(super) fn of_crls(
        all: &[CertificateRevocationListDer<'_>],
        path: &Path,
    ) -> Result<Self, TlsError> {
        let mut facts = Self { until: u64::MAX, ..Self::default() };
        for der in all {
            let wrong = || TlsError::NotCrl { path: path.to_owned() };
            let (_, list) = parse_x509_crl(der).map_err(|_nom| wrong())?;
            facts.issuer = list.issuer().to_string();
            let next = list.next_update().map_or(u64::MAX, |next| seconds(next.timestamp()));
            facts.until = facts.until.min(next);
        }
        Ok(facts)
    }

    /// Whether a certificate holds now.
    pub(super) fn hold(&self, path: &Path, now: Wall) -> Result<(), TlsError> {
        if now.0 > self.until {
            let days = (now.0 - self.until) / DAY;
            return Err(TlsError::Expired { path: path.to_owned(), days });
        }
        if now.0 < self.from {
            let hours = (self.from - now.0).div_ceil(HOUR);
            return Err(TlsError::Early { path: path.to_owned(), hours });
        }
        Ok(())
    }

    /// Until its end; 0 behind it.
    pub(super) fn seconds_left(&self, now: Wall) -> u64 {
        self.until.saturating_sub(now.0)
    }

    pub(super) fn shown(&self, now: Wall) -> Shown {
        let short = |text: &String| text.chars().take(NAME_CHARACTERS).collect();
        Shown {
            names: self.names.iter().take(SHOWN).map(short).collect(),
            more_names: self.names.len().saturating_sub(SHOWN),
            issuer: short(&self.issuer),
            fingerprint: self.fingerprint.clone(),
            until: self.until,
            seconds_left: self.seconds_left(now),
        }
    }
}

/// Host names and addresses, in lower case. A common name is none (RFC 9525 section 2).
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let all = extension.map(|extension| extension.value.general_names.as_slice());
    all.unwrap_or_default().iter().filter_map(name).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    if let GeneralName::DNSName(name) = name {
        return Some(name.to_ascii_lowercase());
    }
    let GeneralName::IPAddress(bytes) = name else { return None };
    let address = match bytes {
        [a, b, c, d] => IpAddr::from([*a, *b, *c, *d]),
        bytes => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
    };
    Some(address.to_string())
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}
