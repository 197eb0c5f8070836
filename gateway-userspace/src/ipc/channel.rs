//! An asynchronous `SOCK_SEQPACKET` connection: one message a datagram, with open descriptors
//! beside it. Both directions hold the caps; whatever breaks one ends the connection.

use std::{
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recvmsg, sendmsg, socketpair,
    },
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    descriptors,
    frame::{IpcError, Message, decode, encode},
    message::{FRAME_BYTES, FRAME_DESCRIPTORS},
};

/// One end. `receive` loses nothing when its future is dropped.
#[derive(Debug)]
pub struct Channel {
    socket: AsyncFd<OwnedFd>,
}

impl Channel {
    /// Two joined ends, closed on exec. The second is for the other process, so it stays a bare
    /// descriptor until `from_fd` there.
    pub fn pair() -> Result<(Self, OwnedFd), IpcError> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(|errno| failed("making a socket pair", errno))?;
        Ok((Self::from_fd(ours)?, theirs))
    }

    /// Takes over a connected `SOCK_SEQPACKET` socket, inside a tokio runtime.
    pub fn from_fd(socket: OwnedFd) -> Result<Self, IpcError> {
        set_nonblocking(&socket).map_err(|errno| failed("preparing the ipc socket", errno))?;
        descriptors::watch(socket)
            .map(|socket| Self { socket })
            .map_err(|source| IpcError::Socket { doing: "watching the ipc socket", source })
    }

    /// Sends one message with the descriptors it names. Waits while the other side is behind.
    pub async fn send<M: Message>(
        &self,
        message: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), IpcError> {
        if descriptors.len() > FRAME_DESCRIPTORS {
            return Err(IpcError::Descriptors);
        }
        let bytes = encode(message)?;
        self.socket
            .async_io(Interest::WRITABLE, |socket| write(socket.as_fd(), &bytes, descriptors))
            .await
            .map_err(|source| broken("sending a message", source))
    }

    /// Receives one message and its descriptors, which are closed on exec.
    pub async fn receive<M: Message>(&self) -> Result<(M, Vec<OwnedFd>), IpcError> {
        let mut buffer = vec![0; FRAME_BYTES];
        let datagram = self
            .socket
            .async_io(Interest::READABLE, |socket| read(socket.as_fd(), &mut buffer))
            .await
            .map_err(|source| broken("receiving a message", source))?;
        if datagram.cut {
            return Err(IpcError::TooLarge);
        }
        if datagram.descriptors_cut || datagram.descriptors.len() > FRAME_DESCRIPTORS {
            return Err(IpcError::Descriptors);
        }
        let message = decode(buffer.get(..datagram.bytes).unwrap_or_default())?;
        Ok((message, datagram.descriptors))
    }
}

/// What one `recvmsg` brought.
struct Datagram {
    bytes: usize,
    cut: bool,
    descriptors: Vec<OwnedFd>,
    descriptors_cut: bool,
}

fn write(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[] } else { rights.as_slice() };
    let payload = [IoSlice::new(bytes)];
    sendmsg::<()>(socket.as_raw_fd(), &payload, control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

fn read(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Datagram> {
    // Zeroed: `descriptors::take` stops at the first empty header.
    let mut control = vec![0; descriptors::CONTROL_BYTES];
    let mut payload = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let (bytes, flags) = {
        let received = recvmsg::<()>(socket.as_raw_fd(), &mut payload, Some(&mut control), flags)?;
        (received.bytes, received.flags)
    };
    Ok(Datagram {
        bytes,
        cut: flags.contains(MsgFlags::MSG_TRUNC),
        descriptors: descriptors::take(&control),
        descriptors_cut: flags.contains(MsgFlags::MSG_CTRUNC),
    })
}

fn set_nonblocking(socket: &OwnedFd) -> Result<(), Errno> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let flags = OFlag::from_bits_retain(fcntl(socket, FcntlArg::F_GETFL)?);
    fcntl(socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).map(drop)
}

fn failed(doing: &'static str, errno: Errno) -> IpcError {
    IpcError::Socket { doing, source: errno.into() }
}

/// A peer that is gone is an end, not a fault.
fn broken(doing: &'static str, source: io::Error) -> IpcError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    if matches!(source.kind(), BrokenPipe | ConnectionReset | NotConnected) {
        return IpcError::Closed;
    }
    IpcError::Socket { doing, source }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{Read as _, Seek as _, Write as _},
    };

    use nix::fcntl::{FcntlArg, FdFlag, fcntl};

    use super::*;
    use crate::ipc::message::{FromGuard, FromProxy};

    #[tokio::test]
    async fn carries_messages_both_ways_in_order() {
        let (guard, proxy) = joined();
        guard.send(&FromGuard::Start, &[]).await.unwrap();
        guard.send(&FromGuard::Drain { succeeded: false }, &[]).await.unwrap();
        proxy.send(&FromProxy::Serving, &[]).await.unwrap();

        assert_eq!(proxy.receive::<FromGuard>().await.unwrap().0, FromGuard::Start);
        assert_eq!(
            proxy.receive::<FromGuard>().await.unwrap().0,
            FromGuard::Drain { succeeded: false }
        );
        assert_eq!(guard.receive::<FromProxy>().await.unwrap().0, FromProxy::Serving);
    }

    #[tokio::test]
    async fn passes_an_open_file_that_is_closed_on_exec() {
        let (guard, proxy) = joined();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"certificate").unwrap();
        file.rewind().unwrap();
        guard.send(&FromGuard::AccessLog, &[file.as_fd()]).await.unwrap();

        let (_, mut descriptors) = proxy.receive::<FromGuard>().await.unwrap();
        let received = descriptors.pop().unwrap();
        let flags = FdFlag::from_bits_retain(fcntl(&received, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
        let mut text = String::new();
        File::from(received).read_to_string(&mut text).unwrap();
        assert_eq!(text, "certificate");
        assert!(descriptors.is_empty());
    }

    #[tokio::test]
    async fn refuses_to_send_more_descriptors_than_a_frame_holds() {
        let (guard, _proxy) = joined();
        let file = tempfile::tempfile().unwrap();
        let many = vec![file.as_fd(); FRAME_DESCRIPTORS + 1];
        assert!(matches!(
            guard.send(&FromGuard::AccessLog, &many).await,
            Err(IpcError::Descriptors)
        ));
    }

    #[tokio::test]
    async fn refuses_and_closes_more_descriptors_than_a_frame_holds() {
        let (guard, proxy) = joined();
        let file = tempfile::tempfile().unwrap();
        let before = open_descriptors();
        for count in [FRAME_DESCRIPTORS + 1, 200] {
            let many = vec![file.as_fd(); count];
            let bytes = encode(&FromProxy::Serving).unwrap();
            write(proxy.socket.get_ref().as_fd(), &bytes, &many).unwrap();
            assert!(matches!(guard.receive::<FromProxy>().await, Err(IpcError::Descriptors)));
        }
        assert!(open_descriptors() <= before + 100, "descriptors of a refused frame stay open");
    }

    #[tokio::test]
    async fn refuses_an_oversized_datagram() {
        let (guard, proxy) = joined();
        write(proxy.socket.get_ref().as_fd(), &vec![1; FRAME_BYTES + 1], &[]).unwrap();
        assert!(matches!(guard.receive::<FromProxy>().await, Err(IpcError::TooLarge)));
    }

    #[tokio::test]
    async fn tells_a_closed_peer() {
        let (guard, proxy) = joined();
        drop(proxy);
        assert!(matches!(guard.receive::<FromProxy>().await, Err(IpcError::Closed)));
        assert!(matches!(guard.send(&FromGuard::Start, &[]).await, Err(IpcError::Closed)));
    }

    fn joined() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (ours, Channel::from_fd(theirs).unwrap())
    }

    fn open_descriptors() -> usize {
        std::fs::read_dir("/proc/self/fd").unwrap().count()
    }
}
