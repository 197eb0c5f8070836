//! Operators that ask whether a value is well coded. They match what is not.

use super::OperatorError;

/// The bytes that `@validateByteRange` allows.
pub(super) struct ByteRange {
    allowed: [bool; 256],
}

impl std::fmt::Debug for ByteRange {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.allowed.iter().filter(|allowed| **allowed).count();
        write!(out, "ByteRange({count} of 256)")
    }
}

impl ByteRange {
    /// `1-255,9,10`.
    pub(super) fn parse(argument: &str) -> Result<Self, OperatorError> {
        let mut allowed = [false; 256];
        for part in argument.split(',').map(str::trim) {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let bound = |text: &str| text.trim().parse::<u8>().ok();
            let (Some(from), Some(to)) = (bound(from), bound(to)) else {
                return Err(OperatorError::Range(part.to_owned()));
            };
            let count = usize::from(to).checked_sub(usize::from(from));
            let count = count.ok_or_else(|| OperatorError::Range(part.to_owned()))? + 1;
            allowed.iter_mut().skip(usize::from(from)).take(count).for_each(|one| *one = true);
        }
        Ok(Self { allowed })
    }

    pub(super) fn is_left_by(&self, value: &[u8]) -> bool {
        let allowed = |byte: &u8| self.allowed.get(usize::from(*byte)).is_some_and(|one| *one);
        !value.iter().all(allowed)
    }
}
