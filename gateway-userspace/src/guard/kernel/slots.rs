//! Which interface counts where: a slot of the counters for each that is filtered, the first for
//! all others. A slot goes with the name: an interface that comes back counts on.

use gateway_common::{
    Plane, Reason,
    maps::{self, Count, INTERFACE_SLOTS, counter_index},
};

use super::{attach, filter::KernelError, list::Entries as _, object::Object, table::Table};
use crate::ipc::message::ReasonCount;

/// The slot of what has none of its own.
const OTHERS: u32 = 0;

/// The counters and who has which slot.
#[derive(Debug)]
pub(super) struct Slots {
    counters: Table<u32, Count>,
    indexes: Table<u32, u32>,
    /// Name and slot.
    names: Vec<(String, u32)>,
    cpus: usize,
}

impl Slots {
    /// Interfaces that had a slot keep it; counts of those that are filtered no longer go to the
    /// others, so that no total shrinks.
    pub(super) fn new(
        object: &mut Object,
        interfaces: &[String],
        cpus: usize,
    ) -> Result<Self, KernelError> {
        let counters = object.table(maps::COUNTERS)?;
        let indexes: Table<u32, u32> = object.table(maps::INTERFACES)?;
        let mut slots = Self { counters, indexes, names: Vec::new(), cpus };
        for name in interfaces {
            if let Some(slot) = slots.held(name)? {
                slots.names.push((name.clone(), slot));
            }
        }
        slots.clear_others()?;
        for name in interfaces {
            if slots.slot(name).is_none()
                && let Some(free) = (1..INTERFACE_SLOTS).find(|slot| slots.is_free(*slot))
            {
                slots.names.push((name.clone(), free));
            }
        }
        slots.point()?;
        Ok(slots)
    }

    /// Points the index of every interface that is there to its slot; indexes change when
    /// interfaces are made anew.
    pub(super) fn point(&mut self) -> Result<(), KernelError> {
        for (name, slot) in &self.names {
            if let Ok(index) = attach::index_of(name)
                && index < maps::INTERFACE_INDEXES
            {
                self.indexes.put(&index, slot)?;
            }
        }
        Ok(())
    }

    /// Sums over processors and interfaces, of every packet reason that counted anything.
    pub(super) fn total(&self) -> Result<Vec<ReasonCount>, KernelError> {
        let own = self.names.iter().map(|(_, slot)| *slot);
        let slots: Vec<u32> = std::iter::once(OTHERS).chain(own).collect();
        self.sums(&slots)
    }

    /// The same for one interface; nothing if it has no slot.
    pub(super) fn of(&self, name: &str) -> Result<Vec<ReasonCount>, KernelError> {
        self.slot(name).map_or(Ok(Vec::new()), |slot| self.sums(&[slot]))
    }

    fn slot(&self, name: &str) -> Option<u32> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, slot)| *slot)
    }

    fn is_free(&self, slot: u32) -> bool {
        self.names.iter().all(|(_, taken)| *taken != slot)
    }

    /// The slot that an earlier process gave, if nobody else has it.
    fn held(&self, name: &str) -> Result<Option<u32>, KernelError> {
        let Ok(index) = attach::index_of(name) else { return Ok(None) };
        let slot = self.indexes.get(&index)?.unwrap_or(OTHERS);
        let is_slot = slot != OTHERS && slot < INTERFACE_SLOTS;
        Ok((is_slot && self.is_free(slot)).then_some(slot))
    }

    fn clear_others(&mut self) -> Result<(), KernelError> {
        let kept: Vec<u32> = self.names.iter().map(|(_, slot)| *slot).collect();
        for (index, slot) in self.indexes.all()? {
            if slot != OTHERS && !kept.contains(&slot) {
                self.indexes.put(&index, &OTHERS)?;
            }
        }
        for slot in (1..INTERFACE_SLOTS).filter(|slot| !kept.contains(slot)) {
            for reason in packet_reasons() {
                self.move_to_others(slot, u32::from(reason.number()))?;
            }
        }
        Ok(())
    }

    fn move_to_others(&self, slot: u32, reason: u32) -> Result<(), KernelError> {
        let (from, to) = (counter_index(slot, reason), counter_index(OTHERS, reason));
        let moved = self.counters.get_per_cpu(&from, self.cpus)?;
        if moved.iter().all(|count| *count == Count::default()) {
            return Ok(());
        }
        let mut kept = self.counters.get_per_cpu(&to, self.cpus)?;
        for (kept, moved) in kept.iter_mut().zip(&moved) {
            kept.packets += moved.packets;
            kept.bytes += moved.bytes;
            kept.shadow_packets += moved.shadow_packets;
        }
        self.counters.put_per_cpu(&to, &kept)?;
        self.counters.put_per_cpu(&from, &vec![Count::default(); self.cpus])
    }

    fn sums(&self, slots: &[u32]) -> Result<Vec<ReasonCount>, KernelError> {
        let mut sums = Vec::new();
        for reason in packet_reasons().map(Reason::number) {
            let mut sum = ReasonCount { reason, packets: 0, bytes: 0, shadow_packets: 0 };
            for slot in slots {
                let index = counter_index(*slot, reason.into());
                for count in self.counters.get_per_cpu(&index, self.cpus)? {
                    sum.packets += count.packets;
                    sum.bytes += count.bytes;
                    sum.shadow_packets += count.shadow_packets;
                }
            }
            if sum.packets > 0 {
                sums.push(sum);
            }
        }
        Ok(sums)
    }
}

/// The reasons that packets are counted under.
pub(super) fn packet_reasons() -> impl Iterator<Item = Reason> {
    Reason::ALL.iter().copied().filter(|reason| reason.info().plane == Plane::Packet)
}
