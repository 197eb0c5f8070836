//! Base64 (RFC 4648 section 4), for the few fields that carry bytes.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends the bytes in base64, padded.
pub(super) fn push(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut group = 0_u32;
        for place in 0..3 {
            group = group << 8 | u32::from(chunk.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let known = DIGITS.get(digit as usize).filter(|_| place <= chunk.len());
            text.push(char::from(*known.unwrap_or(&b'=')));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_vectors_of_rfc_4648() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (length, expected) in vectors.iter().enumerate() {
            let mut text = String::new();
            push(&mut text, &b"foobar"[..length]);
            assert_eq!(&text, expected);
        }
    }
}
