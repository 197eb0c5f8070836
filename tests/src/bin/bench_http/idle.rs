//! What connections hold that ask nothing: TLS is done, one request was answered, then silence.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use gateway_tests::{
    certs::{Certificates, NAME},
    netns::runtime,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::sleep,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Handshakes at once.
const AT_ONCE: usize = 32;

/// After this, buffers that can be given back have been.
const REST: Duration = Duration::from_secs(3);

/// Resident memory, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) without: u64,
    pub(crate) with: u64,
    pub(crate) count: u32,
}

impl Held {
    /// KiB of one connection.
    pub(crate) fn each(&self) -> f64 {
        let grown = self.with.saturating_sub(self.without);
        f64::from(u32::try_from(grown).unwrap_or(u32::MAX)) / f64::from(self.count.max(1))
    }

    pub(crate) fn json(&self) -> Value {
        json!({ "without_kib": self.without, "with_kib": self.with, "each_kib": self.each() })
    }
}

/// Opens so many, and lets them rest.
pub(crate) fn measure(
    address: SocketAddr,
    certificates: &Certificates,
    count: u32,
    resident: impl Fn() -> Result<u64>,
) -> Result<Held> {
    let client = certificates.client(&[b"http/1.1"])?;
    runtime()?.block_on(async {
        let without = resident()?;
        let mut open = Vec::new();
        let mut opening = JoinSet::new();
        for started in 0..count {
            opening.spawn(connect(address, Arc::clone(&client)));
            if opening.len() >= AT_ONCE || started + 1 == count {
                let opened = opening.join_next().await.context("nothing is opening")?;
                open.push(opened.context("a connection's task ended")??);
            }
        }
        while let Some(opened) = opening.join_next().await {
            open.push(opened.context("a connection's task ended")??);
        }
        sleep(REST).await;
        let with = resident()?;
        Ok(Held { without, with, count: u32::try_from(open.len())? })
    })
}

async fn connect(address: SocketAddr, client: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.context("connecting")?;
    let name = ServerName::try_from(NAME).context("naming the server")?;
    let mut stream = TlsConnector::from(client).connect(name, stream).await.context("handshake")?;
    stream
        .write_all(b"GET /small HTTP/1.1\r\nhost: gateway.test\r\n\r\n")
        .await
        .context("asking")?;
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.context("reading")?;
    if !answer.starts_with(b"HTTP/1.1 200") || read == 0 {
        bail!("the server answered something else");
    }
    Ok(stream)
}
