//! A stream that its connection's guard reads along with.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{fault::Ended, guard::Guard};
use crate::proxy::net::vigil::Vigil;

/// A plain byte stream under guard.
#[derive(Debug)]
pub(super) struct Guarded<S> {
    stream: S,
    guard: Rc<Guard>,
    vigil: Rc<Vigil>,
    /// What arrived and has to wait for a breath; never more than one read.
    held: Vec<u8>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S, guard: Rc<Guard>, vigil: Rc<Vigil>) -> Self {
        Self { stream, guard, vigil, held: Vec::new() }
    }

    /// Passes on what the guard lets through of `arrived`, and holds the rest.
    fn pass(&mut self, arrived: &[u8]) -> usize {
        let passed = self.guard.arrived(arrived);
        self.vigil.in_head(self.guard.in_block());
        self.held.extend_from_slice(arrived.get(passed..).unwrap_or_default());
        passed
    }

    /// Passes on what was held.
    fn pass_held(&mut self, buffer: &mut ReadBuf<'_>) {
        let held = std::mem::take(&mut self.held);
        let (now, later) = held.split_at(held.len().min(buffer.remaining()));
        let passed = self.pass(now);
        buffer.put_slice(now.get(..passed).unwrap_or_default());
        self.held.extend_from_slice(later);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let guarded = &mut *self;
        if guarded.guard.fault().is_some() {
            return Poll::Ready(Err(io::Error::other(Ended)));
        }
        if guarded.guard.breathes() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if guarded.held.is_empty() {
            let polled = Pin::new(&mut guarded.stream).poll_read(cx, buffer);
            let arrived = buffer.filled().get(before..).unwrap_or_default();
            if arrived.is_empty() {
                return polled;
            }
            let passed = guarded.pass(arrived);
            buffer.set_filled(before + passed);
        } else {
            guarded.pass_held(buffer);
        }
        // Nothing passed is no end of the stream.
        if buffer.filled().len() == before {
            return Poll::Ready(Err(io::Error::other(Ended)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.vigil.wrote(polled.is_pending());
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The last word is still to be said.
        if self.guard.fault().is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let guarded = &mut *self;
        let all = || slices.iter().map(|slice| &**slice);
        let Some(room) = guarded.guard.may_write(all()) else {
            return Poll::Ready(Ok(all().map(<[u8]>::len).sum()));
        };
        let stream = Pin::new(&mut guarded.stream);
        let polled = if room == usize::MAX {
            stream.poll_write_vectored(cx, slices)
        } else {
            // A rare case, and a short one: what stands before a GOAWAY.
            let before: Vec<u8> = all().flatten().copied().take(room).collect();
            stream.poll_write(cx, &before)
        };
        guarded.vigil.wrote(polled.is_pending());
        if let Poll::Ready(Ok(mut written)) = polled {
            for slice in all() {
                let part = slice.get(..written.min(slice.len())).unwrap_or_default();
                guarded.guard.wrote(part);
                written -= part.len();
            }
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
