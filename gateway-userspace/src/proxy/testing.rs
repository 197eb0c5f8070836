//! Configurations for tests.

use std::time::Duration;

use crate::{
    config::{
        defaults,
        model::{
            Conditions, Config, Destination, Encoded, Priority, Route, RouteWaf, Supplier,
            SupplierKind, WafMode,
        },
        testing::sample,
    },
    proxy::pipeline::context::Peer,
};

/// Limits that no test meets by accident, and times that end one that hangs.
const SETTINGS: &str = r#"
[guard]
run = "/nonexistent"
state = "/nonexistent"
[log]
access = "off"
queue = 1024
[proxy]
workers = 1
connections = 1000
connections_per_source = 1000
requests = 1000
head = "16KiB"
head_fields = 64
streams = 100
anonymous = { rate = "100000/s" }
limiter_keys = 1000
[tls]
handshakes = { rate = "100000/s" }
handshakes_at_once = 1000
[proxy.timeouts]
handshake = "5s"
head = "5s"
body = "5s"
idle = "30s"
request = "30s"
connect = "2s"
first_byte = "5s"
stall = "5s"
drain = "2s"
"#;

/// A client on loopback, before its handshake.
pub(crate) fn peer() -> Peer {
    Peer {
        source: std::net::Ipv4Addr::LOCALHOST.into(),
        behind_proxy: false,
        tls: None,
        certificate: None,
        listener: 0,
    }
}

/// No listener, one echo supplier, no route.
pub(crate) fn config() -> Config {
    sample(SETTINGS)
}

pub(crate) fn route(path: &str) -> Route {
    Route {
        name: "test".to_owned(),
        host: None,
        path: path.to_owned(),
        methods: Vec::new(),
        when: Conditions::default(),
        destination: Destination::supplier("echo"),
        identity: None,
        limit: None,
        body_bytes: 1 << 20,
        encoded: Encoded::Pass,
        compress: None,
        websocket: false,
        timeout: Duration::from_secs(10),
        first_byte: None,
        retry: defaults::retry(),
        transform: defaults::transform(),
        cors: None,
        waf: RouteWaf { mode: WafMode::Off, ..defaults::waf().route },
        openapi: None,
        priority: Priority::Normal,
        concurrency: None,
        adaptive: false,
    }
}

pub(crate) fn supplier(name: &str, kind: SupplierKind) -> Supplier {
    let (name, profile) = (name.to_owned(), defaults::profile());
    Supplier { name, kind, connections: 64, ca: None, local: true, profile }
}
