//! How much memory the proxy has against `proxy.memory`, and how scarce it is. Measured, not
//! counted: what libraries, TLS sessions and the allocator itself hold is in it too.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::sync::watch;

/// Looked at this often: a body of a gigabit link fills some ten MiB in it.
pub(crate) const EVERY: Duration = Duration::from_millis(100);

/// Percent of the bound below a level's threshold before it is left: memory that was freed comes
/// back to the system in steps, and a level that flaps would close connections for nothing.
const SLACK: u64 = 3;

/// More than the line of `/proc/self/statm` has.
const LINE: usize = 256;

/// How scarce memory is. The order is that of what is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Calm,
    /// From 80 in 100 of the bound: routes of the low class are shed.
    Tight,
    /// From 90: normal ones too, if any route is high.
    Scarce,
    /// From 100: nobody new is served.
    Full,
}

impl Level {
    const ABOVE: [(Self, u64); 3] = [(Self::Full, 100), (Self::Scarce, 90), (Self::Tight, 80)];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Tight => "tight",
            Self::Scarce => "scarce",
            Self::Full => "full",
        }
    }

    /// How long a connection may be idle. Shorter for all, so that those idle longest go first.
    pub(crate) fn idle(self, usual: Duration) -> Duration {
        match self {
            Self::Calm => usual,
            Self::Tight => usual / 2,
            Self::Scarce => usual / 8,
            Self::Full => Duration::ZERO,
        }
    }

    fn of(used: u64, most: u64, before: Self) -> Self {
        let over = |(level, percent): &(Self, u64)| {
            let percent = if before >= *level { percent - SLACK } else { *percent };
            u128::from(used) * 100 >= u128::from(most) * u128::from(percent)
        };
        Self::ABOVE.into_iter().find(over).map_or(Self::Calm, |(level, _)| level)
    }
}

/// Where the kernel says how much there is. It has to be opened before the sandbox stands.
#[derive(Debug)]
pub struct Gauge {
    file: File,
    page: u64,
}

impl Gauge {
    pub fn open() -> io::Result<Self> {
        let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE)?;
        let page = page.and_then(|page| u64::try_from(page).ok());
        let page = page.ok_or_else(|| io::Error::other("the size of a page is not known"))?;
        Ok(Self { file: File::open("/proc/self/statm")?, page })
    }

    /// Reads another file of that form.
    #[cfg(test)]
    pub(crate) const fn of(file: File) -> Self {
        Self { file, page: 1 }
    }

    /// Bytes that nobody can take from the process: pages of its program are not among them.
    fn read(&self) -> Option<u64> {
        let mut line = [0; LINE];
        let length = self.file.read_at(&mut line, 0).ok()?;
        let text = str::from_utf8(line.get(..length)?).ok()?;
        let mut numbers = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
        let (resident, of_files) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(resident.saturating_sub(of_files) * self.page)
    }
}

/// The latest measurement. Shared by all threads, and by the configurations that follow.
#[derive(Debug)]
pub(crate) struct Memory {
    gauge: Option<Gauge>,
    used: AtomicU64,
    level: watch::Sender<Level>,
}

impl Memory {
    /// Without a gauge memory is never scarce.
    pub(crate) fn new(gauge: Option<Gauge>) -> Self {
        let level = watch::Sender::new(Level::Calm);
        Self { gauge, used: AtomicU64::new(0), level }
    }

    /// Measures against `most` bytes; 0 is no bound.
    pub(crate) fn look(&self, most: u64) {
        let Some(used) = self.gauge.as_ref().and_then(Gauge::read) else { return };
        self.used.store(used, Relaxed);
        let before = self.level();
        let level = if most == 0 { Level::Calm } else { Level::of(used, most, before) };
        if level == before {
            return;
        }
        self.level.send_replace(level);
        let (level, before) = (level.name(), before.name());
        tracing::warn!(used, most, before, level, "the proxy's memory has another level");
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Relaxed)
    }

    pub(crate) fn level(&self) -> Level {
        *self.level.borrow()
    }

    pub(crate) fn follow(&self) -> watch::Receiver<Level> {
        self.level.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Bytes used, then the level expected against a bound of 1000.
    fn levels(steps: &[(u64, Level)]) {
        let mut file = tempfile::tempfile().unwrap();
        let memory = Memory::new(Some(Gauge::of(file.try_clone().unwrap())));
        for (used, expected) in steps {
            io::Seek::rewind(&mut file).unwrap();
            writeln!(file, "99999 {} 50 1 0 1 0", used + 50).unwrap();
            memory.look(1000);
            assert_eq!((memory.used(), memory.level()), (*used, *expected));
        }
    }

    #[test]
    fn a_level_is_reached_at_its_threshold_and_left_some_way_below() {
        levels(&[
            (799, Level::Calm),
            (800, Level::Tight),
            (775, Level::Tight),
            (769, Level::Calm),
            (1000, Level::Full),
            (980, Level::Full),
            (960, Level::Scarce),
            (100, Level::Calm),
        ]);
    }

    #[test]
    fn measures_this_process_and_sees_it_grow() {
        let memory = Memory::new(Some(Gauge::open().unwrap()));
        memory.look(1 << 40);
        let before = memory.used();
        let held = vec![7_u8; 64 << 20];
        memory.look(1 << 40);
        assert!(held.iter().all(|byte| *byte == 7));
        assert!(before > 0 && memory.used() > before + (32 << 20), "{before} {}", memory.used());
        // Whatever is used, without a bound it is enough; and too much for a bound of one byte.
        memory.look(1);
        assert_eq!(memory.level(), Level::Full);
        memory.look(0);
        assert_eq!(memory.level(), Level::Calm);
    }
}
