//! The head that a response of type [`CONTENT_TYPE`] has before its body: JSON, and eight zero bytes.

use http::Response;
use http::header::{HeaderName, HeaderValue, SET_COOKIE};
use http::response::Parts;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The content type of a response with a prelude.
pub(super) const CONTENT_TYPE: &[u8] = b"application/vnd.awslambda.http-integration-response";

const DELIMITER: [u8; 8] = [0; 8];
/// Longest one.
const PRELUDE_MAX_BYTES: usize = 64 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    #[serde(default = "ok")]
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, Values>,
    #[serde(default)]
    cookies: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

const fn ok() -> u16 {
    200
}

/// There is no prelude, or it is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The beginning of a response, until its prelude is there.
#[derive(Debug, Default)]
pub(super) struct Prelude(Vec<u8>);

impl Prelude {
    /// Takes what has come; the head and the first bytes of the body, once they are there.
    ///
    /// # Errors
    /// When it is too long, or not what it should be.
    pub(super) fn take(&mut self, piece: &[u8]) -> Result<Option<(Parts, Vec<u8>)>, Malformed> {
        // The delimiter may have begun in what came before.
        let from = self.0.len().saturating_sub(DELIMITER.len());
        self.0.extend_from_slice(piece);
        let tail = self.0.get(from..).unwrap_or_default();
        let found = tail
            .windows(DELIMITER.len())
            .position(|window| window == DELIMITER);
        let Some(at) = found.map(|at| from + at) else {
            return if self.0.len() > PRELUDE_MAX_BYTES {
                Err(Malformed)
            } else {
                Ok(None)
            };
        };
        let (text, rest) = self.0.split_at_checked(at).ok_or(Malformed)?;
        let body = rest.get(DELIMITER.len()..).unwrap_or_default();
        if text.len() > PRELUDE_MAX_BYTES {
            return Err(Malformed);
        }
        let told: Told = serde_json::from_slice(text).map_err(|_| Malformed)?;
        Ok(Some((told.head().ok_or(Malformed)?, body.to_vec())))
    }
}

impl Told {
    fn head(self) -> Option<Parts> {
        let mut answer = Response::builder().status(self.status_code);
        let headers = answer.headers_mut()?;
        for (name, values) in self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let values = match values {
                Values::One(value) => vec![value],
                Values::Many(values) => values,
            };
            for value in values {
                headers.append(&name, HeaderValue::from_str(&value).ok()?);
            }
        }
        for cookie in self.cookies {
            headers.append(SET_COOKIE, HeaderValue::from_str(&cookie).ok()?);
        }
        Some(answer.body(()).ok()?.into_parts().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `response`, cut into pieces of this length.
    fn split(response: &[u8], piece: usize) -> Result<Option<(Parts, Vec<u8>)>, Malformed> {
        let mut prelude = Prelude::default();
        let mut pieces = response.chunks(piece);
        while let Some(piece) = pieces.next() {
            if let Some((head, mut body)) = prelude.take(piece)? {
                pieces.for_each(|piece| body.extend_from_slice(piece));
                return Ok(Some((head, body)));
            }
        }
        Ok(None)
    }

    #[test]
    fn status_headers_and_cookies_stand_before_the_body_however_it_is_cut() {
        let response =
            b"{\"statusCode\":201,\"headers\":{\"content-type\":\"text/html\",\"link\":[\"a\",\"b\"]},\
            \"cookies\":[\"c=1\"]}\0\0\0\0\0\0\0\0\0body\0";
        for piece in 1..=response.len() {
            let (head, body) = split(response, piece).unwrap().unwrap();
            assert_eq!(head.status, 201);
            assert_eq!(head.headers["content-type"], "text/html");
            assert_eq!(head.headers.get_all("link").iter().count(), 2);
            assert_eq!(head.headers["set-cookie"], "c=1");
            assert_eq!(body, b"\0body\0");
        }
        let (head, body) = split(b"{}\0\0\0\0\0\0\0\0", 100).unwrap().unwrap();
        assert_eq!((head.status.as_u16(), body.len()), (200, 0));
    }

    #[test]
    fn what_is_no_prelude_is_refused_and_an_unfinished_one_waits() {
        for response in [
            &b"no json\0\0\0\0\0\0\0\0"[..],
            b"{\"statusCode\":\"200\"}\0\0\0\0\0\0\0\0",
            b"{\"statusCode\":70000}\0\0\0\0\0\0\0\0",
            b"{\"statusCode\":7}\0\0\0\0\0\0\0\0",
            b"{\"headers\":{\"a b\":\"c\"}}\0\0\0\0\0\0\0\0",
            b"{\"headers\":{\"a\":\"b\\n\"}}\0\0\0\0\0\0\0\0",
            &[b' '; PRELUDE_MAX_BYTES + 1],
        ] {
            assert_eq!(split(response, 1000).unwrap_err(), Malformed);
        }
        assert!(split(b"{}\0\0\0\0\0\0\0", 3).unwrap().is_none());
    }
}
