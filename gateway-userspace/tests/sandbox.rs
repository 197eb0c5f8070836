//! The walls of the proxy, felt from inside: this program starts itself once a probe, enters the
//! sandbox in the child and does what a server must, or an attacker would.
//!
//! Its own `main`, because the test harness starts threads and the sandbox refuses them.

#![expect(unsafe_code, reason = "attacks are system calls")]
#![expect(clippy::unwrap_used, reason = "a test without the harness")]

use std::{
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::{
        fd::AsFd as _,
        unix::{net::UnixStream, process::ExitStatusExt as _},
    },
    process::{Command, ExitCode, ExitStatus},
};

use gateway_userspace::proxy::sandbox;
use nix::libc;

/// Not root; the number of `nobody` where there is one.
const USER: u32 = 65534;

/// How a probe ends inside the sandbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Exit code 0.
    Works,
    /// SIGSYS.
    Killed,
}

type Probe = (&'static str, End, fn() -> Result<(), String>);

const PROBES: &[Probe] = &[
    ("resolves_and_connects", End::Works, resolves_and_connects),
    ("starts_threads", End::Works, starts_threads),
    ("runs_tokio", End::Works, runs_tokio),
    ("holds_no_capability", End::Works, holds_no_capability),
    ("reads_no_foreign_file", End::Works, reads_no_foreign_file),
    ("writes_no_file", End::Works, writes_no_file),
    ("binds_no_port", End::Works, binds_no_port),
    ("opens_no_raw_socket", End::Works, opens_no_raw_socket),
    ("sets_a_servers_socket_options", End::Works, sets_a_servers_socket_options),
    ("sets_no_other_socket_option", End::Works, sets_no_other_socket_option),
    ("signals_nobody", End::Works, signals_nobody),
    ("forks_nothing", End::Works, forks_nothing),
    ("execve", End::Killed, || call(libc::SYS_execve)),
    ("ptrace", End::Killed, || call(libc::SYS_ptrace)),
    ("bpf", End::Killed, || call(libc::SYS_bpf)),
    ("io_uring", End::Killed, || call(libc::SYS_io_uring_setup)),
    ("setuid", End::Killed, || call(libc::SYS_setuid)),
    ("unshare", End::Killed, || call(libc::SYS_unshare)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, user] = arguments.as_slice()
        && flag == "--probe"
    {
        return probe(name, user.parse().unwrap());
    }
    let outcomes: Vec<bool> = PROBES.iter().map(|(name, end, _)| passes(name, *end)).collect();
    let refused = root_is_refused();
    let failed = outcomes.iter().chain([&refused]).filter(|passed| !**passed).count();
    let (verdict, total) = (if failed == 0 { "ok" } else { "FAILED" }, outcomes.len() + 1);
    say(&format!(
        "\ntest result: {verdict}. {} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out",
        total - failed
    ));
    ExitCode::from(u8::from(failed > 0))
}

/// In the child.
fn probe(name: &str, user: u32) -> ExitCode {
    let Some((_, _, run)) = PROBES.iter().find(|(known, ..)| *known == name) else {
        return ExitCode::from(3);
    };
    let channel = channel(user);
    if let Err(error) = sandbox::enter(channel.as_fd()) {
        say(&format!("    {error} {:?}", std::error::Error::source(&error)));
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            say(&format!("    {why}"));
            ExitCode::FAILURE
        }
    }
}

fn passes(name: &str, end: End) -> bool {
    let status = child(name, USER);
    let passed = match end {
        End::Works => status.success(),
        End::Killed => status.signal() == Some(libc::SIGSYS),
    };
    say(&format!("test {name} ... {}", if passed { "ok".to_owned() } else { format!("{status}") }));
    passed
}

fn root_is_refused() -> bool {
    let root = nix::unistd::geteuid().is_root();
    let passed = !root || child("starts_threads", 0).code() == Some(2);
    say(&format!("test root_is_refused ... {}", if passed { "ok" } else { "FAILED" }));
    passed
}

fn child(name: &str, user: u32) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--probe", name, &user.to_string()]).env_clear().status().unwrap()
}

/// What the guard passes: a socket that belongs to the user to become.
fn channel(user: u32) -> UnixStream {
    let (channel, _) = UnixStream::pair().unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::fchown(&channel, Some(user), Some(user)).unwrap();
    }
    channel
}

fn resolves_and_connects() -> Result<(), String> {
    // `localhost` is in /etc/hosts; the connection itself is refused by nobody listening.
    let addresses: Vec<SocketAddr> =
        ("localhost", 1).to_socket_addrs().map_err(|error| error.to_string())?.collect();
    expect(!addresses.is_empty(), "localhost does not resolve")?;
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, 1)).map_err(|error| error.kind());
    let kind = refused.err();
    expect(kind == Some(std::io::ErrorKind::ConnectionRefused), &format!("connect: {kind:?}"))?;
    let missing = UnixStream::connect("/nonexistent/worker.sock").map_err(|error| error.kind());
    let kind = missing.err();
    expect(kind == Some(std::io::ErrorKind::NotFound), &format!("unix connect: {kind:?}"))
}

fn starts_threads() -> Result<(), String> {
    let threads: Vec<_> = (0..4).map(|n| std::thread::spawn(move || n)).collect();
    let sum: i32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    expect(sum == 6, "threads do not run")
}

fn runs_tokio() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    runtime.block_on(async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let found = tokio::net::lookup_host(("localhost", 1)).await.map_err(|e| e.to_string())?;
        expect(found.count() > 0, "lookup finds nothing")
    })
}

fn holds_no_capability() -> Result<(), String> {
    for set in [caps::CapSet::Permitted, caps::CapSet::Effective, caps::CapSet::Inheritable] {
        // capget is not among the allowed calls.
        expect(caps::read(None, set).is_err(), "capget is allowed")?;
    }
    let privileged = UdpSocket::bind((IpAddr::from(Ipv4Addr::LOCALHOST), 53));
    expect(privileged.is_err(), "a privileged port was bound")
}

fn reads_no_foreign_file() -> Result<(), String> {
    for path in ["/etc/passwd", "/proc/self/maps", "/proc/1/status", "/etc/hostname", "/dev/null"] {
        expect(std::fs::read(path).is_err(), &format!("{path} is readable"))?;
    }
    expect(std::fs::read("/etc/hosts").is_ok(), "/etc/hosts is not readable")?;
    expect(std::fs::read_dir("/tmp").is_err(), "/tmp can be listed")
}

fn writes_no_file() -> Result<(), String> {
    for path in ["/tmp/gateway-sandbox-probe", "/dev/shm/gateway-sandbox-probe"] {
        expect(std::fs::write(path, "x").is_err(), &format!("{path} is writable"))?;
        expect(!std::path::Path::new(path).exists(), &format!("{path} was made"))?;
    }
    Ok(())
}

fn binds_no_port() -> Result<(), String> {
    expect(TcpListener::bind("127.0.0.1:0").is_err(), "a TCP port was bound")?;
    expect(UdpSocket::bind("127.0.0.1:0").is_err(), "a UDP port was bound")
}

fn opens_no_raw_socket() -> Result<(), String> {
    for domain in [libc::AF_PACKET, libc::AF_NETLINK, libc::AF_VSOCK, libc::AF_ALG] {
        // SAFETY: creates a descriptor or fails.
        let socket = unsafe { libc::socket(domain, libc::SOCK_RAW, 0) };
        expect(socket < 0, &format!("socket family {domain} is open"))?;
    }
    Ok(())
}

fn sets_a_servers_socket_options() -> Result<(), String> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    for (kind, level, option) in [
        (libc::SOCK_STREAM, libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (libc::SOCK_DGRAM, libc::SOL_IP, libc::IP_RECVERR),
    ] {
        let set = set_option(libc::AF_INET, kind, level, option, &1_i32);
        expect(set == 0, &format!("option {option} of level {level}: errno {set}"))?;
    }
    let set =
        set_option(libc::AF_INET, libc::SOCK_STREAM, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
    expect(set == 0, &format!("SO_LINGER: errno {set}"))
}

/// What would outlive the proxy on a socket that the guard gives to the next one, or forge.
fn sets_no_other_socket_option() -> Result<(), String> {
    let mut accept_all = [libc::sock_filter { code: 6, jt: 0, jf: 0, k: 0xffff }];
    let program = libc::sock_fprog { len: 1, filter: accept_all.as_mut_ptr() };
    for option in
        [libc::SO_ATTACH_FILTER, libc::SO_ATTACH_REUSEPORT_CBPF, libc::SO_ATTACH_REUSEPORT_EBPF]
    {
        let set = set_option(libc::AF_INET, libc::SOCK_STREAM, libc::SOL_SOCKET, option, &program);
        expect(set == libc::EPERM, &format!("a program as option {option}: errno {set}"))?;
    }
    for (level, option) in [
        (libc::SOL_SOCKET, libc::SO_ATTACH_BPF),
        (libc::SOL_SOCKET, libc::SO_DETACH_FILTER),
        (libc::SOL_SOCKET, libc::SO_LOCK_FILTER),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (libc::SOL_SOCKET, libc::SO_RCVBUF),
        (libc::SOL_SOCKET, libc::SO_BINDTODEVICE),
        (libc::SOL_SOCKET, libc::SO_BUSY_POLL),
        (libc::IPPROTO_TCP, libc::TCP_ULP),
        (libc::IPPROTO_TCP, libc::TCP_REPAIR),
        (libc::IPPROTO_TCP, libc::TCP_CONGESTION),
        (libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT),
        (libc::SOL_IP, libc::IP_TRANSPARENT),
        (libc::SOL_IP, libc::IP_TTL),
        // The number of an allowed option, of another level.
        (libc::SOL_SOCKET, libc::TCP_NODELAY),
        (libc::IPPROTO_TCP, libc::SO_LINGER),
    ] {
        let set = set_option(libc::AF_INET, libc::SOCK_STREAM, level, option, &1_i32);
        expect(set == libc::EPERM, &format!("option {option} of level {level}: errno {set}"))?;
    }
    Ok(())
}

/// Sets an option of a socket made for it: 0, or the error's number.
fn set_option<T>(family: i32, kind: i32, level: i32, option: i32, value: &T) -> i32 {
    // SAFETY: creates a descriptor or fails.
    let socket = unsafe { libc::socket(family, kind, 0) };
    let length = libc::socklen_t::try_from(size_of::<T>()).unwrap();
    // SAFETY: `value` is as long as said and lives until the call is back.
    let set = unsafe {
        libc::setsockopt(socket, level, option, std::ptr::from_ref(value).cast(), length)
    };
    let error = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: made above and used no more.
    unsafe { libc::close(socket) };
    if set == 0 { 0 } else { error }
}

fn signals_nobody() -> Result<(), String> {
    let parent = nix::unistd::getppid().as_raw();
    // SAFETY: signal 0 only asks for permission.
    let answer = unsafe { libc::kill(parent, 0) };
    expect(answer < 0, "the parent can be signalled")
}

fn forks_nothing() -> Result<(), String> {
    // SAFETY: a child, were there one, leaves at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child without running anything.
        unsafe { libc::_exit(0) };
    }
    expect(child < 0, "a process was forked")
}

fn call(number: libc::c_long) -> Result<(), String> {
    // SAFETY: null arguments; the kernel refuses them if the filter did not.
    unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
    Err("the call came back".to_owned())
}

fn expect(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
}
