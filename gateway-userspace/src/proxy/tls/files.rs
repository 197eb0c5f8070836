//! From the bytes of files that the guard passed to chains, keys and lists.

use std::path::Path;

use rustls::{
    InconsistentKeys, RootCertStore, crypto::aws_lc_rs::sign::any_supported_type,
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, pem::PemObject,
};

use super::TlsError;
use crate::{config::model::Pair, proxy::secrets::Secrets};

/// The chain in a file, at least one certificate.
pub(super) fn chain(
    path: &Path,
    secrets: &Secrets,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<CertificateDer<'static>> = objects(path, secrets)?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

/// A chain and the key that belongs to it.
pub(super) fn pair(pair: &Pair, secrets: &Secrets) -> Result<CertifiedKey, TlsError> {
    let Pair { certificate, key } = pair;
    let chain = chain(certificate, secrets)?;
    let private = PrivateKeyDer::from_pem_slice(bytes(key, secrets)?)
        .map_err(|source| TlsError::Pem { path: key.clone(), source })?;
    let signer = any_supported_type(&private)
        .map_err(|source| TlsError::Key { path: key.clone(), source })?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(_mismatch) => {
            Err(TlsError::Mismatch { certificate: certificate.clone(), key: key.clone() })
        }
    }
}

/// Authorities, and their certificates as they stand in the file.
pub(super) fn authorities(
    path: &Path,
    secrets: &Secrets,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let all = chain(path, secrets)?;
    let mut roots = RootCertStore::empty();
    for certificate in &all {
        roots
            .add(certificate.clone())
            .map_err(|source| TlsError::Authority { path: path.to_owned(), source })?;
    }
    Ok((roots, all))
}

/// The lists in a file, at least one.
pub(super) fn crls(
    path: &Path,
    secrets: &Secrets,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists: Vec<_> = objects(path, secrets)?;
    if lists.is_empty() {
        return Err(TlsError::NotCrl { path: path.to_owned() });
    }
    Ok(lists)
}

fn objects<T: PemObject>(path: &Path, secrets: &Secrets) -> Result<Vec<T>, TlsError> {
    T::pem_slice_iter(bytes(path, secrets)?)
        .collect::<Result<_, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })
}

fn bytes<'a>(path: &Path, secrets: &'a Secrets) -> Result<&'a [u8], TlsError> {
    secrets.get(path).ok_or_else(|| TlsError::Missing { path: path.to_owned() })
}
