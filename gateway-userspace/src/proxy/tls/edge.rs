//! TLS of all listeners: renewed together, shown together.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{crypto::aws_lc_rs::Ticketer, server::ProducesTickets};
use rustls_pki_types::CertificateDer;
use serde::Serialize;

use super::{
    Listener, TlsError,
    facts::{Facts, Shown},
    listener::Renewal,
};
use crate::{
    clock::Wall,
    config::model::{self, Config},
    ipc::message::RefusedFile,
    proxy::secrets::Secrets,
};

/// Files shown at once.
const LINES: usize = 32;

/// Of a managed name.
const STAND_IN: &str =
    "self-signed until a certificate is issued; `gateway acme list` says how far that is";

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Edge {
    /// In the order of the configuration.
    listeners: Vec<Listener>,
    ticketer: Arc<dyn ProducesTickets>,
    warning: Duration,
}

/// What was issued for a managed name.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) fingerprint: String,
    pub(crate) from: Wall,
    pub(crate) until: Wall,
}

/// A file as `gateway status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Line {
    listener: SocketAddr,
    source: String,
    #[serde(flatten)]
    shown: Shown,
    /// What an operator has to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Edge {
    pub(crate) fn start(config: &Config, secrets: &Secrets) -> Result<Self, TlsError> {
        let ticketer = Ticketer::new().map_err(|source| TlsError::Setup { source })?;
        let one = |listener| Listener::start(listener, &ticketer, secrets);
        let listeners = config.listeners.iter().map(one).collect::<Result<_, _>>()?;
        Ok(Self { listeners, ticketer, warning: config.tls.expiry_warning })
    }

    /// For another configuration, with the keys of tickets: clients resume their sessions.
    pub(crate) fn succeed(
        &self,
        config: &Config,
        secrets: &Secrets,
        now: Wall,
    ) -> Result<Self, TlsError> {
        let one = |listener: &model::Listener| {
            let known = self.listeners.iter().find(|known| known.address == listener.address);
            match known {
                Some(known) => known.succeed(listener, secrets, now),
                None => Listener::start(listener, &self.ticketer, secrets),
            }
        };
        let listeners = config.listeners.iter().map(one).collect::<Result<_, _>>()?;
        let ticketer = Arc::clone(&self.ticketer);
        Ok(Self { listeners, ticketer, warning: config.tls.expiry_warning })
    }

    /// The listener at a place of the configuration.
    pub(crate) fn listener(&self, place: usize) -> Option<&Listener> {
        self.listeners.get(place)
    }

    pub(crate) fn place(&self, address: SocketAddr) -> Option<usize> {
        self.listeners.iter().position(|one| one.address == address)
    }

    /// Takes what is good of the new files. Returns what was not taken.
    pub(crate) fn renew(
        &self,
        secrets: &Secrets,
        unreadable: &HashMap<PathBuf, String>,
        now: Wall,
    ) -> Vec<RefusedFile> {
        let renewal = Renewal { secrets, unreadable, now };
        let mut faults: Vec<RefusedFile> = Vec::new();
        for listener in &self.listeners {
            let found = listener.renew(&renewal).unwrap_or_else(|error| {
                let path = listener.address.to_string();
                vec![RefusedFile { path, why: error.told() }]
            });
            for fault in found {
                // Two listeners may share a file.
                if !faults.contains(&fault) {
                    faults.push(fault);
                }
            }
        }
        for RefusedFile { path, why } in &faults {
            tracing::error!(%path, "the last good one stays: {why}");
        }
        self.warn(now);
        faults
    }

    /// Says in the log what ends soon.
    pub(crate) fn warn(&self, now: Wall) {
        for line in self.lines(now) {
            if let Some(warning) = &line.warning {
                tracing::warn!(listener = %line.listener, source = %line.source, "{warning}");
            }
        }
    }

    /// Every certificate, authority and list in use.
    fn lines(&self, now: Wall) -> Vec<Line> {
        let mut lines = Vec::new();
        for listener in &self.listeners {
            let current = listener.current();
            let sources = listener.settings().dated_files();
            let sources = sources.into_iter().zip(current.stand_ins());
            for ((source, stand_in), facts) in sources.zip(current.facts()) {
                let by_itself = listener.settings().manages(&source);
                let fault = current.faults.iter().find(|fault| fault.path == source);
                let warning = match fault {
                    Some(fault) => Some(format!("the one before is served on: {}", fault.why)),
                    None if stand_in => Some(STAND_IN.to_owned()),
                    None if by_itself => late(facts, now),
                    None => self.warning(facts.seconds_left(now)),
                };
                let shown = facts.shown(now);
                lines.push(Line { listener: listener.address, source, shown, warning });
            }
        }
        lines
    }

    /// What is served for a managed name, if anything was issued for it.
    pub(crate) fn issued(&self, file: &Path) -> Option<Issued> {
        self.listeners.iter().find_map(|listener| {
            let current = listener.current();
            let (key, facts) = current.issued(file, listener.settings())?;
            Some(Issued {
                certificate: key.cert.first()?.clone(),
                fingerprint: facts.fingerprint.clone(),
                from: Wall(facts.from),
                until: Wall(facts.until),
            })
        })
    }

    /// What `gateway status` shows: those with a warning first, as many as fit an answer, and how
    /// many more there are.
    pub(crate) fn shown(&self, now: Wall) -> (Vec<Line>, usize) {
        let mut lines = self.lines(now);
        lines.sort_by_key(|line| line.warning.is_none());
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        (lines, more)
    }

    /// Seconds until each file's end, in the order of the configuration.
    pub(crate) fn seconds_left(&self, now: Wall) -> Vec<u64> {
        let of = |listener: &Listener| {
            listener.current().facts().map(|facts| facts.seconds_left(now)).collect::<Vec<_>>()
        };
        self.listeners.iter().flat_map(of).collect()
    }

    fn warning(&self, seconds_left: u64) -> Option<String> {
        match seconds_left {
            0 => Some("has ended; install the next one".to_owned()),
            left if left < self.warning.as_secs() => {
                Some(format!("ends in {} days; install the next one", left / (24 * 60 * 60)))
            }
            _ => None,
        }
    }
}

/// Of a certificate that renews by itself: when the last sixth of its life has come, that has
/// failed for long.
fn late(facts: &Facts, now: Wall) -> Option<String> {
    let life = facts.until.saturating_sub(facts.from);
    let left = facts.seconds_left(now);
    let late = left < life / 6;
    late.then(|| {
        format!("ends in {} hours and is not renewed; see `gateway acme list`", left / 3600)
    })
}
