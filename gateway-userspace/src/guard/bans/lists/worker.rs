//! The thread of the lists: one order after the other, each all or nothing, and between them the
//! generation before is taken out of the tables bit by bit.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::{
    Done, Header, ListError, Named, NamedList, NetSet, ProtectedNets, addresses,
    check::{TooMuch, coverage, sift},
    union,
};
use crate::{
    clock::Wall,
    config::model::Coverage,
    guard::{chain, kernel::BulkFilter, store::ListFolder, timekeeper::moved},
};

/// How soon what failed to be taken out is tried again.
const RETRY: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<Done, ListError>>;

/// An order.
#[derive(Debug)]
pub(super) enum Job {
    Replace { header: Header, nets: Vec<IpNet>, wall: Wall, reply: Answer },
    Remove { name: String, wall: Wall, reply: Answer },
    Lift { net: IpNet, wall: Wall, reply: Answer },
    Refresh { protected: ProtectedNets, wall: Wall },
    Shift { seconds: i64 },
}

/// What the thread works with.
#[derive(Debug)]
pub(super) struct Worker {
    named: Arc<Mutex<Arc<Named>>>,
    folder: ListFolder,
    coverage: Coverage,
    kernel: Box<dyn BulkFilter>,
    protected: ProtectedNets,
}

impl Worker {
    pub(super) fn new(
        named: Arc<Mutex<Arc<Named>>>,
        folder: ListFolder,
        coverage: Coverage,
        kernel: Box<dyn BulkFilter>,
        protected: ProtectedNets,
    ) -> Self {
        Self { named, folder, coverage, kernel, protected }
    }

    /// Works until nobody can order any more.
    pub(super) fn run(mut self, orders: &Receiver<Job>) {
        loop {
            match self.next(orders) {
                Ok(Some(job)) => self.work(job),
                Ok(None) => {}
                Err(()) => return,
            }
        }
    }

    /// The next order; `None` after a part of the tidying, `Err` at the end.
    fn next(&mut self, orders: &Receiver<Job>) -> Result<Option<Job>, ()> {
        match orders.try_recv() {
            Ok(job) => return Ok(Some(job)),
            Err(TryRecvError::Disconnected) => return Err(()),
            Err(TryRecvError::Empty) => {}
        }
        match self.kernel.clear_some() {
            Ok(true) => Ok(None),
            Ok(false) => orders.recv().map(Some).map_err(drop),
            Err(error) => {
                warn!(error = %chain(&error), "a former generation of lists is still in the maps");
                match orders.recv_timeout(RETRY) {
                    Ok(job) => Ok(Some(job)),
                    Err(RecvTimeoutError::Timeout) => Ok(None),
                    Err(RecvTimeoutError::Disconnected) => Err(()),
                }
            }
        }
    }

    fn work(&mut self, job: Job) {
        match job {
            Job::Replace { header, nets, wall, reply } => {
                let done = self.replace(header, nets, wall);
                // Whoever asked may have hung up; what was done is done.
                drop(reply.send(done));
            }
            Job::Remove { name, wall, reply } => drop(reply.send(self.remove(&name, wall))),
            Job::Lift { net, wall, reply } => drop(reply.send(self.lift(net, wall))),
            Job::Refresh { protected, wall } => {
                self.protected = protected;
                let done = self.refresh_over(wall);
                told(done);
            }
            Job::Shift { seconds } => {
                let done = self.shift(seconds);
                told(done);
            }
        }
    }

    fn replace(&mut self, header: Header, nets: Vec<IpNet>, wall: Wall) -> Result<Done, ListError> {
        let given = nets.len() as u64;
        let sifted = sift(nets, &self.protected);
        let (unfit, untold) = (sifted.unfit, sifted.untold);
        if !unfit.is_empty() && !header.skip_unfit {
            return Err(ListError::Unfit { unfit, untold });
        }
        let nets = NetSet::of(&sifted.fit);
        coverage(&nets, self.coverage).map_err(|TooMuch { family, percent, most }| {
            ListError::TooMuch { family, percent, most }
        })?;
        let entries = nets.len();
        let list = NamedList {
            source: header.source,
            note: header.note,
            since: wall,
            expires: header.ttl.map(|ttl| wall.plus(ttl)),
            given,
            nets: Arc::new(nets),
        };
        let mut named = self.current();
        named.insert(header.name.clone(), Arc::new(list));
        self.put_in_force(named, &[header.name], wall)?;
        Ok(Done { entries, given, unfit, untold })
    }

    fn remove(&mut self, name: &str, wall: Wall) -> Result<Done, ListError> {
        let mut named = self.current();
        let list =
            named.remove(name).ok_or_else(|| ListError::Unknown { name: name.to_owned() })?;
        self.put_in_force(named, &[name.to_owned()], wall)?;
        Ok(Done { entries: list.nets.len(), given: list.given, ..Done::default() })
    }

    fn lift(&mut self, net: IpNet, wall: Wall) -> Result<Done, ListError> {
        let mut named = self.current();
        let mut changed = Vec::new();
        for (name, list) in &mut named {
            if list.nets.covering(net).is_some() {
                let nets = Arc::new(list.nets.without(&[net]));
                *list = Arc::new(NamedList { nets, ..NamedList::clone(list) });
                changed.push(name.clone());
            }
        }
        if changed.is_empty() {
            return Err(ListError::NotListed { net });
        }
        self.put_in_force(named, &changed, wall)?;
        Ok(Done { entries: changed.len(), ..Done::default() })
    }

    /// Takes away lists that are over, and what is protected.
    fn refresh_over(&mut self, wall: Wall) -> Result<Done, ListError> {
        let mut named = self.current();
        let over: Vec<String> = named
            .iter()
            .filter(|(_, list)| list.is_over(wall))
            .map(|(name, _)| name.clone())
            .collect();
        named.retain(|_, list| !list.is_over(wall));
        self.put_in_force(named, &over, wall)?;
        if !over.is_empty() {
            info!(?over, "lists over");
        }
        Ok(Done::default())
    }

    fn shift(&mut self, seconds: i64) -> Result<Done, ListError> {
        let mut named = self.current();
        for list in named.values_mut() {
            let since = moved(list.since, seconds);
            let expires = list.expires.map(|at| moved(at, seconds));
            *list = Arc::new(NamedList { since, expires, ..NamedList::clone(list) });
        }
        // The kernel's ends are on its own clock, which nobody sets.
        let changed: Vec<String> = named.keys().cloned().collect();
        self.publish(named);
        self.store(&changed)
    }

    fn current(&self) -> Named {
        Named::clone(&self.named.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All lists at one moment: in the kernel, then on the disk, then for everybody to see.
    fn put_in_force(
        &mut self,
        named: Named,
        changed: &[String],
        wall: Wall,
    ) -> Result<(), ListError> {
        let bulk = union::of(&named, &addresses(&self.protected), wall);
        self.kernel.replace(Arc::new(bulk)).map_err(|source| ListError::Kernel { source })?;
        self.publish(named);
        self.store(changed).map(drop)
    }

    fn publish(&self, named: Named) {
        *self.named.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(named);
    }

    fn store(&self, changed: &[String]) -> Result<Done, ListError> {
        let named = self.current();
        for name in changed {
            let stored = match named.get(name) {
                Some(list) => self.folder.save(name, list),
                None => self.folder.remove(name),
            };
            stored.map_err(|source| ListError::Store { source })?;
        }
        Ok(Done::default())
    }
}

/// Nobody waits for an answer: the log has it.
fn told(done: Result<Done, ListError>) {
    if let Err(error) = done {
        error!(error = %chain(&error), "lists of bans");
    }
}
