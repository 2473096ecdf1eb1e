//! The headers of a record: content type, trace context, CloudEvents attributes. They are sealed together
//! with the body, as a prefix of the record's plaintext: a 16-bit length, then for each header a byte with
//! the name's length, the name, a 16-bit value length, the value (integers little-endian). Names are lower
//! case, values are text (UTF-8). A name may occur more than once; its values keep their order.

use super::failure::REASON_MAX_BYTES;

mod names;

pub(in crate::sdk) use names::lower_case;
pub use names::{
    CAPTURE_PREFIX, CONTENT_TYPE, ERROR_PREFIX, EXPLANATION, FORWARDED_FOR, INVOCATION, METHOD, OF_THE_BODY,
    OF_THE_CONNECTION, OWN_PREFIX, PART_FUNCTION, PART_PORT, PARTS, PATH, QUERY, STATUS, STATUSES,
    is_inherited, is_single, status_of,
};

/// Most bytes that a request may bring as headers of its record, their lengths included: the method, path,
/// query and captures, and the client's headers. The gateway answers more with 414 or 431.
pub const CARRIED_MAX_BYTES: usize = 8 * 1024;

/// Most bytes that the headers of one record may take, their lengths included, but for [`EXPLANATION`]: so
/// many more than a request brings that functions always have room for some of their own.
pub const HEADERS_MAX_BYTES: usize = CARRIED_MAX_BYTES + 4 * 1024;

/// Longest value of one of [`EXPLANATION`].
pub const EXPLANATION_VALUE_MAX_BYTES: usize = REASON_MAX_BYTES;
/// Most bytes that they take together: lengths, names, values.
pub const EXPLANATION_MAX_BYTES: usize = EXPLANATION.len() * (3 + 21 + EXPLANATION_VALUE_MAX_BYTES);
/// Most bytes of all headers of a record.
pub const ENCODED_MAX_BYTES: usize = HEADERS_MAX_BYTES + EXPLANATION_MAX_BYTES;

const _: () = {
    assert!(ENCODED_MAX_BYTES <= u16::MAX as usize);
    assert!(EXPLANATION[0].len() <= 21 && EXPLANATION[1].len() <= 21);
    assert!(EXPLANATION[2].len() <= 21 && EXPLANATION[3].len() <= 21);
};

fn is_explanation(name: &[u8]) -> bool {
    EXPLANATION.iter().any(|known| known.as_bytes() == name)
}

/// Bytes of the prefix that hold the length of the headers.
pub const PREFIX_BYTES: usize = 2;

/// A record's headers could not be read or would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The encoded headers are cut short or not UTF-8: the producer misbehaved.
    #[error("the record's headers are malformed")]
    Malformed,
    /// A name that is no lower-case token (RFC 9110, section 5.6.2), or a control character in a value.
    #[error("a header has a lower-case name and a value without control characters")]
    Invalid,
    /// A name over 255 bytes, a value over 65,535 bytes, or all headers together over [`HEADERS_MAX_BYTES`].
    #[error("the headers of a record have at most {HEADERS_MAX_BYTES} bytes")]
    TooLong,
    /// A name of [`OF_THE_CONNECTION`].
    #[error("the headers of a connection, and its framing, are the gateway's")]
    OfTheConnection,
    /// A name that begins with [`OWN_PREFIX`] and is no function's to set.
    #[error("headers that begin with `{OWN_PREFIX}` are the system's")]
    Reserved,
    /// A second value of a header that has one.
    #[error("a header that may stand in a message once has a value already")]
    Repeated,
}

/// Splits a record's plaintext into its encoded headers and the start of its body.
///
/// # Errors
/// [`HeaderError`] when the bytes do not start with well-formed headers.
pub fn split(plain: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    split_noting(plain, |_, _, _| {})
}

/// Bytes of headers, with their length, at the beginning of a record that was written here.
pub(crate) fn prefixed_bytes(plain: &[u8]) -> usize {
    plain.first_chunk::<PREFIX_BYTES>().map_or(0, |length| {
        PREFIX_BYTES + usize::from(u16::from_le_bytes(*length))
    })
}

/// As [`split`], and `note` is told of each header: name, value, and where in the encoded headers the value
/// begins.
pub(crate) fn split_noting(
    plain: &[u8],
    mut note: impl FnMut(&[u8], &[u8], usize),
) -> Result<(&[u8], &[u8]), HeaderError> {
    let (headers, body) = split_unread(plain)?;
    // Nearly always so; then every name and value is text.
    let is_ascii = headers.is_ascii();
    let is_text = |bytes| is_ascii || core::str::from_utf8(bytes).is_ok();
    let mut walk = Encoded { rest: headers };
    while let Some((name, value)) = walk.next() {
        if !is_text(name) || !is_text(value) {
            return Err(HeaderError::Malformed);
        }
        note(name, value, headers.len() - walk.rest.len() - value.len());
    }
    if !walk.rest.is_empty() {
        return Err(HeaderError::Malformed);
    }
    if headers.len() > HEADERS_MAX_BYTES && others_bytes(headers) > HEADERS_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    Ok((headers, body))
}

/// As [`split`], but whether its headers are well-formed is not looked at.
fn split_unread(plain: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let (prefix, rest) = plain
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(HeaderError::Malformed)?;
    let len_bytes = usize::from(u16::from_le_bytes(*prefix));
    if len_bytes > ENCODED_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    rest.split_at_checked(len_bytes).ok_or(HeaderError::Malformed)
}

/// Walks over encoded headers without checking that they are text: that check takes most of the time. Ends
/// before what is no header.
struct Encoded<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Encoded<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = self.rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
        let (value_len, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value_len)))?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Iterates over encoded headers.
#[derive(Debug, Clone)]
pub struct Headers<'a> {
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Iterates over what [`split`] found.
    #[must_use]
    pub fn new(encoded: &'a [u8]) -> Self {
        Self { rest: encoded }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // `split` walked the same bytes once, so an error cannot show here; if it did, iteration would end.
        let mut walk = Encoded { rest: self.rest };
        let header = walk.next().and_then(as_text);
        self.rest = if header.is_some() { walk.rest } else { &[] };
        header
    }
}

fn as_text<'a>((name, value): (&'a [u8], &'a [u8])) -> Option<(&'a str, &'a str)> {
    Some((
        core::str::from_utf8(name).ok()?,
        core::str::from_utf8(value).ok()?,
    ))
}

/// Bytes of the headers that are no explanation.
fn others_bytes(encoded: &[u8]) -> usize {
    Encoded { rest: encoded }
        .filter(|(name, _)| !is_explanation(name))
        .map(|(name, value)| encoded_len(name, value))
        .sum()
}

/// Finds the first value of header `name` (lower case).
#[must_use]
pub fn find<'a>(encoded: &'a [u8], name: &str) -> Option<&'a str> {
    Encoded { rest: encoded }
        .find(|(found, _)| *found == name.as_bytes())
        .and_then(|(_, value)| core::str::from_utf8(value).ok())
}

/// Those headers whose names are among `names` (lower case), in the order of the record.
pub(crate) fn named<'a>(encoded: &'a [u8], names: &[&str]) -> impl Iterator<Item = (&'a str, &'a str)> {
    Encoded { rest: encoded }
        .filter(|(found, _)| names.iter().any(|name| name.as_bytes() == *found))
        .filter_map(as_text)
}

/// Sets a header inside `plain`, a buffer that starts with the prefix and may already hold body bytes after
/// the headers. Replaces all earlier values of the same name; if the new one is refused, these stay.
///
/// # Errors
/// [`HeaderError::TooLong`] when the headers would pass their bound, [`HeaderError::Invalid`], and
/// [`HeaderError::Malformed`] when `plain` does not start with well-formed headers.
pub fn set(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    insert(plain, name, value, true)
}

/// Adds a header as [`set`] does, after earlier values of the same name.
///
/// # Errors
/// As [`set`].
pub fn append(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    insert(plain, name, value, false)
}

fn insert(plain: &mut Vec<u8>, name: &str, value: &str, replaces: bool) -> Result<(), HeaderError> {
    let name_len = u8::try_from(name.len()).map_err(|_| HeaderError::TooLong)?;
    let value_len = u16::try_from(value.len()).map_err(|_| HeaderError::TooLong)?;
    if !is_name(name) || has_control(value) {
        return Err(HeaderError::Invalid);
    }
    let (headers, _) = split(plain)?;
    let replaced: usize = Encoded { rest: headers }
        .filter(|(found, _)| replaces && *found == name.as_bytes())
        .map(|(name, value)| encoded_len(name, value))
        .sum();
    let added = encoded_len(name.as_bytes(), value.as_bytes());
    let new_len = headers.len() - replaced + added;
    let too_long = if is_explanation(name.as_bytes()) {
        value.len() > EXPLANATION_VALUE_MAX_BYTES || new_len > ENCODED_MAX_BYTES
    } else {
        new_len > HEADERS_MAX_BYTES && others_bytes(headers) - replaced + added > HEADERS_MAX_BYTES
    };
    if too_long {
        return Err(HeaderError::TooLong);
    }
    let at = PREFIX_BYTES + headers.len() - replaced;
    if replaced > 0 {
        remove(plain, name)?;
    }
    plain.push(name_len);
    plain.extend_from_slice(name.as_bytes());
    plain.extend_from_slice(&value_len.to_le_bytes());
    plain.extend_from_slice(value.as_bytes());
    // Before the body.
    if let Some(tail) = plain.get_mut(at..) {
        tail.rotate_right(added);
    }
    write_length(plain, new_len)
}

fn has_control(value: &str) -> bool {
    let is_plain = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    !is_plain && value.chars().any(|c| c.is_control() && c != '\t')
}

const fn encoded_len(name: &[u8], value: &[u8]) -> usize {
    3 + name.len() + value.len()
}

/// Whether `name` is a token without upper case.
fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9') || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

/// Removes all values of header `name` from `plain`, a record that was written here, or whose headers
/// [`split`] has found to be well-formed.
///
/// # Errors
/// [`HeaderError`] when `plain` does not start with headers.
pub fn remove(plain: &mut Vec<u8>, name: &str) -> Result<(), HeaderError> {
    let mut total = split_unread(plain)?.0.len();
    let mut at = 0;
    while let Some(rest) = plain.get(PREFIX_BYTES + at..PREFIX_BYTES + total) {
        let Some((found, value)) = (Encoded { rest }).next() else {
            break;
        };
        let len = encoded_len(found, value);
        if found == name.as_bytes() {
            plain.drain(PREFIX_BYTES + at..PREFIX_BYTES + at + len);
            total -= len;
        } else {
            at += len;
        }
    }
    write_length(plain, total)?;
    if at < total {
        Err(HeaderError::Malformed)
    } else {
        Ok(())
    }
}

/// Adds to `inherited` what a record starts with whose input has the headers `encoded`, in their encoded
/// form.
pub(crate) fn inherit(inherited: &mut Vec<u8>, encoded: &[u8]) {
    let mut walk = Encoded { rest: encoded };
    loop {
        let from = walk.rest;
        let Some((name, _)) = walk.next() else {
            return;
        };
        if names::is_inherited_name(name) {
            let (header, _) = from.split_at(from.len() - walk.rest.len());
            inherited.extend_from_slice(header);
        }
    }
}

fn write_length(plain: &mut [u8], len_bytes: usize) -> Result<(), HeaderError> {
    let len = u16::try_from(len_bytes).map_err(|_| HeaderError::TooLong)?;
    let prefix = plain
        .first_chunk_mut::<PREFIX_BYTES>()
        .ok_or(HeaderError::Malformed)?;
    *prefix = len.to_le_bytes();
    Ok(())
}

/// Starts a record in `plain`: headers inherited in their encoded form, no body yet.
pub fn start(plain: &mut Vec<u8>, inherited: &[u8]) {
    plain.clear();
    let len = u16::try_from(inherited.len()).unwrap_or(0);
    plain.extend_from_slice(&len.to_le_bytes());
    plain.extend_from_slice(inherited.get(..usize::from(len)).unwrap_or(&[]));
}

#[cfg(test)]
mod tests;
