//! A public key (RFC 7517, 7518, 8037) with the algorithms it is for: what a token says of its
//! algorithm has to be one of these, and chooses nothing.

use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{self, ParsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use gateway_common::Reason;
use serde_json::{Map, Value};

use super::Fault;
use crate::config::model::{Algorithm, Family};

const KID: usize = 256;

/// Bits of an RSA modulus: below, it can be factored; above, a check costs too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Bytes of an RSA exponent: all in use have three, and a long one only costs.
const EXPONENT: usize = 4;

/// A key of an issuer or of a caller.
pub struct Key {
    pub(super) kid: Option<String>,
    /// RFC 7638, SHA-256.
    pub(crate) thumbprint: [u8; 32],
    pub(super) family: Family,
    /// Bytes of a signature.
    length: usize,
    ways: Vec<(Algorithm, ParsedPublicKey)>,
    /// Its issuer no longer has it: what it signed counts no more.
    retired: AtomicBool,
}

/// Why a key is left aside. The texts are ours: a name that is shown is escaped by whoever shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("its kty or crv is not known")]
    Kind,
    #[error("it is not for signatures (use, key_ops)")]
    Use,
    #[error("its alg is not taken, or not its kind's")]
    Algorithm,
    #[error("it is a private or secret key, which everybody has by now")]
    Private,
    #[error("it is malformed")]
    Malformed,
    #[error("its RSA modulus has not 2048 to 8192 bits")]
    Size,
    #[error("another key has its kid")]
    Twice,
    #[error("there are too many keys before it")]
    TooMany,
}

impl Key {
    /// Reads a JWK for signatures by `taken`.
    pub fn read(jwk: &Map<String, Value>, taken: &[Algorithm]) -> Result<Self, KeyFault> {
        if ["d", "k", "p", "q", "oth"].iter().any(|secret| jwk.contains_key(*secret)) {
            return Err(KeyFault::Private);
        }
        check_use(jwk)?;
        let (family, bytes, canonical, length) = material(jwk)?;
        let parse = |algorithm: Algorithm| {
            let parsed = ParsedPublicKey::new(verification(algorithm), &bytes);
            parsed.map(|parsed| (algorithm, parsed)).map_err(|_rejected| KeyFault::Malformed)
        };
        let ways =
            algorithms(jwk, family, taken)?.into_iter().map(parse).collect::<Result<_, _>>()?;
        let mut thumbprint = [0; 32];
        thumbprint.copy_from_slice(digest(&SHA256, canonical.as_bytes()).as_ref());
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID => Some(kid.clone()),
            Some(_) => return Err(KeyFault::Malformed),
        };
        Ok(Self { kid, thumbprint, family, length, ways, retired: AtomicBool::new(false) })
    }

    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.ways.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether `signature` is this key's over `signed`.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), Fault> {
        let Some((_, way)) = self.ways.iter().find(|(own, _)| *own == algorithm) else {
            return Err(Fault::new(Reason::TokenAlgorithmMismatch, "not the key's algorithm"));
        };
        if signature.len() != self.length {
            return Err(Fault::new(Reason::TokenSignatureForm, "a signature of another length"));
        }
        let zero = |half: &[u8]| half.iter().all(|byte| *byte == 0);
        let halves = signature.split_at_checked(self.length / 2);
        if self.family.is_ecdsa() && halves.is_some_and(|(r, s)| zero(r) || zero(s)) {
            // Checkers that forget it take it for anybody's signature (CVE-2022-21449).
            return Err(Fault::new(Reason::TokenSignatureForm, "a signature of zeros"));
        }
        way.verify_sig(signed, signature)
            .map_err(|_unspecified| Fault::new(Reason::TokenSignature, "not the key's signature"))
    }

    /// Whether the issuer has taken it back.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Relaxed)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    /// Whether both are one key for the same use.
    pub(super) fn is(&self, other: &Self) -> bool {
        let same = |(one, other): (&(Algorithm, _), &(Algorithm, _))| one.0 == other.0;
        self.kid == other.kid
            && self.thumbprint == other.thumbprint
            && self.ways.len() == other.ways.len()
            && self.ways.iter().zip(&other.ways).all(same)
    }
}

impl Family {
    const fn is_ecdsa(self) -> bool {
        matches!(self, Self::P256 | Self::P384 | Self::P521)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.ways.iter().map(|(algorithm, _)| algorithm).collect();
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

fn check_use(jwk: &Map<String, Value>) -> Result<(), KeyFault> {
    let signs = jwk.get("use").is_none_or(|usage| usage == "sig");
    let verifies = |operations: &Value| {
        operations.as_array().is_some_and(|all| all.iter().any(|one| one == "verify"))
    };
    let verifies = jwk.get("key_ops").is_none_or(verifies);
    if signs && verifies { Ok(()) } else { Err(KeyFault::Use) }
}

/// Family, the key as the library reads it, its canonical form (RFC 7638 section 3.2), and the
/// length of its signatures.
fn material(jwk: &Map<String, Value>) -> Result<(Family, Vec<u8>, String, usize), KeyFault> {
    let text = |member: &str| jwk.get(member).and_then(Value::as_str);
    let curve = |family, crv: &str, size: usize| {
        let (x, y) = (part(jwk, "x")?, part(jwk, "y")?);
        if x.len() != size || y.len() != size {
            return Err(KeyFault::Malformed);
        }
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        let (x, y) = (encode(&x), encode(&y));
        let canonical = format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Ok((family, point, canonical, 2 * size))
    };
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => rsa(jwk),
        (Some("EC"), Some("P-256")) => curve(Family::P256, "P-256", 32),
        (Some("EC"), Some("P-384")) => curve(Family::P384, "P-384", 48),
        (Some("EC"), Some("P-521")) => curve(Family::P521, "P-521", 66),
        (Some("OKP"), Some("Ed25519")) => {
            let x = part(jwk, "x")?;
            let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(&x));
            if x.len() == 32 {
                Ok((Family::Ed25519, x, canonical, 64))
            } else {
                Err(KeyFault::Malformed)
            }
        }
        _ => Err(KeyFault::Kind),
    }
}

fn rsa(jwk: &Map<String, Value>) -> Result<(Family, Vec<u8>, String, usize), KeyFault> {
    let (n, e) = (number(&part(jwk, "n")?), number(&part(jwk, "e")?));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyFault::Size);
    }
    let odd = e.last().is_some_and(|last| last % 2 == 1);
    if !odd || e.len() > EXPONENT || e == [1] {
        return Err(KeyFault::Malformed);
    }
    let canonical = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encode(&e), encode(&n));
    let body = [integer(&n), integer(&e)].concat();
    Ok((Family::Rsa, element(0x30, &body), canonical, n.len()))
}

/// Algorithms that the key is for. An RSA key that names none is for RS256, as `OpenID` Connect has
/// it, unless the configuration takes other RSA algorithms and that one not.
fn algorithms(
    jwk: &Map<String, Value>,
    family: Family,
    taken: &[Algorithm],
) -> Result<Vec<Algorithm>, KeyFault> {
    let lawful = |one: &Algorithm| one.family() == family && taken.contains(one);
    let mut all: Vec<Algorithm> = match jwk.get("alg") {
        None => Algorithm::ALL.into_iter().filter(lawful).collect(),
        Some(name) => {
            let named = name.as_str().and_then(Algorithm::from_name);
            named.into_iter().filter(lawful).collect()
        }
    };
    if all.len() > 1 && all.contains(&Algorithm::Rs256) {
        all = vec![Algorithm::Rs256];
    }
    if all.is_empty() { Err(KeyFault::Algorithm) } else { Ok(all) }
}

fn verification(algorithm: Algorithm) -> &'static dyn VerificationAlgorithm {
    match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::Es512 => &signature::ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
    }
}

fn part(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, KeyFault> {
    let text = jwk.get(member).and_then(Value::as_str).ok_or(KeyFault::Malformed)?;
    BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_wrong| KeyFault::Malformed)
}

fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Without zeros in front, which some providers write.
fn number(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).map(<[u8]>::to_vec).unwrap_or_default()
}

/// An unsigned DER integer.
fn integer(number: &[u8]) -> Vec<u8> {
    let signed = number.first().is_none_or(|first| *first >= 0x80);
    let mut content = if signed { vec![0] } else { Vec::new() };
    content.extend_from_slice(number);
    element(0x02, &content)
}

/// A DER element of less than 64 KiB.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut all = vec![tag];
    match (u8::try_from(content.len()), u16::try_from(content.len()).unwrap_or(u16::MAX)) {
        (Ok(short @ 0..=0x7f), _) => all.push(short),
        (Ok(byte), _) => all.extend([0x81, byte]),
        (Err(_), long) => {
            all.push(0x82);
            all.extend(long.to_be_bytes());
        }
    }
    all.extend_from_slice(content);
    all
}
