//! The checked configuration. Only `validate` builds it; nothing in it is unchecked or left out.

mod acme;
mod contract;
mod dns;
mod kernel;
mod tls;
mod token;
mod tokens;
mod waf;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use gateway_common::Reason;

pub use self::{
    acme::{Acme, Binding, Challenge, KeyKind, Managed},
    contract::{OpenApi, Unknown},
    dns::Dns,
    kernel::{Answer, Attach, Capacity, Kernel, Mode, Policy, Rate, Service, SynCookies},
    tls::{
        Certificates, ClientCertificates, ForwardCertificate, MADE_AT_START, Pair, Tls, TlsBounds,
        UnknownNames,
    },
    token::{Algorithm, Family},
    tokens::{Dpop, Introspection, KeySource, Sender, Tokens, Way},
    waf::{Excluded, Exclusion, RouteWaf, Waf, WafMode},
};
pub use super::{
    answers::Answers,
    compressing::{Coding, Compress, Encoded},
    forwarding::{Destination, Forward, Mirror, Redirect, Share},
    matching::{Conditions, Found, Places, Template, Test},
    origin::{Origin, Pattern},
    supplying::{Balance, Bound, Breaker, Ejection, HashKey, Health, Profile, Retry},
    transforming::{Errors, Fields, JsonEdit, Pointer, Transform},
    url::{Url, Wrong},
};

/// Everything a gateway runs by.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub kernel: Kernel,
    pub bans: Bans,
    pub guard: Guard,
    pub admin: Admin,
    pub log: Log,
    pub proxy: Proxy,
    pub dns: Dns,
    pub tls: TlsBounds,
    pub acme: Option<Acme>,
    pub waf: Option<Waf>,
    pub listeners: Vec<Listener>,
    pub identities: Vec<Identity>,
    pub suppliers: Vec<Supplier>,
    pub routes: Vec<Route>,
}

impl Config {
    /// Every name whose certificate is issued by itself, each once.
    pub fn managed(&self) -> Vec<&Managed> {
        let mut names: Vec<&Managed> =
            self.listeners.iter().flat_map(|listener| &listener.tls.managed).collect();
        names.sort_by_key(|one| &one.name);
        names.dedup_by_key(|one| &one.name);
        names
    }
}

impl Config {
    /// Identities by access tokens, with their names.
    pub fn tokens(&self) -> impl Iterator<Item = (&str, &Tokens)> {
        self.identities.iter().filter_map(|identity| match &identity.method {
            IdentityMethod::Tokens(tokens) => Some((identity.name.as_str(), &**tokens)),
            IdentityMethod::ApiKey { .. } => None,
        })
    }

    /// Every host that the gateway itself asks, besides suppliers.
    pub fn asked_hosts(&self) -> BTreeSet<String> {
        let bare = |acme: &Acme| acme.host.trim_matches(['[', ']']).to_owned();
        let tokens = self.tokens().flat_map(|(_, tokens)| tokens.hosts());
        self.acme.iter().map(bare).chain(tokens).collect()
    }

    /// Whether this is the host of somebody whose answers must always arrive.
    pub fn speaks_with(&self, host: &str) -> bool {
        self.suppliers.iter().any(|supplier| supplier.is_at(host))
            || self.asked_hosts().contains(host)
    }
}

/// `[bans]`: from strikes to bans.
#[derive(Debug, Clone, PartialEq)]
pub struct Bans {
    /// Strike score that bans.
    pub threshold: u32,
    /// The score halves in this time.
    pub half_life: Duration,
    /// First ban; doubles with each relapse up to `longest`.
    pub first: Duration,
    pub longest: Duration,
    /// A relapse within this time of the last ban's end counts as one.
    pub forget: Duration,
    /// An authenticated success protects its address from strike bans for this long.
    pub trust: Duration,
    /// The address of a login is protected for this long after the login was seen last.
    pub login: Duration,
    /// Sources with a score, at most.
    pub sources: u32,
    /// Bans a second the proxy may cause, at most.
    pub per_second: u32,
    /// How much of the Internet one list may cover.
    pub coverage: Coverage,
    /// Strike weights that differ from the reason's default.
    pub weights: Vec<(Reason, u32)>,
}

/// Shares in percent: of all IPv4 addresses, of the IPv6 networks given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coverage {
    pub ipv4: u32,
    pub ipv6: u32,
}

/// `[guard]`: where the privileged process keeps its things.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    /// Sockets and lock.
    pub run: PathBuf,
    /// The store.
    pub state: PathBuf,
    /// User of the proxy; unused without root.
    pub user: String,
    /// Group that may use the control socket.
    pub group: String,
    /// Whether a changed configuration file is read by itself.
    pub watch: bool,
}

/// `[admin]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    pub metrics: Option<SocketAddr>,
}

/// `[log]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    pub access: AccessLog,
    /// Lines that may wait for the disk.
    pub queue: u32,
}

/// Where access log lines go.
#[derive(Debug, Clone, PartialEq)]
pub enum AccessLog {
    Stdout,
    File(PathBuf),
    Off,
}

/// `[proxy]`: bounds of the request path.
#[derive(Debug, Clone, PartialEq)]
pub struct Proxy {
    /// One current-thread runtime each.
    pub workers: u16,
    /// Open connections, in all.
    pub connections: u32,
    /// Open connections of one source (/32, /64).
    pub connections_per_source: u32,
    /// Requests in flight, in all.
    pub requests: u32,
    /// Bytes of memory; 0 is no bound.
    pub memory: u64,
    /// Bytes of a request head.
    pub head_bytes: u32,
    /// Header fields of a request.
    pub head_fields: u16,
    /// Streams of one h2 connection.
    pub streams: u32,
    /// Bytes of a body where the route says nothing.
    pub body_bytes: u64,
    /// Where a route says nothing.
    pub compress: Option<Compress>,
    /// Limit per address before anything is known about the caller.
    pub anonymous: Rate,
    /// Keys each limiter may hold.
    pub limiter_keys: u32,
    /// The field in which a trusted proxy names its client.
    pub forwarded: Forwarded,
    /// Further fields that claim to name a client, in lower case: no supplier gets them.
    pub client_fields: Vec<String>,
    pub timeouts: Timeouts,
}

/// Which field of a trusted proxy is believed. One alone: what the proxy does not write itself it
/// may pass on as a stranger wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    None,
}

/// Every wait has an end.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    pub handshake: Duration,
    pub head: Duration,
    /// Between two reads of a request body.
    pub body: Duration,
    /// A connection without a request, or a tunnel without a byte.
    pub idle: Duration,
    /// A request, until its response begins.
    pub request: Duration,
    pub connect: Duration,
    /// Until the supplier's response head.
    pub first_byte: Duration,
    /// Between two reads of a response body, and for a client that does not read.
    pub stall: Duration,
    /// Connections get this long to finish when the proxy goes down.
    pub drain: Duration,
}

/// `[[listener]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    pub address: SocketAddr,
    /// Each connection begins with a PROXY protocol header, from a trusted proxy.
    pub proxy_protocol: bool,
    pub tls: Tls,
}

/// `[[identity]]`: a population of callers and how they prove it.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub name: String,
    pub method: IdentityMethod,
}

/// How callers of an identity prove themselves.
#[derive(Debug, Clone, PartialEq)]
pub enum IdentityMethod {
    /// An API key in this header, or as `Authorization: Bearer` where the header is `authorization`.
    ApiKey { header: String },
    /// An access token in `Authorization`.
    Tokens(Box<Tokens>),
}

/// `[[supplier]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Supplier {
    pub name: String,
    pub kind: SupplierKind,
    /// Connections per target and worker, at most.
    pub connections: u32,
    /// PEM file of certificate authorities instead of the built-in roots.
    pub ca: Option<PathBuf>,
    /// Loopback and link-local targets are meant.
    pub local: bool,
    pub profile: Profile,
}

impl Supplier {
    /// Every file it is made of, and whether it is secret.
    pub fn files(&self) -> impl Iterator<Item = (&PathBuf, bool)> {
        let pair = self.profile.certificate.as_ref();
        let pair = pair.map(|pair| [(&pair.certificate, false), (&pair.key, true)]);
        self.ca.iter().map(|ca| (ca, false)).chain(pair.into_iter().flatten())
    }

    /// Whether a target of it is at this host, as configured.
    pub fn is_at(&self, host: &str) -> bool {
        let targets = match &self.kind {
            SupplierKind::Http(targets) => targets.as_slice(),
            SupplierKind::Echo => &[],
        };
        targets.iter().any(|target| match &target.host {
            Host::Name(name) => name == host,
            Host::Address(address) => address.to_string() == host,
        })
    }
}

/// What stands behind a supplier's name.
#[derive(Debug, Clone, PartialEq)]
pub enum SupplierKind {
    Http(Vec<Target>),
    /// The built-in echo of the embedded default.
    Echo,
}

/// One address of a supplier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub tls: bool,
    pub host: Host,
    pub port: u16,
    pub protocol: Protocol,
    /// Its part of the requests beside the other targets; at least 1.
    pub weight: u32,
}

/// Name or address of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Name(String),
    Address(IpAddr),
}

/// The HTTP version spoken with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// By ALPN with TLS, else HTTP/1.1.
    Auto,
    Http1,
    /// h2, or h2 with prior knowledge without TLS.
    Http2,
}

/// `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Label in metrics and logs.
    pub name: String,
    /// Lower case, without port, its first label perhaps `*`; `None` takes any.
    pub host: Option<String>,
    /// Template, `{name}` for a segment, `{*name}` for the rest.
    pub path: String,
    /// Empty takes any.
    pub methods: Vec<http::Method>,
    /// What else a request has to bring.
    pub when: Conditions,
    pub destination: Destination,
    /// Deny all others; `None` is a public route, which a file has to say in so many words.
    pub identity: Option<String>,
    pub limit: Option<RouteLimit>,
    pub body_bytes: u64,
    /// Request bodies with a content coding.
    pub encoded: Encoded,
    /// Answers that are packed.
    pub compress: Option<Compress>,
    /// Until the response begins; from there on bytes have to flow.
    pub timeout: Duration,
    /// Until the supplier's response head; `None` is the supplier's own.
    pub first_byte: Option<Duration>,
    pub retry: Retry,
    /// A connection may become a `WebSocket`.
    pub websocket: bool,
    pub transform: Transform,
    /// Which other origins may read its answers; `None` leaves that to the supplier.
    pub cors: Option<Cors>,
    pub waf: RouteWaf,
    /// The contract that requests and answers are held to.
    pub openapi: Option<OpenApi>,
    /// Who is served first when there is too much to do.
    pub priority: Priority,
    /// Requests in flight at a time, at most; `None` has only the bound of all.
    pub concurrency: Option<u32>,
    /// Whether that bound follows the time that answers take.
    pub adaptive: bool,
}

/// `cors` of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct Cors {
    /// Every origin; then `origins` is empty.
    pub anyone: bool,
    pub origins: Vec<Pattern>,
    pub methods: Vec<http::Method>,
    pub headers: Vec<http::HeaderName>,
    pub expose: Vec<http::HeaderName>,
    /// Never beside `anyone`.
    pub credentials: bool,
    pub max_age: Duration,
    pub private_network: bool,
}

/// What is shed last, later, and first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    High,
    Normal,
    Low,
}

/// A route's own limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteLimit {
    pub per: LimitKey,
    pub rate: Rate,
}

/// What a limit counts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKey {
    /// The authenticated client, else the address.
    Client,
    Address,
}
