//! The PROXY protocol, versions 1 and 2: who is behind a trusted load balancer that passes bytes on.
//! Exactly the header is read, so that TLS begins where it should; a header that does not parse, or
//! from someone who may not send one, ends the connection.

mod parse;

use std::time::Duration;

use gateway_common::Reason;
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};

use self::parse::{LONGEST_V1, LONGEST_V2, SIGNATURE, Source};
use super::connections::Place;
use crate::{
    clock,
    proxy::{pipeline::context::Peer, worker::Worker},
};

/// The peer as its header says; `None` once the connection is refused, or was only a probe.
pub(super) async fn read(
    worker: &Worker,
    stream: &mut TcpStream,
    peer: Peer,
    place: &mut Place,
) -> Option<Peer> {
    if !peer.behind_proxy {
        // Without the right to speak for others, whatever it says.
        return refuse(worker, &peer, "a PROXY header is taken from trusted_proxies alone");
    }
    let wait = worker.shared.config.proxy.timeouts.handshake;
    let source = match header(stream, wait).await {
        Ok(Some(source)) => source,
        Ok(None) => return None,
        Err(fault) => return refuse(worker, &peer, &fault.to_string()),
    };
    let Source::Client(address) = source else { return Some(peer) };
    let peer = Peer { source: address.ip().to_canonical(), ..peer };
    if worker.shared.connections.claim(place, &peer) {
        return Some(peer);
    }
    worker.refused_connection(&peer, Reason::Connections, "proxy.connections_per_source");
    None
}

fn refuse(worker: &Worker, peer: &Peer, detail: &str) -> Option<Peer> {
    worker.refused_connection(peer, Reason::ProxyHeader, detail);
    None
}

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("the PROXY header did not come in time")]
    Late,
    #[error("the connection ended inside the PROXY header")]
    Cut,
    #[error("reading the PROXY header: {0}")]
    Read(#[from] parse::Fault),
}

/// `None` where not a byte came: that is how load balancers look whether we live.
async fn header(stream: &mut TcpStream, wait: Duration) -> Result<Option<Source>, HeaderError> {
    let deadline = Instant::from_std(clock::now() + wait);
    match timeout_at(deadline, stream.peek(&mut [0])).await {
        Ok(Ok(1..)) => {}
        Ok(_silent) => return Ok(None),
        Err(_elapsed) => return Err(HeaderError::Late),
    }
    let reading = async {
        // No header of either version is shorter.
        let mut start = [0; SIGNATURE.len()];
        stream.read_exact(&mut start).await.or(Err(HeaderError::Cut))?;
        if start == SIGNATURE { second(stream).await } else { first(stream, &start).await }
    };
    timeout_at(deadline, reading).await.unwrap_or(Err(HeaderError::Late)).map(Some)
}

async fn second(stream: &mut TcpStream) -> Result<Source, HeaderError> {
    let mut fixed = [0; 4];
    stream.read_exact(&mut fixed).await.or(Err(HeaderError::Cut))?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > LONGEST_V2 {
        return Err(parse::Fault::TooLong.into());
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await.or(Err(HeaderError::Cut))?;
    Ok(parse::second(command, family, &rest)?)
}

/// A line: its length is known when its end is seen, and not a byte more may be taken.
async fn first(stream: &mut TcpStream, start: &[u8]) -> Result<Source, HeaderError> {
    let mut line = start.to_vec();
    loop {
        if line.ends_with(b"\r\n") {
            return Ok(parse::first(&line)?);
        }
        if line.len() >= LONGEST_V1 || !parse::may_begin(&line) {
            return Err(parse::Fault::Malformed.into());
        }
        let mut ahead = [0; LONGEST_V1];
        let seen = stream.peek(&mut ahead).await.or(Err(HeaderError::Cut))?;
        let seen = ahead.get(..seen).unwrap_or_default();
        let end = seen.iter().position(|byte| *byte == b'\n').map_or(seen.len(), |end| end + 1);
        let take = end.min(LONGEST_V1 - line.len());
        if take == 0 {
            return Err(HeaderError::Cut);
        }
        let mut taken = vec![0; take];
        stream.read_exact(&mut taken).await.or(Err(HeaderError::Cut))?;
        line.append(&mut taken);
    }
}
