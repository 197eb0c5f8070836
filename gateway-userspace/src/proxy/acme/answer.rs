//! The listener without TLS, for port 80: it answers HTTP-01 (RFC 8555 section 8.3) and sends
//! everything else to https. No route is reached here and no body is read.

use std::{convert::Infallible, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONNECTION, CONTENT_TYPE, HOST, LOCATION},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{config::model::Config, proxy::worker::Shared};

/// Connections at once: each is one short answer. Of more the newest is closed.
const CONNECTIONS: usize = 256;

/// A whole connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request head.
const HEAD: Duration = Duration::from_secs(5);
const HEAD_BYTES: usize = 16 * 1024;
const FIELDS: usize = 64;

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

const PREFIX: &str = "/.well-known/acme-challenge/";

/// Serves until its task is dropped.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<ArcSwap<Shared>>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if tasks.len() < CONNECTIONS => {
                    let shared = Arc::clone(&shared);
                    tasks.spawn_local(timeout(PATIENCE, converse(stream, shared)));
                }
                Ok(_too_many) => {
                    let metrics = Arc::clone(&shared.load().ledger.metrics);
                    metrics.refusal(gateway_common::Reason::Connections);
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection without TLS failed");
                    sleep(PAUSE).await;
                }
            },
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, shared: Arc<ArcSwap<Shared>>) {
    let service = service_fn(|request: Request<Incoming>| {
        let shared = shared.load_full();
        async move { Ok::<_, Infallible>(answer(&request, &shared)) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(FIELDS)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection without TLS ended");
    }
}

fn answer<B>(request: &Request<B>, shared: &Shared) -> Response<Full<Bytes>> {
    let read = matches!(*request.method(), Method::GET | Method::HEAD);
    if let Some(token) = request.uri().path().strip_prefix(PREFIX) {
        return match shared.acme.answer_http(token).filter(|_| read) {
            Some(answer) => said(StatusCode::OK, answer),
            None => said(StatusCode::NOT_FOUND, "no such challenge\n".to_owned()),
        };
    }
    elsewhere(request, &shared.config)
}

/// To the same place by https, with the method it came with (RFC 9110 section 15.4.9).
fn elsewhere<B>(request: &Request<B>, config: &Config) -> Response<Full<Bytes>> {
    if request.method() == Method::CONNECT {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "not a proxy\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok().and_then(bare),
        _ => None,
    };
    let target = host.zip(request.uri().path_and_query());
    let location = target.and_then(|(host, path)| {
        let port = port(config).map(|port| format!(":{port}")).unwrap_or_default();
        HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()
    });
    let Some(location) = location else {
        return said(StatusCode::BAD_REQUEST, "no lawful host\n".to_owned());
    };
    let mut response = said(StatusCode::PERMANENT_REDIRECT, String::new());
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A host without its port, if it is one: it goes into an answer.
fn bare(host: &str) -> Option<&str> {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (host, ""),
    };
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.bytes().all(lawful),
    };
    let numbered = port.bytes().all(|byte| byte.is_ascii_digit());
    (good && numbered && !name.is_empty() && name.len() <= 253).then_some(name)
}

/// The port of https, where it is not the usual one.
fn port(config: &Config) -> Option<u16> {
    let mut ports = config.listeners.iter().map(|listener| listener.address.port());
    let first = ports.next()?;
    (first != 443 && !ports.any(|port| port == 443)).then_some(first)
}

fn said(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_would_lead_elsewhere_is_none() {
        for (host, read) in [
            ("www.example.com", Some("www.example.com")),
            ("www.example.com:80", Some("www.example.com")),
            ("[2001:db8::1]:80", Some("[2001:db8::1]")),
            ("[2001:db8::1]", Some("[2001:db8::1]")),
            ("", None),
            (":80", None),
            ("a@b.example", None),
            ("a.example/../b", None),
            ("a.example\\b", None),
            ("a.example:x", None),
            ("[::1", None),
        ] {
            assert_eq!(bare(host), read, "{host}");
        }
    }

    #[test]
    fn everything_else_goes_to_https_with_its_query() {
        let text = "[[listener]]\naddress = \"127.0.0.1:8443\"\n";
        let config = crate::config::load(text, "t.toml").unwrap();
        let request = |host: &str| {
            let request = Request::post("/pay?x=1").header(HOST, host);
            elsewhere(&request.body(()).unwrap(), &config)
        };
        let answer = request("a.example:8080");
        assert_eq!(answer.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers()[LOCATION], "https://a.example:8443/pay?x=1");
        assert_eq!(request("a b").status(), StatusCode::BAD_REQUEST);
    }
}
