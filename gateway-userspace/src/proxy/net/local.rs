//! Lets hyper spawn on the worker's own thread: nothing there needs to be `Send`.

use hyper::rt::Executor;

/// The worker's runtime owns what is spawned; tasks end with their connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(future));
    }
}
