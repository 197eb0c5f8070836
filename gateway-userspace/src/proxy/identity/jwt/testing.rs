//! An issuer of tokens under test: keys of each kind, and tokens signed as asked, right or wrong.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaEncoding,
        RsaKeyPair,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::config::model::{Algorithm, Family};

/// A key of an issuer, with its private half.
pub(crate) struct Signer {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    secret: Secret,
}

enum Secret {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let ec = |kind: &'static EcdsaSigningAlgorithm| {
            Secret::Ec(EcdsaKeyPair::generate(kind).unwrap())
        };
        let secret = match algorithm.family() {
            Family::Rsa => Secret::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            Family::P256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Family::P384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Family::P521 => ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Family::Ed25519 => Secret::Ed(Ed25519KeyPair::generate().unwrap()),
        };
        Self { kid: kid.to_owned(), algorithm, secret }
    }

    /// The public half, as providers publish it.
    pub(crate) fn jwk(&self) -> Value {
        let (kid, alg) = (&self.kid, self.algorithm.name());
        let mut jwk = self.bare();
        jwk["kid"] = json!(kid);
        jwk["alg"] = json!(alg);
        jwk["use"] = json!("sig");
        jwk
    }

    /// Only what the key is.
    pub(crate) fn bare(&self) -> Value {
        match &self.secret {
            Secret::Rsa(pair) => {
                let der = pair.public_key().as_ref();
                json!({ "kty": "RSA", "n": encode(&der[9..265]), "e": "AQAB" })
            }
            Secret::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                let crv = match self.algorithm.family() {
                    Family::P384 => "P-384",
                    Family::P521 => "P-521",
                    Family::P256 | Family::Rsa | Family::Ed25519 => "P-256",
                };
                json!({ "kty": "EC", "crv": crv, "x": encode(x), "y": encode(y) })
            }
            Secret::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) })
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm.name(), "kid": self.kid, "typ": "at+jwt" })
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        self.raw(&self.header().to_string(), &claims.to_string())
    }

    /// Header and claims byte by byte.
    pub(crate) fn raw(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = encode(&self.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    pub(crate) fn sign(&self, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.secret {
            Secret::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let encoding: &'static dyn RsaEncoding = match self.algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    Algorithm::Rs256
                    | Algorithm::Es256
                    | Algorithm::Es384
                    | Algorithm::Es512
                    | Algorithm::EdDsa => &signature::RSA_PKCS1_SHA256,
                };
                pair.sign(encoding, &random, signed, &mut signature).unwrap();
                signature
            }
            Secret::Ec(pair) => pair.sign(&random, signed).unwrap().as_ref().to_vec(),
            Secret::Ed(pair) => pair.sign(signed).as_ref().to_vec(),
        }
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A key set of these.
pub(crate) fn document(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
