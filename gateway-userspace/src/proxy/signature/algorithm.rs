//! Algorithms (RFC 9421 section 3.3) and keys. A key is of one algorithm from the moment it is read.

use std::fmt;

use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    signature::{
        self as lc, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaKeyPair,
        RsaPublicKeyComponents, VerificationAlgorithm,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::Deserialize;

/// Bytes of a shared secret, at least: half of what HMAC-SHA-256 gives.
const SECRET: usize = 16;

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    RsaPssSha512,
    RsaV15Sha256,
    EcdsaP256Sha256,
    EcdsaP384Sha384,
    Ed25519,
    HmacSha256,
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    #[error("is neither a key in PEM nor a JWK")]
    Unreadable,
    #[error("is not a key for {0}")]
    Other(&'static str),
    #[error("is a secret of fewer than {SECRET} bytes")]
    Short,
}

/// What checks signatures.
pub struct VerifyingKey {
    algorithm: Algorithm,
    kind: Verifying,
}

enum Verifying {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// What makes signatures.
pub struct SigningKey {
    algorithm: Algorithm,
    kind: Signing,
}

enum Signing {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Secret(Box<hmac::Key>),
}

/// The members of a public key (RFC 7517); others are of no weight.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Algorithm {
    pub const ALL: [Self; 6] = [
        Self::RsaPssSha512,
        Self::RsaV15Sha256,
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::Ed25519,
        Self::HmacSha256,
    ];

    /// As the registry has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::RsaV15Sha256 => "rsa-v1_5-sha256",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::EcdsaP384Sha384 => "ecdsa-p384-sha384",
            Self::Ed25519 => "ed25519",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    fn verification(self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match self {
            Self::RsaPssSha512 => &lc::RSA_PSS_2048_8192_SHA512,
            Self::RsaV15Sha256 => &lc::RSA_PKCS1_2048_8192_SHA256,
            Self::EcdsaP256Sha256 => &lc::ECDSA_P256_SHA256_FIXED,
            Self::EcdsaP384Sha384 => &lc::ECDSA_P384_SHA384_FIXED,
            Self::Ed25519 => &lc::ED25519,
            Self::HmacSha256 => return None,
        })
    }
}

impl VerifyingKey {
    /// From a file: `PUBLIC KEY` in PEM, a JWK, or for HMAC the secret itself, without the line
    /// break behind it.
    pub fn read(algorithm: Algorithm, file: &[u8]) -> Result<Self, KeyFault> {
        let Some(verification) = algorithm.verification() else {
            return Ok(Self { algorithm, kind: Verifying::Secret(secret(file)?) });
        };
        let other = |_rejected| KeyFault::Other(algorithm.name());
        let key = if file.trim_ascii_start().starts_with(b"{") {
            jwk(algorithm, verification, file)?
        } else {
            let der = SubjectPublicKeyInfoDer::from_pem_slice(file);
            let der = der.map_err(|_unreadable| KeyFault::Unreadable)?;
            ParsedPublicKey::new(verification, &*der).map_err(other)?
        };
        Ok(Self { algorithm, kind: Verifying::Public(key) })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// In constant time where there is a secret.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.kind {
            Verifying::Public(key) => key.verify_sig(message, signature).is_ok(),
            Verifying::Secret(key) => hmac::verify(key, message, signature).is_ok(),
        }
    }
}

impl SigningKey {
    /// From a file: a private key in PEM (PKCS #8, PKCS #1 or SEC 1), or for HMAC the secret.
    pub fn read(algorithm: Algorithm, file: &[u8]) -> Result<Self, KeyFault> {
        if algorithm == Algorithm::HmacSha256 {
            return Ok(Self { algorithm, kind: Signing::Secret(secret(file)?) });
        }
        let key =
            PrivateKeyDer::from_pem_slice(file).map_err(|_unreadable| KeyFault::Unreadable)?;
        let der = key.secret_der();
        let other = |_rejected| KeyFault::Other(algorithm.name());
        let ecdsa = |curve| EcdsaKeyPair::from_private_key_der(curve, der).map_err(other);
        let kind = match algorithm {
            Algorithm::RsaPssSha512 | Algorithm::RsaV15Sha256 => {
                let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
                Signing::Rsa(pair.map_err(other)?)
            }
            Algorithm::EcdsaP256Sha256 => {
                Signing::Ecdsa(ecdsa(&lc::ECDSA_P256_SHA256_FIXED_SIGNING)?)
            }
            Algorithm::EcdsaP384Sha384 => {
                Signing::Ecdsa(ecdsa(&lc::ECDSA_P384_SHA384_FIXED_SIGNING)?)
            }
            Algorithm::Ed25519 | Algorithm::HmacSha256 => {
                let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
                Signing::Ed25519(pair.map_err(other)?)
            }
        };
        Ok(Self { algorithm, kind })
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// `None` if there is no randomness.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &self.kind {
            Signing::Rsa(pair) => {
                let padding: &dyn lc::RsaEncoding = if self.algorithm == Algorithm::RsaPssSha512 {
                    &lc::RSA_PSS_SHA512
                } else {
                    &lc::RSA_PKCS1_SHA256
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Signing::Ecdsa(pair) => Some(pair.sign(&random, message).ok()?.as_ref().to_vec()),
            Signing::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
            Signing::Secret(key) => Some(hmac::sign(key, message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.algorithm.name())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm.name())
    }
}

fn secret(file: &[u8]) -> Result<Box<hmac::Key>, KeyFault> {
    let secret = line(file);
    if secret.len() < SECRET {
        return Err(KeyFault::Short);
    }
    Ok(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
}

/// A secret without the line break that editors put behind it.
pub(crate) fn line(file: &[u8]) -> &[u8] {
    file.strip_suffix(b"\r\n").or_else(|| file.strip_suffix(b"\n")).unwrap_or(file)
}

fn jwk(
    algorithm: Algorithm,
    verification: &'static dyn VerificationAlgorithm,
    file: &[u8],
) -> Result<ParsedPublicKey, KeyFault> {
    let key: Jwk = serde_json::from_slice(file).map_err(|_unreadable| KeyFault::Unreadable)?;
    let other = || KeyFault::Other(algorithm.name());
    let decoded = |text: &Option<String>| {
        let text = text.as_deref().ok_or_else(other)?;
        BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_undecodable| KeyFault::Unreadable)
    };
    let curve = key.crv.as_deref().unwrap_or_default();
    let point = |size: usize| {
        let (x, y) = (decoded(&key.x)?, decoded(&key.y)?);
        let whole = x.len() == size && y.len() == size;
        whole.then(|| [&[4], x.as_slice(), &y].concat()).ok_or_else(other)
    };
    let bytes = match (algorithm, key.kty.as_str(), curve) {
        (Algorithm::EcdsaP256Sha256, "EC", "P-256") => point(32)?,
        (Algorithm::EcdsaP384Sha384, "EC", "P-384") => point(48)?,
        (Algorithm::Ed25519, "OKP", "Ed25519") => decoded(&key.x)?,
        (Algorithm::RsaPssSha512, "RSA", _) => {
            let rsa = RsaPublicKeyComponents { n: decoded(&key.n)?, e: decoded(&key.e)? };
            let key = rsa.to_parsed_public_key(&lc::RSA_PSS_2048_8192_SHA512);
            return key.map_err(|_rejected| other());
        }
        (Algorithm::RsaV15Sha256, "RSA", _) => {
            let rsa = RsaPublicKeyComponents { n: decoded(&key.n)?, e: decoded(&key.e)? };
            let key = rsa.to_parsed_public_key(&lc::RSA_PKCS1_2048_8192_SHA256);
            return key.map_err(|_rejected| other());
        }
        _ => return Err(other()),
    };
    ParsedPublicKey::new(verification, bytes).map_err(|_rejected| other())
}
