//! The three under test: each with one worker on one processor, the same certificate, the same
//! origin, a rate limit that nobody reaches and an access log; for the rest as they are shipped.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use gateway_tests::{
    certs::Certificates,
    netns::{remove, unique},
    wait::until,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    idle::{self, Held},
    load::{self, Sample, Scenario},
    machine, origin, process,
};

/// The processor of the server under test, and that of everything else.
pub(crate) const SERVER: usize = 0;
pub(crate) const LOAD: usize = 1;

const START: Duration = Duration::from_secs(30);

/// A server under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Gateway,
    Nginx,
    Haproxy,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Gateway, Self::Nginx, Self::Haproxy];

    /// Each round begins with another.
    pub(crate) fn turn(round: u32) -> [Self; 3] {
        let mut turn = Self::ALL;
        let first = round as usize % turn.len();
        turn.rotate_left(first);
        turn
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    pub(crate) fn address(self) -> SocketAddr {
        let port = match self {
            Self::Gateway => 1443,
            Self::Nginx => 1444,
            Self::Haproxy => 1445,
        };
        SocketAddr::from(([127, 0, 0, 1], port))
    }
}

/// All of them, serving, and the origin behind them.
pub(crate) struct Bed {
    folder: PathBuf,
    certificates: Certificates,
    gateway: PathBuf,
    running: Vec<(Kind, Running)>,
    _origin: Running,
}

/// A process that ends with its handle.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).unwrap_or(0);
        if pid > 0 && kill(Pid::from_raw(pid), Signal::SIGTERM).is_err() {
            drop(self.0.kill());
        }
        drop(self.0.wait());
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.running.clear();
        drop(remove(&self.folder));
    }
}

impl Bed {
    pub(crate) fn prepare(gateway: &Path) -> Result<Self> {
        let folder = Path::new("/tmp").join(unique());
        fs::create_dir(&folder).context("making a folder")?;
        let certificates = Certificates::create(&folder, &[[127, 0, 0, 1].into()])?;
        let mut origin = Command::new(std::env::current_exe().context("finding this program")?);
        origin.args(["--origin", "--json", "/dev/null", "--gateway", "/dev/null"]);
        let origin = start(origin, &folder.join("origin.log"))?;
        let (gateway, running) = (gateway.to_owned(), Vec::new());
        let mut bed = Self { folder, certificates, gateway, running, _origin: origin };
        for kind in Kind::ALL {
            let server = bed.start(kind)?;
            bed.running.push((kind, server));
        }
        Ok(bed)
    }

    /// One run of load against one of them.
    pub(crate) fn measure(&self, kind: Kind, scenario: Scenario) -> Result<Sample> {
        let family = self.family(kind)?;
        load::run(scenario, kind.address(), &self.folder, || process::busy(&family))
            .with_context(|| format!("{} by {}", scenario.name(), kind.name()))
    }

    /// What idle connections hold, of a server that was just started.
    pub(crate) fn idle(&self, kind: Kind, count: u32) -> Result<Held> {
        let folder = self.folder.join("idle");
        fs::create_dir(&folder).context("making a folder")?;
        let held = idle::measure(kind.address(), &self.certificates, count, || {
            Ok(process::resident_kib(&self.family(kind)?))
        });
        drop(remove(&folder));
        held.with_context(|| format!("idle connections of {}", kind.name()))
    }

    fn family(&self, kind: Kind) -> Result<Vec<i32>> {
        let found = self.running.iter().find(|(one, _)| *one == kind);
        let (_, running) = found.context("the server does not run")?;
        Ok(process::family(Pid::from_raw(i32::try_from(running.0.id())?)))
    }

    fn start(&self, kind: Kind) -> Result<Running> {
        let file = self.folder.join(format!("{}.conf", kind.name()));
        let (text, mut command) = match kind {
            Kind::Gateway => {
                let mut command = Command::new(&self.gateway);
                command.args(["--log", "warn", "run", "--kernel", "off", "--config"]).arg(&file);
                (self.gateway_file()?, command)
            }
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command.arg("-c").arg(&file).args(["-e", "stderr"]);
                (self.nginx_file()?, command)
            }
            Kind::Haproxy => {
                // haproxy wants certificate and key in one file.
                let read = |path: &Path| fs::read_to_string(path).context("reading a certificate");
                let both = read(&self.certificates.certificate)? + &read(&self.certificates.key)?;
                fs::write(self.folder.join("both.pem"), both).context("writing a certificate")?;
                let mut command = Command::new("haproxy");
                command.arg("-f").arg(&file);
                (self.haproxy_file(), command)
            }
        };
        fs::write(&file, text).context("writing a configuration")?;
        command.env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin");
        let log = self.folder.join(format!("{}.log", kind.name()));
        machine::pin(SERVER)?;
        let running = start(command, &log);
        machine::pin(LOAD)?;
        let running = running?;
        until("a server to listen", START, || TcpStream::connect(kind.address()).ok())
            .with_context(|| fs::read_to_string(&log).unwrap_or_default())?;
        Ok(running)
    }

    fn gateway_file(&self) -> Result<String> {
        for name in ["run", "state"] {
            fs::create_dir(self.folder.join(name)).context("making a folder")?;
        }
        Ok(format!(
            r#"[guard]
run = "{folder}/run"
state = "{folder}/state"
user = "nobody"
group = "root"
[log]
access = "{folder}/gateway-access.log"
[proxy]
workers = 1
connections = 50000
connections_per_source = 50000
anonymous = {{ rate = "1000000/s", burst = 1000000 }}
[proxy.timeouts]
idle = "10m"
[tls]
handshakes = {{ rate = "1000000/s", burst = 1000000 }}
handshakes_at_once = 50000
[[listener]]
address = "{address}"
certificate = "{certificate}"
key = "{key}"
[[supplier]]
name = "origin"
targets = ["http://{origin}"]
local = true
[[route]]
path = "/{{*rest}}"
supplier = "origin"
identity = "none"
limit = {{ per = "address", rate = "1000000/s", burst = 1000000 }}
"#,
            folder = self.folder.display(),
            address = Kind::Gateway.address(),
            certificate = self.certificates.certificate.display(),
            key = self.certificates.key.display(),
            origin = origin::ADDRESS,
        ))
    }

    fn nginx_file(&self) -> Result<String> {
        let temporary = self.folder.join("nginx");
        fs::create_dir(&temporary).context("making a folder")?;
        Ok(format!(
            r"daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
user root;
events {{ worker_connections 19000; }}
http {{
  access_log {folder}/nginx-access.log combined buffer=64k flush=1s;
  client_body_temp_path {folder}/nginx/a;
  proxy_temp_path {folder}/nginx/b;
  fastcgi_temp_path {folder}/nginx/c;
  uwsgi_temp_path {folder}/nginx/d;
  scgi_temp_path {folder}/nginx/e;
  tcp_nodelay on;
  keepalive_timeout 600s;
  client_header_timeout 600s;
  keepalive_requests 100000000;
  limit_req_zone $binary_remote_addr zone=each:10m rate=1000000r/s;
  upstream origin {{ server {origin}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen {address} ssl http2;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tls:10m;
    location / {{
      limit_req zone=each burst=1000000 nodelay;
      proxy_http_version 1.1;
      proxy_set_header Connection '';
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto https;
      proxy_pass http://origin;
    }}
  }}
}}
",
            folder = self.folder.display(),
            address = Kind::Nginx.address(),
            certificate = self.certificates.certificate.display(),
            key = self.certificates.key.display(),
            origin = origin::ADDRESS,
        ))
    }

    fn haproxy_file(&self) -> String {
        format!(
            r"global
  nbthread 1
  maxconn 9900
  log stdout format raw local0
defaults
  mode http
  log global
  option httplog
  option forwardfor
  timeout connect 5s
  timeout client 600s
  timeout server 60s
  timeout http-keep-alive 600s
frontend edge
  bind {address} ssl crt {folder}/both.pem alpn h2,http/1.1 ssl-min-ver TLSv1.2
  stick-table type ip size 100k expire 30s store http_req_rate(10s)
  http-request track-sc0 src
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt 100000000 }}
  http-request set-header X-Forwarded-Proto https
  default_backend origin
backend origin
  server origin {origin}
",
            folder = self.folder.display(),
            address = Kind::Haproxy.address(),
            origin = origin::ADDRESS,
        )
    }
}

fn start(mut command: Command, log: &Path) -> Result<Running> {
    let log = fs::File::create(log).context("making a log")?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let name = command.get_program().to_string_lossy().into_owned();
    command.spawn().map(Running).with_context(|| format!("starting {name}"))
}
