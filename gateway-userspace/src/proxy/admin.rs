//! The admin listener: plain HTTP for a scraper nearby, `/metrics` and `/healthz`, nothing else.

use std::{convert::Infallible, rc::Rc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::telemetry;

/// Scrapers at once; more are told to come back by a closed connection.
const CONNECTIONS: usize = 16;

/// A scraper's whole connection.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request head.
const HEAD: Duration = Duration::from_secs(5);

/// After a failure to accept.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until its task is dropped. `render` makes the text of a scrape.
pub(crate) async fn serve<F>(listener: TcpListener, render: F)
where
    F: AsyncFn() -> String + 'static,
{
    let render = Rc::new(render);
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if tasks.len() < CONNECTIONS => {
                    let render = Rc::clone(&render);
                    tasks.spawn_local(timeout(PATIENCE, converse(stream, render)));
                }
                Ok(_too_many) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting a scraper failed");
                    sleep(PAUSE).await;
                }
            },
            Some(_ended) = tasks.join_next() => {}
        }
    }
}

async fn converse<F>(stream: TcpStream, render: Rc<F>)
where
    F: AsyncFn() -> String + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let render = Rc::clone(&render);
        async move { Ok::<_, Infallible>(answer(&request, &*render).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(32);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a scraper's connection ended");
    }
}

async fn answer<F>(request: &Request<Incoming>, render: &F) -> Response<Full<Bytes>>
where
    F: AsyncFn() -> String,
{
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = status(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/healthz" => status(StatusCode::OK, "serving\n"),
        "/metrics" => {
            let mut response = Response::new(Full::from(render().await));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(telemetry::CONTENT_TYPE));
            response
        }
        _ => status(StatusCode::NOT_FOUND, "/metrics and /healthz are here\n"),
    }
}

fn status(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
