//! `gateway events`: the latest drops, and those to come.

use super::Core;
use crate::{
    clock,
    control::Response,
    guard::{chain, control::Outcome, kernel::DropEvent, watch::Filter},
    sampled::{Portion, Query},
};

impl Core {
    /// Remembers a drop and tells it to those who follow.
    pub(super) fn saw(&mut self, event: DropEvent) {
        let age_ns = clock::monotonic_ns().saturating_sub(event.at_ns);
        self.watch.saw(event, clock::wall_ns().saturating_sub(age_ns));
        self.memory.dropped(&event);
    }

    pub(super) fn events(&mut self, query: Query) -> Outcome {
        let Query { filter, latest, follow, bytes } = query;
        let filter = match Filter::new(filter) {
            Ok(filter) => filter,
            Err(error) => return Outcome::Now(Response::Refused { message: chain(&error) }),
        };
        let portion = Portion { drops: self.watch.latest(&filter, latest, bytes), lost: 0 };
        let answer = Response::Events(portion);
        if !follow {
            return Outcome::Now(answer);
        }
        match self.watch.follow(filter, bytes) {
            Ok(subscription) => Outcome::Follow(answer, subscription),
            Err(error) => Outcome::Now(Response::Refused { message: chain(&error) }),
        }
    }
}
