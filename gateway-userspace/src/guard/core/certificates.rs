//! Certificates that change while they are served: when their files do, and by command.

use std::{path::PathBuf, time::Duration};

use tokio::{sync::oneshot, time::timeout};
use tracing::{error, info};

use super::Core;
use crate::{
    control::Response,
    guard::{chain, control::Outcome},
    ipc::message::{FromGuard, RefusedFile},
};

/// Commands that may wait for one answer.
const RENEWERS: usize = 16;

/// A proxy reads a thousand certificates in less.
const PATIENCE: Duration = Duration::from_secs(10);

/// Files that are named as unreadable: they have to fit a frame with the longest paths. The proxy
/// misses the others, and says so.
const UNREADABLE: usize = 8;

impl Core {
    /// Once a second.
    pub(super) fn watch_certificates(&mut self) {
        if self.renewal.look(&self.config) {
            info!("certificate files have changed");
            self.renew_certificates();
        }
    }

    /// A proxy serves. One that was taken over may have missed changes.
    pub(super) fn catch_up_certificates(&mut self) {
        if !self.renewal.is_complete(&self.config) {
            self.renew_certificates();
        }
    }

    /// `gateway reload` and SIGHUP: says which files were not taken.
    pub(in crate::guard) fn order_renewal(&mut self) -> Outcome {
        if !self.keeper.is_serving() {
            let message = "no proxy serves; the next one reads the files at its start".to_owned();
            return Outcome::Now(Response::Refused { message });
        }
        if self.renewers.len() >= RENEWERS {
            let message = "too many wait for this already; try again".to_owned();
            return Outcome::Now(Response::Refused { message });
        }
        let (reply, answer) = oneshot::channel();
        self.renewers.push(reply);
        self.renew_certificates();
        Outcome::Later(Box::pin(async move {
            let answered = timeout(PATIENCE, answer).await;
            told(answered.ok().and_then(Result::ok))
        }))
    }

    /// The proxy has read them.
    pub(super) fn renewed(&mut self, id: u64, refused: &[RefusedFile], more: bool) {
        let Some(bad) = self.renewal.answered(id, refused, more, &self.config) else {
            self.counts.messages_refused += 1;
            return;
        };
        match bad.as_slice() {
            [] => info!("certificates are read again"),
            bad => error!(
                ?bad,
                "not taken; the last good ones are served on, `gateway status` says why"
            ),
        }
        for waiting in self.renewers.drain(..) {
            // Who asked may have left.
            drop(waiting.send(bad.clone()));
        }
    }

    pub(super) fn renew_certificates(&mut self) {
        let (id, files, mut unreadable) = match self.renewal.read(&self.config) {
            Ok(read) => read,
            Err(error) => {
                self.renewers.clear();
                return error!(error = %chain(&error), "certificates are as they were");
            }
        };
        unreadable.truncate(UNREADABLE);
        for message in files.messages() {
            self.keeper.pass(message);
        }
        self.keeper.tell(FromGuard::Renew { id, unreadable });
    }
}

/// The paths are the configuration's: the proxy's own words are for `gateway status`, which reads
/// them without capabilities.
fn told(answer: Option<Vec<PathBuf>>) -> Response {
    let Some(bad) = answer else {
        let message = "the proxy did not answer; `gateway status` shows what it serves".to_owned();
        return Response::Refused { message };
    };
    if bad.is_empty() {
        return Response::Done { message: "certificates are read again".to_owned() };
    }
    let bad: Vec<String> = bad.iter().map(|path| path.display().to_string()).collect();
    let message = format!(
        "{} not taken, the last good is served on; `gateway status` says why",
        bad.join(", ")
    );
    Response::Refused { message }
}
