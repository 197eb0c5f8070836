//! `gateway upgrade`: the guard goes over to another program without leaving its process. Here it is
//! found out whether that program would run; `guard::kept` carries what stays open.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::Core;
use crate::{
    config::{changes::between, load_settled, text_of},
    control::Response,
    guard::{control::Outcome, kept},
};

/// For a check of a configuration by another program.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes of a program's complaints that are shown.
const SHOWN: usize = 2000;

/// `[guard]` keys that a later guard has to have in common, or it does not find the serving proxy.
const SHARED: [&str; 3] = ["run", "user", "group"];

impl Core {
    /// Has the program that is there now look at the configuration that is there now, then leaves
    /// for it.
    pub(super) fn upgrade(&mut self) -> Outcome {
        match self.may_upgrade() {
            Ok(program) => {
                let (file, leave) = (self.policies.file().to_owned(), self.upgrades.clone());
                Outcome::Later(Box::pin(async move {
                    if let Err(message) = check(&program, &file).await {
                        return Response::Refused { message };
                    }
                    // Full: it is told already.
                    leave.try_send(()).ok();
                    let message = format!("the guard goes over to {}", program.display());
                    Response::Done { message }
                }))
            }
            Err(message) => Outcome::Now(Response::Refused { message }),
        }
    }

    /// Everything that was done is on the disk, or it is not known in time.
    pub(in crate::guard) async fn settle_store(&mut self) -> bool {
        let changes = self.take_changes();
        let durable = self.store.submit_durable(changes);
        matches!(timeout(PATIENCE, durable).await, Ok(Ok(Ok(()))))
    }

    /// What the next program gets of this one.
    pub(in crate::guard) fn keeps(&self) -> kept::Holdings<'_> {
        kept::Holdings { listening: &self.listening, draining: self.keeper.draining() }
    }

    fn may_upgrade(&self) -> Result<PathBuf, String> {
        if self.running.is_pending() {
            return Err("a reload is under way; try again when it is done".to_owned());
        }
        let file = self.policies.file();
        // One that cannot be read is the other program's to complain about.
        let wanted = text_of(file.as_ref()).ok().and_then(|text| load_settled(&text, file).ok());
        let changes = wanted.map(|wanted| between(&self.text, &wanted.text)).unwrap_or_default();
        let moved = changes
            .iter()
            .find(|change| change.section == "guard" && SHARED.contains(&change.key.as_str()));
        if let Some(moved) = moved {
            return Err(format!(
                "{} has changed, and a guard with another one does not find the proxy that serves; `systemctl restart gateway` loads it",
                moved.place()
            ));
        }
        kept::program().map_err(|error| format!("finding this program's file: {error}"))
    }
}

async fn check(program: &PathBuf, file: &str) -> Result<(), String> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.arg("check").stdin(Stdio::null()).kill_on_drop(true);
    // Without a file there is none to check but the usual one, which then does not exist.
    if std::path::Path::new(file).is_absolute() {
        command.arg(file);
    }
    let output = timeout(PATIENCE, command.output())
        .await
        .map_err(|_elapsed| format!("`{shown} check` does not end; nothing has changed"))?
        .map_err(|error| format!("starting {shown}: {error}; nothing has changed"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said: String = said.trim().chars().take(SHOWN).collect();
    Err(format!("`{shown} check {file}` fails, nothing has changed: {said}"))
}
