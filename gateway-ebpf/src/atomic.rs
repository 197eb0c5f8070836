//! Atomic instructions on map values. `core::sync::atomic` has none for this target.

use core::arch::asm;

/// Adds to a counter shared by all processors.
#[inline(always)]
#[expect(unsafe_code, reason = "the BPF atomic instructions")]
pub(crate) fn add(word: *mut u64, amount: u64) {
    // SAFETY: `word` points into a map value, eight bytes wide and aligned; the instruction changes
    // nothing else.
    unsafe {
        asm!("lock *(u64 *)({word} + 0) += {amount}", word = in(reg) word, amount = in(reg) amount);
    }
}

/// Writes `new` if the word still holds `current`; returns what it held.
#[inline(always)]
#[expect(unsafe_code, reason = "the BPF atomic instructions")]
pub(crate) fn compare_exchange(word: *mut u64, current: u64, new: u64) -> u64 {
    let seen;
    // SAFETY: as above; the instruction compares with and answers in r0.
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
