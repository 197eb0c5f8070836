//! Every default, in one place, each the safe choice. `docs/reference.toml` shows them to people;
//! a test keeps the two equal.

use std::time::Duration;

use gateway_common::Reason;

use super::{
    model::{
        AccessLog, Admin, Answer, Answers, Attach, Balance, Bans, Capacity, Coding, Compress,
        Coverage, Dns, Dpop, Ejection, Errors, Fields, Forwarded, Guard, Kernel, Log, Mode, Policy,
        Profile, Proxy, Rate, Retry, RouteWaf, SynCookies, Timeouts, TlsBounds, Transform, Waf,
        WafMode,
    },
    places,
};

/// What `gateway run` serves without a file.
pub const EMBEDDED: &str = include_str!("embedded.toml");

/// Where the file is looked for.
pub const FILE: &str = "/etc/gateway/gateway.toml";

/// The folder of pins.
pub(super) const PINS: &str = "/sys/fs/bpf/gateway";

/// Connections per target and worker: more than the streams of one h2 connection, or one client
/// that uses those it was offered would be told that an HTTP/1.1 supplier is busy.
pub(super) const SUPPLIER_CONNECTIONS: u32 = 256;

/// A target's weight.
pub(super) const WEIGHT: u32 = 1;

const SECOND: Duration = Duration::from_secs(1);

/// A year, as the preload lists ask.
pub(super) const HSTS_AGE: Duration = Duration::from_hours(365 * 24);
pub(super) const HSTS: &str = "max-age=31536000";

/// A hundred handshakes a second keep a twentieth of a processor busy.
pub(super) fn tls() -> TlsBounds {
    TlsBounds {
        handshakes: Rate { count: 100, per: SECOND, burst: 400 },
        handshakes_at_once: 128,
        expiry_warning: Duration::from_hours(21 * 24),
    }
}

pub(super) fn kernel() -> Kernel {
    Kernel {
        enabled: false,
        interfaces: Vec::new(),
        attach: Attach::Auto,
        mode: Mode::Enforce,
        policy: Policy::Open,
        services: Vec::new(),
        listening: Vec::new(),
        amplifiers: AMPLIFIERS.to_vec(),
        flow_timeout: Duration::from_mins(1),
        shadow: Vec::new(),
        confirm: Some(Duration::from_mins(1)),
        protect: Vec::new(),
        trusted_proxies: Vec::new(),
        shared: Vec::new(),
        allow_limit: Rate { count: 100_000, per: SECOND, burst: 200_000 },
        packets: Some(Rate { count: 20_000, per: SECOND, burst: 40_000 }),
        packets_neighbourhood: Some(Rate { count: 200_000, per: SECOND, burst: 400_000 }),
        syns: Some(Rate { count: 200, per: SECOND, burst: 400 }),
        syns_neighbourhood: Some(Rate { count: 2000, per: SECOND, burst: 4000 }),
        limit_inserts: 10_000,
        syn_cookies: syn_cookies(),
        capacity: Capacity {
            hosts: 1_000_000,
            prefixes: 200_000,
            dynamic: 100_000,
            allow: 10_000,
            limits: 100_000,
            flows: 65_536,
        },
        answers: answers(),
        events: 20,
        pins: PINS.into(),
    }
}

/// Above what a busy edge sees of new connections, far below what a listener's queue takes in a
/// flood. Without timestamps: `net.ipv4.tcp_timestamps` is the whole machine's.
fn syn_cookies() -> SynCookies {
    SynCookies {
        enabled: true,
        above: Rate { count: 10_000, per: SECOND, burst: 10_000 },
        hold: Duration::from_secs(10),
        most: Rate { count: 500_000, per: SECOND, burst: 500_000 },
        timestamps: false,
        veth: false,
    }
}

/// What cannot be judged, and what no honest stack sends, is dropped. Rows that pass: frames of
/// other protocols keep the link itself alive (LACP, LLDP, spanning tree); fragments carry large
/// answers of DNS, their sources have passed the ban check, and a later one is useless without the
/// first; an edge may sit behind private addresses; echo is how others see that a host lives.
fn answers() -> Answers {
    [
        Reason::EtherTypeUnknown,
        Reason::FirstFragment,
        Reason::LaterFragment,
        Reason::PrivateSource,
        Reason::ReservedSource,
        Reason::EchoRequest,
    ]
    .into_iter()
    .fold(Answers::all(Answer::Drop), |answers, row| answers.with(row, Answer::Pass))
}

/// Services that answer a small datagram with a large one, or many, to whoever it claims to come
/// from: quotd, chargen, DNS, TFTP, portmap, NTP, `NetBIOS`, SNMP, XDMCP, CLDAP, SLP, RIP, IPMI, SQL
/// Server, SSDP, WS-Discovery, mDNS, memcached. Higher ports are honest clients' too.
const AMPLIFIERS: [u16; 18] =
    [17, 19, 53, 69, 111, 123, 137, 161, 177, 389, 427, 520, 623, 1434, 1900, 3702, 5353, 11_211];

pub(super) fn bans() -> Bans {
    Bans {
        threshold: 100,
        half_life: Duration::from_mins(5),
        first: Duration::from_mins(1),
        longest: Duration::from_hours(24),
        forget: Duration::from_hours(24),
        trust: Duration::from_mins(10),
        login: Duration::from_mins(10),
        sources: 100_000,
        per_second: 100,
        coverage: Coverage { ipv4: 5, ipv6: 1 },
        weights: Vec::new(),
    }
}

pub(super) fn guard() -> Guard {
    let places = places::of_this_process();
    Guard {
        run: places.run.clone(),
        state: places.state.clone(),
        user: "gateway-proxy".to_owned(),
        group: "gateway".to_owned(),
        watch: true,
    }
}

pub(super) fn admin() -> Admin {
    Admin { metrics: None }
}

pub(super) fn log() -> Log {
    Log { access: AccessLog::Stdout, queue: 8192 }
}

/// What CDNs, load balancers and frameworks call the client's address, beside the fields that the
/// gateway writes itself.
const CLIENT_FIELDS: [&str; 12] = [
    "x-client-ip",
    "client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
    "x-cluster-client-ip",
    "x-original-forwarded-for",
    "x-envoy-external-address",
    "x-appengine-user-ip",
    "x-azure-clientip",
];

pub(super) fn proxy() -> Proxy {
    Proxy {
        workers: places::processors(),
        connections: 10_000,
        connections_per_source: 256,
        requests: 10_000,
        memory: 1 << 30,
        head_bytes: 32 << 10,
        head_fields: 100,
        streams: 128,
        body_bytes: 1 << 20,
        compress: None,
        anonymous: Rate { count: 500, per: SECOND, burst: 1000 },
        limiter_keys: 100_000,
        forwarded: Forwarded::XForwardedFor,
        client_fields: CLIENT_FIELDS.map(str::to_owned).to_vec(),
        timeouts: timeouts(),
    }
}

/// As the C library asks, with a shorter wait: a second server is asked before a start is over.
pub(crate) fn dns() -> Dns {
    Dns {
        servers: Vec::new(),
        search: Vec::new(),
        timeout: Duration::from_secs(2),
        attempts: 2,
        ttl_min: SECOND,
        ttl_max: Duration::from_hours(1),
        negative_max: Duration::from_secs(30),
        stale: Duration::from_hours(24),
    }
}

fn timeouts() -> Timeouts {
    Timeouts {
        handshake: Duration::from_secs(10),
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        idle: Duration::from_mins(1),
        request: Duration::from_mins(1),
        connect: Duration::from_secs(5),
        first_byte: Duration::from_secs(30),
        stall: Duration::from_secs(30),
        drain: Duration::from_secs(30),
    }
}

/// A breaker is off: who can make half of the requests time out would close the supplier for all. A
/// target is left alone by default, as never more than half of them are.
pub(crate) fn profile() -> Profile {
    Profile {
        balance: Balance::LeastRequest,
        slow_start: Duration::ZERO,
        health: None,
        ejection: Some(ejection()),
        breaker: None,
        bound: None,
        retry_budget: 20,
        connect: None,
        first_byte: None,
        certificate: None,
        pins: Vec::new(),
    }
}

pub(super) fn ejection() -> Ejection {
    Ejection {
        faults: 5,
        first: Duration::from_secs(10),
        longest: Duration::from_mins(5),
        share: 50,
    }
}

/// Once more, for methods that ask and change nothing.
pub(crate) fn retry() -> Retry {
    Retry { attempts: 1, statuses: vec![502, 503, 504], idempotent: false }
}

/// Bytes of a JSON response that is changed.
pub(super) const JSON_BYTES: u64 = 1 << 20;

/// Decoded bytes for each encoded one: text packs to a twentieth at best, what repeats itself to less.
pub(super) const RATIO: u32 = 100;

/// What `compress = true` means. Shorter answers fit one packet either way, and types that are
/// packed already only cost.
pub(super) fn compress() -> Compress {
    Compress {
        codings: Coding::ALL.to_vec(),
        types: COMPRESSED.map(str::to_owned).to_vec(),
        bytes: 1024,
        credentials: false,
    }
}

const COMPRESSED: [&str; 8] = [
    "text/*",
    "application/json",
    "*+json",
    "application/xml",
    "*+xml",
    "application/javascript",
    "application/x-ndjson",
    "application/wasm",
];

/// How far an issuer's clock and ours may be apart.
pub(super) const TOKEN_LEEWAY: Duration = Duration::from_secs(30);

/// Providers rotate their keys in hours or days, and announce the next one before.
pub(super) const KEYS_REFRESH: Duration = Duration::from_mins(10);

/// An outage of a provider is none of ours for this long.
pub(super) const KEYS_STALE: Duration = Duration::from_hours(24);

/// A token that its issuer has revoked counts for this long at most.
pub(super) const INTROSPECTION_CACHE: Duration = Duration::from_secs(30);

/// How old a proof of possession may be.
pub(super) const DPOP_WINDOW: Duration = Duration::from_mins(1);

/// Access tokens that say what they are (RFC 9068).
pub(super) fn token_types() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}

/// No proofs are taken.
pub(super) fn dpop() -> Dpop {
    Dpop { origins: Vec::new(), nonce: false, window: DPOP_WINDOW }
}

/// What a supplier says of its own faults stays inside.
pub(crate) fn transform() -> Transform {
    Transform {
        request: Fields::default(),
        response: Fields::default(),
        statuses: Vec::new(),
        errors: Errors::Server,
        json: None,
    }
}

/// `[waf]`, but for its rules.
pub(crate) fn waf() -> Waf {
    Waf {
        rules: Vec::new(),
        body_bytes: 128 << 10,
        pass_uninspected: false,
        // A request of ordinary size needs a hundredth of it.
        work: 32 << 20,
        time: Duration::from_millis(500),
        answers: false,
        selftest: true,
        route: RouteWaf {
            mode: WafMode::Block,
            paranoia: 1,
            // As the Core Rule Set has them.
            inbound: 5,
            outbound: 4,
            without: Vec::new(),
        },
    }
}
