//! A gateway of its own: folder, configuration, guard process, control socket.

use std::{
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::Duration,
};

use gateway_userspace::{
    clock, config,
    control::{Request, Response, Status},
    guard::{self, Options},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A folder with a configuration; what runs in it is ended with it.
pub(crate) struct Gateway {
    folder: tempfile::TempDir,
    program: PathBuf,
    pub(crate) address: SocketAddr,
    guard: Option<Child>,
}

/// In the guard process.
pub(crate) fn run_guard(file: &str) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let text = fs::read_to_string(file).unwrap();
    let config = config::load(&text, file).unwrap();
    let options =
        Options { config, text, origin: file.to_owned(), log: "info".to_owned(), kept: None };
    match guard::run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl Gateway {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The proxy of a root guard is `nobody` and has to reach its socket.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        let program = std::env::current_exe().unwrap();
        let gateway = Self { folder, program, address, guard: None };
        gateway.renew_certificate("first");
        gateway.configure("");
        gateway
    }

    /// Writes the configuration with a comment, which is enough to make it another one.
    pub(crate) fn configure(&self, comment: &str) {
        let folder = self.folder.path().display();
        let address = self.address;
        let text = format!(
            "# {comment}\n\
             [guard]\nrun = \"{folder}/run\"\nstate = \"{folder}/state\"\n\
             user = \"nobody\"\ngroup = \"nogroup\"\nwatch = false\n\
             [log]\naccess = \"off\"\n\
             [proxy]\nworkers = 1\n[proxy.timeouts]\ndrain = \"2s\"\n\
             [kernel]\nprotect = [\"10.20.0.0/16\"]\n\
             [[listener]]\naddress = \"{address}\"\n\
             certificate = \"{folder}/edge.pem\"\nkey = \"{folder}/edge.key\"\n\
             [[identity]]\nname = \"customers\"\napi_key = {{ header = \"x-api-key\" }}\n\
             [[supplier]]\nname = \"echo\"\ntargets = [\"echo\"]\n\
             [[route]]\nname = \"all\"\npath = \"/{{*rest}}\"\nsupplier = \"echo\"\nidentity = \"customers\"\n"
        );
        fs::write(self.file(), text).unwrap();
    }

    /// From now on starts another program, which does the same.
    pub(crate) fn upgrade(&mut self) {
        let upgraded = self.folder.path().join("upgraded");
        let mut program = fs::read(&self.program).unwrap();
        // Behind what the loader reads.
        program.push(0);
        fs::write(&upgraded, program).unwrap();
        fs::set_permissions(&upgraded, Permissions::from_mode(0o755)).unwrap();
        self.program = upgraded;
    }

    /// The proxy of these tests speaks no TLS: any bytes will do.
    pub(crate) fn renew_certificate(&self, content: &str) {
        for name in ["edge.pem", "edge.key"] {
            let path = self.folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub(crate) fn lose_certificate(&self) {
        fs::remove_file(self.folder.path().join("edge.pem")).unwrap();
    }

    pub(crate) fn start(&mut self) {
        let child = self.spawn();
        self.guard = Some(child);
        let status = wait("the proxy serves", || self.serving());
        assert_eq!(status.guard_pid, self.guard_pid());
    }

    /// Starts a guard that is expected to fail, and returns what it says.
    pub(crate) fn start_in_vain(&self) -> String {
        let mut child = self.spawn();
        let status = wait("the guard gives up", || child.try_wait().unwrap());
        assert!(!status.success());
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// Asks the guard.
    pub(crate) fn ask(&self, request: &Request) -> Response {
        self.try_ask(&serde_json::to_string(request).unwrap()).unwrap()
    }

    pub(crate) fn try_ask(&self, line: &str) -> Option<Response> {
        let mut stream = UnixStream::connect(self.run().join("control.sock")).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(stream, "{line}").ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        serde_json::from_str(&answer).ok()
    }

    pub(crate) fn status(&self) -> Status {
        self.serving().unwrap()
    }

    pub(crate) fn proxy_pid(&self) -> u32 {
        self.status().proxy.pid
    }

    pub(crate) fn guard_pid(&self) -> u32 {
        self.guard.as_ref().unwrap().id()
    }

    /// Ends the guard without a warning.
    pub(crate) fn kill_guard(&mut self) {
        let mut guard = self.guard.take().unwrap();
        guard.kill().unwrap();
        guard.wait().unwrap();
    }

    /// Asks the guard to stop, and returns whether it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        let mut guard = self.guard.take().unwrap();
        signal(guard.id(), Signal::SIGTERM);
        guard.wait().unwrap().success()
    }

    /// The line that the proxy sends to each connection: its pid.
    pub(crate) fn visit(&self) -> std::io::Result<u32> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line)?;
        line.trim().parse().map_err(std::io::Error::other)
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("state/store.redb")
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.toml")
    }

    fn spawn(&self) -> Child {
        Command::new(&self.program)
            .arg("guard")
            .arg(self.file())
            .stdout(Stdio::piped())
            .stderr(log())
            .spawn()
            .unwrap()
    }

    pub(crate) fn serving(&self) -> Option<Status> {
        match self.try_ask(r#"{"command":"status"}"#)? {
            Response::Status(status) if status.proxy.state == "serving" => Some(*status),
            _ => None,
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            signal(guard.id(), Signal::SIGKILL);
            drop(guard.wait());
        }
        let pid = fs::read_to_string(self.run().join("proxy.pid")).unwrap_or_default();
        if let Ok(pid) = pid.trim().parse()
            && process_name(pid).as_deref() == Some("gateway-proxy")
        {
            signal(pid, Signal::SIGKILL);
        }
    }
}

/// What guards and proxies write is shown only when asked for.
fn log() -> Stdio {
    if std::env::var_os("GUARD_LOG").is_some() { Stdio::inherit() } else { Stdio::null() }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), signal).unwrap();
}

pub(crate) fn process_name(pid: u32) -> Option<String> {
    let comm = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm")).ok()?;
    Some(comm.trim().to_owned())
}

/// Whether tests run as root, and the guard drops privileges.
pub(crate) fn is_root() -> bool {
    geteuid().is_root()
}

/// Polls until there is something.
pub(crate) fn wait<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = clock::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(clock::now() < end, "waited in vain: {what}");
        pause(Duration::from_millis(20));
    }
}

#[expect(clippy::disallowed_methods, reason = "another process is polled")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
