//! Requests through the real binary, between a real origin and real clients: an attack and a
//! lawful request for each measure, on HTTP/1.1 and h2. Modules are named like the stages.

mod anonymous_limit;
mod authenticate;
mod client_limit;
mod compress;
mod contract;
mod decompress;
mod harden;
mod http2;
mod method_and_size;
mod names;
mod normalize;
mod seeing;
mod suppliers;
mod waf;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use gateway_tests::{
    certs::NAME,
    client::{Answer, Ask, Client, Version},
    gateway::Gateway,
    lab::{HONEST, Lab},
    settings::Settings,
    skip,
};
use serde_json::Value;

/// Where answers are packed and requests unpacked.
const PACKED: &str = r#"
[[route]]
name = "packed"
path = "/packed"
supplier = "plain"
identity = "none"
compress = true
encoded = "decode"
"#;

/// What makes curl speak each version.
const CURL_VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

const BOTH: [Version; 2] = [Version::Http1, Version::H2];

/// A running gateway without the kernel part, and what to ask it with.
struct House<'a> {
    lab: &'a Lab,
    gateway: Gateway<'a>,
    /// A valid key of the identity `customers`.
    key: String,
}

/// Runs a case against a gateway whose settings `change` may alter.
fn with_gateway(
    case: &str,
    change: impl FnOnce(&mut Settings),
    body: impl FnOnce(&House<'_>) -> Result<()>,
) -> Result<()> {
    if skip::without_root(&format!("gateway::{case}"))? {
        return Ok(());
    }
    let lab = Lab::build()?;
    let mut settings = lab.settings();
    settings.interface = None;
    change(&mut settings);
    let mut gateway = lab.gateway(&settings)?;
    gateway.start()?;
    let key = gateway.new_key("customers", "honest")?;
    body(&House { lab: &lab, gateway, key })
}

impl House<'_> {
    fn client(&self, version: Version) -> Result<Client> {
        self.lab.client(HONEST, version)
    }

    /// One request on a connection of its own.
    fn ask(&self, version: Version, ask: &Ask) -> Result<Answer> {
        let client = self.client(version)?;
        self.lab.outside.block_on(|| async { client.once(ask).await })
    }

    /// What curl says of a URL of the gateway, asked with these arguments: heads, empty line, body.
    fn curl(&self, path: &str, arguments: &[&str]) -> Result<String> {
        let server = Lab::server();
        let resolve = format!("{NAME}:{}:{}", server.port(), server.ip());
        let output = self.lab.outside.run(|| {
            let mut command = Command::new("curl");
            command.args(["--silent", "--show-error", "--include", "--max-time", "30"]);
            command.args(["--resolve", &resolve, "--cacert"]);
            command.arg(&self.lab.certificates.authority).args(arguments);
            command.arg(format!("https://{NAME}:{}{path}", server.port())).stdin(Stdio::null());
            command.output().context("starting curl")
        })?;
        ensure!(output.status.success(), "curl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).context("reading what curl said")
    }

    /// Several requests on one connection.
    fn ask_all(&self, version: Version, asks: &[Ask]) -> Result<Vec<Answer>> {
        let client = self.client(version)?;
        self.lab.outside.block_on(|| async {
            let mut connection = client.connect().await?;
            let mut answers = Vec::new();
            for ask in asks {
                answers.push(connection.send(ask).await?);
            }
            Ok(answers)
        })
    }

    /// A GET with the valid key.
    fn authorized(&self, path: &str) -> Ask {
        Ask::get(path).with("x-api-key", &self.key)
    }

    /// Asks until refused for `reason`: status, problem document, counter.
    fn refused(&self, version: Version, ask: &Ask, status: u16, reason: &str) -> Result<Answer> {
        let before = self.refusals(reason)?;
        let answer = self.ask(version, ask)?;
        refusal(&answer, status)?;
        let counted = self.refusals(reason)? - before;
        ensure!(counted == 1, "{counted} refusals counted as {reason}");
        Ok(answer)
    }

    /// The counter of refused requests of one reason.
    fn refusals(&self, reason: &str) -> Result<u64> {
        let metrics = self.metrics()?;
        let label = format!("reason=\"{reason}\"");
        let line = metrics
            .lines()
            .find(|line| line.starts_with("gateway_refusals_total{") && line.contains(&label));
        let value = line.and_then(|line| line.rsplit(' ').next());
        Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
    }

    /// What the admin listener says, asked from inside as Prometheus would.
    fn metrics(&self) -> Result<String> {
        seeing::fetch(self, "/metrics")
    }
}

/// The answer refuses with a problem document that names no reason of ours but its title.
fn refusal(answer: &Answer, status: u16) -> Result<()> {
    ensure!(answer.status == status, "{answer:?}");
    ensure!(answer.header("content-type") == "application/problem+json", "{answer:?}");
    let problem = answer.json()?;
    ensure!(problem.get("status").and_then(Value::as_u64) == Some(status.into()), "{problem}");
    ensure!(problem.get("title").is_some_and(Value::is_string), "{problem}");
    ensure!(!answer.header("x-request-id").is_empty(), "{answer:?}");
    Ok(())
}
