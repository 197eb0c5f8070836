//! A certificate authority of the lab's own and what it signs.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};

/// The name every server certificate carries, beside its address.
pub const NAME: &str = "gateway.test";

/// An authority with one server certificate, and the files a gateway is configured with.
#[derive(Debug)]
pub struct Certificates {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authority's own certificate.
    pub authority: PathBuf,
    signer: CertifiedIssuer<'static, KeyPair>,
    roots: RootCertStore,
}

impl Certificates {
    /// Signs a certificate for [`NAME`] and `addresses`, and writes all into `folder`.
    pub fn create(folder: &Path, addresses: &[IpAddr]) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new()).context("describing the authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Not the name that rcgen gives every certificate: OpenSSL takes one whose issuer has its
        // own name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "The lab's authority");
        let key = KeyPair::generate().context("making the authority's key")?;
        let authority =
            CertifiedIssuer::self_signed(params, key).context("signing the authority")?;

        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).context("trusting the authority")?;
        let certificates = Self {
            certificate: folder.join("server.pem"),
            key: folder.join("server.key"),
            authority: write(&folder.join("authority.pem"), &authority.pem())?,
            signer: authority,
            roots,
        };
        certificates.renew(addresses)?;
        Ok(certificates)
    }

    /// Signs another certificate, for another key, and puts it in the place of the one before.
    pub fn renew(&self, addresses: &[IpAddr]) -> Result<()> {
        let mut params =
            CertificateParams::new(vec![NAME.to_owned()]).context("describing the server")?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        let key = KeyPair::generate().context("making the server's key")?;
        let server = params.signed_by(&key, &self.signer).context("signing the server")?;
        write(&self.certificate, &server.pem())?;
        write(&self.key, &key.serialize_pem())?;
        Ok(())
    }

    /// TLS as a client of the lab speaks it, offering these protocols.
    pub fn client(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choosing TLS versions")?
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Writes a file that only its owner reads: the gateway refuses a key others could.
fn write(path: &Path, text: &str) -> Result<PathBuf> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .with_context(|| format!("closing {} to others", path.display()))?;
    Ok(path.to_owned())
}
