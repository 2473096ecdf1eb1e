//! The headers of a client that travel into a chain with its request (docs/http.md has the whole table).

use super::problem::Problem;
use hacher_libos_net::headers::{self, HeaderError};
use hacher_libos_net::telemetry::RequestRefusal;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

/// Room for the headers that most requests carry.
pub(super) const HEAD_EXPECTED_BYTES: usize = 512;

/// How often a header may stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arity {
    /// Once; a second one has no meaning that two readers would agree on.
    Single,
    /// Often; its values are one list (RFC 9110, section 5.3).
    List,
}

/// How `name` travels; `None` if it does not.
pub(super) fn arity(name: &str) -> Option<Arity> {
    match name {
        "content-type" | "traceparent" | "idempotency-key" => Some(Arity::Single),
        "content-encoding" | "tracestate" | "baggage" => Some(Arity::List),
        // CloudEvents, HTTP binding, binary mode: one header for each attribute.
        _ if name.starts_with("ce-") => Some(Arity::Single),
        _ => None,
    }
}

/// Puts the carried headers of a request, and its query, into its record.
pub(super) fn carry(from: &HeaderMap, query: Option<&str>, plain: &mut Vec<u8>) -> Result<(), Problem> {
    for name in from.keys() {
        let Some(arity) = arity(name.as_str()) else {
            continue;
        };
        let mut values = from.get_all(name).iter();
        let first = text(name, values.next())?;
        match (arity, values.next()) {
            (_, None) => put(plain, name.as_str(), first)?,
            (Arity::Single, Some(_)) => return Err(repeated(name)),
            (Arity::List, Some(second)) => {
                let mut list = Vec::from([first, text(name, Some(second))?]);
                for value in values {
                    list.push(text(name, Some(value))?);
                }
                list.retain(|value| !value.is_empty());
                put(plain, name.as_str(), &list.join(", "))?;
            }
        }
    }
    query.map_or(Ok(()), |query| put(plain, headers::QUERY, query))
}

/// A value as text: UTF-8 is carried as it is, other bytes have no meaning that a function could rely on.
fn text<'a>(name: &HeaderName, value: Option<&'a HeaderValue>) -> Result<&'a str, Problem> {
    core::str::from_utf8(value.map_or(&[][..], HeaderValue::as_bytes)).map_err(|_| {
        let detail = format!("the value of `{name}` is neither ASCII nor UTF-8");
        Problem::new(StatusCode::BAD_REQUEST, "malformed header", detail).refusal(RequestRefusal::Headers)
    })
}

fn put(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), Problem> {
    headers::set(plain, name, value).map_err(|error| match error {
        HeaderError::Invalid => {
            let detail = format!("the value of `{name}` has a control character");
            Problem::new(StatusCode::BAD_REQUEST, "malformed header", detail).refusal(RequestRefusal::Headers)
        }
        _ => {
            let detail = format!(
                "the headers that a chain carries have at most {} bytes",
                headers::HEADERS_MAX_BYTES
            );
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            Problem::new(status, "headers too large", detail).refusal(RequestRefusal::Headers)
        }
    })
}

fn repeated(name: &HeaderName) -> Problem {
    let detail = format!("`{name}` may stand in a request once");
    Problem::new(StatusCode::BAD_REQUEST, "repeated header", detail).refusal(RequestRefusal::Headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::headers::Headers;

    fn map(fields: &[(&str, &[u8])]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            map.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    fn carried(fields: &[(&str, &[u8])]) -> Result<Vec<(String, String)>, StatusCode> {
        let mut plain = vec![0, 0];
        carry(&map(fields), None, &mut plain).map_err(|problem| problem.response().status())?;
        let (encoded, body) = headers::split(&plain).unwrap();
        assert_eq!(body, b"");
        let mut found: Vec<_> = Headers::new(encoded)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        found.sort();
        Ok(found)
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn lists_keep_all_their_values_in_order() {
        let found = carried(&[
            ("baggage", b"a=1"),
            ("tracestate", b"x=1,y=2"),
            ("content-encoding", b"gzip"),
            ("baggage", b""),
            ("baggage", b"b=2;p=q"),
            ("tracestate", b"z=3"),
        ]);
        let expected = [
            ("baggage", "a=1, b=2;p=q"),
            ("content-encoding", "gzip"),
            ("tracestate", "x=1,y=2, z=3"),
        ];
        assert_eq!(found, Ok(pairs(&expected)));
    }

    #[test]
    fn a_repeated_singleton_is_refused_even_if_both_say_the_same() {
        for name in [
            "content-type",
            "traceparent",
            "idempotency-key",
            "ce-id",
            "ce-own",
        ] {
            let found = carried(&[(name, b"a"), (name, b"a")]);
            assert_eq!(found, Err(StatusCode::BAD_REQUEST), "{name}");
        }
    }

    #[test]
    fn utf_8_is_carried_other_bytes_are_refused_and_other_headers_are_nobodys_business() {
        let found = carried(&[
            ("ce-subject", "grün".as_bytes()),
            ("ce-empty", b""),
            ("ce-escaped", b"gr%C3%BCn"),
            ("x-other", b"\xff"),
            ("ce_id", b"7"),
        ]);
        let expected = [
            ("ce-empty", ""),
            ("ce-escaped", "gr%C3%BCn"),
            ("ce-subject", "grün"),
        ];
        assert_eq!(found, Ok(pairs(&expected)));
        let latin_1 = carried(&[("ce-subject", b"gr\xfcn")]);
        assert_eq!(latin_1, Err(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn headers_past_the_bound_are_431() {
        let long = vec![b'a'; 5000];
        let found = carried(&[("ce-a", &long), ("ce-b", &long)]);
        assert_eq!(found, Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn the_query_travels() {
        let mut plain = vec![0, 0];
        carry(&HeaderMap::new(), Some("size=3&x=%20"), &mut plain).unwrap();
        let (encoded, _) = headers::split(&plain).unwrap();
        assert_eq!(headers::find(encoded, headers::QUERY), Some("size=3&x=%20"));
    }
}
