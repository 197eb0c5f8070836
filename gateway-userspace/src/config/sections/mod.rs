//! One file a group of sections. Each reads its keys, checks them and, last, how they fit together;
//! where something is wrong it is noted and a default stands in, which no one gets to see.

mod acme;
mod ambiguity;
mod bans;
mod compress;
mod conditions;
mod contract;
mod cors;
mod destination;
mod dns;
mod kernel;
mod listener;
mod parties;
mod path;
mod process;
mod profile;
mod proxy;
mod reserved;
mod route;
pub(super) mod target;
mod tls;
mod tokens;
mod transform;
mod waf;

use super::{
    model::{Config, Kernel},
    tree::Section,
};

/// Reads `[kernel]` alone.
pub(super) fn kernel(root: &mut Section<'_>) -> Kernel {
    kernel::read(root.section("kernel"))
}

/// Reads the whole file.
pub(super) fn read(root: &mut Section<'_>) -> Config {
    let mut kernel = kernel::read(root.section("kernel"));
    let bans = bans::read(root.section("bans"));
    let guard = process::guard(root.section("guard"));
    let log = process::log(root.section("log"));
    let proxy = proxy::read(root.section("proxy"));
    let dns = dns::read(root.section("dns"));
    let tls = tls::bounds(root.section("tls"));
    let listeners = listener::read(root, &guard.state);
    let admin = process::admin(root.section("admin"), &listeners);
    let acme = acme::read(root, (&listeners, &admin), &guard.state);
    kernel.listening = kernel::listening(&listeners, &admin, acme.as_ref());
    let identities = parties::identities(root, &guard.state);
    let suppliers = parties::suppliers(root);
    let waf = waf::read(root);
    let known = route::Known::new(&identities, &suppliers, &proxy, waf.as_ref());
    let routes = route::read(root, &known);
    // Beside other faults this would only repeat that a listener was not taken.
    if root.is_good() && kernel.interfaces.is_empty() && listeners.is_empty() {
        root.refuse_here(
            "",
            "there is nothing to guard and nothing to serve",
            "name interfaces in [kernel], or add a [[listener]]",
        );
    }
    if listeners.iter().any(|one| one.proxy_protocol) && kernel.trusted_proxies.is_empty() {
        root.refuse_here(
            "kernel.trusted_proxies",
            "is empty: a listener with proxy_protocol would refuse everybody",
            "name the proxies in front of it",
        );
    }
    if listeners.is_empty() && !routes.is_empty() && root.is_good() {
        root.refuse_here("listener", "is missing: nobody can reach a route", "add a [[listener]]");
    }
    Config {
        kernel,
        bans,
        guard,
        admin,
        log,
        proxy,
        dns,
        tls,
        acme,
        waf,
        listeners,
        identities: identities.complete,
        suppliers: suppliers.complete,
        routes,
    }
}
