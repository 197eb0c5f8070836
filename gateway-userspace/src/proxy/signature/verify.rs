//! Checking signatures: first what a signature claims, so that its key can be looked up; then
//! whether it holds.

use http::{HeaderMap, HeaderName, HeaderValue};
use sfv::{Dictionary, InnerList, ListEntry, Parser};

use super::{
    Component, Fault, Message, VerifyingKey,
    base::base,
    component::{seconds, text},
    digest::CONTENT_DIGEST,
    sign::{INPUT, SIGNATURE},
};

/// Signatures of one message that are looked at, and components of one.
const SIGNATURES: usize = 16;
const COMPONENTS: usize = 64;

/// What a signature has to be.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    pub required: Vec<Component>,
    /// Seconds since it was made, at most.
    pub window: u64,
    /// Seconds by which clocks may differ.
    pub skew: u64,
    pub nonce: bool,
}

/// One signature of a message, unchecked.
#[derive(Debug, Clone)]
pub struct Claim {
    pub key_id: Option<String>,
    pub nonce: Option<String>,
    pub created: Option<u64>,
    pub expires: Option<u64>,
    algorithm: Option<String>,
    components: Vec<Component>,
    parameters: InnerList,
    signature: Vec<u8>,
}

/// The signature with this label or, without one, this tag; without either the only one.
pub fn claim(fields: &HeaderMap, label: Option<&str>, tag: Option<&str>) -> Result<Claim, Fault> {
    let inputs = dictionary(fields, &INPUT)?;
    let signatures = dictionary(fields, &SIGNATURE)?;
    if inputs.is_empty() || signatures.is_empty() {
        return Err(Fault::Missing);
    }
    if inputs.len() > SIGNATURES {
        return Err(Fault::Several);
    }
    let wanted = |name: &str, entry: &ListEntry| match (label, tag, entry) {
        (Some(label), _, _) => label == name,
        (None, Some(tag), ListEntry::InnerList(list)) => {
            let said = list.params.get("tag").and_then(|said| said.as_string());
            said.is_some_and(|said| said.as_str() == tag)
        }
        (None, Some(_), ListEntry::Item(_)) => false,
        (None, None, _) => true,
    };
    let mut chosen = inputs.iter().filter(|(name, entry)| wanted(name.as_str(), entry));
    let (name, entry) = chosen.next().ok_or(Fault::Missing)?;
    if chosen.next().is_some() {
        return Err(Fault::Several);
    }
    let ListEntry::InnerList(parameters) = entry else { return Err(Fault::Malformed) };
    let signature = signatures.get(name.as_str()).ok_or(Fault::Missing)?;
    let ListEntry::Item(signature) = signature else { return Err(Fault::Malformed) };
    let signature = signature.bare_item.as_byte_sequence().ok_or(Fault::Malformed)?;
    Claim::read(parameters, signature)
}

fn dictionary(fields: &HeaderMap, name: &HeaderName) -> Result<Dictionary, Fault> {
    let values: Vec<&[u8]> = fields.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    Parser::new(&values.join(&b", "[..])).parse().map_err(|_unreadable| Fault::Malformed)
}

impl Claim {
    fn read(parameters: &InnerList, signature: &[u8]) -> Result<Self, Fault> {
        if parameters.items.len() > COMPONENTS {
            return Err(Fault::Malformed);
        }
        let said = |name: &str| parameters.params.get(name);
        Ok(Self {
            key_id: text(said("keyid"))?,
            nonce: text(said("nonce"))?,
            created: seconds(said("created"))?,
            expires: seconds(said("expires"))?,
            algorithm: text(said("alg"))?,
            components: parameters.items.iter().map(Component::read).collect::<Result<_, _>>()?,
            parameters: parameters.clone(),
            signature: signature.to_vec(),
        })
    }

    /// Whether the body's digest is covered.
    pub fn covers_body(&self) -> bool {
        self.components.iter().any(|component| component.is_field(&CONTENT_DIGEST))
    }

    /// Whether it holds, by the time `now`. A nonce's novelty is for the caller to judge, once this
    /// has said that the nonce is the key holder's.
    pub fn check(
        &self,
        message: &Message<'_>,
        key: &VerifyingKey,
        policy: &Policy,
        now: u64,
    ) -> Result<(), Fault> {
        for required in &policy.required {
            if !self.components.contains(required) {
                return Err(Fault::Uncovered(required.to_string()));
            }
        }
        self.in_time(policy, now)?;
        if policy.nonce && self.nonce.as_ref().is_none_or(String::is_empty) {
            return Err(Fault::NoNonce);
        }
        if self.algorithm.as_ref().is_some_and(|said| said != key.algorithm().name()) {
            return Err(Fault::OtherAlgorithm);
        }
        let (base, _) = base(message, &self.components, &self.parameters)?;
        if key.verifies(base.as_bytes(), &self.signature) { Ok(()) } else { Err(Fault::Forged) }
    }

    fn in_time(&self, policy: &Policy, now: u64) -> Result<(), Fault> {
        let created = self.created.ok_or(Fault::Undated)?;
        if created > now.saturating_add(policy.skew) {
            return Err(Fault::Early);
        }
        if now > created.saturating_add(policy.window).saturating_add(policy.skew) {
            return Err(Fault::Stale);
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Fault::Expired);
        }
        Ok(())
    }
}
