//! Decides which name is next, has it issued, and hands it over: one order at a time, each failure
//! with a later next try, and whatever happens the certificate that is served stays.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use instant_acme::CertificateIdentifier;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use super::{
    board::{Board, Fares},
    caller::{Caller, TERMS},
    error::AcmeError,
    notes::Notes,
    order,
    schedule::{ask_again, by_life, by_window, random, try_again},
};
use crate::{
    clock::Wall,
    config::model::{Acme, Managed},
    ipc::message::Kept,
    proxy::{
        tls::{self, Issued},
        worker::Shared,
    },
    telemetry::OrderOutcome,
};

/// The longest rest: the clock may have been set, or a file put in place by hand.
const REST: Duration = Duration::from_secs(30);

/// A whole order. An authority has its own bounds; this is for one that stalls at each step.
const ORDER: Duration = Duration::from_mins(10);

/// From kept to served: the guard sees the file, and lets it rest for a second.
const TAKEN: Duration = Duration::from_mins(1);
const LOOK: Duration = Duration::from_millis(200);

/// An authority without renewal information is asked again after this long.
const NO_SUGGESTION: Duration = Duration::from_hours(24);

/// When a certificate in use is renewed.
#[derive(Debug, Clone)]
struct Plan {
    /// Which certificate it is about.
    fingerprint: String,
    due: Wall,
    /// The window that `due` was drawn from.
    window: Option<(i64, i64)>,
    ask: Wall,
}

/// What the engine remembers.
struct Engine {
    shared: Arc<ArcSwap<Shared>>,
    notes: Notes,
    /// Of which directory the notes are.
    directory: String,
    plans: BTreeMap<String, Plan>,
    /// Issued, and not kept yet.
    pending: BTreeMap<String, Zeroizing<Vec<u8>>>,
    ordering: Option<String>,
}

/// Works until its task is dropped.
pub(crate) async fn run(shared: Arc<ArcSwap<Shared>>) {
    let mut engine = Engine {
        shared,
        notes: Notes::default(),
        directory: String::new(),
        plans: BTreeMap::new(),
        pending: BTreeMap::new(),
        ordering: None,
    };
    loop {
        let rest = engine.turn().await;
        let board = engine.board();
        board.rest(rest).await;
    }
}

impl Engine {
    /// Does what is due first, if anything is; says how long nothing else will be.
    async fn turn(&mut self) -> Duration {
        let config = self.shared.load_full();
        let Some(acme) = config.config.acme.clone() else {
            self.board().fares(BTreeMap::new());
            return REST;
        };
        self.follow(&acme);
        let names: Vec<Managed> = config.config.managed().into_iter().cloned().collect();
        drop(config);
        self.forget(&names);
        for one in &names {
            self.plan(&acme, one).await;
        }
        let next = names.iter().map(|one| (self.at(one), one)).min_by_key(|(at, _)| *at);
        let now = self.now();
        let rest = match next {
            Some((at, one)) if at <= now => {
                self.ordering = Some(one.name.clone());
                self.show(&names);
                self.renew(&acme, one).await;
                self.ordering = None;
                Duration::ZERO
            }
            Some((at, _)) => at.since(now).min(REST),
            None => REST,
        };
        self.show(&names);
        rest
    }

    /// Reads what was kept, at the start and for another directory.
    fn follow(&mut self, acme: &Acme) {
        if self.directory == acme.directory {
            return;
        }
        let kept = self.board().account(acme);
        let read = Notes::read(kept.as_ref().map(|kept| kept.as_slice()), &acme.directory);
        self.notes = read.unwrap_or_else(|error| {
            tracing::error!(%error, "what is kept of the account is of no use; another is made");
            Notes::read(None, &acme.directory).unwrap_or_default()
        });
        self.directory.clone_from(&acme.directory);
    }

    fn forget(&mut self, names: &[Managed]) {
        let configured = |name: &str| names.iter().any(|one| one.name == name);
        self.notes.retain(configured);
        self.plans.retain(|name, _| configured(name));
        self.pending.retain(|name, _| configured(name));
    }

    /// When something has to be done about a name. An operator's wish is now.
    fn at(&self, one: &Managed) -> Wall {
        if self.board().wants(&one.name) {
            return Wall(0);
        }
        let due = self.plans.get(&one.name).map_or(Wall(0), |plan| plan.due);
        let allowed = self.notes.tried(&one.name).map_or(Wall(0), |tried| Wall(tried.next));
        due.max(allowed)
    }

    /// Keeps the plan for the certificate in use: none where there is none.
    async fn plan(&mut self, acme: &Acme, one: &Managed) {
        let Some(issued) = self.issued(one) else {
            self.plans.remove(&one.name);
            return;
        };
        let known = self.plans.get(&one.name).filter(|plan| plan.fingerprint == issued.fingerprint);
        let mut plan = known.cloned().unwrap_or_else(|| Plan {
            fingerprint: issued.fingerprint.clone(),
            due: by_life(issued.from, issued.until, random(u64::MAX)),
            window: None,
            ask: Wall(0),
        });
        let now = self.now();
        if plan.ask <= now && self.notes.account().is_some() {
            plan.ask = self.suggestion(acme, &issued, &mut plan).await;
        }
        self.plans.insert(one.name.clone(), plan);
    }

    /// Asks the authority when it would like the renewal (RFC 9773); says when to ask again.
    async fn suggestion(&mut self, acme: &Acme, issued: &Issued, plan: &mut Plan) -> Wall {
        let now = self.now();
        let later = now.plus(NO_SUGGESTION);
        let Ok(id) = CertificateIdentifier::try_from(&issued.certificate) else { return later };
        let asked = async {
            let caller = self.caller(acme)?;
            let (account, _) =
                order::account(acme, &caller, &self.board(), &mut self.notes).await?;
            account.renewal_info(&id).await.map_err(AcmeError::Account)
        };
        match asked.await {
            Ok((info, again)) => {
                let window = info.suggested_window;
                let window = (window.start.unix_timestamp(), window.end.unix_timestamp());
                if plan.window != Some(window)
                    && let Some(due) =
                        by_window(window, (issued.from, issued.until), random(u64::MAX))
                {
                    tracing::info!(
                        ?window,
                        due = due.0,
                        why = info.explanation_url,
                        "the authority suggests when to renew"
                    );
                    (plan.due, plan.window) = (due, Some(window));
                }
                ask_again(now, again)
            }
            Err(AcmeError::Account(instant_acme::Error::Unsupported(_))) => later,
            Err(error) => {
                tracing::warn!(why = error.told(), "renewal information is not to be had");
                ask_again(now, Duration::from_hours(1))
            }
        }
    }

    /// Has one name issued, kept and served, or notes why not.
    async fn renew(&mut self, acme: &Acme, one: &Managed) {
        tracing::info!(name = one.name, "a certificate is ordered");
        self.board().taken_up(&one.name);
        let caller = self.caller(acme);
        let done = match &caller {
            Ok(caller) => {
                let late = AcmeError::Late { minutes: ORDER.as_secs() / 60 };
                let issued = timeout(ORDER, self.issue(acme, caller, one)).await;
                match issued.unwrap_or(Err(late)) {
                    Ok(()) => self.hand_over(one).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(AcmeError::Refused { why: error.told() }),
        };
        let metrics = Arc::clone(&self.shared.load().ledger.metrics);
        match done {
            Ok(()) => {
                tracing::info!(name = one.name, "a certificate is issued and served");
                metrics.certificate_ordered(OrderOutcome::Issued);
                self.notes.succeeded(&one.name);
            }
            Err(error) => {
                metrics.certificate_ordered(OrderOutcome::Failed);
                let away = caller.ok().and_then(|caller| caller.away());
                let (now, dice) = (self.now(), random(u64::MAX));
                let why = error.told();
                self.notes.failed(&one.name, why.clone(), |failures| {
                    try_again(now, failures, away, dice)
                });
                let next = self.notes.tried(&one.name).map_or(0, |tried| tried.next);
                let seconds = next.saturating_sub(now.0);
                tracing::error!(name = one.name, seconds, "no certificate; tried again: {why}");
            }
        }
        if let Err(error) = self.keep_notes().await {
            tracing::error!(why = error.told(), "what was tried is not kept");
        }
    }

    async fn issue(
        &mut self,
        acme: &Acme,
        caller: &Caller,
        one: &Managed,
    ) -> Result<(), AcmeError> {
        let now = self.now();
        if let Some(held) = self.pending.get(&one.name)
            && tls::check_issued(one, held, now).is_ok()
        {
            return Ok(());
        }
        let board = self.board();
        let (account, fresh) = order::account(acme, caller, &board, &mut self.notes).await?;
        if fresh {
            // Before anything is ordered by it: an account that is lost is one more account.
            self.keep_notes().await?;
        }
        let replaces = self.replaces(one);
        let shared = Arc::clone(&self.shared);
        let now = move || shared.load().time.wall();
        let bundle = order::issue(&account, acme, &board, one, replaces, now).await?;
        self.pending.insert(one.name.clone(), bundle);
        Ok(())
    }

    /// Said only to authorities that give renewal information (RFC 9773 section 5).
    fn replaces(&self, one: &Managed) -> Option<CertificateIdentifier<'static>> {
        self.plans.get(&one.name).filter(|plan| plan.window.is_some())?;
        let issued = self.issued(one)?;
        CertificateIdentifier::try_from(&issued.certificate)
            .ok()
            .map(CertificateIdentifier::into_owned)
    }

    /// To the guard, and by it to all workers.
    async fn hand_over(&mut self, one: &Managed) -> Result<(), AcmeError> {
        let Some(bundle) = self.pending.get(&one.name) else { return Ok(()) };
        let wanted = tls::fingerprint_of(one, bundle);
        self.keep(Kept::Certificate(one.name.clone()), bundle).await?;
        let served = async {
            while self.issued(one).map(|issued| issued.fingerprint) != wanted {
                sleep(LOOK).await;
            }
        };
        timeout(TAKEN, served).await.map_err(|_elapsed| AcmeError::NotServed)?;
        self.pending.remove(&one.name);
        Ok(())
    }

    async fn keep_notes(&self) -> Result<(), AcmeError> {
        let written = self.notes.write().map_err(AcmeError::Notes)?;
        self.keep(Kept::Account, &written).await
    }

    async fn keep(&self, what: Kept, content: &[u8]) -> Result<(), AcmeError> {
        let keeping = Arc::clone(&self.shared.load().keeping);
        keeping.keep(what, content).await.map_err(|why| AcmeError::NotKept { why })
    }

    fn caller(&self, acme: &Acme) -> Result<Caller, AcmeError> {
        let authorities = acme.authorities.as_deref();
        let tls = self.board().with_files(|files| tls::questions(authorities, None, files));
        let tls = tls.map_err(AcmeError::Tls)?;
        Ok(Caller::new(self.shared.load().client(tls, TERMS)))
    }

    fn issued(&self, one: &Managed) -> Option<Issued> {
        self.shared.load().tls.issued(&one.file)
    }

    fn board(&self) -> Arc<Board> {
        Arc::clone(&self.shared.load().acme)
    }

    fn now(&self) -> Wall {
        self.shared.load().time.wall()
    }

    fn show(&self, names: &[Managed]) {
        let fares = |one: &Managed| {
            let (plan, tried) = (self.plans.get(&one.name), self.notes.tried(&one.name));
            let fares = Fares {
                ordering: self.ordering.as_ref() == Some(&one.name),
                failures: tried.map_or(0, |tried| tried.failures),
                why: tried.map(|tried| tried.why.clone()),
                next: tried.map(|tried| Wall(tried.next)),
                due: plan.map(|plan| plan.due),
                until: self.issued(one).map(|issued| issued.until),
                suggested: plan.is_some_and(|plan| plan.window.is_some()),
            };
            (one.name.clone(), fares)
        };
        self.board().fares(names.iter().map(fares).collect());
    }
}
