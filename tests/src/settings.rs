//! The configuration of a gateway in the lab: short, complete, and changed by what a case is about.

use std::{net::SocketAddr, path::PathBuf};

/// Everything a case may want different. The text parts are lines of TOML of that table.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `None` runs with `--kernel off`.
    pub interface: Option<String>,
    pub kernel: String,
    pub bans: String,
    pub guard: String,
    pub watch: bool,
    pub proxy: String,
    pub listener: SocketAddr,
    pub metrics: SocketAddr,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Tables `[[identity]]`, `[[supplier]]`, `[[route]]`.
    pub services: String,
}

/// Where one gateway keeps its things.
#[derive(Debug, Clone)]
pub struct Folders {
    /// Configuration, log, and the folders below.
    pub root: PathBuf,
    pub run: PathBuf,
    pub state: PathBuf,
    pub pins: PathBuf,
    pub access_log: PathBuf,
}

impl Settings {
    /// The file's text.
    pub fn text(&self, folders: &Folders) -> String {
        let interfaces: Vec<_> = self.interface.iter().map(|name| format!("{name:?}")).collect();
        let Self { kernel, bans, guard, proxy, listener, metrics, services, .. } = self;
        format!(
            r#"[kernel]
interfaces = [{interfaces}]
pins = "{pins}"
# One of the lab's framings has them.
answers.ipv4_options = "pass"
{kernel}

[bans]
{bans}

[guard]
run = "{run}"
state = "{state}"
# Cases change the file, and say when it is to be read.
watch = {watch}
{guard}

[admin]
metrics = "{metrics}"

[log]
access = "{access}"

[proxy]
{proxy}

[tls]
# The load of a case comes from one address.
handshakes = {{ rate = "100000/s" }}
handshakes_at_once = 100000

[[listener]]
address = "{listener}"
certificate = "{certificate}"
key = "{key}"

{services}"#,
            watch = self.watch,
            interfaces = interfaces.join(", "),
            pins = folders.pins.display(),
            run = folders.run.display(),
            state = folders.state.display(),
            access = folders.access_log.display(),
            certificate = self.certificate.display(),
            key = self.key.display(),
        )
    }
}

/// An identity by API key, both suppliers of an origin, and routes that show each measure.
pub fn services(http1: SocketAddr, h2c: SocketAddr) -> String {
    format!(
        r#"
[[identity]]
name = "customers"
api_key = {{ header = "x-api-key" }}

[[identity]]
name = "partners"
api_key = {{ header = "x-api-key" }}

[[supplier]]
name = "plain"
targets = ["http://{http1}"]
local = true

[[supplier]]
name = "multiplexed"
targets = ["h2c://{h2c}"]
local = true

[[supplier]]
name = "down"
targets = ["http://127.0.0.1:9"]
local = true
"#
    ) + ROUTES
}

/// One for each measure.
const ROUTES: &str = r#"
[[route]]
name = "private"
path = "/private/{*rest}"
supplier = "plain"
identity = "customers"

[[route]]
name = "multiplexed"
path = "/h2/{*rest}"
supplier = "multiplexed"
identity = "customers"

[[route]]
name = "limited"
path = "/limited"
supplier = "plain"
identity = "customers"
limit = { per = "client", rate = "1/s", burst = 3 }

[[route]]
name = "down"
path = "/down"
supplier = "down"
identity = "none"

[[route]]
name = "small"
path = "/small"
methods = ["POST"]
supplier = "plain"
identity = "none"
body = "1KiB"

[[route]]
name = "status"
path = "/status/{code}"
supplier = "plain"
identity = "none"

[[route]]
name = "delay"
path = "/delay/{ms}"
supplier = "plain"
identity = "none"
timeout = "1s"

[[route]]
name = "big"
path = "/big/{bytes}"
supplier = "plain"
identity = "none"

[[route]]
name = "indiscreet"
path = "/indiscreet"
supplier = "plain"
identity = "none"

[[route]]
name = "close"
path = "/close"
supplier = "plain"
identity = "none"

[[route]]
name = "echo"
path = "/echo"
supplier = "plain"
identity = "none"
"#;
