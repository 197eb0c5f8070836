//! `[[listener]]`: where clients connect.

use std::path::PathBuf;

use super::process::same_socket;
use crate::config::{
    model::{Listener, Tls},
    tree::Section,
};

const LISTENERS: usize = 64;

pub(super) fn read(root: &mut Section<'_>) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for mut section in root.sections("listener", LISTENERS) {
        let Some(listener) = one(&mut section) else {
            section.finish();
            continue;
        };
        if listeners.iter().any(|other| same_socket(other.address, listener.address)) {
            let what = format!("\"{}\" is taken by another listener", listener.address);
            section.refuse_inside("address", what, "choose another port or leave one out");
        }
        section.finish();
        listeners.push(listener);
    }
    listeners
}

fn one(section: &mut Section<'_>) -> Option<Listener> {
    let address = section.need("address", "\"0.0.0.0:443\"");
    let certificate = section.get("certificate").map(|entry| entry.path());
    let key = section.get("key").map(|entry| entry.path());
    let proxy_protocol = section.flag("proxy_protocol", false);
    let address = address?.socket()?;
    let tls = match (certificate, key) {
        (Some(certificate), Some(key)) => files(certificate, key)?,
        (None, None) if address.ip().is_loopback() => Tls::SelfSigned,
        (None, None) => {
            section.refuse_here(
                "certificate",
                "is missing: only a listener on loopback makes its own",
                "add certificate = \"/etc/gateway/tls/edge.pem\" and key = \"/etc/gateway/tls/edge.key\"",
            );
            return None;
        }
        (Some(_), None) => {
            section.refuse_here("key", "is missing", "add key, the certificate's private key");
            return None;
        }
        (None, Some(_)) => {
            section.refuse_here("certificate", "is missing", "add certificate, the key's chain");
            return None;
        }
    };
    Some(Listener { address, proxy_protocol, tls })
}

fn files(certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<Tls> {
    Some(Tls::Files { certificate: certificate?, key: key? })
}
