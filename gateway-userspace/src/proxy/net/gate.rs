//! Stands between a connection's bytes and hyper: what `http1` does not let through hyper never
//! sees. Bytes are read into hyper's own buffer and looked at there; only a head that comes in
//! pieces is kept until it is whole.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::vigil::Vigil;
use crate::proxy::http1::{
    Bounds, Fault,
    stream::{Passage, Rest, Stream},
};

/// What a connection that rests reads at once; a usual head fits.
const FIRST_READ: usize = 1024;

/// A byte stream of HTTP/1.1 requests, each read before hyper reads it.
#[derive(Debug)]
pub(super) struct Gate<S> {
    stream: S,
    vigil: Rc<Vigil>,
    reading: Stream,
    /// What has come and may not go on yet; as long as a head, or one read, at most.
    kept: Vec<u8>,
    /// So many of them may.
    free: usize,
    closed: Option<Closed>,
}

/// Why nothing more is let through.
#[derive(Debug, Clone, Copy)]
enum Closed {
    /// The vigil has the reason, and answers when the requests before are served.
    Head,
    Body(Fault),
}

impl<S: AsyncRead + Unpin> Gate<S> {
    pub(super) fn new(stream: S, vigil: Rc<Vigil>, bounds: Bounds) -> Self {
        let (reading, kept) = (Stream::new(bounds), Vec::new());
        Self { stream, vigil, reading, kept, free: 0, closed: None }
    }

    /// What came behind a request for another protocol.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.kept
    }

    /// Waits for the next byte, or the end, where nothing is under way. A connection that waits like
    /// this needs no buffer.
    pub(super) fn poll_stirs(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [MaybeUninit::uninit(); FIRST_READ];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        // Whatever ended the stream, hyper finds it ended too.
        drop(ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)));
        self.kept.extend_from_slice(buffer.filled());
        self.look();
        Poll::Ready(())
    }

    /// Whether no byte of a request has come that is not over.
    pub(super) fn is_between_requests(&self) -> bool {
        self.kept.is_empty() && self.closed.is_none() && self.reading.is_between_requests()
    }

    fn note(&mut self, passage: Passage) {
        self.vigil.passed(passage.heads);
        match passage.rest {
            Rest::Head | Rest::Open => {}
            Rest::RefusedHead(fault) => self.refuse(fault),
            Rest::RefusedBody(fault) => self.closed = Some(Closed::Body(fault)),
        }
    }

    fn refuse(&mut self, fault: Fault) {
        self.closed = Some(Closed::Head);
        self.vigil.refuse(fault);
    }

    /// Looks at what is kept.
    fn look(&mut self) {
        let passage = self.reading.advance(&self.kept);
        self.free = passage.pass;
        self.note(passage);
    }

    /// Gives out what of the kept bytes may go on.
    fn hand_out(&mut self, buffer: &mut ReadBuf<'_>) {
        let count = self.free.min(buffer.remaining());
        buffer.put_slice(self.kept.get(..count).unwrap_or_default());
        self.free -= count;
        if self.kept.len() == count {
            // Idle connections are many: none keeps a buffer.
            self.kept = Vec::new();
        } else {
            self.kept.drain(..count);
        }
    }

    /// Reads into the buffer and leaves there what may go on.
    fn poll_fresh(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let count = fresh.len();
        if self.kept.is_empty() {
            let passage = self.reading.advance(fresh);
            if passage.pass < count {
                self.kept.extend_from_slice(fresh.get(passage.pass..).unwrap_or_default());
            }
            buffer.set_filled(before + passage.pass);
            self.note(passage);
        } else {
            self.kept.extend_from_slice(fresh);
            buffer.set_filled(before);
            self.look();
        }
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gate<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        loop {
            if this.free > 0 {
                this.hand_out(buffer);
            }
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            match this.closed {
                Some(Closed::Head) => return Poll::Pending,
                Some(Closed::Body(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
                None => {}
            }
            if this.reading.is_open() {
                // Whoever asks for another protocol waits for the answer.
                ready!(this.vigil.poll_answered(cx));
                this.reading.resume();
                this.look();
                continue;
            }
            if !this.kept.is_empty() {
                this.vigil.awaits_head();
            }
            if ready!(this.poll_fresh(cx, buffer))? == 0 {
                match this.reading.cut() {
                    Some(fault) => this.refuse(fault),
                    None => return Poll::Ready(Ok(())),
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gate<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
