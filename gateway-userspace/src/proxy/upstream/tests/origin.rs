//! Origins: real HTTP servers that count what reaches them, and scripted ones that break the rules.

use std::{
    cell::{Cell, RefCell},
    future::pending,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::spawn_local,
};
use tokio_rustls::TlsAcceptor;

use super::{AnyBody, BoxError, data, fed, full, nothing, trailers};

/// An origin on a port of its own.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    pub(super) seen: Rc<Seen>,
}

/// What reached an origin.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: Cell<usize>,
    pub(super) open: Cell<usize>,
    pub(super) requests: RefCell<Vec<String>>,
    /// Tells h2 connections to go away in good order.
    pub(super) goodbye: Notify,
    closed: Notify,
}

impl Seen {
    /// Waits until no more than `count` connections are open.
    pub(super) async fn open_at_most(&self, count: usize) {
        while self.open.get() > count {
            self.closed.notified().await;
        }
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.borrow().len()
    }
}

/// Counts an open connection.
struct Open(Rc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.closed.notify_one();
    }
}

impl Origin {
    pub(super) async fn http1() -> Self {
        Self::start(async |stream, seen| serve_http1(stream, seen).await).await
    }

    pub(super) async fn h2c() -> Self {
        Self::start(async |stream, seen| serve_http2(stream, seen).await).await
    }

    /// TLS; the version is what ALPN agrees on.
    pub(super) async fn tls(config: Arc<ServerConfig>) -> Self {
        let acceptor = TlsAcceptor::from(config);
        Self::start(async move |stream, seen| {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream, seen).await;
            } else {
                serve_http1(stream, seen).await;
            }
        })
        .await
    }

    /// Answers each request head with the next text of its connection's list, then closes.
    pub(super) async fn scripted(scripts: &'static [&'static [&'static str]]) -> Self {
        let scripts = RefCell::new(scripts.iter());
        Self::start(async move |mut stream: TcpStream, seen: Rc<Seen>| {
            let script = scripts.borrow_mut().next().copied().unwrap_or_default();
            for answer in script {
                let Some(head) = read_head(&mut stream).await else { return };
                seen.requests.borrow_mut().push(head);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    /// Accepts, reads nothing, says nothing.
    pub(super) async fn deaf() -> Self {
        Self::start(async |_stream, _seen| pending().await).await
    }

    async fn start<F>(serve: F) -> Self
    where
        F: AsyncFn(TcpStream, Rc<Seen>) + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Rc::new(Seen::default());
        let serve = Rc::new(serve);
        let counting = Rc::clone(&seen);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counting.connections.set(counting.connections.get() + 1);
                counting.open.set(counting.open.get() + 1);
                let (serve, seen) = (Rc::clone(&serve), Rc::clone(&counting));
                spawn_local(async move {
                    let _open = Open(Rc::clone(&seen));
                    serve(stream, seen).await;
                });
            }
        });
        Self { address, seen }
    }
}

/// An address nobody listens on.
pub(super) async fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    String::from_utf8(head).ok()
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, seen: Rc<Seen>) {
    let service = service_fn(move |request| answer(request, Rc::clone(&seen)));
    // Clients that go away in the middle are part of the tests.
    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Unpin + 'static>(stream: S, seen: Rc<Seen>) {
    let leaving = Rc::clone(&seen);
    let service = service_fn(move |request| answer(request, Rc::clone(&seen)));
    let connection = http2::Builder::new(Local).serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return drop(ended),
        () = leaving.goodbye.notified() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.ok();
}

#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        spawn_local(task);
    }
}

async fn answer(request: Request<Incoming>, seen: Rc<Seen>) -> Result<Response<AnyBody>, BoxError> {
    let line = format!("{} {}", request.method(), request.uri().path());
    seen.requests.borrow_mut().push(line);
    let path = request.uri().path().to_owned();
    let body = match path.as_str() {
        "/hello" => full("hello"),
        "/empty" => return Ok(status(StatusCode::NO_CONTENT)),
        "/streamed" => streamed(false),
        "/trailed" => {
            let mut response = Response::new(streamed(true));
            // Over HTTP/1.1 hyper sends only trailers that were announced.
            response.headers_mut().insert(header::TRAILER, "grpc-status".parse().unwrap());
            return Ok(response);
        }
        "/stalled" => stalled(),
        "/slow" => pending().await,
        "/named" => full(name_of(&request)),
        "/moved" => {
            let mut moved = status(StatusCode::FOUND);
            moved.headers_mut().insert(header::LOCATION, "http://127.0.0.1:1/".parse().unwrap());
            return Ok(moved);
        }
        "/taken" => {
            let taken = request.into_body().collect().await?;
            let last = taken.trailers().and_then(|all| all.get("grpc-status")).cloned();
            let last = last.map_or(String::new(), |value| value.to_str().unwrap().to_owned());
            full(format!("{}{last}", taken.to_bytes().len()))
        }
        "/early" => full("no need"),
        "/echoed" => request.into_body().map_err(Into::into).boxed_unsync(),
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    Ok(Response::new(body))
}

fn status(status: StatusCode) -> Response<AnyBody> {
    Response::builder().status(status).body(nothing()).unwrap()
}

fn name_of(request: &Request<Incoming>) -> String {
    let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap());
    match request.uri().authority() {
        Some(authority) => {
            format!("{} {authority} {host:?}", request.uri().scheme_str().unwrap_or_default())
        }
        None => host.unwrap_or_default().to_owned(),
    }
}

/// Three frames, each in its own tick.
fn streamed(with_trailers: bool) -> AnyBody {
    let (feed, body) = fed();
    spawn_local(async move {
        for part in ["one ", "two ", "three"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if feed.send(Ok(data(part))).await.is_err() {
                return;
            }
        }
        if with_trailers {
            feed.send(Ok(trailers("0"))).await.ok();
        }
    });
    body
}

/// One frame, and nothing more.
fn stalled() -> AnyBody {
    let (feed, body) = fed();
    spawn_local(async move {
        feed.send(Ok(data("one"))).await.ok();
        feed.closed().await;
    });
    body
}
