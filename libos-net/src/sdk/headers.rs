//! The headers of a record: content type, trace context, CloudEvents attributes. They are sealed together with
//! the body, as a prefix of the record's plaintext: a 16-bit length, then for each header a byte with the
//! name's length, the name, a 16-bit value length, the value (integers little-endian).

/// Most bytes that the headers of one record may take, their lengths included.
pub const HEADERS_MAX_BYTES: usize = 8 * 1024;

/// Bytes of the prefix that hold the length of the headers.
pub(crate) const PREFIX_BYTES: usize = 2;

/// Name of the header that says what the body is (RFC 9110, section 8.3).
pub const CONTENT_TYPE: &str = "content-type";

/// A record's headers could not be read or would not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The encoded headers are cut short or not UTF-8: the producer misbehaved.
    #[error("the record's headers are malformed")]
    Malformed,
    /// A name over 255 bytes, a value over 65,535 bytes, or all headers together over [`HEADERS_MAX_BYTES`].
    #[error("the headers of a record have at most {HEADERS_MAX_BYTES} bytes")]
    TooLong,
}

/// Splits a record's plaintext into its encoded headers and the start of its body.
///
/// # Errors
/// [`HeaderError`] when the bytes do not start with well-formed headers.
pub fn split(plain: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let (prefix, rest) = plain
        .split_first_chunk::<PREFIX_BYTES>()
        .ok_or(HeaderError::Malformed)?;
    let len_bytes = usize::from(u16::from_le_bytes(*prefix));
    if len_bytes > HEADERS_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    let (headers, body) = rest.split_at_checked(len_bytes).ok_or(HeaderError::Malformed)?;
    let mut walk = Headers::new(headers);
    while let Some(header) = walk.step() {
        header?;
    }
    Ok((headers, body))
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

    fn step(&mut self) -> Option<Result<(&'a str, &'a str), HeaderError>> {
        if self.rest.is_empty() {
            return None;
        }
        let parsed = self.take_header().ok_or(HeaderError::Malformed);
        if parsed.is_err() {
            self.rest = &[];
        }
        Some(parsed)
    }

    fn take_header(&mut self) -> Option<(&'a str, &'a str)> {
        let (name_len, rest) = self.rest.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
        let (value_len, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*value_len)))?;
        self.rest = rest;
        Some((
            core::str::from_utf8(name).ok()?,
            core::str::from_utf8(value).ok()?,
        ))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // `split` walked the same bytes once, so an error cannot show here; if it did, iteration would end.
        self.step().and_then(Result::ok)
    }
}

/// Finds the value of header `name` (lower case).
#[must_use]
pub fn find<'a>(encoded: &'a [u8], name: &str) -> Option<&'a str> {
    Headers::new(encoded)
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// Sets a header inside `plain`, a buffer that starts with the prefix and may already hold body bytes after the
/// headers. Replaces an earlier value of the same name.
///
/// # Errors
/// [`HeaderError::TooLong`] when the headers would pass their bound.
pub fn set(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    let name_len = u8::try_from(name.len()).map_err(|_| HeaderError::TooLong)?;
    let value_len = u16::try_from(value.len()).map_err(|_| HeaderError::TooLong)?;
    remove(plain, name)?;
    let (headers, _) = split(plain)?;
    let old_len = headers.len();
    let new_len = old_len.saturating_add(3 + name.len()).saturating_add(value.len());
    if new_len > HEADERS_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    let at = PREFIX_BYTES + old_len;
    let encoded = core::iter::once(name_len)
        .chain(name.bytes())
        .chain(value_len.to_le_bytes())
        .chain(value.bytes());
    plain.splice(at..at, encoded);
    write_length(plain, new_len)
}

fn remove(plain: &mut Vec<u8>, name: &str) -> Result<(), HeaderError> {
    let (headers, _) = split(plain)?;
    let total = headers.len();
    let mut walk = Headers::new(headers);
    loop {
        let start = total - walk.rest.len();
        let Some((found, _)) = walk.next() else {
            return Ok(());
        };
        if found == name {
            let end = total - walk.rest.len();
            plain.drain(PREFIX_BYTES + start..PREFIX_BYTES + end);
            return write_length(plain, total - (end - start));
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
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_replaced_and_inherited() {
        let mut plain = vec![0, 0];
        set(&mut plain, "content-type", "image/jpeg").unwrap();
        set(&mut plain, "traceparent", "00-abc").unwrap();
        plain.extend_from_slice(b"body");
        set(&mut plain, "content-type", "image/png").unwrap();
        let (headers, body) = split(&plain).unwrap();
        assert_eq!(find(headers, CONTENT_TYPE), Some("image/png"));
        assert_eq!(find(headers, "traceparent"), Some("00-abc"));
        assert_eq!(Headers::new(headers).count(), 2);
        assert_eq!(body, b"body");
        let mut next = Vec::new();
        start(&mut next, headers);
        assert_eq!(split(&next).unwrap(), (headers, &[][..]));
    }

    #[test]
    fn cut_or_oversized_headers_are_refused() {
        assert_eq!(split(&[1]), Err(HeaderError::Malformed));
        assert_eq!(split(&[4, 0, 1, b'a', 9, 0]), Err(HeaderError::Malformed));
        assert_eq!(split(&[0xff, 0xff]), Err(HeaderError::TooLong));
        let mut plain = vec![0, 0];
        assert_eq!(set(&mut plain, "x", &"v".repeat(9000)), Err(HeaderError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64)) {
            if let Ok((headers, _)) = split(&bytes) {
                let _ = Headers::new(headers).count();
            }
        }
    }
}
