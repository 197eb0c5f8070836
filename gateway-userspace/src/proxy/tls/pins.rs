//! Suppliers whose public key is known beforehand (SPKI, RFC 7469 2.4): what the authorities say
//! has to hold, and the key be one of these. A name is thereby as safe as the key, not as the
//! weakest authority.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    server::{ParsedCertificate, VerifierBuilderError},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The usual checks, and the pins.
#[derive(Debug)]
pub(super) struct Pinned {
    usual: Arc<WebPkiServerVerifier>,
    pins: Vec<[u8; 32]>,
}

impl Pinned {
    pub(super) fn new(
        roots: &Arc<RootCertStore>,
        pins: &[[u8; 32]],
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let usual =
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider).build()?;
        Ok(Self { usual, pins: pins.to_vec() })
    }

    fn knows(&self, certificate: &CertificateDer<'_>) -> Result<bool, Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let found = digest(&SHA256, key.as_ref());
        Ok(self.pins.iter().any(|pin| pin.as_slice() == found.as_ref()))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.usual.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if self.knows(end_entity)? {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
