//! The checked configuration. Only `validate` builds it; nothing in it is unchecked or left out.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use gateway_common::{Class, Reason};
use ipnet::IpNet;

pub use super::{
    answers::Answers,
    forwarding::{Destination, Forward, Mirror, Redirect, Share},
    matching::{Conditions, Found, Places, Template, Test},
    origin::{Origin, Pattern},
    supplying::{Balance, Bound, Breaker, Ejection, HashKey, Health, Profile, Retry},
    transforming::{Errors, Fields, JsonEdit, Pointer, Transform},
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
    pub tls: TlsBounds,
    pub listeners: Vec<Listener>,
    pub identities: Vec<Identity>,
    pub suppliers: Vec<Supplier>,
    pub routes: Vec<Route>,
}

/// `[kernel]`: the XDP filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// False with `--kernel off` or without interfaces.
    pub enabled: bool,
    pub interfaces: Vec<String>,
    pub attach: Attach,
    pub mode: Mode,
    pub policy: Policy,
    /// What is served besides the listeners; `closed` refuses the rest.
    pub services: Vec<Service>,
    /// TCP ports of the listeners, and of the metrics where others than this host can ask for them.
    pub listening: Vec<u16>,
    /// UDP source ports from which nothing unsolicited is taken (`answers.udp_amplification`).
    pub amplifiers: Vec<u16>,
    /// How long after this host's last datagram to a peer the peer's answers pass.
    pub flow_timeout: Duration,
    /// Classes in shadow mode while `mode` is to enforce.
    pub shadow: Vec<Class>,
    /// How long a changed policy waits to be confirmed; `None` if it need not be.
    pub confirm: Option<Duration>,
    /// Never banned; also allowed, within `allow_limit`.
    pub protect: Vec<IpNet>,
    /// Clients behind these never lead to a kernel ban.
    pub trusted_proxies: Vec<IpNet>,
    /// Many clients behind one address: no kernel bans.
    pub shared: Vec<IpNet>,
    /// Aggregate limit of all allowed sources together.
    pub allow_limit: Rate,
    /// Packets of one host (/32, /64). `None` is off, here and in the next three.
    pub packets: Option<Rate>,
    /// Packets of a neighbourhood (/24, /48).
    pub packets_neighbourhood: Option<Rate>,
    /// SYNs of one host.
    pub syns: Option<Rate>,
    /// SYNs of a neighbourhood.
    pub syns_neighbourhood: Option<Rate>,
    /// How many new sources a second the exact limit table takes before its guard trips.
    pub limit_inserts: u32,
    pub syn_cookies: SynCookies,
    pub capacity: Capacity,
    pub answers: Answers,
    /// Sampled drop events a second, at most, per reason and CPU.
    pub events: u32,
    /// Folder of pins inside a mounted bpffs.
    pub pins: PathBuf,
}

impl Kernel {
    /// This policy on the interfaces and maps of another: what a running filter cannot change is
    /// as in `fixed`.
    #[must_use]
    pub fn on(&self, fixed: &Self) -> Self {
        Self {
            enabled: fixed.enabled,
            interfaces: fixed.interfaces.clone(),
            attach: fixed.attach,
            listening: fixed.listening.clone(),
            trusted_proxies: fixed.trusted_proxies.clone(),
            shared: fixed.shared.clone(),
            capacity: fixed.capacity,
            pins: fixed.pins.clone(),
            ..self.clone()
        }
    }

    /// The keys that differ and take a restart.
    pub fn needs_restart(&self, wanted: &Self) -> Vec<&'static str> {
        let rows = [
            ("interfaces", self.interfaces != wanted.interfaces),
            ("attach", self.attach != wanted.attach),
            ("trusted_proxies", self.trusted_proxies != wanted.trusted_proxies),
            ("shared", self.shared != wanted.shared),
            ("capacity", self.capacity != wanted.capacity),
            ("pins", self.pins != wanted.pins),
        ];
        rows.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

/// How XDP is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Native, else generic.
    Auto,
    Native,
    Generic,
}

/// Whether verdicts are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Counts and samples what it would drop, drops nothing.
    Shadow,
}

/// Which ports and protocols are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// All.
    Open,
    /// Services, listeners, return traffic, and what a host cannot do without.
    Closed,
}

/// Something served to strangers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Tcp(u16),
    Udp(u16),
    /// Another IP protocol, by number.
    Ip(u8),
}

/// A steady rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Events per `per`; at least 1.
    pub count: u32,
    pub per: Duration,
    /// Events at once; at least 1.
    pub burst: u32,
}

impl Rate {
    /// The time one event takes at the steady rate.
    pub fn interval(&self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// `[kernel.syn_cookies]`: SYNs are answered in XDP while they flood in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SynCookies {
    pub enabled: bool,
    /// On above this many SYNs of all sources together, a second's worth of them at once.
    pub above: Rate,
    /// How long they stay on after the last SYN above.
    pub hold: Duration,
    /// SYN-ACKs sent to all sources together, at most.
    pub most: Rate,
    /// Sets `net.ipv4.tcp_timestamps` to 2 while they are on, so that window scale and SACK outlive
    /// a cookie.
    pub timestamps: bool,
    /// Also on veth interfaces: their other ends run an XDP program.
    pub veth: bool,
}

/// Map sizes, in entries per address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Bulk bans of one family: so many addresses and so many prefixes, in any mix.
    pub hosts: u32,
    pub prefixes: u32,
    /// Single bans of one family.
    pub dynamic: u32,
    /// Allowed prefixes.
    pub allow: u32,
    /// Exact entries of sources over their packet limit (both families together).
    pub limits: u32,
    /// Flows this host asked for (both families together).
    pub flows: u32,
}

/// A configured answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Pass,
    Drop,
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
    /// Bytes of a request head.
    pub head_bytes: u32,
    /// Header fields of a request.
    pub head_fields: u16,
    /// Streams of one h2 connection.
    pub streams: u32,
    /// Bytes of a body where the route says nothing.
    pub body_bytes: u64,
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

/// `[tls]`: what holds for every listener.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsBounds {
    /// Handshakes of one source (/32, /64).
    pub handshakes: Rate,
    /// Handshakes of one source under way at once.
    pub handshakes_at_once: u32,
    /// A certificate that ends within this is warned of.
    pub expiry_warning: Duration,
}

/// How a listener shows who it is, and whom it takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Tls {
    pub certificates: Certificates,
    /// What a client gets that names no host, or one without a certificate.
    pub unknown_names: UnknownNames,
    /// Who has to show a certificate too.
    pub clients: Option<ClientCertificates>,
    /// `Strict-Transport-Security` of every answer, unless the supplier says its own.
    pub hsts: Option<String>,
}

impl Tls {
    /// With these certificates and every default.
    pub fn of(certificates: Certificates) -> Self {
        Self {
            certificates,
            unknown_names: UnknownNames::Default,
            clients: None,
            hsts: Some(super::defaults::HSTS.to_owned()),
        }
    }

    /// Those that end one day, in the order in which they are shown: certificates, authorities of
    /// clients, lists of revoked ones.
    pub fn dated_files(&self) -> Vec<String> {
        let shown = |path: &PathBuf| path.display().to_string();
        let mut files = match &self.certificates {
            Certificates::Files(pairs) => pairs.iter().map(|one| shown(&one.certificate)).collect(),
            Certificates::SelfSigned => vec![MADE_AT_START.to_owned()],
        };
        if let Some(clients) = &self.clients {
            files.push(shown(&clients.authorities));
            files.extend(clients.crls.iter().map(shown));
        }
        files
    }

    /// Every file it is made of, and whether it is secret.
    pub fn files(&self) -> Vec<(&PathBuf, bool)> {
        let mut files = Vec::new();
        if let Certificates::Files(pairs) = &self.certificates {
            files
                .extend(pairs.iter().flat_map(|one| [(&one.certificate, false), (&one.key, true)]));
        }
        if let Some(clients) = &self.clients {
            files.push((&clients.authorities, false));
            files.extend(clients.crls.iter().map(|path| (path, false)));
        }
        files
    }
}

/// Stands for a file where there is none.
pub const MADE_AT_START: &str = "made at start";

/// Where the certificates of a listener come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Certificates {
    /// At least one; the first is the default.
    Files(Vec<Pair>),
    /// Made at start; only a listener on loopback goes without files.
    SelfSigned,
}

/// A certificate chain and its private key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What becomes of a client that asks for a name without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownNames {
    /// It gets the first certificate.
    Default,
    /// Its handshake is refused.
    Refuse,
}

/// Certificates of clients (mutual TLS).
#[derive(Debug, Clone, PartialEq)]
pub struct ClientCertificates {
    /// PEM file of those that sign them.
    pub authorities: PathBuf,
    /// Refuses clients without one.
    pub required: bool,
    /// PEM files of revoked certificates.
    pub crls: Vec<PathBuf>,
    /// A list that is past its next update still counts.
    pub stale_crls: bool,
    /// How suppliers are told.
    pub forward: ForwardCertificate,
}

/// The header field that tells a supplier of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardCertificate {
    Off,
    /// `Client-Cert` (RFC 9440): the certificate itself.
    ClientCert,
    /// `X-Forwarded-Client-Cert` as Envoy writes it: fingerprint, subject and names.
    Xfcc,
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
    /// Who is served first when there is too much to do.
    pub priority: Priority,
    /// Requests in flight at a time, at most; `None` has only the bound of all.
    pub concurrency: Option<u32>,
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
