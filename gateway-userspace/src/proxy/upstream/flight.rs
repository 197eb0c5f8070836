//! One run of a job that many wait for. The run is a task of its own: it goes on when those who
//! wait leave, so that a client that hangs up cannot start it anew each time.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    rc::{Rc, Weak},
    sync::Arc,
};

use tokio::{
    sync::Notify,
    task::{AbortHandle, spawn_local},
};

/// A job that runs at most once at a time.
pub(super) struct Flight<E> {
    running: Cell<bool>,
    /// The error of the last run.
    failure: RefCell<Option<Arc<E>>>,
    landed: Notify,
    task: RefCell<Option<AbortHandle>>,
}

impl<E: 'static> Flight<E> {
    pub(super) fn new() -> Rc<Self> {
        Rc::new(Self {
            running: Cell::new(false),
            failure: RefCell::new(None),
            landed: Notify::new(),
            task: RefCell::new(None),
        })
    }

    /// Waits for the run under way, or starts one.
    pub(super) async fn join<F>(self: &Rc<Self>, start: impl FnOnce() -> F) -> Result<(), Arc<E>>
    where
        F: Future<Output = Result<(), E>> + 'static,
    {
        let landed = self.landed.notified();
        if !self.running.replace(true) {
            let job = start();
            let landing = Landing(Rc::downgrade(self));
            let task = spawn_local(async move { landing.set(job.await) });
            self.task.replace(Some(task.abort_handle()));
        }
        landed.await;
        match self.failure.borrow().as_ref() {
            None => Ok(()),
            Some(failure) => Err(Arc::clone(failure)),
        }
    }
}

impl<E> Drop for Flight<E> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Ends the run, also when the job panics.
struct Landing<E>(Weak<Flight<E>>);

impl<E> Landing<E> {
    fn set(&self, outcome: Result<(), E>) {
        if let Some(flight) = self.0.upgrade() {
            flight.failure.replace(outcome.err().map(Arc::new));
        }
    }
}

impl<E> Drop for Landing<E> {
    fn drop(&mut self) {
        if let Some(flight) = self.0.upgrade() {
            flight.running.set(false);
            flight.landed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn runs_once_for_all_who_wait_and_survives_the_first_leaving() {
        let runs = Rc::new(Cell::new(0));
        let flight = Flight::<()>::new();
        let job = || {
            let runs = Rc::clone(&runs);
            async move {
                tokio::task::yield_now().await;
                runs.set(runs.get() + 1);
                Ok(())
            }
        };
        LocalSet::new()
            .run_until(async {
                tokio::select! {
                    biased;
                    _ = flight.join(job) => panic!("nothing has run yet"),
                    () = std::future::ready(()) => {}
                }
                let (second, third) = tokio::join!(flight.join(job), flight.join(job));
                assert!(second.is_ok() && third.is_ok());
            })
            .await;
        assert_eq!(runs.get(), 1);
    }

    #[tokio::test]
    async fn a_job_that_panics_ends_the_wait() {
        let flight = Flight::<()>::new();
        LocalSet::new()
            .run_until(async {
                let outcome = flight.join(|| async { panic!("as a test") }).await;
                assert!(outcome.is_ok());
                assert!(!flight.running.get());
            })
            .await;
    }
}
