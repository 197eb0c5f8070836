//! Named lists of bans, thousands or millions of entries each: replaced as a whole or not at all.
//! A thread of their own merges, checks, loads and stores them, so that a strike during an import
//! becomes a ban as fast as ever.

mod check;
mod nets;
mod union;
mod worker;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use gateway_common::Reason;
use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::error;

use self::worker::{Job, Worker};
pub(crate) use self::{
    check::{TooMuch, Unfit, coverage},
    nets::NetSet,
};
use crate::{
    clock::Wall,
    config::model::{Capacity, Coverage},
    guard::{
        kernel::{BanSource, BulkFilter, KernelError},
        protect::Protection,
        store::{ListFolder, StoreError},
    },
};

/// Lists at the same time.
pub(crate) const LISTS: usize = 64;

/// Lists being handed over at the same time.
const STAGINGS: usize = 4;

/// A list nobody adds to for so long is forgotten.
const ABANDONED: Duration = Duration::from_mins(2);

/// Orders that may wait for the thread.
const QUEUE: usize = 16;

/// Bytes of a name.
const NAME_BYTES: usize = 64;

/// One list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedList {
    pub(crate) source: BanSource,
    pub(crate) note: Arc<str>,
    pub(crate) since: Wall,
    /// `None` for ever.
    pub(crate) expires: Option<Wall>,
    /// Entries before they were merged.
    pub(crate) given: u64,
    pub(crate) nets: Arc<NetSet>,
}

impl NamedList {
    /// Why its entries are banned.
    pub(crate) const REASON: Reason = Reason::Import;

    pub(crate) fn is_over(&self, wall: Wall) -> bool {
        self.expires.is_some_and(|at| at <= wall)
    }
}

/// All lists, by name.
pub(crate) type Named = BTreeMap<String, Arc<NamedList>>;

/// Why the lists are as they were.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListError {
    #[error(
        "{name:?} is no name of a list; write up to {NAME_BYTES} letters, digits, dots, dashes and underlines, and begin with a letter or digit"
    )]
    Name { name: String },
    #[error(
        "there are {LISTS} lists, as many as can be; take one away with `gateway block unlist`"
    )]
    TooMany,
    #[error("{STAGINGS} lists are being imported, as many as can be at a time; try again soon")]
    Busy,
    #[error("the list is not being imported any more: nothing came for {} s", ABANDONED.as_secs())]
    Abandoned,
    #[error(
        "the list has more than {most} entries, more than [kernel.capacity] could ever hold; raise hosts and prefixes there"
    )]
    TooLong { most: usize },
    #[error("the time is zero")]
    NoTime,
    #[error("there is no list {name:?}; `gateway block lists` shows those there are")]
    Unknown { name: String },
    #[error("{net} is in no list")]
    NotListed { net: IpNet },
    #[error("{} entries of the list may not be banned; it is as it was", .unfit.len() + .untold)]
    Unfit { unfit: Vec<Unfit>, untold: usize },
    #[error(
        "the list covers {percent} % of the {family} Internet, more than the {most} % of bans.coverage; it is as it was"
    )]
    TooMuch { family: &'static str, percent: u128, most: u32 },
    #[error("the lists are as they were")]
    Kernel {
        #[source]
        source: KernelError,
    },
    #[error("it is in force, but not stored, and may not outlive the gateway")]
    Store {
        #[source]
        source: StoreError,
    },
    #[error("the gateway is stopping")]
    Stopping,
}

/// What became of an order.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// Entries of the list, merged.
    pub(crate) entries: usize,
    pub(crate) given: u64,
    /// Entries left out, by order.
    pub(crate) unfit: Vec<Unfit>,
    pub(crate) untold: usize,
}

/// Says what became of an order.
pub(crate) type Reply = oneshot::Receiver<Result<Done, ListError>>;

/// A list on its way in.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) source: BanSource,
    pub(crate) ttl: Option<Duration>,
    pub(crate) note: Arc<str>,
    /// Leave out what may not be banned, instead of refusing the list for it.
    pub(crate) skip_unfit: bool,
}

#[derive(Debug)]
struct Staging {
    header: Header,
    nets: Vec<IpNet>,
    touched: Instant,
}

/// What may never be banned, as of now.
pub(crate) type ProtectedNets = Vec<(IpNet, Protection)>;

/// The lists, as the event loop has them.
#[derive(Debug)]
pub(crate) struct Lists {
    named: Arc<Mutex<Arc<Named>>>,
    stagings: BTreeMap<u64, Staging>,
    next_ticket: u64,
    longest: usize,
    protected: ProtectedNets,
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Lists {
    /// Puts the stored lists in force, then starts the thread.
    pub(crate) fn start(
        (folder, stored): (ListFolder, Named),
        (capacity, coverage): (Capacity, Coverage),
        mut kernel: Box<dyn BulkFilter>,
        protected: ProtectedNets,
        wall: Wall,
    ) -> Result<Self, KernelError> {
        let bulk = union::of(&stored, &addresses(&protected), wall);
        kernel.replace(Arc::new(bulk))?;
        let named = Arc::new(Mutex::new(Arc::new(stored)));
        let (jobs, orders) = sync_channel(QUEUE);
        let worker = Worker::new(Arc::clone(&named), folder, coverage, kernel, protected.clone());
        let thread = std::thread::Builder::new()
            .name("lists".to_owned())
            .spawn(move || worker.run(&orders))
            .map_err(|source| KernelError::System {
                doing: "starting the thread of the lists".to_owned(),
                source,
            })?;
        // What merges may be much more before it is merged.
        let room = u64::from(capacity.hosts) + u64::from(capacity.prefixes);
        Ok(Self {
            named,
            stagings: BTreeMap::new(),
            next_ticket: 1,
            longest: usize::try_from(room.saturating_mul(4)).unwrap_or(usize::MAX),
            protected,
            jobs: Some(jobs),
            thread: Some(thread),
        })
    }

    /// The lists in force.
    pub(crate) fn named(&self) -> Arc<Named> {
        Arc::clone(&self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins to take a list in; returns what its portions are sent with.
    pub(crate) fn begin(&mut self, header: Header, now: Instant) -> Result<u64, ListError> {
        if !is_name(&header.name) {
            return Err(ListError::Name { name: header.name });
        }
        if header.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(ListError::NoTime);
        }
        let named = self.named();
        if named.len() >= LISTS && !named.contains_key(&header.name) {
            return Err(ListError::TooMany);
        }
        self.stagings.retain(|_, staging| now.duration_since(staging.touched) < ABANDONED);
        if self.stagings.len() >= STAGINGS {
            return Err(ListError::Busy);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.stagings.insert(ticket, Staging { header, nets: Vec::new(), touched: now });
        Ok(ticket)
    }

    /// Takes a portion.
    pub(crate) fn add(
        &mut self,
        ticket: u64,
        nets: &[IpNet],
        now: Instant,
    ) -> Result<(), ListError> {
        let staging = self.stagings.get_mut(&ticket).ok_or(ListError::Abandoned)?;
        if staging.nets.len() + nets.len() > self.longest {
            self.stagings.remove(&ticket);
            return Err(ListError::TooLong { most: self.longest });
        }
        staging.nets.extend_from_slice(nets);
        staging.touched = now;
        Ok(())
    }

    /// Nothing comes of it.
    pub(crate) fn abort(&mut self, ticket: u64) {
        self.stagings.remove(&ticket);
    }

    /// Puts the list in force instead of the one of its name.
    pub(crate) fn commit(&mut self, ticket: u64, wall: Wall) -> Result<Reply, ListError> {
        let Staging { header, nets, .. } =
            self.stagings.remove(&ticket).ok_or(ListError::Abandoned)?;
        self.order(|reply| Job::Replace { header, nets, wall, reply })
    }

    /// Takes a list away.
    pub(crate) fn remove(&mut self, name: &str, wall: Wall) -> Result<Reply, ListError> {
        if !self.named().contains_key(name) {
            return Err(ListError::Unknown { name: name.to_owned() });
        }
        self.order(|reply| Job::Remove { name: name.to_owned(), wall, reply })
    }

    /// Takes these addresses out of every list they are in.
    pub(crate) fn lift(&mut self, net: IpNet, wall: Wall) -> Result<Reply, ListError> {
        if self.covering(net, wall).is_none() {
            return Err(ListError::NotListed { net });
        }
        self.order(|reply| Job::Lift { net, wall, reply })
    }

    /// A list all of `net` is in, and its entry.
    pub(crate) fn covering(
        &self,
        net: IpNet,
        wall: Wall,
    ) -> Option<(String, IpNet, Arc<NamedList>)> {
        self.named().iter().filter(|(_, list)| !list.is_over(wall)).find_map(|(name, list)| {
            Some((name.clone(), list.nets.covering(net)?, Arc::clone(list)))
        })
    }

    /// Sees to lists that are over, and to addresses protected since. Orders that find no room are
    /// given again the next time.
    pub(crate) fn tick(&mut self, protected: impl FnOnce() -> ProtectedNets, wall: Wall) {
        let named = self.named();
        if named.is_empty() {
            return;
        }
        let protected = protected();
        let is_over = named.values().any(|list| list.is_over(wall));
        if (is_over || protected != self.protected)
            && self.send(Job::Refresh { protected: protected.clone(), wall }).is_ok()
        {
            self.protected = protected;
        }
    }

    /// The clock was set: stored times move with it.
    pub(crate) fn shift(&self, seconds: i64) -> Result<(), ListError> {
        self.send(Job::Shift { seconds })
    }

    fn order(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<Done, ListError>>) -> Job,
    ) -> Result<Reply, ListError> {
        let (reply, done) = oneshot::channel();
        self.send(job(reply)).map(|()| done)
    }

    fn send(&self, job: Job) -> Result<(), ListError> {
        let jobs = self.jobs.as_ref().ok_or(ListError::Stopping)?;
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => ListError::Busy,
            TrySendError::Disconnected(_) => ListError::Stopping,
        })
    }
}

impl Drop for Lists {
    /// Waits for the order at hand: what was answered is done.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread of the lists panicked");
        }
    }
}

/// A name is also the name of a file.
pub(crate) fn is_name(name: &str) -> bool {
    let lawful = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    name.len() <= NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(lawful)
}

fn addresses(protected: &ProtectedNets) -> Vec<IpNet> {
    protected.iter().map(|(net, _)| *net).collect()
}

#[cfg(test)]
mod tests;
