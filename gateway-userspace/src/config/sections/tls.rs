//! What a listener shows and asks of clients, and `[tls]`, which holds for all of them.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use super::acme;
use crate::config::{
    defaults,
    model::{
        Certificates, ClientCertificates, ForwardCertificate, Pair, Tls, TlsBounds, UnknownNames,
    },
    tree::{Entry, Section},
};

const PAIRS: usize = 256;
const CRLS: usize = 64;

const DAY: Duration = Duration::from_hours(24);
const WARNINGS: RangeInclusive<Duration> = Duration::from_hours(1)..=DAY.saturating_mul(3650);
const HSTS_AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY.saturating_mul(3650);

/// What browsers ask of a host that wants to be on their preload lists.
const PRELOAD_AGE: Duration = DAY.saturating_mul(365);

/// `[tls]`.
pub(super) fn bounds(mut section: Section<'_>) -> TlsBounds {
    let default = defaults::tls();
    let bounds = TlsBounds {
        handshakes: section.rate("handshakes", default.handshakes),
        handshakes_at_once: section.whole(
            "handshakes_at_once",
            default.handshakes_at_once,
            1..=1_000_000,
        ),
        expiry_warning: section.time("expiry_warning", default.expiry_warning, WARNINGS),
    };
    section.finish();
    bounds
}

/// The keys of a `[[listener]]` that concern TLS.
pub(super) fn read(section: &mut Section<'_>, loopback: bool, state: &Path) -> Option<Tls> {
    let managed = section.get("acme").map_or(Some(Vec::new()), |entry| acme::names(&entry, state));
    let alone = managed.as_ref().is_some_and(Vec::is_empty);
    let certificates = certificates(section, loopback, !alone);
    let unknown_names = section.choice(
        "unknown_names",
        UnknownNames::Default,
        &[("default", UnknownNames::Default), ("refuse", UnknownNames::Refuse)],
    );
    let clients = section.get("client_certificates").map(|entry| clients(&entry));
    let hsts = if section.is_off("hsts") { None } else { Some(hsts(section.section("hsts"))) };
    // What is there and wrong is noted, and no listener is made of it.
    let clients = match clients {
        Some(read) => Some(read?),
        None => None,
    };
    Some(Tls { certificates: certificates?, managed: managed?, unknown_names, clients, hsts })
}

fn certificates(section: &mut Section<'_>, loopback: bool, managed: bool) -> Option<Certificates> {
    let certificate = section.get("certificate").map(|entry| entry.path());
    let key = section.get("key").map(|entry| entry.path());
    let more = section.get("certificates").map(|entry| pairs(&entry));
    let first = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Pair { certificate: certificate?, key: key? }),
        (None, None) => None,
        (Some(_), None) => {
            section.refuse_here("key", "is missing", "add key, the certificate's private key");
            return None;
        }
        (None, Some(_)) => {
            section.refuse_here("certificate", "is missing", "add certificate, the key's chain");
            return None;
        }
    };
    let all: Vec<Pair> = first.into_iter().chain(more.unwrap_or(Some(Vec::new()))?).collect();
    if managed || !all.is_empty() {
        return Some(Certificates::Files(all));
    }
    if loopback {
        return Some(Certificates::SelfSigned);
    }
    section.refuse_here(
        "certificate",
        "is missing: only a listener on loopback makes its own",
        "add certificate = \"/etc/gateway/tls/edge.pem\" and key = \"/etc/gateway/tls/edge.key\", or acme = [\"www.example.com\"]",
    );
    None
}

fn pairs(list: &Entry<'_>) -> Option<Vec<Pair>> {
    let pairs: Vec<Pair> = list.list(PAIRS).iter().map(pair).collect::<Option<_>>()?;
    for (place, one) in pairs.iter().enumerate() {
        if pairs.iter().take(place).any(|other| other.certificate == one.certificate) {
            let what = format!("names {} twice", one.certificate.display());
            list.refuse(what, "leave one of them out");
            return None;
        }
    }
    Some(pairs)
}

fn pair(entry: &Entry<'_>) -> Option<Pair> {
    let mut section = entry.section()?;
    let mut path = |key, example| section.need(key, example).and_then(|entry| entry.path());
    let certificate = path("certificate", "\"/etc/gateway/tls/shop.pem\"");
    let key = path("key", "\"/etc/gateway/tls/shop.key\"");
    section.finish();
    Some(Pair { certificate: certificate?, key: key? })
}

fn clients(entry: &Entry<'_>) -> Option<ClientCertificates> {
    let mut section = entry.section()?;
    let authorities = section
        .need("authorities", "\"/etc/gateway/tls/clients.pem\"")
        .and_then(|entry| entry.path());
    let required = section.flag("required", true);
    let crls = section.get("crls").map(|entry| crls(&entry));
    let stale_crls = section.flag("stale_crls", false);
    let forward = section.choice(
        "forward",
        ForwardCertificate::Off,
        &[
            ("off", ForwardCertificate::Off),
            ("client-cert", ForwardCertificate::ClientCert),
            ("xfcc", ForwardCertificate::Xfcc),
        ],
    );
    section.finish();
    let crls = crls.unwrap_or(Some(Vec::new()))?;
    let authorities = authorities?;
    Some(ClientCertificates { authorities, required, crls, stale_crls, forward })
}

fn crls(list: &Entry<'_>) -> Option<Vec<PathBuf>> {
    list.list(CRLS).iter().map(Entry::path).collect()
}

/// RFC 6797 section 6.1.
fn hsts(mut section: Section<'_>) -> String {
    let age = section.time("max_age", defaults::HSTS_AGE, HSTS_AGES);
    let subdomains = section.flag("subdomains", false);
    let preload = section.flag("preload", false);
    if preload && (!subdomains || age < PRELOAD_AGE) {
        section.refuse_inside(
            "preload",
            "needs subdomains, and a max_age of a year",
            "add subdomains = true, or leave preload out",
        );
    }
    section.finish();
    let mut value = format!("max-age={}", age.as_secs());
    if subdomains {
        value.push_str("; includeSubDomains");
    }
    if preload {
        value.push_str("; preload");
    }
    value
}

#[cfg(test)]
mod tests {
    use crate::config::{
        load,
        model::{Certificates, ForwardCertificate, UnknownNames},
    };

    fn listener(keys: &str) -> Result<crate::config::model::Tls, String> {
        let text = format!("[[listener]]\naddress = \"0.0.0.0:443\"\n{keys}");
        let config = load(&text, "t.toml").map_err(|faults| faults.to_string())?;
        Ok(config.listeners.into_iter().next().unwrap().tls)
    }

    const PAIR: &str = "certificate = \"/c\"\nkey = \"/k\"\n";

    #[test]
    fn the_single_pair_is_the_default_and_others_follow() {
        let more = "certificates = [{ certificate = \"/c2\", key = \"/k2\" }]\n";
        let tls = listener(&format!("{PAIR}{more}unknown_names = \"refuse\"")).unwrap();
        let Certificates::Files(pairs) = &tls.certificates else { panic!() };
        let names: Vec<_> = pairs.iter().map(|pair| pair.certificate.to_str().unwrap()).collect();
        assert_eq!(names, ["/c", "/c2"]);
        assert_eq!(tls.unknown_names, UnknownNames::Refuse);
        assert_eq!(listener(more).unwrap().files().len(), 2);
    }

    #[test]
    fn half_a_pair_and_a_pair_twice_are_faults() {
        assert!(listener("certificates = [{ certificate = \"/c\" }]").unwrap_err().contains("key"));
        let twice = "certificates = [{ certificate = \"/c\", key = \"/k\" }, { certificate = \"/c\", key = \"/l\" }]";
        assert!(listener(twice).unwrap_err().contains("twice"));
        assert!(listener("").unwrap_err().contains("is missing"));
    }

    #[test]
    fn clients_certificates_are_required_unless_it_says_otherwise() {
        let keys = format!(
            "{PAIR}client_certificates = {{ authorities = \"/ca\", crls = [\"/crl\"], forward = \"xfcc\" }}"
        );
        let tls = listener(&keys).unwrap();
        let clients = tls.clients.as_ref().unwrap();
        assert!(clients.required && !clients.stale_crls);
        assert_eq!(clients.forward, ForwardCertificate::Xfcc);
        assert_eq!(tls.files().len(), 4);
        let wrong = format!("{PAIR}client_certificates = {{ required = true }}");
        assert!(listener(&wrong).unwrap_err().contains("authorities"));
    }

    #[test]
    fn hsts_is_on_can_be_changed_and_can_be_off() {
        assert_eq!(listener(PAIR).unwrap().hsts.unwrap(), "max-age=31536000");
        let keys =
            format!("{PAIR}hsts = {{ max_age = \"730d\", subdomains = true, preload = true }}");
        let written = listener(&keys).unwrap().hsts.unwrap();
        assert_eq!(written, "max-age=63072000; includeSubDomains; preload");
        assert_eq!(listener(&format!("{PAIR}hsts = \"off\"")).unwrap().hsts, None);
        assert!(listener(&format!("{PAIR}hsts = {{ preload = true }}")).is_err());
    }
}
