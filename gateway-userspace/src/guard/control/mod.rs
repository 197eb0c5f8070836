//! The control socket: who may ask, one bounded line a question, one a line an answer. The event
//! loop decides; here it is waited for the disk and for the proxy, so that the loop never does.

mod follow;

use std::{
    fs::{self, Permissions},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt as _, chown},
            net::UnixListener as StdListener,
        },
    },
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::UCred},
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::timeout,
};
use tracing::{debug, warn};

use super::{accounts::Accounts, error::GuardError, store::Durable, watch::Subscription};
use crate::control::{LINE_BYTES, Request, Response, Told};

/// Commands served at the same time.
const CONNECTIONS: usize = 32;

/// A command line that says nothing, or reads nothing, for so long is hung up on.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy that does not answer within this is reported as such.
const PROXY_PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a command that is read at once.
const LONG: usize = 16 * 1024;

/// Questions that may wait for the event loop.
pub(super) const QUEUE: usize = 64;

/// A question on its way to the event loop.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Outcome>,
}

/// What the event loop answers.
pub(super) enum Outcome {
    Now(Response),
    /// True once it is on the disk.
    Stored(Response, Durable),
    /// To be completed by what the proxy says.
    WithProxy(Response, oneshot::Receiver<String>),
    /// More is to come.
    Follow(Response, Subscription),
    /// Work of another thread.
    Later(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outcome")
    }
}

/// Who is let in, and how often.
#[derive(Debug)]
pub(super) struct Door {
    own: u32,
    root: bool,
    proxy_uid: u32,
    /// The serving proxy; without root it has the guard's own user. 0 for none.
    proxy_pid: AtomicU32,
    pub(super) served: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Door {
    pub(super) fn new(accounts: &Accounts) -> Self {
        Self {
            own: accounts.own.as_raw(),
            root: accounts.root,
            proxy_uid: accounts.proxy_uid().as_raw(),
            proxy_pid: AtomicU32::new(0),
            served: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Names the proxy that is to be kept out.
    pub(super) fn keep_out(&self, pid: Option<u32>) {
        self.proxy_pid.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    /// The socket's own rights let in root and the group; here the proxy is kept out, whatever
    /// groups its user is in.
    fn admits(&self, who: UCred) -> bool {
        let pid = who.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        if pid != 0 && pid == self.proxy_pid.load(Ordering::Relaxed) {
            return false;
        }
        if self.root { who.uid() != self.proxy_uid } else { who.uid() == self.own }
    }
}

/// The socket that an earlier program of this process had open at `path`, else a new one.
pub(super) fn take(
    kept: Option<OwnedFd>,
    path: &Path,
    accounts: &Accounts,
) -> Result<UnixListener, GuardError> {
    let same = |listener: &StdListener| {
        let bound = listener.local_addr().ok();
        bound.is_some_and(|address| address.as_pathname() == Some(path)) && path.exists()
    };
    let kept = kept.map(StdListener::from).filter(same).and_then(|listener| {
        listener.set_nonblocking(true).ok()?;
        UnixListener::from_std(listener).ok()
    });
    kept.map_or_else(|| open(path, accounts), Ok)
}

/// Opens the socket at `path`.
fn open(path: &Path, accounts: &Accounts) -> Result<UnixListener, GuardError> {
    let opened = || -> io::Result<UnixListener> {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        // The umask of the guard leaves nothing for others until the rights are set.
        let listener = UnixListener::bind(path)?;
        if let Some(group) = accounts.control_group {
            chown(path, None, Some(group.as_raw()))?;
        }
        let mode = if accounts.control_group.is_some() { 0o660 } else { 0o600 };
        fs::set_permissions(path, Permissions::from_mode(mode))?;
        Ok(listener)
    };
    opened().map_err(GuardError::path("opening the control socket", path))
}

/// Serves commands until the event loop is gone.
pub(super) async fn serve(listener: UnixListener, door: Arc<Door>, asks: mpsc::Sender<Ask>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => admit(&mut connections, stream, &door, &asks),
                Err(error) => {
                    warn!(%error, "control socket");
                    // Out of descriptors or memory: do not spin.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = asks.closed() => return,
        }
    }
}

fn admit(
    connections: &mut JoinSet<()>,
    stream: UnixStream,
    door: &Arc<Door>,
    asks: &mpsc::Sender<Ask>,
) {
    let admitted = stream.peer_cred().is_ok_and(|who| door.admits(who));
    if !admitted || connections.len() >= CONNECTIONS {
        door.refused.fetch_add(1, Ordering::Relaxed);
        warn!(peer = ?stream.peer_cred().ok(), admitted, "refused at the control socket");
        return;
    }
    let (door, asks) = (Arc::clone(door), asks.clone());
    connections.spawn(async move {
        if let Err(error) = converse(stream, &door, &asks).await {
            debug!(%error, "control connection ended");
        }
    });
}

async fn converse(mut stream: UnixStream, door: &Door, asks: &mpsc::Sender<Ask>) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    while let Some(line) = timeout(PATIENCE, read_line(&mut read)).await?? {
        door.served.fetch_add(1, Ordering::Relaxed);
        let is_cut = line.len() >= LINE_BYTES;
        let (answer, more) = answer(line, asks).await;
        send(&mut write, &answer).await?;
        if let Some(subscription) = more {
            return follow::follow(subscription, &mut read, &mut write).await;
        }
        if is_cut {
            return Ok(());
        }
    }
    Ok(())
}

/// One line. A reader that does not take it in time is hung up on.
async fn send(write: &mut (impl AsyncWrite + Unpin), response: &Response) -> io::Result<()> {
    let mut line = serde_json::to_vec(response)?;
    line.push(b'\n');
    timeout(PATIENCE, write.write_all(&line)).await?
}

/// One line without its end; `None` when the other side is done.
async fn read_line(
    read: &mut (impl tokio::io::AsyncBufRead + Unpin),
) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let limit = u64::try_from(LINE_BYTES).unwrap_or(u64::MAX);
    let count = read.take(limit).read_until(b'\n', &mut line).await?;
    if count == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(line))
}

async fn answer(line: Vec<u8>, asks: &mpsc::Sender<Ask>) -> (Response, Option<Subscription>) {
    if line.len() >= LINE_BYTES {
        return turned_away(format!("a command has {LINE_BYTES} bytes at most"));
    }
    let request = match read(line).await {
        Ok(request) => request,
        Err(error) => {
            return turned_away(format!(
                "the guard does not know this command ({error}); are it and `gateway` of one version?"
            ));
        }
    };
    let (reply, outcome) = oneshot::channel();
    if asks.send(Ask { request, reply }).await.is_err() {
        return turned_away("the gateway is stopping".to_owned());
    }
    match outcome.await {
        Ok(Outcome::Follow(response, subscription)) => (response, Some(subscription)),
        Ok(outcome) => (complete(outcome).await, None),
        Err(_) => turned_away("the gateway is stopping".to_owned()),
    }
}

/// A portion of a list takes a millisecond to read: on another thread, for this one has strikes to
/// judge.
async fn read(line: Vec<u8>) -> serde_json::Result<Request> {
    if line.len() < LONG {
        return serde_json::from_slice(&line);
    }
    let reading = tokio::task::spawn_blocking(move || serde_json::from_slice(&line));
    reading.await.unwrap_or_else(|error| Err(serde::de::Error::custom(error)))
}

async fn complete(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Now(response) | Outcome::Follow(response, _) => response,
        Outcome::Stored(response, durable) => stored(response, durable).await,
        Outcome::WithProxy(response, said) => {
            with_proxy(response, timeout(PROXY_PATIENCE, said).await.ok().and_then(Result::ok))
        }
        Outcome::Later(answer) => answer.await,
    }
}

async fn stored(response: Response, durable: Durable) -> Response {
    let written = timeout(PATIENCE, durable).await;
    let why = match written {
        Ok(Ok(Ok(()))) => return response,
        Ok(Ok(Err(why))) => why,
        Ok(Err(_)) => "the store has no room for it".to_owned(),
        Err(_) => "the disk does not answer".to_owned(),
    };
    refused(format!("it is in force, but not stored yet, and may not outlive the gateway: {why}"))
}

/// The proxy's words are handed on as they are, a frame of them at most.
fn with_proxy(response: Response, said: Option<String>) -> Response {
    let detail = Told::Unread(said.unwrap_or_else(|| "the proxy does not answer".to_owned()));
    match response {
        Response::Status(mut status) => {
            status.proxy.detail = detail;
            Response::Status(status)
        }
        Response::Why(mut why) => {
            why.proxy = detail;
            Response::Why(why)
        }
        other @ (Response::Done { .. }
        | Response::Refused { .. }
        | Response::Bans { .. }
        | Response::Imported { .. }
        | Response::Unfit { .. }
        | Response::Staged { .. }
        | Response::Lists { .. }
        | Response::Allows { .. }
        | Response::Events(_)
        | Response::KeyCreated { .. }
        | Response::Keys { .. }
        | Response::Policy(_)
        | Response::Configuration { .. }) => other,
    }
}

fn turned_away(message: String) -> (Response, Option<Subscription>) {
    (refused(message), None)
}

fn refused(message: String) -> Response {
    Response::Refused { message }
}
