//! What stands behind a backslash, outside and inside of classes.

use super::PatternError;
use super::class::ByteSet;

pub(super) enum Escape {
    /// One byte, for itself.
    Byte(u8),
    Set(Box<ByteSet>),
    /// Means the same in both dialects.
    Same,
    Written(&'static str),
    /// To a group before: only an engine that backtracks knows what that matched.
    Reference,
    QuoteStart,
    Nothing,
}

/// What the bytes behind a backslash mean, and how many they are.
pub(super) fn read(text: &[u8]) -> Result<(Escape, usize), PatternError> {
    let first = *text.first().ok_or(PatternError::Unfinished("an escape"))?;
    let simple = |escape| Ok((escape, 1));
    match first {
        b'b' | b'B' | b'A' | b'z' => simple(Escape::Same),
        b'Z' => simple(Escape::Written(r"(?:\n?\z)")),
        b'R' => simple(Escape::Written(r"(?:\r\n|[\n\x0b\x0c\r\x85])")),
        b'N' => simple(Escape::Written(r"[^\n]")),
        b'Q' => simple(Escape::QuoteStart),
        b'E' => simple(Escape::Nothing),
        b'1'..=b'9' => Ok(reference_or_octal(text)),
        b'k' | b'g' => Err(PatternError::Unsupported("a reference by name")),
        b'p' | b'P' | b'X' => Err(PatternError::Unsupported("a property of Unicode")),
        b'K' | b'G' | b'C' => Err(PatternError::Unsupported("\\K, \\G or \\C")),
        _ => in_class(text),
    }
}

/// The same inside of a class, where fewer have a meaning of their own.
pub(super) fn in_class(text: &[u8]) -> Result<(Escape, usize), PatternError> {
    let first = *text.first().ok_or(PatternError::Unfinished("an escape"))?;
    let byte = |byte| Ok((Escape::Byte(byte), 1));
    match first {
        b'b' => byte(0x08),
        b'a' => byte(0x07),
        b'e' => byte(0x1b),
        b'f' => byte(0x0c),
        b'n' => byte(b'\n'),
        b'r' => byte(b'\r'),
        b't' => byte(b'\t'),
        b'x' => hexadecimal(text),
        b'0'..=b'7' => Ok(octal(text)),
        b'o' => Err(PatternError::Unsupported("\\o{}")),
        b'c' => match text.get(1) {
            Some(letter) => Ok((Escape::Byte(letter.to_ascii_uppercase() ^ 0x40), 2)),
            None => Err(PatternError::Unfinished("an escape")),
        },
        b'Q' => Ok((Escape::QuoteStart, 1)),
        b'E' => Ok((Escape::Nothing, 1)),
        _ => match ByteSet::of_letter(first) {
            Some(set) => Ok((Escape::Set(Box::new(set)), 1)),
            None => byte(first),
        },
    }
}

/// A byte as it is written in the other dialect, inside of classes too. Bytes above 7f stand in a
/// class of their own: outside of one they could be taken for characters.
pub(super) fn literal(byte: u8) -> String {
    const PLAIN: &[u8] = b"_/:;,<>=!@%\"'`";
    match byte {
        byte if byte.is_ascii_alphanumeric() || PLAIN.contains(&byte) => {
            char::from(byte).to_string()
        }
        0x21..=0x7e => format!("\\{}", char::from(byte)),
        0x80.. => format!("[\\x{byte:02x}]"),
        _ => format!("\\x{byte:02x}"),
    }
}

/// `\1` to `\9` refer back; longer numbers that begin with an octal digit are bytes.
fn reference_or_octal(text: &[u8]) -> (Escape, usize) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match text.first() {
        Some(b'1'..=b'7') if digits > 1 => octal(text),
        _ => (Escape::Reference, 1),
    }
}

fn octal(text: &[u8]) -> (Escape, usize) {
    let count = text.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let value = text.iter().take(count).fold(0_u8, |value, digit| {
        value.wrapping_mul(8).wrapping_add(digit - b'0') // \777 is \377
    });
    (Escape::Byte(value), count.max(1))
}

/// `\xHH`, `\xH`, `\x` alone for NUL, `\x{HH}`.
fn hexadecimal(text: &[u8]) -> Result<(Escape, usize), PatternError> {
    let digits = text.get(1..).unwrap_or_default();
    if let [b'{', braced @ ..] = digits {
        let end = memchr::memchr(b'}', braced).ok_or(PatternError::Unfinished("an escape"))?;
        let code = braced.get(..end).and_then(|code| str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        let byte = code.ok_or(PatternError::Unsupported("a code above \\xff"))?;
        return Ok((Escape::Byte(byte), end + 3));
    }
    let values = digits.iter().take(2).map_while(|digit| char::from(*digit).to_digit(16));
    let (count, value) =
        values.fold((0, 0), |(count, value), digit| (count + 1, value * 16 + digit));
    Ok((Escape::Byte(u8::try_from(value).unwrap_or_default()), count + 1))
}
