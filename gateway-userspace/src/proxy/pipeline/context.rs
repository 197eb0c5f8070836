//! What stages know of a request and pass on. Each field has one writer, named beside it.

use std::{net::IpAddr, rc::Rc, sync::Arc, time::Instant};

use http::{HeaderValue, Version, request::Parts};
use hyper::ext::Protocol;

use super::{
    identifiers::{RequestId, Trace},
    stages::authenticate::Presented,
    ticket::Ticket,
};
use crate::{
    clock::Wall,
    proxy::coding::{Coding, decode::Decoding},
    proxy::identity::{certificate::ClientCertificate, keys::Key, token::Token},
    proxy::inspection::seclang::Hit,
    proxy::pipeline::stages::{contract::Asked, waf::Inspection},
    telemetry::TlsVersion,
};

/// The other end of a connection, known before its first request.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Canonical: an IPv4 address in IPv6 clothes is IPv4.
    pub source: IpAddr,
    /// The peer is a trusted proxy: many clients, and never a kernel ban.
    pub behind_proxy: bool,
    /// `None` before the handshake is over.
    pub tls: Option<TlsVersion>,
    /// What the client proved to hold, where the listener asks for certificates.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// The listener's place in the configuration.
    pub listener: usize,
}

/// One request, from its head to the end of its response.
#[derive(Debug)]
pub struct RequestContext {
    pub(crate) peer: Rc<Peer>,
    pub(crate) arrived: Instant,
    /// By the guard's clock.
    pub(crate) wall: Wall,
    pub(crate) version: Version,
    /// As received; `upstream` takes the fields out when it forwards them.
    pub(crate) head: Parts,
    pub(crate) id: RequestId,
    pub(crate) trace: Trace,
    /// A gRPC call, which reads no problem document.
    pub(crate) grpc: bool,
    /// Written by `admission`.
    pub(crate) ticket: Option<Ticket>,
    /// Written by `client_address`, which also puts the client in the place of a trusted proxy.
    pub(crate) claims: Claims,
    /// Written by `shed`.
    pub(crate) place: Option<Ticket>,
    /// Written by `normalize`.
    pub(crate) target: Option<Target>,
    /// The path the route makes of the request's; written when the route is found.
    pub(crate) onward: Option<String>,
    /// The request opens a WebSocket, and the route takes it. Written by `method_and_size`.
    pub(crate) websocket: bool,
    /// What the supplier has to answer to a WebSocket key of ours, in place of a client that has none.
    /// Written by `forward`.
    pub(crate) accept: Option<HeaderValue>,
    /// The request body is to be unpacked. Written by `decompress`, taken with the body.
    pub(crate) packed: Option<Packed>,
    /// What the answer may be packed with. Written before the request's fields go, by `compress`.
    pub(crate) wish: Option<Coding>,
    /// The answer would have been packed, had not too many others been. Written by `compress`.
    pub(crate) left_unpacked: bool,
    /// Written by `authenticate`.
    pub(crate) client: Option<Arc<Key>>,
    /// The token the client came with, if it did. Written by `authenticate`.
    pub(crate) token: Option<Arc<Token>>,
    /// A token on its way through `authenticate`, which takes it.
    pub(crate) presented: Option<Presented>,
    /// For the client's next proof of possession. Written by `authenticate`.
    pub(crate) nonce: Option<HeaderValue>,
    /// What the origin is told that may read the answer. Written by `cors`.
    pub(crate) granted: Option<HeaderValue>,
    /// The firewall's work on the request, until its end. Written by `waf`.
    pub(crate) inspection: Option<Box<Inspection>>,
    /// What a contract says of the answer. Written by `contract`.
    pub(crate) asked: Option<Box<Asked>>,
    /// What its rules found. Written by `waf`.
    pub(crate) hits: Vec<Hit>,
    /// Written by `client_limit`.
    pub(crate) quota: Option<QuotaFields>,
}

/// What unpacks a request body, and its place among those that are.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) decoding: Decoding,
    pub(crate) place: Ticket,
}

/// What a trusted proxy says of the request it took.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// The address is that of one client, though it came by a proxy.
    pub(crate) client: bool,
    /// `http` or `https`.
    pub(crate) scheme: Option<&'static str>,
    pub(crate) host: Option<HeaderValue>,
}

/// The one reading of what a request is for.
#[derive(Debug)]
pub(crate) struct Target {
    /// As sent, for `X-Forwarded-Host`.
    pub(crate) sent_host: HeaderValue,
    /// As routes compare it.
    pub(crate) host: String,
    /// The path, where its one reading differs from what was sent.
    pub(crate) rewritten: Option<String>,
}

/// `RateLimit-Policy` and `RateLimit`.
#[derive(Debug)]
pub(crate) struct QuotaFields {
    pub(crate) policy: HeaderValue,
    pub(crate) limit: HeaderValue,
}

impl RequestContext {
    /// The path as routes match it and the supplier gets it.
    pub(crate) fn path(&self) -> &str {
        let rewritten = self.target.as_ref().and_then(|target| target.rewritten.as_deref());
        rewritten.unwrap_or_else(|| self.head.uri.path())
    }

    /// An h2 stream that asks to become another protocol's (RFC 8441).
    pub(crate) fn is_extended_connect(&self) -> bool {
        self.head.extensions.get::<Protocol>().is_some()
    }

    pub(crate) fn host(&self) -> &str {
        self.target.as_ref().map_or("", |target| target.host.as_str())
    }
}
