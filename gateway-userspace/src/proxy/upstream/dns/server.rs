//! One question to one name server: a socket of its own for each, so that its port is drawn anew
//! too, and TCP where a datagram does not hold the answer or somebody guesses at it.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use aws_lc_rs::rand;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout_at,
};

use super::{
    Failure,
    message::{Fault, Kind, Name, Question, Reply},
};

/// Datagrams that answer another question, before TCP is asked instead: whoever guesses has as
/// many tries as datagrams are read.
const GUESSES: u32 = 8;
/// Room for more than the payload that was asked for: some servers send it all the same.
const DATAGRAM: usize = 4096;

/// What was seen on the wire.
#[derive(Debug, Default)]
pub(in super::super) struct Traffic {
    pub(in super::super) asked: AtomicU64,
    /// Datagrams that answered another question.
    pub(in super::super) foreign: AtomicU64,
    pub(in super::super) over_tcp: AtomicU64,
}

/// A name server.
pub(super) struct Server<'t> {
    pub(super) address: SocketAddr,
    pub(super) traffic: &'t Traffic,
}

impl Server<'_> {
    /// Its answer, before `until`.
    pub(super) async fn ask(
        &self,
        name: &Name,
        kind: Kind,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let reply = self.exchange(name, kind, true, until).await?;
        match reply.code {
            // It does not know EDNS (RFC 6891 7).
            1 | 4 => sound(self.exchange(name, kind, false, until).await?),
            _ => sound(reply),
        }
    }

    async fn exchange(
        &self,
        name: &Name,
        kind: Kind,
        extended: bool,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let question = Question { id: draw()?, name, kind, extended };
        self.traffic.asked.fetch_add(1, Relaxed);
        let told = timeout_at(until.into(), self.datagram(&question)).await;
        match told.map_err(|_elapsed| Failure::Timeout)?? {
            Some(reply) if !reply.truncated => Ok(reply),
            // Too long, or somebody guesses.
            _ => {
                self.traffic.over_tcp.fetch_add(1, Relaxed);
                let question = Question { id: draw()?, ..question };
                let told = timeout_at(until.into(), self.stream(&question)).await;
                told.map_err(|_elapsed| Failure::Timeout)?
            }
        }
    }

    /// `None` after too many datagrams that are not the answer.
    async fn datagram(&self, question: &Question<'_>) -> Result<Option<Reply>, Failure> {
        let socket = self.socket().map_err(unreachable)?;
        socket.send(&question.encode()).await.map_err(unreachable)?;
        let mut bytes = vec![0; DATAGRAM];
        for _ in 0..GUESSES {
            let count = socket.recv(&mut bytes).await.map_err(unreachable)?;
            match question.decode(bytes.get(..count).unwrap_or_default()) {
                Ok(reply) => return Ok(Some(reply)),
                Err(Fault::NotOurs) => {
                    self.traffic.foreign.fetch_add(1, Relaxed);
                }
                Err(Fault::Malformed) => return Err(Failure::Malformed),
            }
        }
        Ok(None)
    }

    /// Connected, so that the kernel draws the port and takes datagrams of this peer alone.
    fn socket(&self) -> io::Result<UdpSocket> {
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.address.into())?;
        UdpSocket::from_std(socket.into())
    }

    async fn stream(&self, question: &Question<'_>) -> Result<Reply, Failure> {
        let mut stream = TcpStream::connect(self.address).await.map_err(unreachable)?;
        let query = question.encode();
        let length = u16::try_from(query.len()).map_err(|_too_long| Failure::Name)?;
        // In one segment: some servers read no more than the first.
        let framed = [&length.to_be_bytes()[..], &query].concat();
        stream.write_all(&framed).await.map_err(unreachable)?;
        let length = stream.read_u16().await.map_err(unreachable)?;
        let mut bytes = vec![0; usize::from(length)];
        stream.read_exact(&mut bytes).await.map_err(unreachable)?;
        let reply = question.decode(&bytes).map_err(|_fault| Failure::Malformed)?;
        if reply.truncated { Err(Failure::Malformed) } else { Ok(reply) }
    }
}

/// What says something of the name: found (0), or no such name (3).
fn sound(reply: Reply) -> Result<Reply, Failure> {
    match reply.code {
        0 | 3 => Ok(reply),
        2 => Err(Failure::ServerFailed),
        5 => Err(Failure::Refused),
        code => Err(Failure::Code(code)),
    }
}

fn draw() -> Result<u16, Failure> {
    let mut bytes = [0; 2];
    // Without chance a question would be easy to answer for anybody.
    rand::fill(&mut bytes).map_err(|_unspecified| Failure::Unreachable)?;
    Ok(u16::from_be_bytes(bytes))
}

#[expect(clippy::needless_pass_by_value, reason = "so that it stands where an error is mapped")]
fn unreachable(error: io::Error) -> Failure {
    tracing::debug!(%error, "a name server cannot be asked");
    Failure::Unreachable
}
