//! A proxy under test, with its certificate and what it says to its guard.

use std::{
    io::{Read as _, Seek as _, Write as _},
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use gateway_common::Reason;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde_json::Value;

use super::client::Client;
use crate::{
    clock,
    config::model::{Certificates, Config, Identity, IdentityMethod, Listener, Pair, Route, Tls},
    ipc::message::{ApiKey, FromProxy, ListenerRole, Query},
    proxy::{
        identity::keys::tests::{KEY, issued},
        instance::{Instance, ListenerSocket, Outbox, Parts},
        memory::Gauge,
        secrets::Secrets,
        testing,
    },
};

/// What the proxy and the TLS origins show.
pub(super) struct Identified {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Identified {
    pub(super) fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self { certificate: made.cert.pem(), key: made.signing_key.serialize_pem() }
    }

    pub(super) fn trusting(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }
}

pub(super) struct Lab {
    pub(super) address: SocketAddr,
    pub(super) metrics: SocketAddr,
    pub(super) identified: Identified,
    pub(super) outbox: Outbox,
    log: std::fs::File,
    instance: Option<Instance>,
}

impl Lab {
    /// Starts a proxy with one listener. `secrets` are further files by path.
    pub(super) fn start(config: Config) -> Self {
        Self::with(config, Some(vec![issued(KEY, "customers", "acme")]), &[])
    }

    pub(super) fn with(config: Config, keys: Option<Vec<ApiKey>>, files: &[(&str, &str)]) -> Self {
        Self::made(config, (keys, None), files)
    }

    /// Takes what this file says for the memory it uses.
    pub(super) fn measured(config: Config, statm: &std::fs::File) -> Self {
        let gauge = Gauge::of(statm.try_clone().unwrap());
        Self::made(config, (None, Some(gauge)), &[])
    }

    fn made(
        mut config: Config,
        (keys, memory): (Option<Vec<ApiKey>>, Option<Gauge>),
        files: &[(&str, &str)],
    ) -> Self {
        let identified = Identified::new();
        let mut secrets = Secrets::default();
        let own = [("edge.pem", &*identified.certificate), ("edge.key", &*identified.key)];
        for (path, text) in own.iter().chain(files) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            secrets.add((*path).to_owned(), &file).unwrap();
        }
        let (public, address) = socket();
        let (admin, metrics) = socket();
        let proxy_protocol = config.listeners.first().is_some_and(|one| one.proxy_protocol);
        let tls = match config.listeners.pop() {
            Some(listener) => listener.tls,
            None => Tls::of(Certificates::Files(vec![pair("edge")])),
        };
        config.listeners = vec![Listener { address, proxy_protocol, tls }];
        let log = tempfile::tempfile().unwrap();
        let listening = |address, role, socket| ListenerSocket { address, role, worker: 0, socket };
        let parts = Parts {
            config,
            listeners: vec![
                listening(address, ListenerRole::Public, public),
                listening(metrics, ListenerRole::Metrics, admin),
            ],
            secrets,
            keys,
            access_log: Some(log.try_clone().unwrap().into()),
            memory,
            ahead: clock::wall().ahead(clock::monotonic_ns()),
        };
        let (instance, outbox) = Instance::start(parts).unwrap();
        Self { address, metrics, identified, outbox, log, instance: Some(instance) }
    }

    pub(super) async fn h1(&self) -> Client {
        Client::connect(self.address, self.identified.trusting(&[b"http/1.1"])).await
    }

    pub(super) async fn h2(&self) -> Client {
        Client::connect(self.address, self.identified.trusting(&[b"h2"])).await
    }

    pub(super) fn instance(&self) -> &Instance {
        self.instance.as_ref().unwrap()
    }

    /// Waits until no request is in flight: what serves one ends a moment after its connection.
    pub(super) async fn settled(&self) -> Value {
        for _ in 0..400 {
            let status = self.instance().answer(&Query::Status);
            if status["requests_in_flight"] == 0 {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a request is still in flight: {}", self.instance().answer(&Query::Status));
    }

    /// Waits until so many connections were accepted.
    pub(super) async fn connected(&self, count: u64) {
        while self.instance().answer(&Query::Status)["connections"] != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The reasons of the strikes so far, in order.
    pub(super) async fn strikes(&mut self, count: usize) -> Vec<Reason> {
        let mut strikes = Vec::new();
        while strikes.len() < count {
            let waited = tokio::time::timeout(Duration::from_secs(5), self.outbox.feedback.recv());
            let message = waited.await.expect("a strike in time").unwrap();
            if let FromProxy::Strike { reason, .. } = message {
                strikes.push(Reason::from_number(reason).unwrap());
            }
        }
        strikes
    }

    pub(super) fn no_strike(&mut self) {
        while let Ok(message) = self.outbox.feedback.try_recv() {
            assert!(!matches!(message, FromProxy::Strike { .. }), "{message:?}");
        }
    }

    pub(super) fn why(&self, id: &str) -> Value {
        self.instance().answer(&Query::WhyRequest(id.to_owned()))
    }

    /// Ends the proxy and returns its access log.
    pub(super) fn finish(mut self) -> Vec<Value> {
        let instance = self.instance.take().unwrap();
        instance.drain();
        instance.join();
        let mut text = String::new();
        self.log.rewind().unwrap();
        self.log.read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.drain();
        }
    }
}

/// A public route to the echo for every path, and one that asks for a key.
pub(super) fn config() -> Config {
    let mut config = testing::config();
    config.identities = vec![Identity {
        name: "customers".to_owned(),
        method: IdentityMethod::ApiKey { header: "x-api-key".to_owned() },
    }];
    let keyed = Route {
        name: "keyed".to_owned(),
        identity: Some("customers".to_owned()),
        ..testing::route("/keyed")
    };
    config.routes = vec![testing::route("/{*rest}"), keyed];
    config
}

/// `name.pem` and `name.key`.
pub(super) fn pair(name: &str) -> Pair {
    let path = |ending: &str| PathBuf::from(format!("{name}.{ending}"));
    Pair { certificate: path("pem"), key: path("key") }
}

fn socket() -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}
