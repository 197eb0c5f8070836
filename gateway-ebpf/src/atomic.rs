//! The atomic instruction on map values. `core::sync::atomic` has none for this target.

use core::arch::asm;

/// Writes `new` if the word still holds `current`; returns what it held.
#[inline(always)]
#[expect(unsafe_code, reason = "the BPF atomic instruction")]
pub(crate) fn compare_exchange(word: *mut u64, current: u64, new: u64) -> u64 {
    let seen;
    // SAFETY: `word` points into a map value, eight bytes wide and aligned; the instruction compares
    // with and answers in r0, and changes nothing else.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inlateout("r0") current => seen,
        );
    }
    seen
}
