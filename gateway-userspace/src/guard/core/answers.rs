//! Commands: what each one does, and what it answers.

use std::{sync::Arc, time::Duration};

use gateway_common::Reason;
use ipnet::IpNet;

use super::{
    By, Core,
    lists::{Import, seconds},
};
use crate::{
    clock::{self, Wall},
    control::{Allow, Ban, Key, LIST_PORTION, NOTE_BYTES, Request, Response},
    guard::{
        address::canonical_net,
        allows,
        bans::{self, Added, UnbanError, Wanted},
        chain,
        control::{Ask, Outcome},
        kernel::BanSource,
    },
    ipc::message::Query,
};

impl Core {
    /// Answers a command.
    pub(in crate::guard) fn command(&mut self, ask: Ask) {
        let outcome = self.answer(ask.request);
        // Whoever asked may have hung up; what was done is done.
        drop(ask.reply.send(outcome));
    }

    fn answer(&mut self, request: Request) -> Outcome {
        match request {
            Request::Status => {
                let status = Response::Status(Box::new(self.status()));
                Outcome::WithProxy(status, self.query(Query::Status))
            }
            Request::BlockAdd { net, ttl, note } => self.block(net, ttl, &note),
            Request::BlockRemove { net } => self.unblock(net),
            Request::BlockList { after } => Outcome::Now(self.list_bans(after)),
            Request::ImportBegin { name, ttl, note, skip_invalid } => {
                let import = Import { name, ttl, note, skip_invalid };
                Outcome::Now(self.begin_import(import))
            }
            Request::ImportPart { ticket, nets } => Outcome::Now(self.add_import(ticket, &nets)),
            Request::ImportAbort { ticket } => Outcome::Now(self.abort_import(ticket)),
            Request::ImportCommit { ticket } => self.commit_import(ticket),
            Request::ListRemove { name } => self.remove_list(&name),
            Request::Lists => Outcome::Now(self.show_lists()),
            Request::AllowAdd { net, note } => self.allow(net, note),
            Request::AllowRemove { net } => self.disallow(net),
            Request::AllowList { after } => Outcome::Now(self.list_allows(after)),
            Request::WhyAddress { address } => {
                let why = Response::Why(Box::new(self.why_address(address)));
                Outcome::WithProxy(why, self.query(Query::WhyAddress(address)))
            }
            Request::WhyRequest { id } => {
                let why = Response::Why(Box::new(Self::why_request(&id)));
                Outcome::WithProxy(why, self.query(Query::WhyRequest(id)))
            }
            Request::KeyNew { identity, client, ttl } => self.new_key(&identity, &client, ttl),
            Request::KeyList { after } => Outcome::Now(self.list_keys(after.as_deref())),
            Request::KeyRevoke { id } => self.revoke_key(&id),
            Request::Events(query) => self.events(query),
            Request::PanicPass => Outcome::Now(self.set_panic(true)),
            Request::PanicRestore => Outcome::Now(self.set_panic(false)),
            Request::PolicyShow => Outcome::Now(Response::Policy(Box::new(self.policy_report()))),
            Request::PolicyApply { text, origin, confirm } => {
                self.apply_policy(&text, origin, confirm)
            }
            Request::PolicyConfirm => self.confirm_policy(),
            Request::PolicyRollback => self.roll_back_policy(),
            Request::Reload => self.reload(By::Command),
            Request::Configuration => Outcome::Now(self.running_text()),
            Request::Upgrade => self.upgrade(),
            Request::Renew => self.order_renewal(),
            Request::Issue { name } => Outcome::Now(self.order_issue(&name)),
            Request::Shadow { on, classes } => Outcome::Now(self.order_shadow(on, &classes)),
            Request::ShadowReset => Outcome::Now(self.reset_shadow()),
        }
    }

    fn block(&mut self, net: IpNet, ttl: Option<Duration>, note: &str) -> Outcome {
        if let Err(refused) = check_note(note) {
            return Outcome::Now(refused);
        }
        self.look_around(clock::now());
        let wanted = wanted(net, BanSource::Cli, Reason::Operator, ttl, &note.into());
        let wall = self.wall();
        match self.bans.add(&mut *self.kernel.0, wanted, wall) {
            Ok(added) => {
                let net = net.trunc();
                let mut message = match added {
                    Added::New => format!("{net} is banned"),
                    Added::Replaced | Added::Known => format!("the ban on {net} is replaced"),
                };
                if let Some((allowed, _)) = self.allows.covering(net) {
                    message.extend([format!(", but {allowed} is allowed and passes all the same")]);
                }
                if let Some(why) = self.toothless() {
                    message.extend(["; for now ", why]);
                }
                self.stored(done(message))
            }
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn unblock(&mut self, net: IpNet) -> Outcome {
        match self.bans.remove(&mut *self.kernel.0, net) {
            Ok(_) => {
                let net = net.trunc();
                let mut message = format!("the ban on {net} is lifted");
                if let Some((wide, _)) = self.bans.table().covering(net) {
                    message.extend([format!(", but the one on {wide} covers it still")]);
                }
                self.stored(done(message))
            }
            // It may be an address of lists.
            Err(UnbanError::Unknown { .. }) if self.is_listed(net) => {
                self.lift_from_lists(canonical_net(net))
            }
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn is_listed(&self, net: IpNet) -> bool {
        self.lists.covering(canonical_net(net), self.wall()).is_some()
    }

    fn allow(&mut self, net: IpNet, note: String) -> Outcome {
        if let Err(refused) = check_note(&note) {
            return Outcome::Now(refused);
        }
        let allow = allows::Allow { since: self.wall(), note };
        match self.allows.add(&mut *self.kernel.0, net, allow) {
            Ok(true) => self.stored(done(format!("{} is allowed", net.trunc()))),
            Ok(false) => Outcome::Now(done(format!("{} is allowed already", net.trunc()))),
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn disallow(&mut self, net: IpNet) -> Outcome {
        match self.allows.remove(&mut *self.kernel.0, net) {
            Ok(()) => self.stored(done(format!("{} is no longer allowed", net.trunc()))),
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn list_allows(&self, after: Option<IpNet>) -> Response {
        let shown = |(net, allow): (IpNet, Option<&allows::Allow>)| Allow {
            net,
            since: allow.map_or(0, |allow| allow.since.0),
            source: if allow.is_some() { "cli" } else { "kernel.protect" }.to_owned(),
            note: allow.map(|allow| allow.note.clone()).unwrap_or_default(),
        };
        let (allows, more) = portion(self.allows.after(after).map(shown));
        Response::Allows { allows, more }
    }

    fn new_key(&mut self, identity: &str, client: &str, ttl: Option<Duration>) -> Outcome {
        let wall = self.wall();
        match self.keys.create(identity, client, ttl, wall) {
            Ok(created) => {
                self.tell_key(&created.id);
                let key = created.key.as_str().to_owned();
                self.stored(Response::KeyCreated { id: created.id, key })
            }
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn list_keys(&self, after: Option<&str>) -> Response {
        let keys = self.keys.after(after).map(|(id, key)| Key {
            id: id.clone(),
            identity: key.identity.clone(),
            client: key.client.clone(),
            since: key.since.0,
            expires: key.expires.map(|at| at.0),
            revoked: key.revoked,
        });
        let (keys, more) = portion(keys);
        Response::Keys { keys, more }
    }

    fn revoke_key(&mut self, id: &str) -> Outcome {
        match self.keys.revoke(id) {
            Ok(()) => {
                self.tell_key(id);
                self.stored(done(format!("key {id} is revoked")))
            }
            Err(error) => Outcome::Now(refused(&error)),
        }
    }

    fn tell_key(&mut self, id: &str) {
        if let Some(key) = self.keys.for_proxy(id) {
            self.keeper.tell_key(key);
        }
    }

    fn set_panic(&mut self, pass: bool) -> Response {
        if let Err(error) = self.kernel.0.set_panic(pass) {
            return refused(&error);
        }
        let message = if pass {
            "every packet passes; `gateway panic restore` brings the rules back"
        } else {
            "the rules hold again"
        };
        tracing::warn!(target: "audit", action = "panic", pass, "{message}");
        done(message.to_owned())
    }

    /// Answers once what changed is on the disk.
    pub(super) fn stored(&mut self, response: Response) -> Outcome {
        let changes = self.take_changes();
        let durable = self.store.submit_durable(changes);
        Outcome::Stored(response, durable)
    }

    /// A ban as the operator sees it.
    pub(super) fn shown(&self, net: IpNet, ban: &bans::Ban) -> Ban {
        let wall: Wall = self.wall();
        let record = self.kernel.0.ban_record(net).unwrap_or_default();
        Ban {
            net,
            reason: ban.reason.name().to_owned(),
            source: ban.source.name().to_owned(),
            since: ban.since.0,
            left: ban.left(wall).map(|left| left.as_secs()),
            list: String::new(),
            hits: record.hits,
            last_seen: seconds(record),
            note: ban.note.as_ref().to_owned(),
        }
    }
}

/// As many as an answer holds, and whether there are more.
fn portion<T>(entries: impl Iterator<Item = T>) -> (Vec<T>, bool) {
    let mut portion: Vec<T> = entries.take(LIST_PORTION + 1).collect();
    let more = portion.len() > LIST_PORTION;
    portion.truncate(LIST_PORTION);
    (portion, more)
}

fn wanted(
    net: IpNet,
    source: BanSource,
    reason: Reason,
    ttl: Option<Duration>,
    note: &Arc<str>,
) -> Wanted {
    Wanted { net, source, reason, ttl, note: Arc::clone(note) }
}

pub(super) fn check_note(note: &str) -> Result<(), Response> {
    if note.len() <= NOTE_BYTES {
        return Ok(());
    }
    Err(Response::Refused { message: format!("a note has {NOTE_BYTES} bytes at most") })
}

fn done(message: String) -> Response {
    Response::Done { message }
}

fn refused(error: &(dyn std::error::Error + 'static)) -> Response {
    Response::Refused { message: chain(error) }
}
