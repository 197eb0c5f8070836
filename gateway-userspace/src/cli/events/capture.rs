//! Drops as a capture file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;

use super::{Live, Losses, complain, pcapng::Capture};

/// Where it goes.
pub(super) struct Target {
    to: Box<dyn Write>,
    name: String,
}

/// Makes the file, which may not be there yet: whoever else could have put it, or a link, in its
/// place would choose what is overwritten.
pub(super) fn open(path: &Path) -> anyhow::Result<Target> {
    let name = path.display().to_string();
    if path == Path::new("-") {
        return Ok(Target { to: Box::new(io::stdout()), name: "standard output".to_owned() });
    }
    let made: io::Result<File> =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let to = made.with_context(|| format!("creating {name}; it may not exist before"))?;
    Ok(Target { to: Box::new(to), name })
}

/// Writes drops until it is enough. What is written is a whole file at any time.
pub(super) fn write(mut target: Target, mut live: Live) -> anyhow::Result<()> {
    let mut capture = Capture::default();
    let (mut losses, mut count) = (Losses(0), 0);
    let mut blocks = Capture::begin();
    loop {
        let put = target.to.write_all(&blocks).and_then(|()| target.to.flush());
        match put {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            other => other.with_context(|| format!("writing to {}", target.name))?,
        }
        let Some(portion) = live.next()? else { break };
        blocks = portion.drops.iter().flat_map(|drop| capture.packet(drop)).collect();
        count += portion.drops.len();
        losses.tell(portion.lost);
    }
    complain(&format!("{count} drops written to {}", target.name));
    Ok(())
}
