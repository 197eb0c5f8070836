//! Questions to targets, on the support thread: a target that does not answer as it should gets no
//! requests before one does. Its answer is read no further than to its end or a bound.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Request, header::USER_AGENT};
use http_body_util::{BodyExt as _, Limited};
use tokio::{task::JoinSet, time::timeout_at};

use super::{
    Payload, Setup,
    crew::Crew,
    endpoint::Endpoint,
    exchange::{Exchange, Setback},
    patience::Patience,
    setup::{Prepared, PreparedSupplier},
    target::Target,
    upload::Upload,
};
use crate::{
    clock,
    config::model::{Health, Timeouts},
};

/// Bytes of an answer that are read.
const READ: usize = 64 * 1024;

static ASKER: HeaderValue = HeaderValue::from_static("gateway-health");

/// The targets that are asked, by supplier. To be used inside a `LocalSet`; dropping it ends them.
#[derive(Default)]
pub(crate) struct Watch {
    asked: Vec<(Arc<Prepared>, JoinSet<()>)>,
}

impl Watch {
    /// Asks the targets of this configuration. Those of suppliers that stay are asked on at their
    /// own pace: begun anew with each reload, frequent reloads would leave the last ones unasked.
    pub(crate) fn follow(&mut self, setup: &Setup) {
        let stays =
            |known: &Arc<Prepared>| setup.suppliers.iter().any(|one| Arc::ptr_eq(one, known));
        self.asked.retain(|(known, _)| stays(known));
        for prepared in setup.suppliers.iter() {
            if self.asked.iter().any(|(known, _)| Arc::ptr_eq(known, prepared)) {
                continue;
            }
            let Prepared::Http(supplier) = &**prepared else { continue };
            let Some(health) = supplier.crew.profile.health.clone() else { continue };
            let mut tasks = JoinSet::new();
            let (kept, timeouts) = (Arc::clone(prepared), setup.timeouts.clone());
            drop(tasks.spawn_local(async move {
                if let Prepared::Http(supplier) = &*kept {
                    ask_all(supplier, health, &timeouts).await;
                }
            }));
            self.asked.push((Arc::clone(prepared), tasks));
        }
    }
}

/// Each address of a supplier is asked for as long as it is one.
async fn ask_all(supplier: &PreparedSupplier, health: Health, usual: &Timeouts) {
    let timeouts = Timeouts { connect: health.timeout, stall: health.timeout, ..usual.clone() };
    let mut asked: Vec<(Arc<Endpoint>, JoinSet<()>)> = Vec::new();
    loop {
        let changed = supplier.crew.next_muster();
        let roster = supplier.crew.roster();
        // Dropping a set ends the questions in it.
        asked.retain(|(known, _)| roster.iter().any(|one| Arc::ptr_eq(one, known)));
        for (place, endpoint) in roster.iter().enumerate() {
            let Some(prepared) = supplier.targets.get(endpoint.target) else { continue };
            if asked.iter().any(|(known, _)| Arc::ptr_eq(known, endpoint)) {
                continue;
            }
            let count = u32::try_from(roster.len()).unwrap_or(u32::MAX).max(1);
            let question = Question {
                target: Target::new(prepared, endpoint, &timeouts),
                health: health.clone(),
                // Not all at once.
                start: health.every / count * u32::try_from(place).unwrap_or(0),
            };
            let mut task = JoinSet::new();
            task.spawn_local(question.keep());
            asked.push((Arc::clone(endpoint), task));
        }
        changed.await;
    }
}

/// What one target is asked.
struct Question {
    health: Health,
    target: Rc<Target>,
    start: Duration,
}

impl Question {
    async fn keep(self) {
        tokio::time::sleep(self.start).await;
        loop {
            let well = self.ask().await;
            Crew::questioned(self.target.endpoint(), well, &self.health);
            tokio::time::sleep(self.health.every).await;
        }
    }

    /// Whether it answered well and in time. A connection that died since the last question is
    /// no answer yet.
    async fn ask(&self) -> bool {
        for fresh in [false, true] {
            match self.once(fresh).await {
                Asked::Well => return true,
                Asked::Badly => return false,
                Asked::Nobody => {}
            }
        }
        false
    }

    async fn once(&self, fresh: bool) -> Asked {
        let deadline = clock::now() + self.health.timeout;
        let asked = timeout_at(deadline.into(), async {
            let Ok(link) = self.target.link(fresh, deadline).await else { return Asked::Badly };
            let reused = link.reused;
            let Some(request) = self.request() else { return Asked::Badly };
            let exchange = Exchange { name: &self.target.name, patience: self.patience(deadline) };
            match exchange.run(link, request).await {
                Ok(response) => {
                    let good = self.is_good(response.status().as_u16());
                    read(response.into_body()).await;
                    if good { Asked::Well } else { Asked::Badly }
                }
                Err(Setback::Unsent(_) | Setback::Failed { silent: true, .. }) if reused => {
                    Asked::Nobody
                }
                Err(Setback::Unsent(_) | Setback::Failed { .. }) => Asked::Badly,
            }
        });
        asked.await.unwrap_or(Asked::Badly)
    }

    fn patience(&self, deadline: Instant) -> Patience {
        Patience { first_byte: self.health.timeout, stall: self.health.timeout, deadline }
    }

    fn request(&self) -> Option<Request<Upload>> {
        let mut request = Request::new(Upload::empty());
        *request.uri_mut() = self.health.path.parse().ok()?;
        request.headers_mut().insert(USER_AGENT, ASKER.clone());
        Some(request)
    }

    fn is_good(&self, status: u16) -> bool {
        match self.health.statuses.as_slice() {
            [] => (200..300).contains(&status),
            statuses => statuses.contains(&status),
        }
    }
}

/// What came of one question.
enum Asked {
    Well,
    Badly,
    /// The connection was gone before it could be asked.
    Nobody,
}

/// To its end, so that the connection can be used again.
async fn read(body: Payload) {
    let mut body = Limited::new(body, READ);
    while let Some(Ok(_)) = body.frame().await {}
}
