//! A proxy that keeps to the protocol, sandbox included, and answers each connection with its
//! pid. Questions about a request make it misbehave as the question says.

#![expect(unsafe_code, reason = "descriptor 3 is a bare number until it is owned")]

use std::{
    fs::File,
    io::Read as _,
    net::SocketAddr,
    os::{
        fd::{AsFd as _, FromRawFd as _, OwnedFd},
        unix::{fs::FileExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use gateway_userspace::{
    clock, config,
    ipc::{
        Channel, IpcError,
        handover::{FromHeir, FromOrphan},
        message::{FromGuard, FromProxy, ListenerRole, Make, Query, RefusedFile, VERSION},
    },
    proxy::sandbox,
};
use nix::sys::socket::{MsgFlags, send};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet, time::sleep};

/// What a proxy says that was taken over.
pub(crate) const NONSENSE: &str = "{\"a\":[[\u{1b}[2J \u{0}";

#[derive(Default)]
struct Proxy {
    make: Make,
    run: PathBuf,
    text: String,
    sockets: Vec<(SocketAddr, ListenerRole, OwnedFd)>,
    keys: usize,
    /// What it serves by, and what came since.
    certificate: String,
    fresh: Option<(String, String)>,
    accepting: JoinSet<()>,
}

/// In the proxy process.
pub(crate) fn run() -> ExitCode {
    // SAFETY: the guard put the channel there, and nothing else knows the number.
    let channel = unsafe { OwnedFd::from_raw_fd(3) };
    if let Err(error) = sandbox::enter(channel.as_fd()) {
        crate::say(&format!("{error} {:?}", std::error::Error::source(&error)));
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(Proxy::default().serve(channel)))
}

impl Proxy {
    async fn serve(mut self, channel: OwnedFd) -> ExitCode {
        let raw = channel.try_clone().unwrap();
        let channel = Channel::from_fd(channel).unwrap();
        let hello = FromProxy::Hello { pid: std::process::id(), make: Make::default() };
        channel.send(&hello, &[]).await.unwrap();
        while self.outfit(&channel).await {}
        if self.text.starts_with("# hopeless") {
            return ExitCode::from(7);
        }
        self.accept();
        channel.send(&FromProxy::Serving, &[]).await.unwrap();
        if self.converse(&channel, &raw).await {
            return ExitCode::SUCCESS;
        }
        drop((channel, raw));
        self.orphaned().await
    }

    /// One message before `Start`.
    async fn outfit(&mut self, channel: &Channel) -> bool {
        let (message, mut descriptors) = channel.receive::<FromGuard>().await.unwrap();
        match message {
            FromGuard::Welcome { make } => self.make = make,
            FromGuard::Configuration { .. } => {
                let mut file = File::from(descriptors.pop().unwrap());
                file.read_to_string(&mut self.text).unwrap();
                self.run = config::load(&self.text, "memory").unwrap().guard.run;
            }
            FromGuard::Listener { address, role, .. } => {
                self.sockets.push((address, role, descriptors.pop().unwrap()));
            }
            FromGuard::Keys { keys, .. } => self.keys = keys.len(),
            FromGuard::Secret { path } if path.ends_with("edge.pem") => {
                self.certificate = content(&descriptors.pop().unwrap());
            }
            FromGuard::Start => return false,
            _ => {}
        }
        true
    }

    fn accept(&mut self) {
        for (_, _, socket) in &self.sockets {
            let listener = std::net::TcpListener::from(socket.try_clone().unwrap());
            let listener = TcpListener::from_std(listener).unwrap();
            self.accepting.spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    drop(stream.write_all(format!("{}\n", std::process::id()).as_bytes()).await);
                }
            });
        }
    }

    /// Until told to drain (true) or left alone (false).
    async fn converse(&mut self, channel: &Channel, raw: &OwnedFd) -> bool {
        loop {
            match channel.receive::<FromGuard>().await {
                Ok((FromGuard::Drain { .. }, _)) => return true,
                Ok((FromGuard::Query { id, query }, _)) => {
                    self.queried(channel, raw, id, query).await;
                }
                Ok((FromGuard::Keys { keys, reset, more: _ }, _)) => {
                    self.keys = if reset { keys.len() } else { self.keys + keys.len() };
                }
                Ok((FromGuard::Secret { path }, files)) if path.ends_with("edge.pem") => {
                    self.fresh = Some((path, content(&files[0])));
                }
                Ok((FromGuard::Renew { id, .. }, _)) => self.renewed(channel, id).await,
                Ok(_) => {}
                Err(IpcError::Closed) => return false,
                Err(_) => return true,
            }
        }
    }

    /// Takes any certificate but a broken one.
    async fn renewed(&mut self, channel: &Channel, id: u64) {
        let mut refused = Vec::new();
        match self.fresh.take() {
            Some((path, text)) if text == "broken" => {
                refused.push(RefusedFile { path, why: "it is broken".to_owned() });
            }
            Some((_, text)) => self.certificate = text,
            None => {}
        }
        drop(channel.send(&FromProxy::Renewed { id, refused, more: false }, &[]).await);
    }

    async fn queried(&mut self, channel: &Channel, raw: &OwnedFd, id: u64, query: Query) {
        let Query::WhyRequest(order) = query else {
            let json = format!("{{\"keys\":{},\"certificate\":{:?}}}", self.keys, self.certificate);
            drop(channel.send(&FromProxy::Answer { id, json }, &[]).await);
            return;
        };
        let mut words = order.split(' ');
        let json = match (words.next(), words.next()) {
            (Some("garbage"), _) => {
                use std::os::fd::AsRawFd as _;
                send(raw.as_raw_fd(), &[1, 0xff, 0xff, 0xff], MsgFlags::empty()).unwrap();
                return;
            }
            (Some("strike"), Some(source)) => {
                for _ in 0..10 {
                    strike(channel, source).await;
                }
                "true".to_owned()
            }
            (Some("trust"), Some(source)) => {
                let trust = FromProxy::Trust { source: source.parse().unwrap() };
                drop(channel.send(&trust, &[]).await);
                "true".to_owned()
            }
            (Some("nonsense"), _) => NONSENSE.to_owned(),
            (Some("control"), _) => control(&self.run).to_string(),
            _ => "null".to_owned(),
        };
        drop(channel.send(&FromProxy::Answer { id, json }, &[]).await);
    }

    /// Serves on and looks for the next guard.
    async fn orphaned(mut self) -> ExitCode {
        loop {
            sleep(Duration::from_millis(200)).await;
            let Some(channel) = connect(&self.run.join("worker.sock")) else { continue };
            let raw = channel.try_clone().unwrap();
            let channel = Channel::from_fd(channel).unwrap();
            match self.hand_over(&channel).await {
                Ok(FromHeir::Adopt) if !self.converse(&channel, &raw).await => {}
                Ok(FromHeir::Adopt | FromHeir::Drain) => return ExitCode::SUCCESS,
                _ => {}
            }
        }
    }

    /// What the guard says in the end.
    async fn hand_over(&self, channel: &Channel) -> Result<FromHeir, IpcError> {
        let hello = FromOrphan::Hello { ipc: VERSION, pid: std::process::id(), make: self.make };
        channel.send(&hello, &[]).await?;
        channel.receive::<FromHeir>().await?;
        for (address, role, socket) in &self.sockets {
            let holding = FromOrphan::Holding { address: *address, role: *role };
            channel.send(&holding, &[socket.as_fd()]).await?;
        }
        channel.send(&FromOrphan::Done, &[]).await?;
        Ok(channel.receive::<FromHeir>().await?.0)
    }
}

fn content(file: &OwnedFd) -> String {
    let file = File::from(file.try_clone().unwrap());
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn strike(channel: &Channel, source: &str) {
    let strike = FromProxy::Strike {
        source: source.parse().unwrap(),
        reason: gateway_common::Reason::CredentialUnknown.number(),
        at_ns: clock::monotonic_ns(),
        behind_proxy: false,
    };
    drop(channel.send(&strike, &[]).await);
}

/// Whether the control socket answers this process.
fn control(run: &Path) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = UnixStream::connect(run.join("control.sock")) else { return false };
    let mut answer = [0; 1];
    stream.write_all(b"{\"command\":\"block_list\"}\n").is_ok()
        && matches!(stream.read(&mut answer), Ok(1))
}

fn connect(path: &Path) -> Option<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).ok()?;
    socket.connect(&SockAddr::unix(path).ok()?).ok()?;
    Some(socket.into())
}
