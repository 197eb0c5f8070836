//! `[[listener]]`: where clients connect.

use std::path::Path;

use super::{process::same_socket, tls};
use crate::config::{model::Listener, tree::Section};

const LISTENERS: usize = 64;

pub(super) fn read(root: &mut Section<'_>, state: &Path) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    for mut section in root.sections("listener", LISTENERS) {
        let Some(listener) = one(&mut section, state) else {
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

fn one(section: &mut Section<'_>, state: &Path) -> Option<Listener> {
    let address = section.need("address", "\"0.0.0.0:443\"").and_then(|entry| entry.socket());
    let proxy_protocol = section.flag("proxy_protocol", false);
    let loopback = address.is_some_and(|address| address.ip().is_loopback());
    let tls = tls::read(section, loopback, state);
    Some(Listener { address: address?, proxy_protocol, tls: tls? })
}
