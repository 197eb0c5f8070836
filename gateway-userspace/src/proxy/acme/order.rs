//! One order: from the account to a checked certificate, step by step (RFC 8555 section 7.1).

use std::{sync::Arc, time::Duration};

use base64::Engine as _;
use instant_acme::{
    Account, AccountCredentials, CertificateIdentifier, ChallengeType, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::sign::any_supported_type,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::PrivateKeyDer;
use zeroize::Zeroizing;

use super::{
    board::{Board, Posted},
    caller::Caller,
    error::AcmeError,
    notes::Notes,
};
use crate::{
    clock::Wall,
    config::model::{Acme, Challenge, KeyKind, Managed},
    proxy::tls,
};

/// How long an authority may take to look at a challenge, and to sign.
const POLLS: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_secs(1))
    .backoff(1.5)
    .timeout(Duration::from_mins(2));

/// By which a client asks for the challenge's certificate (RFC 8737 section 6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// Bytes of key and chain: they go to the guard in one frame.
const BUNDLE: usize = 40 * 1024;

/// The account that is kept, or a new one. True if it is new.
pub(super) async fn account(
    acme: &Acme,
    caller: &Caller,
    board: &Board,
    notes: &mut Notes,
) -> Result<(Account, bool), AcmeError> {
    let builder = Account::builder_with_http(Box::new(caller.clone()));
    if let Some(known) = notes.account() {
        let known: AccountCredentials =
            serde_json::from_value(known.clone()).map_err(AcmeError::Notes)?;
        let account = builder.from_credentials(known).await.map_err(AcmeError::Account)?;
        return Ok((account, false));
    }
    let binding = binding(acme, board)?;
    let contacts: Vec<&str> = acme.contacts.iter().map(String::as_str).collect();
    let wanted = NewAccount {
        contact: &contacts,
        // The configuration is no good without.
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let made = builder.create(&wanted, acme.directory.clone(), binding.as_ref()).await;
    let (account, credentials) = made.map_err(AcmeError::Account)?;
    notes.has_account(serde_json::to_value(&credentials).map_err(AcmeError::Notes)?);
    tracing::info!(account = account.id(), "an account with the authority is made");
    Ok((account, true))
}

fn binding(acme: &Acme, board: &Board) -> Result<Option<ExternalAccountKey>, AcmeError> {
    let Some(binding) = &acme.binding else { return Ok(None) };
    let key = board.with_files(|files| {
        let text = files.get(&binding.key_file)?.trim_ascii().trim_ascii_end();
        let text = text.strip_suffix(b"=").unwrap_or(text);
        let text = text.strip_suffix(b"=").unwrap_or(text);
        base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new)
    });
    let key = key.filter(|key| !key.is_empty()).ok_or(AcmeError::Binding)?;
    Ok(Some(ExternalAccountKey::new(binding.key_id.clone(), &key)))
}

/// Has a certificate issued: key and chain in PEM, checked.
pub(super) async fn issue(
    account: &Account,
    acme: &Acme,
    board: &Board,
    one: &Managed,
    replaces: Option<CertificateIdentifier<'static>>,
    now: impl Fn() -> Wall,
) -> Result<Zeroizing<Vec<u8>>, AcmeError> {
    let mut order = place(account, &one.name, replaces).await?;
    let posted = prove(&mut order, acme, board, &one.name).await?;
    let ready = order.poll_ready(&POLLS).await;
    drop(posted);
    match ready {
        Ok(OrderStatus::Ready | OrderStatus::Valid) => {}
        Ok(_) => return Err(AcmeError::Invalid { why: why_invalid(&mut order).await }),
        Err(instant_acme::Error::Api(problem)) => {
            let why = format!("{problem}; {}", why_invalid(&mut order).await);
            return Err(AcmeError::Invalid { why });
        }
        Err(error) => return Err(AcmeError::Challenge(error)),
    }
    let key = KeyPair::generate_for(match acme.key {
        KeyKind::EcdsaP256 => &PKCS_ECDSA_P256_SHA256,
        KeyKind::EcdsaP384 => &PKCS_ECDSA_P384_SHA384,
    })
    .map_err(AcmeError::Request)?;
    let request = request(&one.name, &key).map_err(AcmeError::Request)?;
    order.finalize_csr(&request).await.map_err(AcmeError::Finalize)?;
    let chain = order.poll_certificate(&POLLS).await.map_err(AcmeError::Finalize)?;
    let key = Zeroizing::new(key.serialize_pem());
    checked(one, &key, &chain, now())
}

async fn place(
    account: &Account,
    name: &str,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, AcmeError> {
    let names = [Identifier::Dns(name.to_owned())];
    if let Some(replaced) = replaces {
        match account.new_order(&NewOrder::new(&names).replaces(replaced)).await {
            Ok(order) => return Ok(order),
            // Another account's, or replaced before: an order like any other will do.
            Err(error) => tracing::info!(%error, name, "not as a replacement"),
        }
    }
    account.new_order(&NewOrder::new(&names)).await.map_err(AcmeError::Order)
}

/// Answers the challenge of an authorization that is not valid yet. The answer stands until it is
/// dropped.
async fn prove<'a>(
    order: &mut Order,
    acme: &Acme,
    board: &'a Board,
    name: &str,
) -> Result<Option<Posted<'a>>, AcmeError> {
    let (kind, shown) = match acme.challenge {
        Challenge::Http01 => (ChallengeType::Http01, "http-01"),
        Challenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
    };
    let mut posted = None;
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(AcmeError::Challenge)?;
        if authorization.status != instant_acme::AuthorizationStatus::Pending {
            continue;
        }
        let missing = AcmeError::NoChallenge { challenge: shown };
        let mut challenge = authorization.challenge(kind.clone()).ok_or(missing)?;
        let answer = challenge.key_authorization();
        posted = Some(match acme.challenge {
            Challenge::Http01 => board.post_http(&challenge.token, answer.as_str()),
            Challenge::TlsAlpn01 => board.post_tls(name, shown_in_tls(name, answer.digest())?),
        });
        challenge.set_ready().await.map_err(AcmeError::Challenge)?;
    }
    Ok(posted)
}

/// The self-signed certificate that answers `acme-tls/1` (RFC 8737 section 3).
fn shown_in_tls(name: &str, digest: impl AsRef<[u8]>) -> Result<ServerConfig, AcmeError> {
    let key = KeyPair::generate().map_err(AcmeError::Request)?;
    let mut parameters =
        CertificateParams::new(vec![name.to_owned()]).map_err(AcmeError::Request)?;
    let digest = digest.as_ref();
    if digest.len() != 32 {
        return Err(AcmeError::Refused { why: "a digest that is none".to_owned() });
    }
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = parameters.self_signed(&key).map_err(AcmeError::Request)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let signer = any_supported_type(&key).map_err(AcmeError::Answer)?;
    // Not by `with_single_cert`, which refuses the extension that the answer consists of.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], signer);
    let builder = tls::server().map_err(AcmeError::Tls)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

fn request(name: &str, key: &KeyPair) -> Result<Vec<u8>, rcgen::Error> {
    let mut parameters = CertificateParams::new(vec![name.to_owned()])?;
    parameters.distinguished_name = DistinguishedName::new();
    Ok(parameters.serialize_request(key)?.der().to_vec())
}

/// What the authority found, by its own words.
async fn why_invalid(order: &mut Order) -> String {
    let mut found = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let errors = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        found.extend(errors.map(ToString::to_string));
    }
    if found.is_empty() { "it does not say why".to_owned() } else { found.join("; ") }
}

/// Key and chain as they are kept, if they are what was asked for.
pub(super) fn checked(
    one: &Managed,
    key: &str,
    chain: &str,
    now: Wall,
) -> Result<Zeroizing<Vec<u8>>, AcmeError> {
    let refused = |why: String| AcmeError::Refused { why };
    if key.len() + chain.len() > BUNDLE {
        return Err(refused(format!("the chain has {} bytes", chain.len())));
    }
    if chain.contains("PRIVATE KEY") {
        return Err(refused("the chain has a private key in it".to_owned()));
    }
    let bundle = Zeroizing::new([key.trim_end(), "\n", chain].concat().into_bytes());
    tls::check_issued(one, &bundle, now).map_err(|error| refused(error.told()))?;
    Ok(bundle)
}
