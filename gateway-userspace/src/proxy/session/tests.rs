//! A proxy and a guard that is the test: introduction, both directions, and two guards in a row.

use std::{
    io::{Seek as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{task::JoinHandle, time::timeout};

use super::*;
use crate::{
    clock::{self, Wall},
    ipc::{
        handover::{FromHeir, FromOrphan},
        message::{FromGuard, ListenerRole, Make, Query, VERSION},
    },
    proxy::{
        identity::keys::tests::{KEY, issued},
        tests::plain_client,
    },
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn serves_reports_answers_and_drains() {
    let guard = Guard::start().await;
    plain_client::get(guard.address, "/nowhere/../x").await;
    let strike = guard.heard(|said| matches!(said, FromProxy::Strike { .. })).await;
    assert!(matches!(strike, FromProxy::Strike { behind_proxy: false, .. }));

    let query = Query::WhyAddress("127.0.0.1".parse().unwrap());
    guard.channel.send(&FromGuard::Query { id: 7, query }, &[]).await.unwrap();
    let answer = guard.heard(|said| matches!(said, FromProxy::Answer { id: 7, .. })).await;
    assert!(matches!(answer, FromProxy::Answer { json, .. } if json.contains("path_invalid")));

    guard.channel.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
    guard.ended().await.unwrap();
}

#[tokio::test]
async fn serves_on_without_a_guard_and_hands_its_sockets_to_the_next() {
    let guard = Guard::start().await;
    let Guard { channel, address, proxy, folder, make, socket: kept } = guard;
    drop((channel, kept));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(plain_client::get(address, "/").await.contains("200 OK"));

    let next = meet(&folder.path().join("worker.sock")).await;
    assert_eq!(handed_over(&next, make).await, address);
    assert!(plain_client::get(address, "/").await.contains("200 OK"));
    // Adopted, it is a proxy like any other.
    next.send(&FromHeir::Adopt, &[]).await.unwrap();
    next.send(&FromGuard::Query { id: 3, query: Query::Status }, &[]).await.unwrap();
    let (answer, _) = next.receive::<FromProxy>().await.unwrap();
    assert!(matches!(answer, FromProxy::Answer { id: 3, .. }), "{answer:?}");
    drop(next);

    // A guard of another kind, whose own proxy takes its time.
    let other = meet(&folder.path().join("worker.sock")).await;
    assert_eq!(handed_over(&other, make).await, address);
    assert!(plain_client::get(address, "/").await.contains("200 OK"));
    other.send(&FromHeir::Drain, &[]).await.unwrap();
    timeout(PATIENCE, proxy).await.unwrap().unwrap().unwrap().join();
}

/// The address of the one socket that a proxy hands over.
async fn handed_over(guard: &Channel, expected: Make) -> SocketAddr {
    let (hello, _) = guard.receive::<FromOrphan>().await.unwrap();
    let pid = std::process::id();
    assert_eq!(hello, FromOrphan::Hello { ipc: VERSION, pid, make: expected });
    guard.send(&FromHeir::Welcome { ipc: VERSION + 1 }, &[]).await.unwrap();
    let (holding, mut sockets) = guard.receive::<FromOrphan>().await.unwrap();
    let handed = TcpListener::from(sockets.pop().unwrap());
    let address = handed.local_addr().unwrap();
    assert_eq!(holding, FromOrphan::Holding { address, role: ListenerRole::Public });
    assert_eq!(guard.receive::<FromOrphan>().await.unwrap().0, FromOrphan::Done);
    address
}

#[tokio::test]
async fn another_configuration_holds_for_open_connections_or_leaves_all_as_it_was() {
    let guard = Guard::start().await;
    let mut open = plain_client::Open::connect(guard.address).await;
    assert!(open.get("/other").await.starts_with("HTTP/1.1 200"));
    let route =
        "[[route]]\nname = \"all\"\npath = \"/only\"\nsupplier = \"echo\"\nidentity = \"none\"\n";
    let text = guard.text_with(route);
    assert_eq!(guard.reload(1, &text, true).await, FromProxy::Applied { id: 1 });
    // The same connection, the new routes.
    assert!(open.get("/other").await.starts_with("HTTP/1.1 404"));
    assert!(open.get("/only").await.starts_with("HTTP/1.1 200"));

    for (id, text, why) in [
        (2, text.replace("workers = 1", "workers = \"x\""), "workers"),
        (3, text.replace("workers = 1", "workers = 2"), "proxy.workers"),
    ] {
        let answer = guard.reload(id, &text, true).await;
        let FromProxy::NotApplied { id: same, why: said, fresh } = &answer else {
            panic!("{answer:?}");
        };
        assert!(*same == id && said.contains(why) && *fresh == (id == 3), "{answer:?}");
        assert!(open.get("/only").await.starts_with("HTTP/1.1 200"));
    }
    // Half of one is none.
    let half = guard.reload(4, &text, false).await;
    assert!(matches!(half, FromProxy::NotApplied { id: 4, fresh: false, .. }), "{half:?}");
    assert!(open.get("/only").await.starts_with("HTTP/1.1 200"));
    guard.channel.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
    guard.ended().await.unwrap();
}

#[tokio::test]
async fn a_listener_that_is_gone_serves_what_it_has_and_a_new_one_serves() {
    let guard = Guard::start().await;
    let mut open = plain_client::Open::connect(guard.address).await;
    assert!(open.get("/a").await.starts_with("HTTP/1.1 200"));
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = second.local_addr().unwrap();
    let text = guard.text_with("").replace(&guard.address.to_string(), &address.to_string());
    let route = "[[route]]\nname = \"all\"\npath = \"/{*rest}\"\nsupplier = \"echo\"\nidentity = \"none\"\n";
    let answer = guard.reload_on(1, &(text + route), &second).await;
    assert_eq!(answer, FromProxy::Applied { id: 1 });
    assert!(plain_client::get(address, "/b").await.contains("200 OK"));
    // Told on its last answer that it is one; a connection that waits is not cut off.
    let last = open.get("/c").await;
    assert!(last.starts_with("HTTP/1.1 200"), "{last}");
    guard.channel.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
    guard.ended().await.unwrap();
}

#[tokio::test]
async fn a_route_with_an_identity_serves_nobody_before_all_keys_are_there() {
    // A proxy just restarted, whose guard says `Start` without a key list.
    let guard = Guard::with_keys(None).await;
    let field = format!("x-api-key: {KEY}\r\n");
    let status = async |expected: &str| {
        for field in ["", "x-api-key: nonsense\r\n"] {
            let answer = plain_client::get_with(guard.address, "/keyed", field).await;
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        }
        let deadline = clock::now() + PATIENCE;
        loop {
            let answer = plain_client::get_with(guard.address, "/keyed", &field).await;
            if answer.starts_with(&format!("HTTP/1.1 {expected}")) {
                return;
            }
            assert!(!answer.starts_with("HTTP/1.1 2") && clock::now() < deadline, "{answer}");
        }
    };
    status("500").await;
    let key = issued(KEY, "customers", "acme");
    let list = |reset, more, keys| FromGuard::Keys { reset, more, keys };
    let half = list(true, true, vec![key.clone()]);
    guard.channel.send(&half, &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    status("500").await;
    guard.channel.send(&list(false, false, vec![]), &[]).await.unwrap();
    status("200").await;

    // The next guard's list, in the middle of it: a known client is neither refused nor struck.
    guard.channel.send(&list(true, true, vec![]), &[]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = plain_client::get_with(guard.address, "/keyed", &field).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    guard.channel.send(&list(false, false, vec![key]), &[]).await.unwrap();
    status("200").await;
    guard.channel.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
    guard.ended().await.unwrap();
}

#[tokio::test]
async fn a_key_expires_by_the_guards_clock_not_by_the_systems() {
    let real = clock::wall();
    let key = crate::ipc::message::ApiKey {
        expires: real.0 + 86_400,
        ..issued(KEY, "customers", "acme")
    };
    let guard = Guard::with_keys(Some(vec![key])).await;
    let field = format!("x-api-key: {KEY}\r\n");
    // The system's clock stands still through all of this, as one that lost its time might.
    for (wall, expected) in [
        (real, "200"),
        (Wall(real.0 + 86_401), "401"),
        (Wall(real.0 + 50_000), "200"),
        (Wall(40), "200"),
        (Wall(real.0 * 2), "401"),
    ] {
        let ahead = ahead_of_a_wall(wall);
        guard.channel.send(&FromGuard::Time { ahead }, &[]).await.unwrap();
        guard.reached(7).await;
        let answer = plain_client::get_with(guard.address, "/keyed", &field).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{wall:?}: {answer}");
    }
    guard.channel.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
    guard.ended().await.unwrap();
}

#[tokio::test]
async fn does_not_start_without_the_time() {
    let (channel, proxy) = connected();
    channel.receive::<FromProxy>().await.unwrap();
    let text = "[log]\naccess = \"off\"\n";
    let digest = sha256(text);
    let configuration = FromGuard::Configuration { digest };
    channel.send(&configuration, &[memory(text).as_fd()]).await.unwrap();
    channel.send(&FromGuard::Start, &[]).await.unwrap();
    let ended = timeout(PATIENCE, proxy).await.unwrap().unwrap();
    assert!(
        matches!(ended, Err(ProxyError::Protocol { what }) if what.contains("time")),
        "{ended:?}"
    );
}

#[tokio::test]
async fn does_not_start_on_a_text_that_is_not_the_digests() {
    let (channel, proxy) = connected();
    channel.receive::<FromProxy>().await.unwrap();
    let file = memory("[log]\naccess = \"off\"\n");
    let configuration = FromGuard::Configuration { digest: [1; 32] };
    channel.send(&configuration, &[file.as_fd()]).await.unwrap();
    channel.send(&FromGuard::Start, &[]).await.unwrap();
    let ended = timeout(PATIENCE, proxy).await.unwrap().unwrap();
    assert!(matches!(ended, Err(ProxyError::Protocol { .. })));
}

struct Guard {
    channel: Channel,
    address: SocketAddr,
    proxy: JoinHandle<Result<Instance, ProxyError>>,
    folder: tempfile::TempDir,
    make: Make,
    socket: TcpListener,
}

impl Guard {
    async fn start() -> Self {
        Self::with_keys(Some(Vec::new())).await
    }

    async fn with_keys(keys: Option<Vec<crate::ipc::message::ApiKey>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let routes = "[[route]]\nname = \"keyed\"\npath = \"/keyed\"\nsupplier = \"echo\"\n\
                      identity = \"customers\"\n\
                      [[route]]\nname = \"all\"\npath = \"/{*rest}\"\nsupplier = \"echo\"\n\
                      identity = \"none\"\n";
        let text = head(folder.path(), address) + routes;
        let digest = sha256(&text);
        let make = Make { program: [1; 32], configuration: digest, files: [2; 32] };
        let (channel, proxy) = connected();
        let (hello, _) = channel.receive::<FromProxy>().await.unwrap();
        assert!(matches!(hello, FromProxy::Hello { make, .. } if make == Make::default()));
        let file = memory(&text);
        let listener = FromGuard::Listener { address, role: ListenerRole::Public, worker: 0 };
        let keys = keys.map(|keys| FromGuard::Keys { reset: true, more: false, keys });
        for (message, descriptor) in [
            Some((FromGuard::Welcome { make }, None)),
            Some((FromGuard::Configuration { digest }, Some(file.as_fd()))),
            Some((listener, Some(socket.as_fd()))),
            Some((FromGuard::Time { ahead: ahead_of_a_wall(clock::wall()) }, None)),
            keys.map(|keys| (keys, None)),
            Some((FromGuard::Start, None)),
        ]
        .into_iter()
        .flatten()
        {
            let descriptors: Vec<_> = descriptor.into_iter().collect();
            channel.send(&message, &descriptors).await.unwrap();
        }
        let guard = Self { channel, address, proxy, folder, make, socket };
        assert_eq!(guard.channel.receive::<FromProxy>().await.unwrap().0, FromProxy::Serving);
        guard
    }

    /// Listener, supplier and identity as at the start, and these routes.
    fn text_with(&self, routes: &str) -> String {
        format!("{}{routes}", head(self.folder.path(), self.address))
    }

    async fn reload(&self, id: u64, text: &str, whole: bool) -> FromProxy {
        self.offer(id, text, &self.socket, whole).await
    }

    async fn reload_on(&self, id: u64, text: &str, socket: &TcpListener) -> FromProxy {
        self.offer(id, text, socket, true).await
    }

    async fn offer(&self, id: u64, text: &str, socket: &TcpListener, whole: bool) -> FromProxy {
        let make = Make { configuration: sha256(text), ..self.make };
        let address = socket.local_addr().unwrap();
        let listener = FromGuard::Listener { address, role: ListenerRole::Public, worker: 0 };
        let (file, digest) = (memory(text), make.configuration);
        for (message, descriptor) in [
            Some((FromGuard::Reload { id, make }, None)),
            whole.then_some((FromGuard::Configuration { digest }, Some(file.as_fd()))),
            Some((listener, Some(socket.as_fd()))),
            Some((FromGuard::Apply { id }, None)),
        ]
        .into_iter()
        .flatten()
        {
            let descriptors: Vec<_> = descriptor.into_iter().collect();
            self.channel.send(&message, &descriptors).await.unwrap();
        }
        let answers = |said: &FromProxy| {
            matches!(said, FromProxy::Applied { .. } | FromProxy::NotApplied { .. })
        };
        self.heard(answers).await
    }

    async fn heard(&self, wanted: impl Fn(&FromProxy) -> bool) -> FromProxy {
        let listening = async {
            loop {
                let (said, _) = self.channel.receive::<FromProxy>().await.unwrap();
                if wanted(&said) {
                    return said;
                }
            }
        };
        timeout(PATIENCE, listening).await.unwrap()
    }

    /// All that was sent so far is taken note of.
    async fn reached(&self, id: u64) {
        self.channel.send(&FromGuard::Query { id, query: Query::Status }, &[]).await.unwrap();
        self.heard(|said| matches!(said, FromProxy::Answer { id: theirs, .. } if *theirs == id))
            .await;
    }

    async fn ended(self) -> Result<(), ProxyError> {
        timeout(PATIENCE, self.proxy).await.unwrap().unwrap().map(Instance::join)
    }
}

fn head(folder: &Path, address: SocketAddr) -> String {
    format!(
        "[guard]\nrun = \"{0}\"\nstate = \"{0}\"\n[log]\naccess = \"off\"\n\
         [proxy]\nworkers = 1\n[[listener]]\naddress = \"{address}\"\n\
         [[supplier]]\nname = \"echo\"\ntargets = [\"echo\"]\n\
         [[identity]]\nname = \"customers\"\napi_key = {{ header = \"x-api-key\" }}\n",
        folder.display()
    )
}

fn ahead_of_a_wall(wall: Wall) -> i64 {
    wall.ahead(clock::monotonic_ns())
}

fn connected() -> (Channel, JoinHandle<Result<Instance, ProxyError>>) {
    let (ours, theirs) = Channel::pair().unwrap();
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { serve(Channel::from_fd(theirs).unwrap(), None).await })
    };
    (ours, tokio::task::spawn_blocking(thread))
}

fn sha256(text: &str) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().try_into().unwrap()
}

fn memory(text: &str) -> OwnedFd {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file.rewind().unwrap();
    file.into()
}

/// The next guard's door, and who calls at it.
async fn meet(path: &Path) -> Channel {
    let door = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
    // The door of the guard before.
    drop(std::fs::remove_file(path));
    door.bind(&SockAddr::unix(path).unwrap()).unwrap();
    door.listen(1).unwrap();
    let called = tokio::task::spawn_blocking(move || door.accept().unwrap().0);
    Channel::from_fd(timeout(PATIENCE, called).await.unwrap().unwrap().into()).unwrap()
}
