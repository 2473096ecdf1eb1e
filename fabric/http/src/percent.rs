//! Percent-encoding of texts in URIs (RFC 3986, section 2.1).

use core::fmt::Write as _;

/// Whether a byte stands for itself wherever it is in a URI (RFC 3986, section 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// What stands before the first escape of `text`; and of each escape its byte, and what stands behind it.
/// Nothing for a `%` that does not stand before two hexadecimal digits.
pub fn escapes(text: &str) -> (&str, impl Iterator<Item = Option<(u8, &str)>>) {
    let mut pieces = text.split('%');
    let before = pieces.next().unwrap_or_default();
    let escapes = pieces.map(|piece| {
        let (digits, rest) = piece.split_at_checked(2)?;
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let byte = are_digits
            .then(|| u8::from_str_radix(digits, 16).ok())
            .flatten()?;
        Some((byte, rest))
    });
    (before, escapes)
}

/// Appends one byte: as it is if it is unreserved, else as an escape.
pub fn push(out: &mut String, byte: u8) {
    if is_unreserved(byte) {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "%{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_two_hexadecimal_digits() {
        let split = |text| {
            let (before, escapes) = escapes(text);
            (before.to_owned(), escapes.collect::<Vec<_>>())
        };
        assert_eq!(
            split("a%2Fb%7e"),
            ("a".to_owned(), vec![Some((b'/', "b")), Some((b'~', ""))])
        );
        assert_eq!(split("plain"), ("plain".to_owned(), vec![]));
        for broken in ["%", "%2", "%+1", "%zz", "%2\u{fc}"] {
            assert_eq!(split(broken).1, [None], "{broken}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let mut encoded = String::new();
        (0..=255).for_each(|byte| push(&mut encoded, byte));
        let (before, escapes) = escapes(&encoded);
        let mut bytes = before.as_bytes().to_vec();
        for escape in escapes {
            let (byte, rest) = escape.unwrap();
            bytes.push(byte);
            bytes.extend(rest.bytes());
        }
        assert_eq!(bytes, (0..=255).collect::<Vec<u8>>());
    }
}
