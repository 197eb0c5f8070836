//! Commands about lists of bans. The thread of the lists does the work; whoever asked waits for it,
//! the event loop does not.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use tracing::error;

use super::Core;
use crate::{
    clock::{self, Wall},
    control::{Ban, IMPORT_PORTION, LIST_PORTION, List, RefusedEntry, Response},
    guard::{
        bans::{Done, Header, ListError, NamedList, Reply},
        chain,
        control::Outcome,
        kernel::{BanSource, Record, filter::Met},
    },
};

/// A list as it begins to come in.
pub(super) struct Import {
    pub(super) name: String,
    pub(super) ttl: Option<Duration>,
    pub(super) note: String,
    pub(super) skip_invalid: bool,
}

impl Core {
    pub(super) fn begin_import(&mut self, import: Import) -> Response {
        if let Err(refused) = super::answers::check_note(&import.note) {
            return refused;
        }
        let header = Header {
            name: import.name,
            source: BanSource::Import,
            ttl: import.ttl,
            note: import.note.into(),
            skip_unfit: import.skip_invalid,
        };
        match self.lists.begin(header, clock::now()) {
            Ok(ticket) => Response::Staged { ticket },
            Err(error) => refused(&error),
        }
    }

    pub(super) fn add_import(&mut self, ticket: u64, nets: &[IpNet]) -> Response {
        if nets.len() > IMPORT_PORTION {
            let message = format!("a portion of an import has {IMPORT_PORTION} entries at most");
            return Response::Refused { message };
        }
        match self.lists.add(ticket, nets, clock::now()) {
            Ok(()) => Response::Staged { ticket },
            Err(error) => refused(&error),
        }
    }

    pub(super) fn abort_import(&mut self, ticket: u64) -> Response {
        self.lists.abort(ticket);
        Response::Done { message: "nothing of the list is loaded".to_owned() }
    }

    pub(super) fn commit_import(&mut self, ticket: u64) -> Outcome {
        let wall = self.wall();
        later(self.lists.commit(ticket, wall), |done| Response::Imported {
            given: done.given,
            entries: done.entries,
            refused: refused_entries(done.unfit),
            untold: done.untold,
        })
    }

    pub(super) fn remove_list(&mut self, name: &str) -> Outcome {
        let wall = self.wall();
        let gone = format!("the list {name} is gone");
        later(self.lists.remove(name, wall), move |_| Response::Done { message: gone })
    }

    /// Takes addresses out of the lists they are in; `Err` if they are in none.
    pub(super) fn lift_from_lists(&mut self, net: IpNet) -> Outcome {
        let wall = self.wall();
        later(self.lists.lift(net, wall), move |done| Response::Done {
            message: format!(
                "{net} is taken out of {} list(s) until they are imported again; `gateway allow add` exempts it for good",
                done.entries
            ),
        })
    }

    pub(super) fn show_lists(&self) -> Response {
        let wall = self.wall();
        let named = self.lists.named();
        let lists = named.iter().map(|(name, list)| List {
            name: name.clone(),
            source: list.source.name().to_owned(),
            since: list.since.0,
            left: list.expires.map(|at| at.since(wall).as_secs()),
            given: list.given,
            entries: list.nets.len() as u64,
            ipv4_addresses: list.nets.addresses4(),
            note: list.note.as_ref().to_owned(),
        });
        Response::Lists { lists: lists.collect() }
    }

    /// A portion of all bans, single ones and those of lists, in order. Two on one prefix are never
    /// torn apart: the next portion begins behind it.
    pub(super) fn list_bans(&self, after: Option<IpNet>) -> Response {
        let wall = self.wall();
        let single = self.bans.table().after(after).take(LIST_PORTION + 1);
        let mut bans: Vec<Ban> = single.map(|(net, ban)| self.shown(*net, ban)).collect();
        for (name, list) in self.lists.named().iter().filter(|(_, list)| !list.is_over(wall)) {
            let nets = list.nets.after(after).take(LIST_PORTION + 1);
            bans.extend(nets.map(|net| Ban {
                net,
                reason: NamedList::REASON.name().to_owned(),
                source: list.source.name().to_owned(),
                list: name.clone(),
                since: list.since.0,
                left: list.expires.map(|at| at.since(wall).as_secs()),
                hits: 0,
                last_seen: None,
                note: list.note.as_ref().to_owned(),
            }));
        }
        bans.sort_by_key(|ban| ban.net);
        let end = bans.get(LIST_PORTION).map_or(bans.len(), |over| {
            let first = bans.partition_point(|ban| ban.net < over.net);
            if first == 0 { bans.partition_point(|ban| ban.net <= over.net) } else { first }
        });
        let more = end < bans.len();
        bans.truncate(end);
        for ban in bans.iter_mut().filter(|ban| !ban.list.is_empty()) {
            let record = self.kernel.0.bulk_record(ban.net).unwrap_or_default();
            (ban.hits, ban.last_seen) = (record.hits, seconds(record));
        }
        Response::Bans { bans, more }
    }

    /// The list that bans an address, as a ban.
    pub(super) fn listed(&self, address: IpAddr, wall: Wall) -> Option<Ban> {
        let (name, net, list) = self.lists.covering(address.into(), wall)?;
        let met = self.kernel.0.met_by(address).unwrap_or_default();
        let record = met.iter().find(|met| met.bulk).map(|met| met.record).unwrap_or_default();
        Some(Ban {
            net,
            reason: NamedList::REASON.name().to_owned(),
            source: list.source.name().to_owned(),
            list: name,
            since: list.since.0,
            left: list.expires.map(|at| at.since(wall).as_secs()),
            hits: record.hits,
            last_seen: seconds(record),
            note: list.note.as_ref().to_owned(),
        })
    }

    /// What the kernel itself holds against an address, in a sentence each.
    pub(super) fn held_against(&self, address: IpAddr) -> Vec<String> {
        let met = self.kernel.0.met_by(address).unwrap_or_default();
        met.iter().map(sentence).collect()
    }

    /// Once a second.
    pub(super) fn tick_lists(&mut self, wall: Wall) {
        let Self { lists, bans, .. } = self;
        lists.tick(|| bans.protected().all(), wall);
    }

    /// The clock was set.
    pub(super) fn shift_lists(&mut self, seconds: i64) {
        if let Err(error) = self.lists.shift(seconds) {
            error!(error = %chain(&error), "the times of lists do not move with the clock");
        }
    }
}

/// Seconds since a ban was last met.
pub(super) fn seconds(record: Record) -> Option<u64> {
    record.last_seen.map(|ago| ago.as_secs())
}

fn sentence(met: &Met) -> String {
    let Met { net, record, .. } = met;
    let kind = if met.bulk { "an entry of the lists" } else { "a single ban" };
    match record.last_seen {
        Some(ago) => format!(
            "the filter holds {net} as {kind}: it dropped {} packets, the last {} s ago",
            record.hits,
            ago.as_secs()
        ),
        None => format!("the filter holds {net} as {kind}: it has not dropped a packet yet"),
    }
}

fn later(
    ordered: Result<Reply, ListError>,
    answer: impl FnOnce(Done) -> Response + Send + 'static,
) -> Outcome {
    match ordered {
        Ok(reply) => Outcome::Later(Box::pin(async move {
            match reply.await {
                Ok(Ok(done)) => answer(done),
                Ok(Err(ListError::Unfit { unfit, untold })) => {
                    Response::Unfit { refused: refused_entries(unfit), untold }
                }
                Ok(Err(error)) => refused(&error),
                Err(_) => refused(&ListError::Stopping),
            }
        })),
        Err(error) => Outcome::Now(refused(&error)),
    }
}

fn refused_entries(unfit: Vec<crate::guard::bans::Unfit>) -> Vec<RefusedEntry> {
    unfit.into_iter().map(|unfit| RefusedEntry { net: unfit.net, why: unfit.why }).collect()
}

fn refused(error: &ListError) -> Response {
    Response::Refused { message: chain(error) }
}
