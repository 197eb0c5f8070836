//! Comparisons of numbers, read as C's `atoll` does: what is no number is 0.

#[derive(Clone, Copy, Debug)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    AtLeast,
    Above,
    AtMost,
    Below,
}

impl Comparison {
    pub(super) fn named(lower: &str) -> Option<Self> {
        match lower {
            "eq" => Some(Self::Equal),
            "ne" => Some(Self::NotEqual),
            "ge" => Some(Self::AtLeast),
            "gt" => Some(Self::Above),
            "le" => Some(Self::AtMost),
            "lt" => Some(Self::Below),
            _ => None,
        }
    }

    pub(super) fn holds(self, value: &[u8], argument: &[u8]) -> bool {
        let (value, bound) = (number(value), number(argument));
        match self {
            Self::Equal => value == bound,
            Self::NotEqual => value != bound,
            Self::AtLeast => value >= bound,
            Self::Above => value > bound,
            Self::AtMost => value <= bound,
            Self::Below => value < bound,
        }
    }
}

/// Leading white space, a sign, digits as far as they go; too large stays the largest.
fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        [b'+', digits @ ..] | digits => (1, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |sum, digit| {
        sum.saturating_mul(10).saturating_add(sign * i64::from(digit - b'0'))
    })
}
