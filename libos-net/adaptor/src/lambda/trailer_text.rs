//! An error that a runtime writes at the end of a response's body: the text of trailers, as `lambda_runtime`
//! has it, in place of the trailers. Taken for a part of the body, it would make a broken answer a whole one.

use super::error_type;
use bytes::{Bytes, BytesMut};

const TYPE: &[u8] = b"Lambda-Runtime-Function-Error-Type: ";
const BODY: &[u8] = b"\r\nLambda-Runtime-Function-Error-Body: ";
const END: &[u8] = b"\r\n";
/// Most bytes of it: what is longer is a body.
const TEXT_MAX_BYTES: usize = 64 * 1024;

/// Holds back what may be such a text, until the body goes on or ends.
#[derive(Debug, Default)]
pub(super) struct TrailerText {
    held: BytesMut,
}

impl TrailerText {
    /// What of the body can go on, now that `piece` has come.
    pub(super) fn take(&mut self, piece: Bytes) -> Bytes {
        if self.held.is_empty() && text_at(&piece, 0) == piece.len() {
            return piece;
        }
        // What was there before has been searched.
        let from = self.held.len().saturating_sub(TYPE.len());
        self.held.extend_from_slice(&piece);
        let at = text_at(&self.held, from);
        let is_text = self.held.len().saturating_sub(at) <= TEXT_MAX_BYTES;
        let len = if is_text { at } else { self.held.len() };
        self.held.split_to(len).freeze()
    }

    /// The end of the body: its last bytes.
    ///
    /// # Errors
    /// The type of the error that it ends in.
    pub(super) fn end(self) -> Result<Bytes, String> {
        match error_in(&self.held) {
            Some(name) => Err(error_type::harmless(&String::from_utf8_lossy(name))),
            None => Ok(self.held.freeze()),
        }
    }
}

/// Where the last text begins, or what may become one at the end; the length if nothing does. Before `from`,
/// only the beginning is looked at.
fn text_at(bytes: &[u8], from: usize) -> usize {
    let searched = bytes.get(from..).unwrap_or_default();
    let last = searched.windows(TYPE.len()).rposition(|window| window == TYPE);
    if let Some(at) = last {
        return from + at;
    }
    if bytes.starts_with(TYPE) {
        return 0;
    }
    let begins = |len: &usize| {
        TYPE.get(..*len)
            .is_some_and(|beginning| bytes.ends_with(beginning))
    };
    let len = (1..TYPE.len()).rev().find(begins).unwrap_or(0);
    bytes.len().saturating_sub(len)
}

/// The type, if all of `bytes` is such a text.
fn error_in(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(TYPE)?;
    let at = rest.windows(BODY.len()).position(|window| window == BODY)?;
    let (name, rest) = rest.split_at_checked(at)?;
    let body = rest.strip_prefix(BODY)?.strip_suffix(END)?;
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    (body.iter().all(is_base64) && !name.contains(&b'\n')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: &str = "Lambda-Runtime-Function-Error-Type: Runtime.StreamError\r\nLambda-Runtime-Function-Error-Body: c2VjcmV0\r\n";

    /// What goes on of `body`, cut into pieces of this length.
    fn passed(body: &[u8], piece: usize) -> (Vec<u8>, Result<(), String>) {
        let mut text = TrailerText::default();
        let mut on = Vec::new();
        for piece in body.chunks(piece) {
            on.extend_from_slice(&text.take(Bytes::copy_from_slice(piece)));
        }
        let end = text.end().map(|last| on.extend_from_slice(&last));
        (on, end)
    }

    #[test]
    fn a_body_that_ends_in_the_text_ends_in_an_error_however_it_is_cut() {
        let body = format!("some of it{ERROR}");
        for piece in 1..=body.len() {
            let (on, end) = passed(body.as_bytes(), piece);
            assert_eq!(
                (&on[..], end),
                (&b"some of it"[..], Err("Runtime.StreamError".to_owned()))
            );
        }
    }

    #[test]
    fn any_other_body_goes_on_as_it_is() {
        let long = format!("{}{}", &ERROR[..36], "x".repeat(TEXT_MAX_BYTES * 2));
        for body in [
            "",
            "plain",
            "plain Lambda-Run",
            &format!("{ERROR}and more"),
            &format!("{ERROR}{}", &ERROR[..50]),
            &ERROR[..ERROR.len() - 2],
            &ERROR.replace("c2Vj", "c2 V"),
            &long,
        ] {
            for piece in [1, 7, 36, 37, 5000] {
                let (on, end) = passed(body.as_bytes(), piece);
                assert_eq!(end, Ok(()), "{body}");
                assert!(on == body.as_bytes(), "{body}");
            }
        }
    }

    #[test]
    fn a_piece_that_has_no_such_text_does_not_wait() {
        let mut text = TrailerText::default();
        assert_eq!(text.take(Bytes::from_static(b"data: 1\n\n")).len(), 9);
        assert_eq!(text.take(Bytes::from_static(b"ends in L")).len(), 8);
        assert_eq!(text.take(Bytes::from_static(b"ast")), "Last");
    }
}
