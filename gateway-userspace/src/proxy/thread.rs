//! A worker thread: its listening sockets, its suppliers' connections, and how both follow when
//! another configuration comes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{JoinError, JoinSet},
};

use super::{
    instance::ListenerSocket,
    net::accept::{Listening, accept},
    pipeline::forward::Suppliers,
    upstream::Setup,
    worker::{Shared, Worker},
};

/// A connection to a supplier is closed when it was not used for one to two of these. Shorter than
/// the minute or more that servers usually keep theirs, so that mostly we are the one who closes.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// What all workers go by, from one reload to the next.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(super) number: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) setup: Setup,
    pub(super) sockets: Vec<Arc<ListenerSocket>>,
}

/// What a thread starts with.
pub(super) struct Start {
    pub(super) index: u16,
    /// How many threads share the sockets.
    pub(super) threads: u16,
    pub(super) generations: watch::Receiver<Arc<Generation>>,
    /// Which one this thread goes by.
    pub(super) reached: watch::Sender<u64>,
}

/// A thread at work.
struct Thread {
    start: Start,
    worker: Rc<Worker>,
    /// Each socket's order to stop.
    listening: HashMap<(SocketAddr, u16), watch::Sender<bool>>,
    accepting: JoinSet<()>,
    /// Those of earlier generations, as long as a connection or a request goes by them.
    earlier: Vec<Weak<Worker>>,
}

impl Start {
    /// Serves until told to stop, then until the connections have ended.
    pub(super) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let first = Arc::clone(&self.generations.borrow_and_update());
        let suppliers = Suppliers::new(&first.shared.config, &first.setup);
        let worker = Worker::new(Arc::clone(&first.shared), suppliers);
        let (listening, accepting) = (HashMap::new(), JoinSet::new());
        let mut thread = Thread { start: self, worker, listening, accepting, earlier: Vec::new() };
        thread.listen(&first);
        let mut memory = first.shared.process.follow();
        drop(first);
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        while !thread.accepting.is_empty() || !*stopped.borrow_and_update() {
            tokio::select! {
                Some(ended) = thread.accepting.join_next() => if !is_sound(&ended) { return },
                _ = sweep.tick() => thread.sweep(),
                Ok(()) = memory.changed() => thread.worker.press(*memory.borrow_and_update()),
                Ok(()) = thread.start.generations.changed() => thread.follow(),
                _ = stopped.changed() => thread.stop(),
            }
        }
    }
}

impl Thread {
    /// Goes over to the latest generation.
    fn follow(&mut self) {
        let next = Arc::clone(&self.start.generations.borrow_and_update());
        let worker = self.worker.succeed(Arc::clone(&next.shared), &next.setup);
        let earlier = std::mem::replace(&mut self.worker, worker);
        self.earlier.push(Rc::downgrade(&earlier));
        drop(earlier);
        self.listen(&next);
        self.earlier.retain(|worker| worker.strong_count() > 0);
    }

    /// Accepts from the sockets that are this thread's, and from no others.
    fn listen(&mut self, generation: &Generation) {
        let Start { index, threads, .. } = self.start;
        // Sockets of workers that do not exist (the number was lowered) go to those that do.
        let mine = |socket: &&Arc<ListenerSocket>| socket.worker % threads == index;
        let mine: Vec<_> = generation.sockets.iter().filter(mine).collect();
        self.listening.retain(|key, stop| {
            let stays = mine.iter().any(|socket| socket.key() == *key);
            if !stays {
                stop.send_replace(true);
            }
            stays
        });
        for socket in mine {
            if !self.listening.contains_key(&socket.key()) {
                self.open(socket);
            }
        }
        self.start.reached.send_replace(generation.number);
    }

    fn open(&mut self, socket: &ListenerSocket) {
        let opened = socket.socket.try_clone().and_then(tokio::net::TcpListener::from_std);
        match opened {
            Ok(opened) => {
                let (stop, stopped) = watch::channel(false);
                let listening = Listening { socket: opened, address: socket.address };
                let worker = Rc::clone(&self.worker);
                self.accepting.spawn_local(accept(worker, listening, stopped));
                self.listening.insert(socket.key(), stop);
            }
            Err(error) => {
                tracing::error!(address = %socket.address, %error, "a listening socket cannot be used");
            }
        }
    }

    fn stop(&self) {
        for stop in self.listening.values() {
            stop.send_replace(true);
        }
    }

    fn sweep(&mut self) {
        self.worker.suppliers.sweep();
        self.earlier.retain(|worker| {
            let Some(worker) = worker.upgrade() else { return false };
            worker.suppliers.sweep();
            true
        });
    }
}

fn is_sound(ended: &Result<(), JoinError>) -> bool {
    if let Err(error) = ended {
        tracing::error!(%error, "a listener's task ended");
    }
    ended.is_ok()
}
