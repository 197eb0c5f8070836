//! A conversation that does not end with its answer: drops, line after line, until either side
//! hangs up.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite},
    time::{MissedTickBehavior, interval},
};

use super::send;
use crate::{control::Response, guard::watch::Subscription};

/// A line at least so often, by which either side learns that the other is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);

/// Tells the drops of `subscription` until the reader hangs up, says something more, or takes none
/// for too long.
pub(super) async fn follow(
    mut subscription: Subscription,
    read: &mut (impl AsyncBufRead + Unpin),
    write: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut signs = interval(SIGN_OF_LIFE);
    signs.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let portion = tokio::select! {
            portion = subscription.next() => match portion {
                Some(portion) => portion,
                None => return Ok(()),
            },
            _ = signs.tick() => subscription.nothing(),
            _ = read.fill_buf() => return Ok(()),
        };
        send(write, &Response::Events(portion)).await?;
    }
}
