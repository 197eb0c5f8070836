//! Policies put on trial, confirmed and rolled back, by command, by reload and by the clock.

use std::{path::Path, time::Duration};

use tracing::{info, warn};

use super::Core;
use crate::{
    config::{Faults, Settled, Tables, load_kernel, load_settled, model::Config, text_of},
    control::{PolicyReport, PolicyStatus, Response, TrialStatus},
    guard::{allows::AllowError, chain, control::Outcome, kernel::KernelError, policy::Named},
};

/// Why a policy was not tried, confirmed or rolled back.
#[derive(Debug, thiserror::Error)]
enum PolicyError {
    #[error("{faults}")]
    Faults { faults: Faults },
    #[error(
        "a change of {keys} in [kernel] takes a restart (`systemctl restart gateway`); apply the rest without it"
    )]
    Restart { keys: String },
    #[error(
        "{origin} is on trial, {seconds} s are left; `gateway policy confirm` keeps it, `gateway policy rollback` ends it"
    )]
    OnTrial { origin: String, seconds: u64 },
    #[error("reading {path}; correct that, then reload again")]
    Read {
        path: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the policy is as it was")]
    Kernel {
        #[source]
        source: KernelError,
    },
    #[error("the policy is as it was")]
    Allow {
        #[source]
        source: AllowError,
    },
}

impl From<KernelError> for PolicyError {
    fn from(source: KernelError) -> Self {
        Self::Kernel { source }
    }
}

type Tried = Result<String, PolicyError>;

impl Core {
    /// Puts the `[kernel]` of a text on trial; without a time for as long as the present policy
    /// says.
    pub(super) fn apply_policy(
        &mut self,
        text: &str,
        origin: String,
        time: Option<Duration>,
    ) -> Outcome {
        let tried = load_kernel(text, &origin)
            .map_err(|faults| PolicyError::Faults { faults })
            .and_then(|Tables { table, .. }| self.try_policy(Named { table, origin }, time));
        self.settled("apply", tried)
    }

    pub(super) fn confirm_policy(&mut self) -> Outcome {
        let confirmed = self.confirm_trial();
        self.settled("confirm", confirmed)
    }

    pub(super) fn roll_back_policy(&mut self) -> Outcome {
        let done = match self.end_trial() {
            Ok(tried) => Ok(format!(
                "{} is rolled back; the policy before is in force again",
                tried.map_or_else(String::new, |tried| tried.origin)
            )),
            Err(error) => Err(error),
        };
        self.settled("rollback", done)
    }

    /// Reads the configured file again and tries its `[kernel]`; the other sections take a restart.
    pub(in crate::guard) fn reload(&mut self) -> Outcome {
        let reloaded = self.read_again().and_then(|(wanted, others)| {
            let rest = if others {
                "; other sections differ too and take a restart (`systemctl restart gateway`)"
            } else {
                ""
            };
            Ok(self.try_policy(wanted, None)? + rest)
        });
        self.settled("reload", reloaded)
    }

    /// Begins the trial of what the file says since the last start.
    pub(in crate::guard) fn begin_with(&mut self, untried: Option<Named>) {
        let Some(untried) = untried else { return };
        match self.try_policy(untried, None) {
            Ok(message) => warn!(target: "audit", action = "start", "{message}"),
            Err(error) => {
                let error = chain(&error);
                self.warn(format!("the [kernel] of the file is not in force: {error}"));
            }
        }
        self.follow();
    }

    /// Once a second: the kernel goes back by itself, here it is understood that it did.
    pub(super) fn watch_trial(&mut self) {
        if !matches!(self.kernel.0.trial_left(), Ok(Some(Duration::ZERO))) {
            return;
        }
        match self.end_trial() {
            Ok(tried) => {
                let origin = tried.map_or_else(String::new, |tried| tried.origin);
                self.counts.policy_rollbacks += 1;
                warn!(target: "audit", action = "expire", %origin, "policy not confirmed in time");
                self.warn(format!(
                    "the policy of {origin} was not confirmed in time: the one before is in force again; `gateway policy apply` tries it once more"
                ));
            }
            Err(error) => self.warn(chain(&error)),
        }
    }

    pub(super) fn policy_report(&self) -> PolicyReport {
        PolicyReport {
            status: self.policy_status(),
            confirmed: self.policies.confirmed().table.text.clone(),
            trial: self.policies.trial().map(|trial| trial.table.text.clone()),
        }
    }

    pub(super) fn policy_status(&self) -> PolicyStatus {
        let confirmed = self.policies.confirmed();
        PolicyStatus {
            file: self.policies.file().to_owned(),
            origin: confirmed.origin.clone(),
            digest: confirmed.short_digest(),
            differs: self.policies.other_file().is_some(),
            trial: self.policies.trial().map(|trial| TrialStatus {
                origin: trial.origin.clone(),
                digest: trial.short_digest(),
                seconds_left: self.seconds_left(),
            }),
        }
    }

    /// The configured file's table, and whether its other sections are not the running ones.
    fn read_again(&self) -> Result<(Named, bool), PolicyError> {
        let origin = self.policies.file().to_owned();
        let text = text_of(Path::new(&origin))
            .map_err(|source| PolicyError::Read { path: origin.clone(), source })?;
        let read = |error| PolicyError::Faults { faults: error };
        let Settled { config, text } = load_settled(&text, &origin).map_err(read)?;
        let Tables { table, .. } = load_kernel(&text, &origin).map_err(read)?;
        let others = Config { kernel: self.config.kernel.clone(), ..config } != self.config;
        Ok((Named { table, origin }, others))
    }

    fn try_policy(&mut self, mut wanted: Named, time: Option<Duration>) -> Tried {
        let running = &self.policies.confirmed().table.kernel;
        if !running.enabled {
            return Err(KernelError::IsOff.into());
        }
        if let Some(trial) = self.policies.trial() {
            let (origin, seconds) = (trial.origin.clone(), self.seconds_left());
            return Err(PolicyError::OnTrial { origin, seconds });
        }
        let keys = running.needs_restart(&wanted.table.kernel);
        if !keys.is_empty() {
            return Err(PolicyError::Restart { keys: keys.join(", ") });
        }
        // The listeners are the running ones, whatever the text says of them, if anything.
        wanted.table.kernel = wanted.table.kernel.on(running);
        if wanted.table.kernel == *running {
            return Ok(format!("the [kernel] of {} is in force already", wanted.origin));
        }
        let needs_no_word = time.is_none() && running.confirm.is_none();
        let time = time.or(running.confirm).unwrap_or(Duration::from_mins(1));
        self.begin_trial(wanted.clone(), time)?;
        if needs_no_word {
            return self.confirm_trial();
        }
        Ok(format!(
            "{} is on trial for {} s; `gateway policy confirm` keeps it, best over a new connection; without that the policy before comes back by itself",
            wanted.origin,
            time.as_secs()
        ))
    }

    /// What either policy protects is protected before the new one holds.
    fn begin_trial(&mut self, wanted: Named, time: Duration) -> Result<(), PolicyError> {
        let kernel = wanted.table.kernel.clone();
        let widened = self.allows.widen(&mut *self.kernel.0, &kernel.protect);
        let tried = widened
            .map_err(|source| PolicyError::Allow { source })
            .and_then(|()| Ok(self.kernel.0.try_policy(&kernel, time)?));
        if let Err(error) = tried {
            self.settle_protection();
            return Err(error);
        }
        self.policies.begin(wanted);
        let both = [&self.policies.confirmed().table.kernel.protect[..], &kernel.protect].concat();
        self.bans.protect_management(&both);
        self.config.kernel = kernel;
        Ok(())
    }

    fn confirm_trial(&mut self) -> Tried {
        let Some(trial) = self.policies.trial() else { return Err(KernelError::NoTrial.into()) };
        let (kernel, origin) = (trial.table.kernel.clone(), trial.origin.clone());
        if let Err(error) = self.kernel.0.confirm_policy(&kernel) {
            self.watch_trial();
            return Err(error.into());
        }
        self.policies.confirm();
        self.settle_protection();
        let mut message = format!("{origin} is confirmed: its policy holds, also after a restart");
        if let Some(other) = self.policies.other_file() {
            message.extend(["; but ", &other]);
        }
        Ok(message)
    }

    /// Back to what was confirmed; returns what was tried.
    fn end_trial(&mut self) -> Result<Option<Named>, PolicyError> {
        self.kernel.0.roll_back_policy()?;
        let tried = self.policies.abandon();
        self.settle_protection();
        Ok(tried)
    }

    /// The confirmed policy's protected prefixes, and no others.
    fn settle_protection(&mut self) {
        let kernel = self.policies.confirmed().table.kernel.clone();
        self.bans.protect_management(&kernel.protect);
        if let Err(error) = self.allows.settle(&mut *self.kernel.0, &kernel.protect) {
            self.warn(format!("a prefix is allowed still: {}", chain(&error)));
        }
        self.config.kernel = kernel;
    }

    pub(super) fn seconds_left(&self) -> u64 {
        self.kernel.0.trial_left().ok().flatten().map_or(0, |left| left.as_secs())
    }

    /// The answer, once what changed is on the disk; a line for the audit in any case.
    fn settled(&mut self, action: &'static str, tried: Tried) -> Outcome {
        let confirmed = self.policies.confirmed().short_digest();
        let trial = self.policies.trial().map(Named::short_digest);
        match tried {
            Ok(message) => {
                info!(target: "audit", action, confirmed, trial, "policy: {message}");
                self.stored(Response::Done { message })
            }
            Err(error) => {
                let message = chain(&error);
                warn!(target: "audit", action, confirmed, trial, "policy refused: {message}");
                self.follow();
                Outcome::Now(Response::Refused { message })
            }
        }
    }
}
