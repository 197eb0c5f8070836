//! TLS of one listener: what it serves by now, and how that is renewed while it serves. Sessions
//! resume by tickets, whose keys outlive a renewal; early data is off, because it can be replayed.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::{ArcSwap, Guard};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs::sign::any_supported_type,
    server::{NoServerSessionStorage, ProducesTickets},
    sign::CertifiedKey,
};
use rustls_pki_types::PrivateKeyDer;

use super::{
    TlsError,
    facts::Facts,
    files,
    names::Names,
    verifier::{self, Clients},
};
use crate::{
    clock::Wall,
    config::model::{self, Certificates, ForwardCertificate, Managed, Pair, Tls},
    ipc::message::RefusedFile,
    proxy::secrets::Secrets,
};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(super) address: SocketAddr,
    settings: Tls,
    ticketer: Arc<dyn ProducesTickets>,
    current: ArcSwap<Current>,
}

/// What a handshake that begins now goes by.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) config: Arc<ServerConfig>,
    names: Arc<Names>,
    certificates: Vec<Loaded>,
    clients: Option<Clients>,
    /// What was not taken when the files were read last.
    pub(super) faults: Vec<RefusedFile>,
}

/// A certificate in use.
#[derive(Debug, Clone)]
struct Loaded {
    key: Arc<CertifiedKey>,
    facts: Facts,
    /// Self-signed, until the name's own is issued.
    stand_in: bool,
}

/// New contents of files; those that could not be opened, with why.
pub(crate) struct Renewal<'a> {
    pub(crate) secrets: &'a Secrets,
    pub(crate) unreadable: &'a HashMap<PathBuf, String>,
    pub(crate) now: Wall,
}

impl Current {
    /// Whether there is a certificate for what the client asks for.
    pub(crate) fn knows(&self, asked: Option<&str>) -> bool {
        self.names.knows(asked)
    }

    /// What is served for a managed name: none where a stand-in is.
    pub(super) fn issued(&self, file: &Path, settings: &Tls) -> Option<(&CertifiedKey, &Facts)> {
        let loaded = self.managed(settings, |one| one.file == file)?;
        (!loaded.stand_in).then_some((loaded.key.as_ref(), &loaded.facts))
    }

    /// What is served for a managed name of these settings; they follow the other certificates.
    fn managed(&self, settings: &Tls, is_it: impl Fn(&Managed) -> bool) -> Option<&Loaded> {
        let place = settings.managed.iter().position(is_it)?;
        let first = self.certificates.len().checked_sub(settings.managed.len())?;
        self.certificates.get(first + place)
    }

    /// For each certificate whether it is a stand-in, in the order of `facts`.
    pub(super) fn stand_ins(&self) -> impl Iterator<Item = bool> {
        let clients = self.clients.iter().flat_map(|clients| &clients.facts);
        self.certificates.iter().map(|one| one.stand_in).chain(clients.map(|_| false))
    }

    /// Of each file that ends one day, in the order of the configuration.
    pub(super) fn facts(&self) -> impl Iterator<Item = &Facts> {
        let clients = self.clients.iter().flat_map(|clients| &clients.facts);
        self.certificates.iter().map(|one| &one.facts).chain(clients)
    }
}

impl Listener {
    /// Everything has to be good; a certificate that has ended is served all the same, since there
    /// is none better.
    pub(super) fn start(
        listener: &model::Listener,
        ticketer: &Arc<dyn ProducesTickets>,
        secrets: &Secrets,
    ) -> Result<Self, TlsError> {
        let certificates = match &listener.tls.certificates {
            Certificates::Files(pairs) => {
                pairs.iter().map(|pair| read(pair, secrets)).collect::<Result<_, _>>()?
            }
            Certificates::SelfSigned => vec![self_signed()?],
        };
        let managed = listener.tls.managed.iter().map(|one| managed(one, secrets, None));
        let certificates = certificates.into_iter().map(Ok).chain(managed);
        Self::with(listener, ticketer, secrets, certificates.collect::<Result<_, _>>()?)
    }

    /// For another configuration. Everything has to be good as at a start, but what has ended takes
    /// the place of nothing better; and a certificate that was made at the start stays.
    pub(super) fn succeed(
        &self,
        listener: &model::Listener,
        secrets: &Secrets,
        now: Wall,
    ) -> Result<Self, TlsError> {
        let certificates = match &listener.tls.certificates {
            Certificates::Files(pairs) => {
                let one = |pair| self.fresh_or_held(pair, secrets, now);
                pairs.iter().map(one).collect::<Result<_, _>>()?
            }
            Certificates::SelfSigned => match &self.settings.certificates {
                Certificates::SelfSigned => self.current().certificates.clone(),
                Certificates::Files(_) => vec![self_signed()?],
            },
        };
        let current = self.current();
        let managed = listener.tls.managed.iter().map(|one| {
            managed(one, secrets, current.managed(&self.settings, |known| known == one))
        });
        let certificates = certificates.into_iter().map(Ok).chain(managed);
        Self::with(listener, &self.ticketer, secrets, certificates.collect::<Result<_, _>>()?)
    }

    fn fresh_or_held(&self, pair: &Pair, secrets: &Secrets, now: Wall) -> Result<Loaded, TlsError> {
        let fresh = read(pair, secrets)?;
        let held = match &self.settings.certificates {
            Certificates::Files(pairs) => pairs.iter().position(|known| known == pair),
            Certificates::SelfSigned => None,
        };
        let current = self.current();
        let held = held.and_then(|place| current.certificates.get(place));
        let ended = fresh.facts.hold(&pair.certificate, now).is_err();
        Ok(held.filter(|_| ended).cloned().unwrap_or(fresh))
    }

    fn with(
        listener: &model::Listener,
        ticketer: &Arc<dyn ProducesTickets>,
        secrets: &Secrets,
        certificates: Vec<Loaded>,
    ) -> Result<Self, TlsError> {
        let settings = listener.tls.clone();
        let clients = settings.clients.as_ref();
        let clients = clients.map(|one| verifier::read(one, secrets, None)).transpose()?;
        let current = compose(&settings, ticketer, certificates, clients, Vec::new())?;
        Ok(Self {
            address: listener.address,
            settings,
            ticketer: Arc::clone(ticketer),
            current: ArcSwap::from_pointee(current),
        })
    }

    pub(crate) fn current(&self) -> Guard<Arc<Current>> {
        self.current.load()
    }

    /// How suppliers are told of a client's certificate.
    pub(crate) fn forward(&self) -> ForwardCertificate {
        self.settings.clients.as_ref().map_or(ForwardCertificate::Off, |clients| clients.forward)
    }

    pub(super) fn settings(&self) -> &Tls {
        &self.settings
    }

    /// Takes what is good of the new files, pair by pair; for the rest the last good stays. Open
    /// connections are not touched.
    pub(super) fn renew(&self, renewal: &Renewal<'_>) -> Result<Vec<RefusedFile>, TlsError> {
        let before = self.current.load_full();
        let mut faults = Vec::new();
        let mut certificates = before.certificates.clone();
        if let Certificates::Files(pairs) = &self.settings.certificates {
            for (pair, held) in pairs.iter().zip(&mut certificates) {
                let files = [&pair.certificate, &pair.key];
                match renewal.of(files, |secrets| read_valid(pair, secrets, renewal.now)) {
                    Ok(fresh) => *held = fresh,
                    Err(why) => faults.push(refused(&pair.certificate, why)),
                }
            }
        }
        let managed = self.settings.managed.iter().rev();
        for (one, held) in managed.zip(certificates.iter_mut().rev()) {
            if !renewal.secrets.holds(&one.file) {
                continue;
            }
            match renewal.of([&one.file], |secrets| issued_valid(one, secrets, renewal.now)) {
                Ok(fresh) => *held = fresh,
                Err(why) => faults.push(refused(&one.file, why)),
            }
        }
        let mut clients = before.clients.clone();
        if let Some(settings) = &self.settings.clients {
            let files = std::iter::once(&settings.authorities).chain(&settings.crls);
            let fresh = |secrets: &Secrets| verifier::read(settings, secrets, Some(renewal.now));
            match renewal.of(files, fresh) {
                Ok(fresh) => clients = Some(fresh),
                Err(why) => faults.push(refused(&settings.authorities, why)),
            }
        }
        let fresh = compose(&self.settings, &self.ticketer, certificates, clients, faults.clone())?;
        self.current.store(Arc::new(fresh));
        Ok(faults)
    }
}

impl Renewal<'_> {
    /// Reads something that is made of these files.
    fn of<'p, T>(
        &self,
        files: impl IntoIterator<Item = &'p PathBuf>,
        read: impl FnOnce(&Secrets) -> Result<T, TlsError>,
    ) -> Result<T, String> {
        for path in files {
            if let Some(why) = self.unreadable.get(path) {
                return Err(why.clone());
            }
        }
        read(self.secrets).map_err(|error| error.told())
    }
}

/// Told by the certificate of a pair, or by the authorities of clients.
fn refused(path: &Path, why: String) -> RefusedFile {
    RefusedFile { path: path.display().to_string(), why }
}

fn compose(
    settings: &Tls,
    ticketer: &Arc<dyn ProducesTickets>,
    certificates: Vec<Loaded>,
    clients: Option<Clients>,
    faults: Vec<RefusedFile>,
) -> Result<Current, TlsError> {
    let known = certificates.iter().map(|one| (&one.key, &one.facts));
    let names = Arc::new(Names::new(known, settings.unknown_names));
    let builder = super::server()?;
    let builder = match &clients {
        Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
        None => builder.with_no_client_auth(),
    };
    let resolver: Arc<Names> = Arc::clone(&names);
    let mut config = builder.with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.max_early_data_size = 0;
    // A resumed session is not verified again: a client revoked since would come in.
    if clients.is_none() {
        config.ticketer = Arc::clone(ticketer);
        // Good for any number of resumptions: a second one costs each handshake and adds nothing.
        config.send_tls13_tickets = 1;
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(Current { config: Arc::new(config), names, certificates, clients, faults })
}

fn read_valid(pair: &Pair, secrets: &Secrets, now: Wall) -> Result<Loaded, TlsError> {
    let loaded = read(pair, secrets)?;
    loaded.facts.hold(&pair.certificate, now)?;
    Ok(loaded)
}

/// What was issued for a name, else what is served so far, else a stand-in: a start does not wait
/// for an authority, and clients are told by the stand-in that something is missing.
fn managed(one: &Managed, secrets: &Secrets, held: Option<&Loaded>) -> Result<Loaded, TlsError> {
    if secrets.holds(&one.file) {
        match issued(one, secrets) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                tracing::error!(name = one.name, "what is kept is not used: {}", error.told());
            }
        }
    }
    if let Some(held) = held {
        return Ok(held.clone());
    }
    tracing::warn!(
        name = one.name,
        "a self-signed stand-in is served until a certificate is issued"
    );
    let loaded = signed_by_itself(vec![one.name.clone()], &one.file)?;
    Ok(Loaded { stand_in: true, ..loaded })
}

/// Whether key and chain in one text are what a managed name needs.
pub(crate) fn check_issued(one: &Managed, bundle: &[u8], now: Wall) -> Result<(), TlsError> {
    issued_valid(one, &Secrets::of(&one.file, bundle), now).map(drop)
}

/// Of the certificate in such a text.
pub(crate) fn fingerprint_of(one: &Managed, bundle: &[u8]) -> Option<String> {
    let issued = issued(one, &Secrets::of(&one.file, bundle)).ok()?;
    Some(issued.facts.fingerprint)
}

fn issued_valid(one: &Managed, secrets: &Secrets, now: Wall) -> Result<Loaded, TlsError> {
    let loaded = issued(one, secrets)?;
    loaded.facts.hold(&one.file, now)?;
    Ok(loaded)
}

/// Key and chain stand in one file, so that no key is ever beside another's chain.
fn issued(one: &Managed, secrets: &Secrets) -> Result<Loaded, TlsError> {
    let pair = Pair { certificate: one.file.clone(), key: one.file.clone() };
    let loaded = read(&pair, secrets)?;
    if loaded.facts.names.contains(&one.name) {
        return Ok(loaded);
    }
    Err(TlsError::AnotherName { path: one.file.clone(), name: one.name.clone() })
}

fn read(pair: &Pair, secrets: &Secrets) -> Result<Loaded, TlsError> {
    loaded(files::pair(pair, secrets)?, &pair.certificate)
}

fn loaded(key: CertifiedKey, path: &Path) -> Result<Loaded, TlsError> {
    let missing = || TlsError::NoCertificate { path: path.to_owned() };
    let facts = Facts::of(key.cert.first().ok_or_else(missing)?, path)?;
    Ok(Loaded { key: Arc::new(key), facts, stand_in: false })
}

fn self_signed() -> Result<Loaded, TlsError> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    signed_by_itself(names, Path::new(model::MADE_AT_START))
}

fn signed_by_itself(names: Vec<String>, path: &Path) -> Result<Loaded, TlsError> {
    let made = rcgen::generate_simple_self_signed(names)
        .map_err(|source| TlsError::SelfSigned { source })?;
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let signer = any_supported_type(&key).map_err(|source| TlsError::Setup { source })?;
    let key = CertifiedKey::new(vec![made.cert.der().clone()], signer);
    loaded(key, path)
}
