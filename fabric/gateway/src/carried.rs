//! The headers of a client that travel into a chain with its request (docs/http.md has the whole table).

use super::pattern::Captured;
use super::problem::Problem;
use super::target::connection_options;
use hacher_http::percent;
use hacher_libos_net::headers::{self, HeaderError, is_single};
use hacher_libos_net::telemetry::RequestRefusal;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

/// Room for the headers that most requests carry.
pub(super) const HEAD_EXPECTED_BYTES: usize = 512;

/// How often a header may stand in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arity {
    /// Once; a second one has no meaning that two readers would agree on.
    Single,
    /// Often; its values are one list (RFC 9110, section 5.3).
    List,
}

/// What of a request is no header, and travels as one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'r> {
    pub(super) method: &'r str,
    /// As functions see it.
    pub(super) path: &'r str,
    pub(super) query: Option<&'r str>,
    pub(super) captures: &'r [(String, Captured)],
    /// The host that the target names, which counts before the header (RFC 9112, section 3.2.2).
    pub(super) authority: Option<&'r str>,
    /// Where the connection comes from.
    pub(super) peer: Option<IpAddr>,
}

impl Asked<'static> {
    /// A request that says nothing besides its headers.
    pub(super) const POST: Self = Self {
        method: "POST",
        path: "",
        query: None,
        captures: &[],
        authority: None,
        peer: None,
    };
}

/// Whether `name` travels with every request.
fn travels(name: &str) -> bool {
    const NAMES: [&str; 5] = [
        "accept",
        "baggage",
        "content-encoding",
        "content-type",
        "idempotency-key",
    ];
    // CloudEvents, HTTP binding, binary mode: one header for each attribute.
    NAMES.contains(&name) || name.starts_with("ce-")
}

/// How often `name` may stand in a request.
fn arity(name: &str) -> Arity {
    if is_single(name) {
        Arity::Single
    } else {
        Arity::List
    }
}

/// Puts the carried headers of a request, and what else it asks, into its record, all but its trace. `chosen`
/// travel beside what always does.
pub(super) fn carry(
    from: &HeaderMap,
    asked: Asked<'_>,
    chosen: &[HeaderName],
    plain: &mut Vec<u8>,
) -> Result<(), Problem> {
    put(plain, headers::METHOD, asked.method)?;
    target(asked, plain)?;
    let ended = of_this_connection(from);
    for name in from.keys() {
        let has_own_rules =
            ["host", "traceparent", "tracestate", headers::FORWARDED_FOR].contains(&name.as_str());
        let is_carried = travels(name.as_str()) || chosen.contains(name);
        if is_carried && !has_own_rules && !ended.contains(name.as_str()) {
            put_all(from, name, plain)?;
        }
    }
    if chosen.contains(&HOST) {
        match asked.authority {
            Some(authority) => put(plain, HOST.as_str(), authority)?,
            None => put_all(from, &HOST, plain)?,
        }
    }
    forwarded(from, &ended, asked.peer, plain)
}

/// Puts what the target of a request says.
fn target(asked: Asked<'_>, plain: &mut Vec<u8>) -> Result<(), Problem> {
    let put = |plain: &mut Vec<u8>, name: &str, value: &str| {
        set(plain, name, value).map_err(|error| match error {
            HeaderError::Invalid => has_control(name),
            _ => {
                let detail = format!(
                    "path, query and what the route captures of them have at most {} bytes together, names and lengths included",
                    headers::CARRIED_MAX_BYTES
                );
                let status = StatusCode::URI_TOO_LONG;
                Problem::new(status, "the target is too long", detail).refusal(RequestRefusal::Headers)
            }
        })
    };
    if !asked.path.is_empty() {
        put(plain, headers::PATH, asked.path)?;
    }
    for (name, captured) in asked.captures {
        let name = [headers::CAPTURE_PREFIX, name].concat();
        put(plain, &name, &capture(captured)?)?;
    }
    match asked.query {
        Some(query) => put(plain, headers::QUERY, query),
        None => Ok(()),
    }
}

/// The headers that the client names as those of its connection: they end here.
fn of_this_connection(from: &HeaderMap) -> HashSet<String> {
    let options = connection_options(from).filter_map(|option| str::from_utf8(option).ok());
    options.map(str::to_ascii_lowercase).collect()
}

/// Puts all values of a header.
fn put_all(from: &HeaderMap, name: &HeaderName, plain: &mut Vec<u8>) -> Result<(), Problem> {
    let mut values = from.get_all(name).iter();
    let Some(first) = values.next() else {
        return Ok(());
    };
    let first = text(name, first)?;
    match (arity(name.as_str()), values.next()) {
        (_, None) => put(plain, name.as_str(), first),
        (Arity::Single, Some(_)) => Err(repeated(name)),
        (Arity::List, Some(second)) => {
            let mut list = Vec::from([first, text(name, second)?]);
            for value in values {
                list.push(text(name, value)?);
            }
            list.retain(|value| !value.is_empty());
            // RFC 9113, section 8.2.3: HTTP/2 may cut this one header at its own separator.
            let between = if *name == COOKIE { "; " } else { ", " };
            put(plain, name.as_str(), &list.join(between))
        }
    }
}

/// Where the request came from: what the client says, and who the client is.
fn forwarded(
    from: &HeaderMap,
    ended: &HashSet<String>,
    peer: Option<IpAddr>,
    plain: &mut Vec<u8>,
) -> Result<(), Problem> {
    let name = HeaderName::from_static(headers::FORWARDED_FOR);
    let mut list = Vec::new();
    if !ended.contains(headers::FORWARDED_FOR) {
        for value in from.get_all(&name) {
            list.push(text(&name, value)?);
        }
    }
    let peer = peer.map(|peer| peer.to_canonical().to_string());
    list.extend(peer.as_deref());
    list.retain(|value| !value.is_empty());
    match list.as_slice() {
        [] => Ok(()),
        [one] => put(plain, headers::FORWARDED_FOR, one),
        many => put(plain, headers::FORWARDED_FOR, &many.join(", ")),
    }
}

/// What a route captured: a segment decoded, the rest of a path as it is. A segment that holds slashes once
/// it is decoded is a path to whoever joins it to another, so it has no dot segments either.
fn capture(captured: &Captured) -> Result<Cow<'_, str>, Problem> {
    let malformed = |detail: &'static str| {
        let status = StatusCode::BAD_REQUEST;
        Problem::new(status, "malformed request", detail).refusal(RequestRefusal::Headers)
    };
    let segment = match captured {
        Captured::Rest(path) => return Ok(Cow::Borrowed(path)),
        Captured::Segment(segment) => segment,
    };
    let decoded = decoded(segment)
        .ok_or_else(|| malformed("a captured segment of the path is not UTF-8 once it is decoded"))?;
    if decoded.split(['/', '\\']).any(|part| matches!(part, "." | "..")) {
        return Err(malformed(
            "a captured segment of the path has no parts `.` and `..` once it is decoded",
        ));
    }
    Ok(decoded)
}

/// A segment of a path without its percent-encoding, if it is text.
fn decoded(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let (before, escapes) = percent::escapes(segment);
    let mut bytes = before.as_bytes().to_vec();
    for escape in escapes {
        let (byte, rest) = escape?;
        bytes.push(byte);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// A value as text: UTF-8 is carried as it is, other bytes have no meaning that a function could rely on.
fn text<'a>(name: &HeaderName, value: &'a HeaderValue) -> Result<&'a str, Problem> {
    core::str::from_utf8(value.as_bytes()).map_err(|_| {
        let detail = format!("the value of `{name}` is neither ASCII nor UTF-8");
        Problem::new(StatusCode::BAD_REQUEST, "malformed header", detail).refusal(RequestRefusal::Headers)
    })
}

/// Sets a header. What a request brings has a bound of its own, below that of a record: however much it is,
/// the functions have room for theirs.
fn set(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeaderError> {
    headers::set(plain, name, value)?;
    if plain.len() > headers::PREFIX_BYTES + headers::CARRIED_MAX_BYTES {
        return Err(HeaderError::TooLong);
    }
    Ok(())
}

fn has_control(name: &str) -> Problem {
    let detail = format!("the value of `{name}` has a control character");
    Problem::new(StatusCode::BAD_REQUEST, "malformed header", detail).refusal(RequestRefusal::Headers)
}

pub(super) fn put(plain: &mut Vec<u8>, name: &str, value: &str) -> Result<(), Problem> {
    set(plain, name, value).map_err(|error| match error {
        HeaderError::Invalid => has_control(name),
        _ => {
            let detail = format!(
                "what a chain carries of a request, its path and query included, has at most {} bytes",
                headers::CARRIED_MAX_BYTES
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

    /// All but the method, sorted.
    fn asked(
        fields: &[(&str, &[u8])],
        asked: Asked<'_>,
        chosen: &[&'static str],
    ) -> Result<Vec<(String, String)>, StatusCode> {
        let mut plain = vec![0, 0];
        let chosen: Vec<_> = chosen.iter().map(|name| HeaderName::from_static(name)).collect();
        carry(&map(fields), asked, &chosen, &mut plain).map_err(|problem| problem.response().status())?;
        let (encoded, body) = headers::split(&plain).unwrap();
        assert_eq!(body, b"");
        let mut found: Vec<_> = Headers::new(encoded)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let method = (headers::METHOD.to_owned(), asked.method.to_owned());
        assert_eq!(found.remove(0), method);
        found.sort();
        Ok(found)
    }

    fn carried(fields: &[(&str, &[u8])]) -> Result<Vec<(String, String)>, StatusCode> {
        asked(fields, Asked::POST, &[])
    }

    fn pairs(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        fields.iter().map(owned).collect()
    }

    #[test]
    fn lists_keep_all_their_values_in_order() {
        let found = carried(&[
            ("baggage", b"a=1"),
            ("accept", b"text/html"),
            ("content-encoding", b"gzip"),
            ("baggage", b""),
            ("baggage", b"b=2;p=q"),
            ("accept", b"*/*;q=0.1"),
        ]);
        let expected = [
            ("accept", "text/html, */*;q=0.1"),
            ("baggage", "a=1, b=2;p=q"),
            ("content-encoding", "gzip"),
        ];
        assert_eq!(found, Ok(pairs(&expected)));
    }

    #[test]
    fn a_repeated_singleton_is_refused_even_if_both_say_the_same() {
        for name in ["content-type", "idempotency-key", "ce-id", "ce-own"] {
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
    fn what_a_request_brings_leaves_room_for_what_functions_set() {
        let longest = |name: &str, status: StatusCode| {
            let (mut fits, mut fails) = (0, 9000);
            while fits + 1 < fails {
                let middle = (fits + fails) / 2;
                let text = "a".repeat(middle);
                let asked_for = Asked {
                    path: if name == "path" { &text } else { "/a" },
                    query: (name == "query").then_some(&*text),
                    ..Asked::POST
                };
                let baggage = [("baggage", text.as_bytes())];
                let fields = if name == "baggage" { &baggage[..] } else { &[] };
                match asked(fields, asked_for, &[]) {
                    Ok(_) => fits = middle,
                    Err(refused) => {
                        assert_eq!(refused, status, "{name}");
                        fails = middle;
                    }
                }
            }
            fits
        };
        for (name, status) in [
            ("baggage", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
            ("path", StatusCode::URI_TOO_LONG),
            ("query", StatusCode::URI_TOO_LONG),
        ] {
            let longest = longest(name, status);
            assert!(
                (8_000..headers::CARRIED_MAX_BYTES).contains(&longest),
                "{name}: {longest}"
            );
        }
        let mut plain = vec![0, 0];
        let long = vec![b'a'; 8_000];
        carry(&map(&[("baggage", &long)]), Asked::POST, &[], &mut plain).unwrap();
        headers::set(&mut plain, "x-own", &"a".repeat(4_000)).unwrap();
    }

    #[test]
    fn a_captured_segment_is_no_way_out_of_a_folder() {
        for (segment, is_carried) in [
            ("..%2Fa", false),
            ("a%2f%2E%2e", false),
            ("a%2F.%2Fb", false),
            ("..%5Ca", false),
            ("..a%2Fb..", true),
            ("a%2Fb", true),
            ("...", true),
        ] {
            let captures = [("a".to_owned(), Captured::Segment(segment.to_owned()))];
            let asked_for = Asked {
                captures: &captures,
                ..Asked::POST
            };
            let carried = asked(&[], asked_for, &[]);
            match is_carried {
                true => assert!(carried.is_ok(), "{segment}"),
                false => assert_eq!(carried, Err(StatusCode::BAD_REQUEST), "{segment}"),
            }
        }
    }

    #[test]
    fn headers_past_the_bound_are_431() {
        let long = vec![b'a'; 5000];
        let found = carried(&[("ce-a", &long), ("ce-b", &long)]);
        assert_eq!(found, Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    }

    #[test]
    fn what_is_asked_travels_and_what_a_client_says_under_these_names_does_not() {
        let captures = [
            ("size".to_owned(), Captured::Segment("6%204%2F\u{fc}".to_owned())),
            ("rest".to_owned(), Captured::Rest("a%2Fb/c".to_owned())),
        ];
        let asked_for = Asked {
            method: "GET",
            path: "/a/b",
            query: Some("size=3&x=%20"),
            captures: &captures,
            peer: Some("::ffff:192.0.2.1".parse().unwrap()),
            ..Asked::POST
        };
        let forged: [(&str, &[u8]); 6] = [
            ("hacher-method", b"DELETE"),
            ("hacher-path", b"/forged"),
            ("hacher-capture-size", b"forged"),
            ("hacher-query", b"forged"),
            ("hacher-status", b"500"),
            ("x-forwarded-for", b"203.0.113.9"),
        ];
        let expected = [
            ("hacher-capture-rest", "a%2Fb/c"),
            ("hacher-capture-size", "6 4/\u{fc}"),
            ("hacher-path", "/a/b"),
            ("hacher-query", "size=3&x=%20"),
            ("x-forwarded-for", "203.0.113.9, 192.0.2.1"),
        ];
        assert_eq!(asked(&forged, asked_for, &[]), Ok(pairs(&expected)));
        for segment in ["%ff", "%00", "a%0ab"] {
            let captures = [("a".to_owned(), Captured::Segment(segment.to_owned()))];
            let asked_for = Asked {
                captures: &captures,
                ..Asked::POST
            };
            assert_eq!(
                asked(&[], asked_for, &[]),
                Err(StatusCode::BAD_REQUEST),
                "{segment}"
            );
        }
    }

    #[test]
    fn a_chain_chooses_further_headers_and_a_connection_keeps_its_own() {
        let fields: [(&str, &[u8]); 8] = [
            ("authorization", b"Bearer a"),
            ("x-tenant", b"a"),
            ("x-tenant", b"b"),
            ("cookie", b"a=1"),
            ("cookie", b"b=2"),
            ("x-other", b"c"),
            ("host", b"by-header"),
            ("connection", b"close, X-Nominated"),
        ];
        let chosen = ["authorization", "cookie", "host", "x-nominated", "x-tenant"];
        let expected = [
            ("authorization", "Bearer a"),
            ("cookie", "a=1; b=2"),
            ("host", "by-header"),
            ("x-tenant", "a, b"),
        ];
        let nominated = [&fields[..], &[("x-nominated", b"d")]].concat();
        assert_eq!(asked(&nominated, Asked::POST, &chosen), Ok(pairs(&expected)));
        let by_target = Asked {
            authority: Some("by-target"),
            ..Asked::POST
        };
        let found = asked(&fields, by_target, &["host"]);
        assert_eq!(found, Ok(pairs(&[("host", "by-target")])));
        let twice = [("authorization", &b"a"[..]), ("authorization", b"b")];
        assert_eq!(
            asked(&twice, Asked::POST, &["authorization"]),
            Err(StatusCode::BAD_REQUEST)
        );
        assert_eq!(asked(&twice, Asked::POST, &[]), Ok(vec![]), "nobody wants it");
    }
}
