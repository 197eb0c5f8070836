//! Pebble, the ACME server that Let's Encrypt tests clients with, in a namespace of the lab: it
//! refuses nonces now and then, asks both challenges over the network, and signs for real.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    certs::{Certificates, NAME},
    client::{Ask, Client, Version},
    netns::Namespace,
    wait::until,
};

const START: Duration = Duration::from_mins(1);

/// Where it listens, on one address of its namespace.
const DIRECTORY: u16 = 14000;
const MANAGEMENT: u16 = 15000;
const NAMES: u16 = 8053;

/// Where it asks challenges.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub http: u16,
    pub tls: u16,
}

/// A running authority, and the names it knows: every name is at `address`.
#[derive(Debug)]
pub struct Authority {
    address: Ipv4Addr,
    processes: Vec<Child>,
    root: CertificateDer<'static>,
}

impl Authority {
    /// Starts it, with a certificate of the lab's own for its directory.
    pub fn start(
        namespace: &Namespace,
        address: Ipv4Addr,
        ports: Ports,
        certificates: &Certificates,
        folder: &Path,
    ) -> Result<Self> {
        let settings = json!({ "pebble": {
            "listenAddress": format!("{address}:{DIRECTORY}"),
            "managementListenAddress": format!("{address}:{MANAGEMENT}"),
            "certificate": certificates.certificate,
            "privateKey": certificates.key,
            "httpPort": ports.http,
            "tlsPort": ports.tls,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": true,
            "externalAccountMACKeys": { KEY_ID: KEY },
        }});
        let file = folder.join("pebble.json");
        fs::write(&file, settings.to_string()).context("writing the authority's settings")?;
        let log = File::options().create(true).append(true).open(folder.join("pebble.log"))?;
        let mut names = Command::new("pebble-challtestsrv");
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        names.args(["-defaultIPv4", &address.to_string()]);
        names.args(["-dns01", &format!("{address}:{NAMES}")]);
        names.args(["-management", &format!("{address}:{}", NAMES + 2)]);
        let mut signer = Command::new("pebble");
        signer.env("PEBBLE_VA_NOSLEEP", "1").arg("-config").arg(&file);
        signer.args(["-dnsserver", &format!("{address}:{NAMES}")]);
        let mut processes = Vec::new();
        for command in [&mut names, &mut signer] {
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
            let spawned = namespace.run(|| command.spawn().context("starting the authority"));
            processes.push(spawned?);
        }
        let management = SocketAddr::from((address, MANAGEMENT));
        let client = Client::new(management, Version::Http1, certificates)?;
        let root = until("the authority", START, || {
            let asked = namespace.block_on(|| async { client.once(&Ask::get("/roots/0")).await });
            asked.ok().and_then(|answer| CertificateDer::from_pem_slice(&answer.body).ok())
        })
        .with_context(|| fs::read_to_string(folder.join("pebble.log")).unwrap_or_default());
        // Made before anything can fail, so that what was started is ended.
        let mut authority = Self { address, processes, root: CertificateDer::from(Vec::new()) };
        authority.root = root?;
        Ok(authority)
    }

    /// The lines of `[acme]` that lead here, by a name, and of `[dns]`, which knows it. `binding` is where the account's key is written.
    pub fn settings(&self, certificates: &Certificates, folder: &Path) -> Result<String> {
        let binding = folder.join("binding.key");
        fs::write(&binding, KEY).context("writing the binding's key")?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&binding, mode).context("closing it to others")?;
        Ok(format!(
            "[dns]\nservers = [\"{}:{NAMES}\"]\n\
             [acme]\ndirectory = \"https://{NAME}:{DIRECTORY}/dir\"\nterms_agreed = true\n\
             contacts = [\"ops@gateway.example\"]\nauthorities = \"{}\"\n\
             binding = {{ key_id = \"{KEY_ID}\", key_file = \"{}\" }}\n",
            self.address,
            certificates.authority.display(),
            binding.display(),
        ))
    }

    /// The certificate that a client gets for `name` who trusts this authority alone.
    pub fn shown(&self, at: &Namespace, server: SocketAddr, name: &str) -> Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).context("trusting the authority")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choosing TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).context("reading a name")?;
        at.block_on(|| async {
            let stream = TcpStream::connect(server).await.context("connecting")?;
            let connector = TlsConnector::from(Arc::new(config));
            let stream = connector.connect(name, stream).await.context("shaking hands")?;
            let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
            ensure!(!chain.is_empty(), "no certificate was shown");
            Ok(chain.first().map(|shown| shown.to_vec()).unwrap_or_default())
        })
    }

    /// Ends it: an outage. The names stay known.
    pub fn stop(&mut self) {
        self.processes.drain(1..).for_each(end);
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.processes.drain(..).for_each(end);
    }
}

fn end(mut process: Child) {
    // Gone already is as good.
    process.kill().ok();
    process.wait().ok();
}

/// The account that the authority knows before there is one; of the lab alone.
const KEY_ID: &str = "kid-1";
const KEY: &str = "bGFiLW9ubHkta2V5LW9mLW5vLW90aGVyLXVzZS0xMjM0NTY3ODkw";
