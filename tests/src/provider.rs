//! A certified `OpenID` provider in a namespace of the lab: discovery, keys that rotate, tokens of each
//! kind, and a client of it that makes proofs of possession.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{netns::Namespace, wait::until};

const START: Duration = Duration::from_mins(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Within the namespace, on its loopback.
const PORT: u16 = 4444;

/// A running provider.
#[derive(Debug)]
pub struct Provider<'a> {
    namespace: &'a Namespace,
    process: Child,
}

/// Kinds of access tokens.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    Jwt,
    /// To be asked about.
    Opaque,
    /// Bound to the key that [`Provider::proof`] signs with.
    Dpop,
}

impl<'a> Provider<'a> {
    /// Starts it; what it says goes to a file in `folder`.
    pub fn start(namespace: &'a Namespace, folder: &Path) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("openid/provider.mjs");
        let log = folder.join("provider.log");
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new("node");
        command.arg(script).arg(modules()?).args(["127.0.0.1", &PORT.to_string()]);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = namespace.run(|| command.spawn().context("starting the provider"))?;
        // Made before anything can fail, so that what was started is ended.
        let provider = Self { namespace, process };
        let place = "/.well-known/openid-configuration";
        until("the provider", START, || provider.get(place).ok())
            .with_context(|| fs::read_to_string(log).unwrap_or_default())?;
        Ok(provider)
    }

    /// As tokens name it.
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{PORT}")
    }

    /// A fresh token.
    pub fn token(&self, kind: Kind) -> Result<String> {
        let name = match kind {
            Kind::Jwt => "jwt",
            Kind::Opaque => "opaque",
            Kind::Dpop => "dpop",
        };
        let text = self.get(&format!("/lab/token?kind={name}"))?;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let token = answer.get("access_token").and_then(Value::as_str);
        token.map(str::to_owned).with_context(|| format!("no token in {text}"))
    }

    /// A proof for a GET of `url` with `token`.
    pub fn proof(&self, url: &str, token: &str, nonce: &str) -> Result<String> {
        self.get(&format!("/lab/proof?url={url}&token={token}&nonce={nonce}"))
    }

    /// The token counts no more.
    pub fn revoke(&self, token: &str) -> Result<()> {
        let status = self.get(&format!("/lab/revoke?token={token}"))?;
        ensure!(status == "200", "the provider answered {status}");
        Ok(())
    }

    /// Another key signs from now on; those before stay published.
    pub fn rotate(&self) -> Result<String> {
        self.get("/lab/rotate")
    }

    /// Ends it: nothing listens any more.
    pub fn stop(&mut self) -> Result<()> {
        self.process.kill().context("ending the provider")?;
        self.process.wait().context("waiting for its end").map(drop)
    }

    fn get(&self, path: &str) -> Result<String> {
        let path = path.to_owned();
        self.namespace.block_on(|| async move {
            timeout(PATIENCE, get(&path)).await.context("the provider said nothing")?
        })
    }
}

impl Drop for Provider<'_> {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// One question, and the answer's text.
async fn get(path: &str) -> Result<String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    // A version without chunks: the answer ends with the connection.
    let head = format!("GET {path} HTTP/1.0\r\nhost: 127.0.0.1:{PORT}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no head")?;
    ensure!(head.contains(" 200 "), "{answer}");
    Ok(body.to_owned())
}

/// Where `cargo xtask setup` puts the packages: beside the binary's folder.
fn modules() -> Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program")?;
    let mut folders = own.ancestors().map(|folder| folder.join("openid/node_modules"));
    folders
        .find(|folder| folder.is_dir())
        .context("oidc-provider is missing; run: cargo xtask setup")
}
