//! Configurations for tests.

use std::{path::PathBuf, time::Duration};

use crate::config::model::{
    AccessLog, Admin, Answer, Answers, Attach, Bans, Capacity, Config, Guard, Kernel, Log, Mode,
    Proxy, Rate, Route, Supplier, SupplierKind, SynCookies, Timeouts,
};

pub(crate) const PLENTY: Rate =
    Rate { count: 100_000, per: Duration::from_secs(1), burst: 100_000 };

/// No listener, one echo supplier, no route.
pub(crate) fn config() -> Config {
    Config {
        kernel: kernel(),
        bans: Bans {
            threshold: 100,
            half_life: Duration::from_mins(1),
            first: Duration::from_mins(1),
            longest: Duration::from_hours(1),
            forget: Duration::from_hours(1),
            trust: Duration::from_mins(1),
            sources: 1000,
            per_second: 100,
            weights: Vec::new(),
        },
        guard: Guard {
            run: PathBuf::from("/nonexistent"),
            state: PathBuf::from("/nonexistent"),
            user: "gateway-proxy".to_owned(),
            group: "gateway".to_owned(),
        },
        admin: Admin { metrics: None },
        log: Log { access: AccessLog::Off, queue: 1024 },
        proxy: proxy(),
        listeners: Vec::new(),
        identities: Vec::new(),
        suppliers: vec![supplier("echo", SupplierKind::Echo)],
        routes: Vec::new(),
    }
}

pub(crate) fn route(path: &str) -> Route {
    Route {
        name: "test".to_owned(),
        host: None,
        path: path.to_owned(),
        methods: Vec::new(),
        supplier: "echo".to_owned(),
        identity: None,
        limit: None,
        body_bytes: 1 << 20,
        timeout: Duration::from_secs(10),
    }
}

pub(crate) fn supplier(name: &str, kind: SupplierKind) -> Supplier {
    Supplier { name: name.to_owned(), kind, connections: 64, ca: None, local: true }
}

fn proxy() -> Proxy {
    Proxy {
        workers: 1,
        connections: 1000,
        connections_per_source: 1000,
        requests: 1000,
        head_bytes: 16 * 1024,
        head_fields: 64,
        streams: 100,
        body_bytes: 1 << 20,
        anonymous: PLENTY,
        limiter_keys: 1000,
        timeouts: Timeouts {
            handshake: Duration::from_secs(5),
            head: Duration::from_secs(5),
            body: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            request: Duration::from_secs(30),
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(5),
            stall: Duration::from_secs(5),
            drain: Duration::from_secs(2),
        },
    }
}

fn kernel() -> Kernel {
    let drop = Answer::Drop;
    Kernel {
        enabled: false,
        interfaces: Vec::new(),
        attach: Attach::Auto,
        mode: Mode::Enforce,
        protect: Vec::new(),
        trusted_proxies: Vec::new(),
        shared: Vec::new(),
        allow_limit: PLENTY,
        packets: PLENTY,
        limit_inserts: 1000,
        syn_cookies: SynCookies {
            enabled: false,
            above: PLENTY,
            hold: Duration::from_secs(10),
            most: PLENTY,
            timestamps: false,
        },
        capacity: Capacity { hosts: 1, prefixes: 1, allow: 1, limits: 1 },
        answers: Answers {
            ethernet_truncated: drop,
            vlan_depth: drop,
            ether_type_unknown: drop,
            ipv4_malformed: drop,
            ipv6_malformed: drop,
            extension_depth: drop,
            extension_malformed: drop,
            later_fragment: drop,
            transport_malformed: drop,
            limit_inserts: drop,
        },
        events: 10,
        pins: PathBuf::from("/nonexistent"),
    }
}
