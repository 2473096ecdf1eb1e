//! What stands before the body inside a sealed request or reply: `u32` its length, little-endian, and then
//! lines of a name, a colon, a blank, a value and LF. Names are lower case; which ones there are is for
//! whoever speaks about them.

use crate::Refused;

/// Longest head.
pub const HEAD_MAX_BYTES: usize = 16 << 10;
const LENGTH_BYTES: usize = 4;

/// Encodes a head.
///
/// # Errors
/// When a name or a value cannot be said in a line, or all together are too long.
pub fn encode<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Vec<u8>, Refused> {
    let mut head = vec![0; LENGTH_BYTES];
    for (name, value) in fields {
        if !is_name(name) || !is_value(value) {
            return Err(Refused::Head);
        }
        for part in [name, ": ", value, "\n"] {
            head.extend_from_slice(part.as_bytes());
        }
    }
    let len = head.len() - LENGTH_BYTES;
    if len > HEAD_MAX_BYTES {
        return Err(Refused::Head);
    }
    let length = u32::try_from(len).map_err(|_| Refused::Head)?.to_le_bytes();
    if let Some(place) = head.first_chunk_mut::<LENGTH_BYTES>() {
        *place = length;
    }
    Ok(head)
}

/// A head that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// Names and values, in their order.
    pub fields: Vec<(&'a str, &'a str)>,
    /// Bytes that it took; the body follows.
    pub len_bytes: usize,
}

/// Reads a head; `None` while it is not whole.
///
/// # Errors
/// When it can become none.
pub fn decode(plaintext: &[u8]) -> Result<Option<Head<'_>>, Refused> {
    let Some((length, rest)) = plaintext.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Refused::Head)?;
    if len > HEAD_MAX_BYTES {
        return Err(Refused::Head);
    }
    let Some(head) = rest.get(..len) else {
        return Ok(None);
    };
    let head = str::from_utf8(head).map_err(|_| Refused::Head)?;
    if !head.is_empty() && !head.ends_with('\n') {
        return Err(Refused::Head);
    }
    let fields: Option<Vec<_>> = head
        .split_terminator('\n')
        .map(|line| {
            line.split_once(": ")
                .filter(|(name, value)| is_name(name) && is_value(value))
        })
        .collect();
    Ok(Some(Head {
        fields: fields.ok_or(Refused::Head)?,
        len_bytes: LENGTH_BYTES + len,
    }))
}

/// A token (RFC 9110, section 5.6.2) without upper-case letters: a field's name as HTTP/2 writes it.
fn is_name(name: &str) -> bool {
    let is_of_name =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_name)
}

/// No character that controls anything: nothing ends a line, or looks like another one.
#[must_use]
pub fn is_value(value: &str) -> bool {
    !value.chars().any(char::is_control)
}
