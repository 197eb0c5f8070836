//! Policies put on trial, confirmed and rolled back, by command, by reload and by the clock.

use std::time::Duration;

use tracing::{info, warn};

use super::Core;
use crate::{
    config::{Faults, Tables, load_kernel},
    control::{PolicyReport, PolicyStatus, Response, TrialStatus},
    guard::{allows::AllowError, chain, control::Outcome, kernel::KernelError, policy::Named},
};

/// Why a policy was not tried, confirmed or rolled back.
#[derive(Debug, thiserror::Error)]
pub(super) enum PolicyError {
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

    fn try_policy(&mut self, wanted: Named, time: Option<Duration>) -> Tried {
        if !self.policies.confirmed().table.kernel.enabled {
            return Err(KernelError::IsOff.into());
        }
        let origin = wanted.origin.clone();
        if !self.wants_trial(&wanted)? {
            return Ok(format!("the [kernel] of {origin} is in force already"));
        }
        let needs_no_word = time.is_none() && self.needs_no_word();
        let time = self.time_to_confirm(time);
        self.begin_trial(self.here(wanted), time)?;
        if needs_no_word {
            return self.confirm_trial();
        }
        Ok(on_trial(&origin, time.as_secs()))
    }

    /// Whether this policy is another than the confirmed one. An error if it cannot be tried now.
    pub(super) fn wants_trial(&self, wanted: &Named) -> Result<bool, PolicyError> {
        let running = &self.policies.confirmed().table.kernel;
        if !running.enabled {
            return Ok(false);
        }
        let keys = running.needs_restart(&wanted.table.kernel);
        if !keys.is_empty() {
            return Err(PolicyError::Restart { keys: keys.join(", ") });
        }
        let differs = wanted.table.kernel.on(running) != *running;
        if let Some(trial) = self.policies.trial().filter(|_| differs) {
            let (origin, seconds) = (trial.origin.clone(), self.seconds_left());
            return Err(PolicyError::OnTrial { origin, seconds });
        }
        Ok(differs)
    }

    /// Part of a reload: tried now, kept or not when that is over.
    pub(super) fn begin_pending_trial(&mut self, wanted: Named) -> Result<(), PolicyError> {
        self.begin_trial(self.here(wanted), self.time_to_confirm(None))
    }

    /// The reload is done: kept at once where no word is asked for. Else what is to be said.
    pub(super) fn conclude_trial(&mut self) -> Result<Option<String>, PolicyError> {
        if self.needs_no_word() {
            return self.confirm_trial().map(|_| None);
        }
        let origin = self.policies.trial().map(|trial| trial.origin.clone());
        Ok(origin.map(|origin| on_trial(&format!("the [kernel] of {origin}"), self.seconds_left())))
    }

    /// The reload failed for other reasons: the policy before holds again and this one may come
    /// back.
    pub(super) fn withdraw_trial(&mut self) {
        if let Err(error) = self.end_trial() {
            self.warn(chain(&error));
        }
        self.policies.withdraw();
    }

    /// Serves these ports from now on, not on trial. Waits for a trial to be over.
    pub(super) fn open_ports(&mut self, ports: &[u16]) -> Result<(), PolicyError> {
        let confirmed = &self.policies.confirmed().table.kernel;
        if confirmed.listening == ports || self.policies.trial().is_some() {
            return Ok(());
        }
        let mut kernel = confirmed.clone();
        kernel.listening = ports.to_vec();
        if kernel.enabled {
            self.kernel.0.try_policy(&kernel, Duration::from_mins(1))?;
            self.kernel.0.confirm_policy(&kernel)?;
        }
        self.policies.listen_on(ports);
        self.config.kernel.listening = ports.to_vec();
        Ok(())
    }

    /// The interfaces, maps and listeners are the running ones, whatever the text says of them.
    fn here(&self, mut wanted: Named) -> Named {
        wanted.table.kernel = wanted.table.kernel.on(&self.policies.confirmed().table.kernel);
        wanted
    }

    fn needs_no_word(&self) -> bool {
        self.policies.confirmed().table.kernel.confirm.is_none()
    }

    fn time_to_confirm(&self, time: Option<Duration>) -> Duration {
        let usual = self.policies.confirmed().table.kernel.confirm;
        time.or(usual).unwrap_or(Duration::from_mins(1))
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

fn on_trial(origin: &str, seconds: u64) -> String {
    format!(
        "{origin} is on trial for {seconds} s; `gateway policy confirm` keeps it, best over a new connection; without that the policy before comes back by itself"
    )
}
