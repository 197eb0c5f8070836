//! A command line as a shell would read it: no quotes and escapes, one blank, lower case.

use std::borrow::Cow;

/// `"`, `'`, `\` and `^` go; runs of blanks, `,` and `;` become one blank, none before `/` or `(`.
pub(super) fn command_line(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.iter().any(|byte| touches(*byte)) {
        return Cow::Borrowed(value);
    }
    let (mut out, mut blank) = (Vec::with_capacity(value.len()), false);
    for byte in value {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => continue,
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !blank {
                    out.push(b' ');
                }
                blank = true;
                continue;
            }
            b'/' | b'(' if blank => drop(out.pop()),
            _ => {}
        }
        blank = false;
        out.push(byte.to_ascii_lowercase());
    }
    Cow::Owned(out)
}

fn touches(byte: u8) -> bool {
    byte.is_ascii_uppercase()
        || matches!(byte, b'"' | b'\'' | b'\\' | b'^' | b' ' | b',' | b';' | b'\t' | b'\r' | b'\n')
}
