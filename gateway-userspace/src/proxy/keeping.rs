//! What outlives this proxy: handed to the guard, which writes it and never reads it.

use std::time::Duration;

use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use crate::{
    clock,
    ipc::message::{FromProxy, Kept},
    proxy::outbox::Asks,
};

/// The guard is asked again this often; it may be another by then.
const ASK: Duration = Duration::from_secs(30);

/// One for all that a proxy has to keep.
#[derive(Debug)]
pub(crate) struct Keeping {
    asks: Asks,
    /// The guard's last answer to `Keep`.
    answered: watch::Sender<(u64, Option<String>)>,
    /// One at a time: only the last answer is seen.
    turn: Mutex<()>,
}

impl Keeping {
    pub(crate) fn new(asks: Asks) -> Self {
        Self { asks, answered: watch::Sender::default(), turn: Mutex::default() }
    }

    /// The guard's answer to `Keep`.
    pub(crate) fn answered(&self, id: u64, fault: Option<String>) {
        self.answered.send_replace((id, fault));
    }

    /// Until a guard has answered: while there is none, nothing would be lost by waiting. Fails with
    /// why it is not kept.
    pub(crate) async fn keep(&self, what: Kept, content: &[u8]) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        let id = clock::monotonic_ns();
        let mut answered = self.answered.subscribe();
        loop {
            let content = content.to_vec();
            self.asks.tell(FromProxy::Keep { id, what: what.clone(), content });
            match timeout(ASK, answered.wait_for(|(known, _)| *known == id)).await {
                Ok(Ok(answer)) => return answer.1.clone().map_or(Ok(()), Err),
                Ok(Err(_closed)) => return Err("the proxy ends".to_owned()),
                Err(_elapsed) => {}
            }
        }
    }
}
