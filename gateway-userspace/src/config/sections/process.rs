//! `[guard]`, `[admin]` and `[log]`: where the processes keep and show their things.

use std::net::SocketAddr;

use crate::config::{
    defaults,
    fault::quoted,
    model::{AccessLog, Admin, Guard, Listener, Log},
    tree::{Entry, Section},
};

/// Room for `/worker.sock` within the 108 bytes of a unix socket's path.
const RUN_BYTES: usize = 90;

pub(super) fn guard(mut section: Section<'_>) -> Guard {
    let default = defaults::guard();
    let guard = Guard {
        run: section.path("run", &default.run),
        state: section.path("state", &default.state),
        user: account(&mut section, "user", default.user),
        group: account(&mut section, "group", default.group),
        watch: section.flag("watch", default.watch),
    };
    if guard.run.as_os_str().len() > RUN_BYTES {
        let what = format!("is longer than {RUN_BYTES} bytes, too long for a socket inside");
        section.refuse_inside("run", what, "choose a shorter path");
    }
    section.finish();
    guard
}

/// Name of a user or group, as useradd(8) takes it.
fn account(section: &mut Section<'_>, key: &'static str, default: String) -> String {
    let Some(entry) = section.get(key) else { return default };
    let Some(name) = entry.text() else { return default };
    let lawful =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if starts && name.len() <= 32 && name.bytes().all(lawful) {
        return name.to_owned();
    }
    entry.refuse(
        format!("{} is not the name of an account", quoted(name)),
        "write lower case letters, digits, _ and -, 32 at most",
    );
    default
}

pub(super) fn admin(mut section: Section<'_>, listeners: &[Listener]) -> Admin {
    let default = defaults::admin().metrics;
    let metrics = section.get("metrics").map_or(default, |entry| metrics(&entry, listeners));
    section.finish();
    Admin { metrics }
}

fn metrics(entry: &Entry<'_>, listeners: &[Listener]) -> Option<SocketAddr> {
    if entry.text()? == "off" {
        return None;
    }
    let address = entry.socket()?;
    let taken = listeners.iter().find(|listener| same_socket(listener.address, address));
    if let Some(listener) = taken {
        let what = format!("\"{address}\" is taken by the listener on {}", listener.address);
        entry.refuse(what, "choose another port");
    }
    Some(address)
}

/// Two addresses that cannot both be listened on. Each socket takes one family only.
pub(super) fn same_socket(a: SocketAddr, b: SocketAddr) -> bool {
    let every = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.is_ipv4() == b.is_ipv4() && (a.ip() == b.ip() || every)
}

pub(super) fn log(mut section: Section<'_>) -> Log {
    let default = defaults::log();
    let log = Log {
        access: section.get("access").and_then(|entry| access(&entry)).unwrap_or(default.access),
        queue: section.whole("queue", default.queue, 16..=1_000_000),
    };
    section.finish();
    log
}

fn access(entry: &Entry<'_>) -> Option<AccessLog> {
    match entry.text()? {
        "stdout" => Some(AccessLog::Stdout),
        "off" => Some(AccessLog::Off),
        path if path.starts_with('/') => entry.path().map(AccessLog::File),
        other => {
            let what = format!("{} is no place for a log", quoted(other));
            entry.refuse(what, "write \"stdout\", \"off\" or a whole path, from /");
            None
        }
    }
}
