//! Answers a request that hyper never saw, and ends its connection.

use std::fmt::Write as _;

use http::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    time::timeout,
};

use super::{linger::linger, serve::GOODBYE};
use crate::proxy::{
    http1::Fault,
    pipeline::{context::Peer, identifiers::RequestId, respond},
    worker::Worker,
};

/// Counts it, notes it against the peer, answers and closes.
pub(super) async fn head<S>(worker: &Worker, peer: &Peer, fault: Fault, mut stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let id = worker.refused_head(peer, fault);
    let answer = answer(fault, &id);
    // Who would not finish a head may not read either.
    if let Ok(Ok(())) = timeout(GOODBYE, write(&mut stream, &answer)).await {
        linger(stream).await;
    } else {
        tracing::trace!("a refused client did not take its answer");
    }
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
    stream.flush().await
}

/// The fields are those of every refusal; what else there is to say of a connection that closes
/// would only be told to someone who does not speak HTTP.
fn answer(fault: Fault, id: &RequestId) -> Vec<u8> {
    let info = fault.reason.info();
    let status = StatusCode::from_u16(info.status).unwrap_or(StatusCode::BAD_REQUEST);
    let problem = respond::problem(info.title, status, id.as_str());
    let mut head = String::with_capacity(512);
    // Writing to a string does not fail.
    let written = write!(
        head,
        "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nx-request-id: {}\r\n\
         content-length: {}\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or("Error"),
        id.as_str(),
        problem.len()
    );
    let mut answer = if written.is_ok() { head.into_bytes() } else { Vec::new() };
    answer.extend_from_slice(&problem);
    answer
}
