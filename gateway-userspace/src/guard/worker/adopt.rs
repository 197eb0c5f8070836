//! A proxy that serves on while its guard is gone finds the next guard here, and hands over its
//! listening sockets, so that no connection is lost between two guards.

use std::{
    fs::{self, Permissions},
    os::{
        fd::OwnedFd,
        unix::fs::{PermissionsExt as _, chown},
    },
    path::Path,
    time::Duration,
};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tokio::{io::unix::AsyncFd, time::timeout};
use tracing::{info, warn};

use super::{
    process::Process,
    session::{said, within},
};
use crate::{
    guard::{
        accounts::Accounts, error::GuardError, folders::RunFolder, listeners::Handed,
        worker::session::STEP,
    },
    ipc::{
        Channel, IpcError, Message,
        descriptors::watch,
        handover::{FromHeir, FromOrphan},
        message::{Make, VERSION},
    },
};

/// A proxy looks for its guard every second or oftener; one that has no processor for a while must
/// not be taken for one that hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sockets one proxy may hand over.
const SOCKETS: usize = 4096;

/// What became of the proxy of an earlier guard.
#[derive(Debug)]
pub(in crate::guard) enum Adopted {
    /// There is none.
    Nobody,
    /// It serves and is ours.
    Serving(Serving),
    /// It lives and does not hand over: what reaches its sockets is lost.
    Stuck(Process),
    /// It does not even understand the handover, and finishes what it has.
    Drains(Process),
}

/// A serving proxy.
#[derive(Debug)]
pub(in crate::guard) struct Serving {
    pub(in crate::guard) process: Process,
    /// On it everything was said up to `Done`.
    pub(in crate::guard) channel: Channel,
    /// The version of the protocol it speaks.
    pub(in crate::guard) ipc: u8,
    /// What it was made of last.
    pub(in crate::guard) make: Make,
    pub(in crate::guard) sockets: Vec<Handed>,
}

impl Serving {
    /// In what it differs from a proxy that would be made now, if it does.
    pub(in crate::guard) fn differs(&self, wanted: Make) -> Option<&'static str> {
        let Make { program, configuration, files } = self.make;
        if self.ipc != VERSION {
            Some("another protocol")
        } else if program != wanted.program {
            Some("another program")
        } else if configuration != wanted.configuration {
            Some("another configuration")
        } else if files != wanted.files {
            Some("other authorities of suppliers")
        } else {
            None
        }
    }
}

/// Waits for the proxy that `proxy.pid` names, if it lives.
pub(in crate::guard) async fn wait_for(
    run: &RunFolder,
    accounts: &Accounts,
) -> Result<Adopted, GuardError> {
    let Some(process) = living(&run.proxy_pid(), accounts) else { return Ok(Adopted::Nobody) };
    info!(pid = process.pid(), "a proxy of an earlier guard lives; waiting for it");
    let path = run.worker_socket();
    let door = open_door(&path, accounts)?;
    let met = meet(&door, process.pid(), accounts).await;
    // Only a proxy without a guard has anything to say here.
    drop(fs::remove_file(&path));
    match met {
        Ok(Met { channel, ipc, make, sockets }) => {
            Ok(Adopted::Serving(Serving { process, channel, ipc, make, sockets }))
        }
        Err(Missed { why, drains }) => {
            warn!(pid = process.pid(), %why, "the earlier proxy is not taken over");
            Ok(if drains { Adopted::Drains(process) } else { Adopted::Stuck(process) })
        }
    }
}

/// The process the file names, if it is a proxy of this user.
fn living(file: &Path, accounts: &Accounts) -> Option<Process> {
    let pid: u32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let process = Process::adopted(pid).ok()?;
    // Read while the pidfd is held: it is the same process, whatever its number meant before.
    let folder = Path::new("/proc").join(pid.to_string());
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    let status = fs::read_to_string(folder.join("status")).ok()?;
    let uid: u32 = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next()?.parse().ok())?;
    (uid == accounts.proxy_uid().as_raw() && name.trim() == "gateway-proxy").then_some(process)
}

fn open_door(path: &Path, accounts: &Accounts) -> Result<AsyncFd<OwnedFd>, GuardError> {
    let opened = || -> std::io::Result<AsyncFd<OwnedFd>> {
        drop(fs::remove_file(path));
        let socket = Socket::new(Domain::UNIX, Type::SEQPACKET.nonblocking(), None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        fs::set_permissions(path, Permissions::from_mode(0o660))?;
        if let Some((_, group)) = accounts.proxy {
            chown(path, None, Some(group.as_raw()))?;
        }
        socket.listen(4)?;
        watch(socket.into())
    };
    opened().map_err(GuardError::path("opening", path))
}

/// What came of a meeting.
struct Met {
    channel: Channel,
    ipc: u8,
    make: Make,
    sockets: Vec<Handed>,
}

/// Why a proxy was not met.
struct Missed {
    why: String,
    drains: bool,
}

impl From<String> for Missed {
    fn from(why: String) -> Self {
        Self { why, drains: false }
    }
}

async fn meet(door: &AsyncFd<OwnedFd>, pid: u32, accounts: &Accounts) -> Result<Met, Missed> {
    let expected = accept(door, pid, accounts);
    let channel =
        timeout(PATIENCE, expected).await.unwrap_or_else(|_| Err("it does not call".to_owned()))?;
    let (ipc, make) = hello(&channel, pid).await?;
    let sockets = handover(&channel).await?;
    Ok(Met { channel, ipc, make, sockets })
}

/// The next caller that is the expected process of the expected user.
async fn accept(door: &AsyncFd<OwnedFd>, pid: u32, accounts: &Accounts) -> Result<Channel, String> {
    loop {
        let mut ready = door.readable().await.map_err(|error| error.to_string())?;
        let accepted = ready.try_io(|door| SockRef::from(door).accept());
        let Ok(accepted) = accepted else { continue };
        let (caller, _) = accepted.map_err(|error| error.to_string())?;
        let who = getsockopt(&caller, PeerCredentials).map_err(|error| error.to_string())?;
        let same =
            u32::try_from(who.pid()) == Ok(pid) && who.uid() == accounts.proxy_uid().as_raw();
        if same {
            return Channel::from_fd(caller.into()).map_err(|error| said(&error));
        }
        warn!(pid = who.pid(), uid = who.uid(), "a stranger called at the proxy's socket");
    }
}

async fn hello(channel: &Channel, pid: u32) -> Result<(u8, Make), Missed> {
    let heard = within(STEP, async { Ok(channel.receive::<FromOrphan>().await) }).await?;
    // Also to one that does not know the handover: it cannot read it, and drains.
    let welcome = FromHeir::Welcome { ipc: VERSION };
    channel.send(&welcome, &[]).await.map_err(|error| said(&error))?;
    match heard {
        Ok((FromOrphan::Hello { ipc, pid: theirs, make }, none))
            if theirs == pid && none.is_empty() =>
        {
            Ok((ipc, make))
        }
        Ok(_) => Err("it did not say hello".to_owned().into()),
        Err(error @ IpcError::Version { .. }) => Err(Missed { why: said(&error), drains: true }),
        Err(error) => Err(said(&error).into()),
    }
}

/// Its listening sockets, each looked at: a broken proxy could hand over anything.
async fn handover(channel: &Channel) -> Result<Vec<Handed>, String> {
    let mut sockets = Vec::new();
    while sockets.len() <= SOCKETS {
        let (message, mut descriptors) = within(STEP, heard(channel)).await?;
        match (message, descriptors.pop(), descriptors.is_empty()) {
            (FromOrphan::Done, None, true) => return Ok(sockets),
            (FromOrphan::Holding { address, role }, Some(socket), true) => {
                sockets.push(Handed::checked(address, role, socket)?);
            }
            _ => return Err("it said something else than what it holds".to_owned()),
        }
    }
    Err("it holds too many sockets".to_owned())
}

async fn heard<M: Message>(channel: &Channel) -> Result<(M, Vec<OwnedFd>), String> {
    channel.receive().await.map_err(|error| said(&error))
}
