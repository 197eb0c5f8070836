//! Tunnels on streams of one connection (RFC 8441): each is a task, and none outlives it.

use std::{cell::RefCell, rc::Rc};

use gateway_common::Reason;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::proxy::{
    net::{
        serve::GOODBYE,
        tunnel::{self, Opened},
        vigil::Busy,
    },
    worker::Worker,
};

/// At most as many as there may be streams.
pub(super) struct Tunnels {
    tasks: RefCell<JoinSet<()>>,
    stop: watch::Receiver<bool>,
}

impl Tunnels {
    pub(super) fn new(stop: watch::Receiver<bool>) -> Rc<Self> {
        Rc::new(Self { tasks: RefCell::default(), stop })
    }

    /// Carries bytes between a stream, once it is the client's to use, and a supplier. `busy` keeps the
    /// connection from being idle meanwhile.
    pub(super) fn open(&self, worker: &Rc<Worker>, busy: Busy, stream: OnUpgrade, opened: Opened) {
        let (worker, stop) = (Rc::clone(worker), self.stop.clone());
        let mut tasks = self.tasks.borrow_mut();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_local(async move {
            let _busy = busy;
            match stream.await {
                Ok(stream) => tunnel::run(&worker, opened, &[], TokioIo::new(stream), stop).await,
                Err(error) => {
                    tracing::trace!(%error, "a stream ended before its tunnel began");
                    let Opened { mut record, .. } = opened;
                    record.broke(Reason::ClientGone);
                }
            }
        });
    }

    /// Waits until the streams' end, which came with that of the connection, is written down.
    pub(super) async fn end(&self) {
        let mut tasks = self.tasks.take();
        let ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(2 * GOODBYE, ended).await.is_err() {
            tracing::trace!("a tunnel outlived its connection");
        }
    }
}
