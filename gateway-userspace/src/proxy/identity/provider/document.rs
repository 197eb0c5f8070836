//! What a provider publishes: where its keys are, and the keys.

use std::time::Duration;

use http::{HeaderMap, header::CACHE_CONTROL};

use crate::{
    config::model::{Tokens, Url},
    proxy::{
        fetch::{Answer, Client, FetchError, Terms},
        identity::jwt::{KeySet, SetFault, Skipped},
        strict_json,
    },
};

/// Bytes of a document: the largest key sets in use have some tens of KiB.
const BYTES: usize = 256 * 1024;

/// Why keys are not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{url} answered {status}")]
    Status { url: Url, status: u16 },
    #[error("{url} is no JSON document, but {kind}")]
    Kind { url: Url, kind: String },
    #[error("{url} is about another issuer")]
    Issuer { url: Url },
    #[error("{url} names no jwks_uri that can be used: it {what}")]
    Place { url: Url, what: &'static str },
    #[error("the key set {url} is {fault}")]
    Set { url: Url, fault: SetFault },
}

/// A key set as it came.
pub(super) struct Fetched {
    pub(super) keys: KeySet,
    pub(super) skipped: Vec<Skipped>,
    pub(super) text: bytes::Bytes,
    /// As the provider says, if it does.
    pub(super) fresh: Option<Duration>,
}

/// What a document may take.
pub(super) fn terms(local: bool) -> Terms {
    let (connect, total) = (Duration::from_secs(5), Duration::from_secs(10));
    Terms { connect, total, body: BYTES, local }
}

/// Where the issuer says that its keys are (`OpenID` Connect Discovery section 4.3).
pub(super) async fn discover(
    client: &Client,
    at: &Url,
    settings: &Tokens,
) -> Result<Url, KeysError> {
    let answer = whole(client, at).await?;
    let document = strict_json::object(&answer.body);
    let document = document.ok_or_else(|| unlike(at, &answer))?;
    let text = |member: &str| document.get(member).and_then(serde_json::Value::as_str);
    if text("issuer") != Some(settings.issuer.as_str()) {
        return Err(KeysError::Issuer { url: at.clone() });
    }
    let wrong = |what| KeysError::Place { url: at.clone(), what };
    let place = text("jwks_uri").ok_or(wrong("is missing"))?;
    Url::read(place, settings.way.local).map_err(|(what, _)| wrong(what))
}

/// The keys at a URL.
pub(super) async fn fetch(
    client: &Client,
    at: &Url,
    settings: &Tokens,
) -> Result<Fetched, KeysError> {
    let answer = whole(client, at).await?;
    let (keys, skipped) =
        KeySet::read(&answer.body, &settings.algorithms).map_err(|fault| match fault {
            SetFault::Json => unlike(at, &answer),
            SetFault::NoList | SetFault::Empty => KeysError::Set { url: at.clone(), fault },
        })?;
    Ok(Fetched { keys, skipped, fresh: fresh(&answer.headers), text: answer.body })
}

async fn whole(client: &Client, at: &Url) -> Result<Answer, KeysError> {
    let answer = client.get(at, "application/json").await?;
    if answer.status != http::StatusCode::OK {
        return Err(KeysError::Status { url: at.clone(), status: answer.status.as_u16() });
    }
    Ok(answer)
}

fn unlike(at: &Url, answer: &Answer) -> KeysError {
    let kind: String =
        answer.content_type().chars().filter(char::is_ascii_graphic).take(64).collect();
    let kind = if kind.is_empty() { "of no type".to_owned() } else { kind };
    KeysError::Kind { url: at.clone(), kind }
}

/// `max-age` (RFC 9111 section 5.2.2.1); nothing where the answer is not to be kept.
fn fresh(headers: &HeaderMap) -> Option<Duration> {
    let said = headers.get_all(CACHE_CONTROL).iter().filter_map(|said| said.to_str().ok());
    let mut directives = said.flat_map(|said| said.split(',')).map(str::trim);
    directives.find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age").then(|| Duration::from_secs(seconds))
    })
}
