//! One request and its response head on one connection, and what a failure leaves possible.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    uri::{Authority, PathAndQuery, Scheme},
};
use http_body::Body;
use hyper::{body::Incoming, client::conn::TrySendError};

use super::{
    UpstreamError,
    download::{Download, Hold, Payload, Switched, release},
    error::ClientStalled,
    link::{Http1, Http2, Lane, Link},
    patience::{Overdue, Patience},
    upload::{Progress, Upload},
};

/// How a target is named in requests.
#[derive(Debug, Clone)]
pub(super) struct Name {
    /// `host:port`, for logs.
    pub(super) label: Arc<str>,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
}

/// Why an exchange gave no response.
pub(super) enum Setback {
    /// The connection was gone before anything was sent: the request is as it was.
    Unsent(Box<Unsent>),
    /// The supplier may have seen the request. `silent`: it said nothing of it.
    Failed { error: UpstreamError, silent: bool },
}

/// A request that comes back whole.
pub(super) struct Unsent {
    pub(super) request: Request<Upload>,
    pub(super) error: UpstreamError,
}

impl From<UpstreamError> for Setback {
    fn from(error: UpstreamError) -> Self {
        Self::Failed { error, silent: false }
    }
}

/// A request whose response is awaited.
pub(super) struct Exchange<'a> {
    pub(super) name: &'a Name,
    pub(super) patience: Patience,
}

impl Exchange<'_> {
    /// Sends the request and waits for the response head.
    pub(super) async fn run(
        &self,
        link: Link,
        request: Request<Upload>,
    ) -> Result<Response<Payload>, Setback> {
        match link.lane {
            Lane::Http1(connection) => self.run_http1(connection, request).await,
            Lane::Http2(stream) => self.run_http2(stream, request).await,
        }
    }

    async fn run_http1(
        &self,
        mut connection: Http1,
        mut request: Request<Upload>,
    ) -> Result<Response<Payload>, Setback> {
        self.name.put_http1(&mut request)?;
        let upload = request.body().progress();
        let asked = request.headers().contains_key(UPGRADE);
        let before = connection.received();
        let sent = self.patience.wait(connection.send(request), upload.as_deref()).await;
        let sent = match sent {
            Ok(Ok(response)) if asked && opens_websocket(&response) => {
                return self.switch(response, connection).await;
            }
            sent => sent,
        };
        match self.settle(sent, upload.as_deref()) {
            Ok(response) => {
                let (mut head, body) = response.into_parts();
                settle_length(&mut head.headers);
                let body = self.body(body, Hold::Connection(connection), upload);
                Ok(Response::from_parts(head, body))
            }
            Err(Setback::Failed { error, silent }) => {
                let silent = silent && connection.received() == before;
                Err(Setback::Failed { error, silent })
            }
            Err(unsent) => Err(unsent),
        }
    }

    async fn run_http2(
        &self,
        stream: Http2,
        mut request: Request<Upload>,
    ) -> Result<Response<Payload>, Setback> {
        if request.headers().contains_key(UPGRADE) {
            return Err(UpstreamError::CannotSwitch { target: Arc::clone(&self.name.label) }.into());
        }
        self.name.put_http2(&mut request)?;
        let Http2 { mut sender, place } = stream;
        let upload = request.body().progress();
        let sent = self.patience.wait(sender.try_send_request(request), upload.as_deref()).await;
        let response = self.settle(sent, upload.as_deref())?;
        Ok(response.map(|body| self.body(body, Hold::Stream { _place: place }, upload)))
    }

    /// Takes the connection out of HTTP.
    async fn switch(
        &self,
        mut response: Response<Incoming>,
        connection: Http1,
    ) -> Result<Response<Payload>, Setback> {
        let stream = hyper::upgrade::on(&mut response)
            .await
            .map_err(|error| UpstreamError::of_exchange(&self.name.label, error))?;
        Ok(response.map(|_| Payload::Switched(Box::new(Switched::new(stream, connection)))))
    }

    /// Sorts what came of the wait.
    fn settle(
        &self,
        sent: Result<Result<Response<Incoming>, TrySendError<Request<Upload>>>, Overdue>,
        upload: Option<&Progress>,
    ) -> Result<Response<Incoming>, Setback> {
        let target = || Arc::clone(&self.name.label);
        match sent {
            Ok(Ok(response)) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Err(UpstreamError::Switched { target: target() }.into())
            }
            Ok(Ok(response)) => Ok(response),
            Ok(Err(mut refused)) => Err(match refused.take_message() {
                Some(request) => {
                    let error = UpstreamError::of_exchange(&target(), refused.into_error());
                    Setback::Unsent(Box::new(Unsent { request, error }))
                }
                None => self.broken(refused.into_error(), upload),
            }),
            Err(Overdue::Supplier(wait)) => {
                Err(UpstreamError::Timeout { target: target(), wait }.into())
            }
            Err(Overdue::Client) => {
                Err(UpstreamError::RequestBody { source: Box::new(ClientStalled) }.into())
            }
        }
    }

    fn broken(&self, error: hyper::Error, upload: Option<&Progress>) -> Setback {
        if let Some(source) = upload.and_then(Progress::take_failure) {
            return UpstreamError::RequestBody { source }.into();
        }
        let silent = is_silent(&error);
        let error = UpstreamError::of_exchange(&self.name.label, error);
        Setback::Failed { error, silent }
    }

    fn body(&self, body: Incoming, hold: Hold, upload: Option<Rc<Progress>>) -> Payload {
        if body.is_end_stream() {
            if let Hold::Connection(connection) = hold {
                release(connection, upload.as_deref());
            }
            return Payload::Own(Bytes::new());
        }
        let stall = self.patience.stall;
        let target = Arc::clone(&self.name.label);
        Payload::Supplier(Box::new(Download::new(body, hold, upload, target, stall)))
    }
}

/// Whether the answer is the switch that was asked for, and no other.
fn opens_websocket<B>(response: &Response<B>) -> bool {
    let websocket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"websocket");
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && response.headers().get(UPGRADE).is_some_and(websocket)
}

/// Whether the connection just ended, or the supplier said that it did nothing (RFC 9113 8.7).
fn is_silent(error: &hyper::Error) -> bool {
    let h2 = std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>());
    match h2 {
        Some(h2) => {
            h2.is_io() || h2.is_go_away() || h2.reason() == Some(h2::Reason::REFUSED_STREAM)
        }
        None => !error.is_parse() && !error.is_user(),
    }
}

impl Name {
    /// Origin form, with the target's own name in Host (RFC 9112 3.2).
    fn put_http1(&self, request: &mut Request<Upload>) -> Result<(), UpstreamError> {
        if request.uri().authority().is_some() {
            let path = request.uri().path_and_query().cloned().unwrap_or_else(root);
            *request.uri_mut() = self.uri(Uri::builder().path_and_query(path))?;
        }
        *request.version_mut() = Version::HTTP_11;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if headers.contains_key(TE) {
            // It is for one connection only, and has to say so (RFC 9110 10.1.4).
            headers.insert(CONNECTION, HeaderValue::from_static("te"));
        }
        Ok(())
    }

    /// The target's name in `:scheme` and `:authority` alone: a Host beside them could differ.
    fn put_http2(&self, request: &mut Request<Upload>) -> Result<(), UpstreamError> {
        let path = request.uri().path_and_query().cloned().unwrap_or_else(root);
        let whole = Uri::builder()
            .scheme(self.scheme.clone())
            .authority(self.authority.clone())
            .path_and_query(path);
        *request.uri_mut() = self.uri(whole)?;
        *request.version_mut() = Version::HTTP_2;
        for name in [HOST, CONNECTION] {
            request.headers_mut().remove(name);
        }
        Ok(())
    }

    fn uri(&self, builder: http::uri::Builder) -> Result<Uri, UpstreamError> {
        builder
            .build()
            .map_err(|source| UpstreamError::Name { target: Arc::clone(&self.label), source })
    }
}

fn root() -> PathAndQuery {
    PathAndQuery::from_static("/")
}

/// Leaves one length: beside a Transfer-Encoding none counts (RFC 9112 6.3), and passed on, the
/// one that does not count would cut the response at the wrong byte.
fn settle_length(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    } else if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        // hyper refused lists that differ, so the first speaks for all.
        if let Some(length) = headers.get(CONTENT_LENGTH).cloned() {
            headers.insert(CONTENT_LENGTH, length);
        }
    }
}
