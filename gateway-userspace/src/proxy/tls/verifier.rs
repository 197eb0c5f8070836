//! Who may come with a certificate of its own: signed by the listener's authorities and on none of
//! its lists of revoked ones. A list that should have been replaced makes it refuse everyone,
//! unless configured otherwise: an attacker who keeps the next list away would undo a revocation.

use std::sync::Arc;

use rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};

use super::{TlsError, facts::Facts, files, provider};
use crate::{clock::Wall, config::model::ClientCertificates, proxy::secrets::Secrets};

/// The verifier, and what is known of its files in the order of the configuration.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) facts: Vec<Facts>,
}

/// Reads authorities and lists. With `now` a list past its time is refused here already, so that
/// the one before stays.
pub(super) fn read(
    clients: &ClientCertificates,
    secrets: &Secrets,
    now: Option<Wall>,
) -> Result<Clients, TlsError> {
    let path = &clients.authorities;
    let (roots, certificates) = files::authorities(path, secrets)?;
    let mut facts = vec![Facts::of_authorities(&certificates, path)?];
    let mut lists = Vec::new();
    for path in &clients.crls {
        let read = files::crls(path, secrets)?;
        let known = Facts::of_crls(&read, path)?;
        if let Some(now) = now
            && now.0 > known.until
            && !clients.stale_crls
        {
            let days = (now.0 - known.until) / (24 * 60 * 60);
            return Err(TlsError::StaleCrl { path: path.clone(), days });
        }
        facts.push(known);
        lists.extend(read);
    }
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).with_crls(lists);
    if !clients.stale_crls {
        builder = builder.enforce_revocation_expiration();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    let verifier =
        builder.build().map_err(|source| TlsError::Verifier { path: path.clone(), source })?;
    Ok(Clients { verifier, facts })
}
