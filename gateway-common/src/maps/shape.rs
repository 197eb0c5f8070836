//! Shapes of maps: what a loader compares before it reuses one.

/// Kernel types of maps, by their number in the system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// `BPF_MAP_TYPE_HASH`
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`
    Array = 2,
    /// `BPF_MAP_TYPE_PROG_ARRAY`
    ProgArray = 3,
    /// `BPF_MAP_TYPE_PERCPU_ARRAY`
    PerCpuArray = 6,
    /// `BPF_MAP_TYPE_LRU_HASH`
    LruHash = 9,
    /// `BPF_MAP_TYPE_LPM_TRIE`
    LpmTrie = 11,
    /// `BPF_MAP_TYPE_RINGBUF`
    RingBuf = 27,
}

/// Which key of `[kernel.capacity]` sizes a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizing {
    /// As many entries as stand here.
    Fixed(u32),
    /// The bans of all sets of one family: [`Room::bans`].
    Bans,
    /// Those of them that are in a trie: [`Room::tail`].
    Tail,
    /// `allow`
    Allow,
    /// `limits`
    Limits,
    /// `flows`
    Flows,
}

/// The shape of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Name in the object and of the pin.
    pub name: &'static str,
    /// Kernel type.
    pub kind: Kind,
    /// Bytes of a key.
    pub key: u32,
    /// Bytes of a value.
    pub value: u32,
    /// Entries, or bytes of a ring buffer.
    pub sizing: Sizing,
    /// Creation flags.
    pub flags: u32,
}

/// `[kernel.capacity]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Bulk bans of one family: so many addresses and so many prefixes, in any mix.
    pub hosts: u32,
    /// See [`Self::hosts`]; also those IPv6 prefixes of one generation that are in the trie.
    pub prefixes: u32,
    /// Single bans of one family.
    pub dynamic: u32,
    /// Allowed prefixes of one family.
    pub allow: u32,
    /// Exact entries of the limits.
    pub limits: u32,
    /// Flows this host asked for.
    pub flows: u32,
}

impl Room {
    /// Bulk bans of one family and generation.
    pub const fn bulk(&self) -> u32 {
        self.hosts.saturating_add(self.prefixes)
    }

    /// All bans of one family: one generation is loaded while the other is in force.
    pub const fn bans(&self) -> u32 {
        self.bulk().saturating_mul(2).saturating_add(self.dynamic)
    }

    /// All bans of one family that are in a trie.
    pub const fn tail(&self) -> u32 {
        self.prefixes.saturating_mul(2).saturating_add(self.dynamic)
    }
}

/// `BPF_F_MMAPABLE`: the guard writes without a system call a word. Linux 5.5.
pub const MMAPABLE: u32 = 1 << 10;

/// `BPF_F_NO_PREALLOC`, which tries must have.
pub const NO_PREALLOC: u32 = 1;

pub(super) const fn array(name: &'static str, value: usize, entries: u32) -> Shape {
    shape(name, Kind::Array, 4, value, Sizing::Fixed(entries), 0)
}

pub(super) const fn per_cpu(name: &'static str, value: usize, entries: u32) -> Shape {
    shape(name, Kind::PerCpuArray, 4, value, Sizing::Fixed(entries), 0)
}

pub(super) const fn trie(
    name: &'static str,
    address: usize,
    value: usize,
    sizing: Sizing,
) -> Shape {
    shape(name, Kind::LpmTrie, 4 + address, value, sizing, NO_PREALLOC)
}

#[expect(clippy::cast_possible_truncation, reason = "sizes of small structs")]
pub(super) const fn shape(
    name: &'static str,
    kind: Kind,
    key: usize,
    value: usize,
    sizing: Sizing,
    flags: u32,
) -> Shape {
    Shape { name, kind, key: key as u32, value: value as u32, sizing, flags }
}

/// An array the guard writes through its own memory.
pub(super) const fn mapped(name: &'static str, value: usize, entries: u32) -> Shape {
    shape(name, Kind::Array, 4, value, Sizing::Fixed(entries), MMAPABLE)
}

impl Shape {
    /// Entries of the map when `[kernel.capacity]` says this.
    pub const fn entries(&self, room: &Room) -> u32 {
        match self.sizing {
            Sizing::Fixed(entries) => entries,
            Sizing::Bans => room.bans(),
            Sizing::Tail => room.tail(),
            Sizing::Allow => room.allow,
            Sizing::Limits => room.limits,
            Sizing::Flows => room.flows,
        }
    }
}
