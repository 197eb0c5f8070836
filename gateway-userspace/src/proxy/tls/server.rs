//! TLS towards clients. Sessions resume by tickets alone, which all workers and listeners share;
//! early data is off, because it can be replayed.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::aws_lc_rs::{Ticketer, sign::any_supported_type},
    server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use super::{TlsError, provider};
use crate::{
    config::model::{Config, Tls},
    proxy::secrets::Secrets,
};

/// A settings object for each listening address.
pub(crate) fn listeners(
    config: &Config,
    secrets: &Secrets,
) -> Result<Vec<(SocketAddr, Arc<ServerConfig>)>, TlsError> {
    let ticketer = Ticketer::new().map_err(|source| TlsError::Setup { source })?;
    let one = |listener: &crate::config::model::Listener| {
        let key = match &listener.tls {
            Tls::Files { certificate, key } => from_files(certificate, key, secrets)?,
            Tls::SelfSigned => self_signed()?,
        };
        Ok((listener.address, settings(key, Arc::clone(&ticketer))?))
    };
    config.listeners.iter().map(one).collect()
}

fn settings(
    key: CertifiedKey,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let resolver: Arc<dyn ResolvesServerCert> = Arc::new(SingleCertAndKey::from(key));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ticketer;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

pub(super) fn from_files(
    certificate: &Path,
    key: &Path,
    secrets: &Secrets,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate, secrets)?;
    let bytes = secrets.get(key).ok_or_else(|| TlsError::Missing { path: key.to_owned() })?;
    let private = PrivateKeyDer::from_pem_slice(bytes)
        .map_err(|source| TlsError::Pem { path: key.to_owned(), source })?;
    let signer = any_supported_type(&private)
        .map_err(|source| TlsError::Key { path: key.to_owned(), source })?;
    let pair = CertifiedKey::new(chain, signer);
    match pair.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
        Err(_mismatch) => {
            Err(TlsError::Mismatch { certificate: certificate.to_owned(), key: key.to_owned() })
        }
    }
}

pub(super) fn certificates(
    path: &Path,
    secrets: &Secrets,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = secrets.get(path).ok_or_else(|| TlsError::Missing { path: path.to_owned() })?;
    let chain = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::Pem { path: path.to_owned(), source })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(chain)
}

fn self_signed() -> Result<CertifiedKey, TlsError> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|source| TlsError::SelfSigned { source })?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let signer = any_supported_type(&key).map_err(|source| TlsError::Setup { source })?;
    Ok(CertifiedKey::new(vec![made.cert.der().clone()], signer))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, path::PathBuf};

    use super::*;

    fn secret(secrets: &mut Secrets, path: &str, text: &str) -> PathBuf {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        secrets.add(path.to_owned(), &file).unwrap();
        PathBuf::from(path)
    }

    #[test]
    fn takes_a_matching_pair_and_tells_another_key_apart() {
        let mut secrets = Secrets::default();
        let one = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        let certificate = secret(&mut secrets, "edge.pem", &one.cert.pem());
        let key = secret(&mut secrets, "edge.key", &one.signing_key.serialize_pem());
        let wrong = secret(&mut secrets, "other.key", &other.signing_key.serialize_pem());

        assert!(from_files(&certificate, &key, &secrets).is_ok());
        let mismatch = from_files(&certificate, &wrong, &secrets).unwrap_err();
        assert!(matches!(mismatch, TlsError::Mismatch { .. }));
        assert!(mismatch.to_string().contains("other.key"));
    }

    #[test]
    fn says_which_file_is_missing_empty_or_no_pem() {
        let mut secrets = Secrets::default();
        let empty = secret(&mut secrets, "empty.pem", "");
        let missing = PathBuf::from("missing.pem");
        assert!(matches!(
            from_files(&empty, &missing, &secrets),
            Err(TlsError::NoCertificate { path }) if path == empty
        ));
        assert!(matches!(
            from_files(&missing, &missing, &secrets),
            Err(TlsError::Missing { path }) if path == missing
        ));
    }
}
