//! Chance that can be had again: everything follows from a seed.

/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: usize, high: usize) -> usize {
        let span = u64::try_from(high.saturating_sub(low)).unwrap_or(0) + 1;
        low + usize::try_from(self.word() % span).unwrap_or(0)
    }

    /// True so many times of a hundred.
    pub(super) const fn percent(&mut self, chance: u64) -> bool {
        self.word() % 100 < chance
    }

    pub(super) const fn byte(&mut self) -> u8 {
        self.word().to_be_bytes()[0]
    }

    /// Not zero, which is a row of its own.
    pub(super) const fn port(&mut self) -> u16 {
        let [high, low, ..] = self.word().to_be_bytes();
        u16::from_be_bytes([high, low | 1])
    }

    pub(super) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    /// One of these; a slice without any is answered with the default.
    pub(super) fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let index = self.between(0, from.len().saturating_sub(1));
        from.get(index).copied().unwrap_or_default()
    }

    /// One of these, if there are any.
    pub(super) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.between(0, from.len().saturating_sub(1)))
    }
}
