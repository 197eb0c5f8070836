//! Access tokens: taken from `Authorization` alone, by the scheme they are bound to, in the hands they
//! are bound to. Challenges are those of RFC 6750 section 3 and RFC 9449 section 7.1.

use std::sync::Arc;

use gateway_common::Reason;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};

use crate::{
    config::model::{Algorithm, Sender, Tokens},
    proxy::{
        identity::{
            dpop::{Asked, Dpop, Proof, Terms},
            jwt::Fault,
            provider::Provider,
            token::{Digest, Hands, Question, Scheme, Token, digest_of},
        },
        pipeline::{context::RequestContext, decision::Refusal},
    },
};

static DPOP: HeaderName = HeaderName::from_static("dpop");

/// A token that was presented, and what is known of it.
#[derive(Debug)]
pub(crate) struct Presented {
    scheme: Scheme,
    digest: Digest,
    pub(crate) found: Option<Result<Arc<Token>, Fault>>,
}

/// How an identity's tokens are taken.
#[derive(Debug)]
pub(super) struct ByToken {
    provider: Arc<Provider>,
    dpop: Arc<Dpop>,
    /// Of proofs: any that no secret checks, or those of the profile.
    algorithms: Vec<Algorithm>,
}

impl ByToken {
    pub(super) fn new(provider: &Arc<Provider>, dpop: &Arc<Dpop>) -> Self {
        let fapi2 = provider.settings.algorithms.iter().all(|one| Algorithm::FAPI2.contains(one));
        let algorithms = if fapi2 { Algorithm::FAPI2.to_vec() } else { Algorithm::ALL.to_vec() };
        Self { provider: Arc::clone(provider), dpop: Arc::clone(dpop), algorithms }
    }

    /// Looks at the credential; the question that is left, if any.
    pub(super) fn prepare(&self, context: &mut RequestContext) -> Option<Question> {
        let credential = credential(&context.head.headers).ok()?.clone();
        let (scheme, token) = split(&credential)?;
        let digest = digest_of(token);
        let found = self.provider.known(&digest, context.wall);
        let unknown = found.is_none();
        context.presented = Some(Presented { scheme, digest, found });
        let question = || Question::new(&self.provider, token.to_vec(), digest, context.wall);
        unknown.then(question)
    }

    /// The token, if it counts for this request.
    pub(super) fn check(&self, context: &mut RequestContext) -> Result<Arc<Token>, Refusal> {
        let Some(presented) = context.presented.take() else {
            let fault = match credential(&context.head.headers) {
                Ok(_) => Fault::new(Reason::CredentialMalformed, "neither Bearer nor DPoP"),
                Err(fault) => fault,
            };
            return Err(self.refusal(fault, Scheme::Bearer));
        };
        let refused = |fault| self.refusal(fault, presented.scheme);
        let missing = Fault::new(Reason::Internal, "nobody asked about the token");
        let token = presented.found.clone().unwrap_or(Err(missing)).map_err(refused)?;
        let proof = self.proof(context, &presented).map_err(refused)?;
        let certificate = context.peer.certificate.as_ref();
        let hands = Hands {
            scheme: presented.scheme,
            certificate: certificate.map(|shown| shown.fingerprint.as_str()),
            proof: proof.as_ref(),
        };
        token.check_hands(self.settings().sender, &hands).map_err(refused)?;
        if let Some(proof) = &proof {
            self.dpop.once(proof, context.wall).map_err(refused)?;
        }
        Ok(token)
    }

    /// The proof that has to come with the scheme `DPoP`; offers a nonce where one is asked for.
    fn proof(
        &self,
        context: &mut RequestContext,
        presented: &Presented,
    ) -> Result<Option<Proof>, Fault> {
        let settings = self.settings();
        match presented.scheme {
            Scheme::Bearer => return Ok(None),
            Scheme::Dpop if settings.dpop.origins.is_empty() => {
                return Err(Fault::new(Reason::TokenScheme, "proofs are not taken here"));
            }
            Scheme::Dpop => {}
        }
        let proof = one(&context.head.headers, &DPOP);
        let proof = proof.map_err(|detail| Fault::new(Reason::DpopMalformed, detail))?;
        let asked = Asked {
            method: context.head.method.as_str(),
            paths: [context.head.uri.path(), context.path()],
            token: &presented.digest,
        };
        let terms =
            Terms { dpop: &settings.dpop, algorithms: &self.algorithms, leeway: settings.leeway };
        let read = self.dpop.read(proof.as_bytes(), &asked, terms, context.wall);
        let wanted = matches!(read, Err(Fault { reason: Reason::DpopNonce, .. }));
        if wanted || (settings.dpop.nonce && read.is_ok()) {
            context.nonce = HeaderValue::try_from(self.dpop.nonce(context.wall)).ok();
        }
        read.map(Some)
    }

    fn settings(&self) -> &Tokens {
        &self.provider.settings
    }

    fn refusal(&self, fault: Fault, scheme: Scheme) -> Refusal {
        let refusal = Refusal::new(fault.reason, fault.detail);
        if fault.reason.info().status != 401 {
            return refusal;
        }
        match HeaderValue::try_from(self.challenge(fault.reason, scheme)) {
            Ok(challenge) => refusal.with_header(WWW_AUTHENTICATE, challenge),
            Err(_never) => refusal,
        }
    }

    /// Every scheme that would do; the error with the one that was tried.
    fn challenge(&self, reason: Reason, scheme: Scheme) -> String {
        let proof =
            [Reason::DpopMalformed, Reason::DpopMismatch, Reason::DpopTime, Reason::DpopReplayed];
        let error = if reason == Reason::CredentialMissing {
            // RFC 6750 section 3.1: who has shown nothing is told nothing.
            None
        } else if reason == Reason::CredentialMalformed {
            Some("invalid_request")
        } else if reason == Reason::DpopNonce {
            Some("use_dpop_nonce")
        } else if proof.contains(&reason) {
            Some("invalid_dpop_proof")
        } else {
            Some("invalid_token")
        };
        let error = error.map(|error| format!("error=\"{error}\""));
        let (bearer, dpop) = self.schemes();
        let mut all = Vec::new();
        if bearer {
            let tried = error.iter().filter(|_| scheme == Scheme::Bearer || !dpop);
            all.push(tried.fold("Bearer".to_owned(), |text, error| format!("{text} {error}")));
        }
        if dpop {
            let names: Vec<_> = self.algorithms.iter().map(|one| one.name()).collect();
            let algorithms = format!("algs=\"{}\"", names.join(" "));
            let tried = error.iter().filter(|_| scheme == Scheme::Dpop || !bearer);
            let tried = tried.fold(String::new(), |_, error| format!("{error}, "));
            all.push(format!("DPoP {tried}{algorithms}"));
        }
        all.join(", ")
    }

    /// Whether `Bearer` and `DPoP` are taken.
    fn schemes(&self) -> (bool, bool) {
        let proofs = !self.settings().dpop.origins.is_empty();
        match self.settings().sender {
            Sender::Optional | Sender::Required => (true, proofs),
            Sender::Certificate => (true, false),
            Sender::Dpop => (false, true),
        }
    }
}

/// The one `Authorization` field.
fn credential(headers: &HeaderMap) -> Result<&HeaderValue, Fault> {
    if !headers.contains_key(AUTHORIZATION) {
        return Err(Fault::new(Reason::CredentialMissing, "no Authorization"));
    }
    one(headers, &AUTHORIZATION).map_err(|what| Fault::new(Reason::CredentialMalformed, what))
}

/// Exactly one field of this name.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a HeaderValue, &'static str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err("a field is missing"),
        (Some(_), Some(_)) => Err("a field is there more than once"),
    }
}

/// The scheme in any case (RFC 9110 section 11.1), and the token behind it.
fn split(credential: &HeaderValue) -> Option<(Scheme, &[u8])> {
    let bytes = credential.as_bytes();
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = bytes.split_at_checked(space)?;
    let scheme = match scheme.to_ascii_lowercase().as_slice() {
        b"bearer" => Scheme::Bearer,
        b"dpop" => Scheme::Dpop,
        _ => return None,
    };
    let token = token.trim_ascii_start();
    (!token.is_empty()).then_some((scheme, token))
}
