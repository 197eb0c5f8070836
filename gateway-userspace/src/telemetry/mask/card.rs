//! Finds what may be a payment card number (PAN): 13 to 19 digits that pass the Luhn check.
//!
//! Digits may be set apart by up to three bytes of neither letter, digit nor `/`. Where digits run
//! on at either end only a known issuer's number counts, else most long identifiers would be hit.

use std::ops::{Range, RangeInclusive};

use super::Span;

/// How many digits a card number has (ISO/IEC 7812-1; 12 and fewer are in no payment network).
pub(super) const DIGITS: Range<usize> = 13..20;

/// Bytes between two digits of one number, at most: a non-breaking space and a dash are 2 and 3.
const GAP: usize = 3;

/// First four digits and lengths that the payment networks give out.
const ISSUERS: [(RangeInclusive<u32>, RangeInclusive<usize>); 12] = [
    (2221..=2720, 16..=16), // Mastercard
    (3000..=3059, 14..=19), // Diners Club
    (3095..=3095, 14..=19), // Diners Club
    (3400..=3499, 15..=15), // American Express
    (3528..=3589, 16..=19), // JCB
    (3600..=3699, 14..=19), // Diners Club
    (3700..=3799, 15..=15), // American Express
    (3800..=3999, 14..=19), // Diners Club
    (4000..=4999, 16..=19), // Visa
    (5000..=5999, 16..=19), // Mastercard, Maestro
    (6000..=6999, 16..=19), // Discover, UnionPay, RuPay, Maestro
    (8100..=8199, 16..=19), // UnionPay, RuPay
];

#[derive(Debug, Clone, Copy)]
struct Digit {
    value: u32,
    position: usize,
    /// Something stands between this digit and the one before.
    apart: bool,
}

/// Spans of all numbers found; they may overlap.
pub(super) fn find(bytes: &[u8]) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut run: Vec<Digit> = Vec::new();
    for (position, byte) in bytes.iter().enumerate() {
        let Some(value) = char::from(*byte).to_digit(10) else { continue };
        let next = run.last().map_or(position, |last| last.position + 1);
        let gap = bytes.get(next..position).unwrap_or_default();
        if !is_gap(gap) {
            find_in_run(&run, &mut spans);
            run.clear();
        }
        run.push(Digit { value, position, apart: !gap.is_empty() || run.is_empty() });
    }
    find_in_run(&run, &mut spans);
    spans
}

fn is_gap(bytes: &[u8]) -> bool {
    bytes.len() <= GAP && !bytes.iter().any(|byte| byte.is_ascii_alphanumeric() || *byte == b'/')
}

fn find_in_run(run: &[Digit], spans: &mut Vec<Span>) {
    if run.len() < DIGITS.start {
        return;
    }
    let sums = LuhnSums::new(run);
    for start in 0..run.len() {
        for length in DIGITS {
            let end = start + length;
            let Some(number) = run.get(start..end) else { break };
            let stands_alone = number.first().is_some_and(|digit| digit.apart && digit.value != 0)
                && run.get(end).is_none_or(|digit| digit.apart);
            if sums.pass(start, end) && (stands_alone || has_issuer(number)) {
                spans.extend(span(number));
            }
        }
    }
}

fn has_issuer(number: &[Digit]) -> bool {
    let lead = number.iter().take(4).fold(0, |lead, digit| lead * 10 + digit.value);
    ISSUERS.iter().any(|(leads, lengths)| leads.contains(&lead) && lengths.contains(&number.len()))
}

fn span(number: &[Digit]) -> Option<Span> {
    Some(number.first()?.position..number.last()?.position + 1)
}

/// Running Luhn sums, so that any part of a run is checked at once: a stranger may send a path of
/// nothing but digits, and each of its positions starts seven candidates.
struct LuhnSums {
    /// With the digits at even places doubled, then with those at odd places.
    sums: [Vec<u32>; 2],
}

impl LuhnSums {
    fn new(run: &[Digit]) -> Self {
        let running = |doubled: usize| {
            let places = run.iter().enumerate().scan(0, move |sum, (place, digit)| {
                let weight =
                    if place % 2 == doubled { doubled_digit(digit.value) } else { digit.value };
                *sum += weight;
                Some(*sum)
            });
            [0].into_iter().chain(places).collect()
        };
        Self { sums: [running(0), running(1)] }
    }

    /// Whether the digits from `start` up to `end` pass: from the right, every second is doubled.
    fn pass(&self, start: usize, end: usize) -> bool {
        let Some(sums) = self.sums.get(end % 2) else { return false };
        let (Some(before), Some(through)) = (sums.get(start), sums.get(end)) else { return false };
        (through - before) % 10 == 0
    }
}

/// Twice a digit, its own digits added.
fn doubled_digit(value: u32) -> u32 {
    let doubled = value * 2;
    if doubled > 9 { doubled - 9 } else { doubled }
}
