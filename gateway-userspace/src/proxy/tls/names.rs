//! Which certificate a client gets: by the name it asks for, then by what it can verify.

use std::{collections::HashMap, sync::Arc};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::facts::Facts;
use crate::config::model::UnknownNames;

/// Certificates of one name, in the order of the configuration: an ECDSA and an RSA one, say.
type Choice = Vec<Arc<CertifiedKey>>;

/// The certificates of one listener.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Choice>,
    /// By what follows `*.`.
    wild: HashMap<String, Choice>,
    /// The first certificate, and others of the very same names.
    default: Choice,
    unknown: UnknownNames,
}

impl Names {
    pub(super) fn new<'a>(
        certificates: impl IntoIterator<Item = (&'a Arc<CertifiedKey>, &'a Facts)>,
        unknown: UnknownNames,
    ) -> Self {
        let (exact, wild) = (HashMap::new(), HashMap::new());
        let mut names = Self { exact, wild, default: Vec::new(), unknown };
        let mut first = None;
        for (key, facts) in certificates {
            if *first.get_or_insert(&facts.names) == &facts.names {
                names.default.push(Arc::clone(key));
            }
            for name in &facts.names {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(rest) => (&mut names.wild, rest),
                    None => (&mut names.exact, name.as_str()),
                };
                map.entry(name.to_owned()).or_insert_with(Choice::new).push(Arc::clone(key));
            }
        }
        names
    }

    /// Whether a handshake can go on for this name.
    pub(super) fn knows(&self, asked: Option<&str>) -> bool {
        self.find(asked).is_some()
    }

    /// The exact name before a wildcard, which stands for one label (RFC 9525 section 6.3).
    fn find(&self, asked: Option<&str>) -> Option<&Choice> {
        let found = asked.and_then(|name| {
            let wild = || self.wild.get(name.split_once('.')?.1);
            self.exact.get(name).or_else(wild)
        });
        found.or((self.unknown == UnknownNames::Default).then_some(&self.default))
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let choice = self.find(hello.server_name())?;
        let verifiable =
            |one: &&Arc<CertifiedKey>| one.key.choose_scheme(hello.signature_schemes()).is_some();
        choice.iter().find(verifiable).or(choice.first()).cloned()
    }
}
