//! Whom and what a request means: its target (RFC 9112, section 3.2), its host (RFC 9110, section 7.2), and
//! the path that names a chain (RFC 3986).

use super::problem::Problem;
use hacher_http::percent;
use hyper::header::{CONNECTION, EXPECT, HOST, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use hyper::{HeaderMap, Method, Request, StatusCode, Version};
use std::borrow::Cow;

/// The path of a chain.
pub(super) const CHAINS: &str = "/chains/";
/// The longest target of a request (RFC 9110, section 4.1 asks for at least 8,000 bytes).
pub(super) const TARGET_MAX_BYTES: usize = 8 * 1024;
/// Headers that a client may not call options of its connection (RFC 9110, section 7.6.1): whoever drops what
/// `Connection` names would then read another message.
const NEVER_OPTIONS: [&str; 2] = ["content-length", "host"];

fn malformed(detail: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed request", detail)
}

/// A target longer than [`TARGET_MAX_BYTES`].
pub(super) fn too_long() -> Problem {
    let detail = format!("a target has at most {TARGET_MAX_BYTES} bytes");
    Problem::new(StatusCode::URI_TOO_LONG, "the target is too long", detail)
}

/// Judges path and query where they are no part of a head that hyper reads: as strictly as there.
pub(super) fn judge_path_and_query(path: &str, query: Option<&str>) -> Result<(), Problem> {
    let path = if path.is_empty() { "/" } else { path };
    let target = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    judge_raw("POST", &target)?;
    let parsed = target.parse::<PathAndQuery>();
    if parsed.is_ok_and(|parsed| parsed.path() == path && parsed.query() == query) {
        Ok(())
    } else {
        Err(malformed("path and query have characters that no URI has"))
    }
}

/// Judges a target as it stands in a head: hyper drops fragments, and takes forms that a method does not
/// have.
pub(super) fn judge_raw(method: &str, target: &str) -> Result<(), Problem> {
    if target.len() > TARGET_MAX_BYTES {
        return Err(too_long());
    }
    if !target.bytes().all(|byte| matches!(byte, 33..=126)) {
        return Err(malformed("a target is ASCII"));
    }
    if target.contains('#') {
        return Err(malformed("a target has no fragment"));
    }
    let is_known = target.starts_with('/')
        || (target == "*" && method == "OPTIONS")
        || (method == "CONNECT")
        || target
            .split_once("://")
            .is_some_and(|(scheme, _)| is_scheme(scheme));
    if is_known {
        Ok(())
    } else {
        Err(malformed("a target is a path, or a whole URI"))
    }
}

fn is_scheme(scheme: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(rest)
}

/// Judges a host: a name or an address, and perhaps a port.
pub(super) fn judge_host(host: &[u8]) -> Result<(), Problem> {
    let is_host = |host: &&str| {
        let authority = host.parse::<Authority>().ok();
        authority.is_some_and(|authority| {
            let after = host.strip_prefix(authority.host()).unwrap_or("@");
            let port = after.strip_prefix(':').unwrap_or("");
            !authority.host().is_empty()
                && (after.is_empty() || after.starts_with(':'))
                && (port.is_empty() || port.parse::<u16>().is_ok())
                && !port.starts_with('+')
        })
    };
    let host = core::str::from_utf8(host).ok();
    match host.filter(is_host) {
        Some(_) => Ok(()),
        None => Err(malformed("Host is a name or an address, and perhaps a port")),
    }
}

/// Judges what HTTP/1 and HTTP/2 have in common, and what HTTP/2 leaves to its users. A whole URI with a
/// scheme that the connection does not have was meant for another server (RFC 9110, section 7.4); HTTP/2
/// names a scheme always, and what ends TLS in front of the gateway may pass on its client's.
pub(super) fn judge<B>(request: &Request<B>, over_tls: bool) -> Result<(), Problem> {
    let headers = request.headers();
    let uri = request.uri();
    if request.version() == Version::HTTP_2 {
        if let Some(target) = uri.path_and_query() {
            judge_raw(request.method().as_str(), target.as_str())?;
        }
        judge_fields_2(request)?;
    } else if uri.scheme().is_some_and(|scheme| !is_served(scheme, over_tls)) {
        let detail = "the scheme is `http`, or `https` over TLS";
        let status = StatusCode::MISDIRECTED_REQUEST;
        return Err(Problem::new(status, "misdirected request", detail));
    }
    if let Some(authority) = uri.authority().filter(|_| request.method() != Method::CONNECT) {
        judge_host(authority.as_str().as_bytes())?;
    }
    if connection_options(headers).any(is_never_option) {
        return Err(malformed("`Connection` names an end-to-end header"));
    }
    let expects = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if request.version() != Version::HTTP_10 && headers.get_all(EXPECT).iter().any(expects) {
        let detail = "the only expectation is `100-continue`";
        let status = StatusCode::EXPECTATION_FAILED;
        return Err(Problem::new(status, "expectation failed", detail));
    }
    Ok(())
}

/// The headers that a client names as those of its connection (RFC 9110, section 7.6.1).
pub(super) fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).iter();
    let options = lines.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii)
}

fn is_never_option(option: &[u8]) -> bool {
    NEVER_OPTIONS
        .iter()
        .any(|name| option.eq_ignore_ascii_case(name.as_bytes()))
}

fn is_served(scheme: &Scheme, over_tls: bool) -> bool {
    *scheme == Scheme::HTTP || (over_tls && *scheme == Scheme::HTTPS)
}

/// Judges what RFC 9113 calls malformed and the library lets pass (sections 8.2.1 and 8.3.1).
fn judge_fields_2<B>(request: &Request<B>) -> Result<(), Problem> {
    let headers = request.headers();
    let is_padded = |value: &HeaderValue| {
        let edges = [value.as_bytes().first(), value.as_bytes().last()];
        edges.iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
    };
    if headers.values().any(is_padded) {
        return Err(malformed("a field's value has no space around it"));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let authority = request.uri().authority().map(Authority::as_str);
    match (authority, hosts.next(), hosts.next()) {
        (None, None, _) => Err(malformed("a request has an authority")),
        (_, _, Some(_)) => Err(malformed("a request has one Host")),
        (Some(_), None, None) => Ok(()),
        (None, Some(host), None) => judge_host(host.as_bytes()),
        (Some(authority), Some(host), None)
            if without_port(host.as_bytes()).eq_ignore_ascii_case(without_port(authority.as_bytes())) =>
        {
            Ok(())
        }
        (Some(_), Some(_), None) => Err(malformed("Host is the same as `:authority`")),
    }
}

/// A host without the port that its scheme has anyhow.
fn without_port(host: &[u8]) -> &[u8] {
    let default = [&b":80"[..], b":443", b":"];
    let stripped = default.iter().find_map(|port| host.strip_suffix(*port));
    stripped.unwrap_or(host)
}

/// The path with what is needlessly percent-encoded decoded (RFC 3986, section 6.2.2.2), so that one resource
/// has one name.
pub(super) fn path_of(path: &str) -> Result<Cow<'_, str>, Problem> {
    let path = if path.contains('%') {
        Cow::Owned(decode_unreserved(path)?)
    } else {
        Cow::Borrowed(path)
    };
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(malformed(
            "`.` and `..` segments are not allowed in a path; clients must resolve them",
        ));
    }
    Ok(path)
}

fn decode_unreserved(path: &str) -> Result<String, Problem> {
    let (before, escapes) = percent::escapes(path);
    let mut decoded = String::with_capacity(path.len());
    decoded.push_str(before);
    for escape in escapes {
        let (byte, rest) = escape.ok_or_else(|| malformed("`%` stands before two hexadecimal digits"))?;
        percent::push(&mut decoded, byte);
        decoded.push_str(rest);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_where_encoding_means_nothing() {
        for (path, expected) in [
            ("/chains/t", "/chains/t"),
            ("/chains/%74", "/chains/t"),
            ("/chains/a%2db%5Fc%7e", "/chains/a-b_c~"),
            ("/chains/a%2fb", "/chains/a%2Fb"),
            ("/chains/%25%37%34", "/chains/%2574"),
            ("/chains/%C3%bc", "/chains/%C3%BC"),
            ("//chains//t/", "//chains//t/"),
        ] {
            assert_eq!(path_of(path).unwrap(), expected, "{path}");
        }
        for path in [
            "/%",
            "/%4",
            "/%zz",
            "/%4%41",
            "/a/../t",
            "/./t",
            "/%2e%2E/t",
            "/t/..",
        ] {
            assert!(path_of(path).is_err(), "{path}");
        }
    }

    #[test]
    fn path_and_query_are_judged_apart_as_they_are_in_a_head() {
        for (path, query) in [
            ("", None),
            ("", Some("")),
            ("/a/b%2F", Some("c=d&e=%20?/")),
            ("/a", None),
        ] {
            assert!(judge_path_and_query(path, query).is_ok(), "{path} {query:?}");
        }
        for (path, query) in [
            ("/a", Some("b c")),
            ("/a", Some("b#c")),
            ("/a", Some("\u{fc}")),
            ("/a", Some("b\tc")),
            ("/\u{fc}", None),
            ("/a b", None),
            ("/a<b>", None),
            ("/a", Some("<b>")),
        ] {
            assert!(judge_path_and_query(path, query).is_err(), "{path} {query:?}");
        }
        let (path, query) = ("/".repeat(TARGET_MAX_BYTES / 2), "q".repeat(TARGET_MAX_BYTES / 2));
        let problem = judge_path_and_query(&path, Some(&query)).unwrap_err();
        assert_eq!(problem.response().status(), 414);
    }

    #[test]
    fn over_http_2_a_target_is_as_long_and_as_ascii_as_over_http_1() {
        let judged = |target: &str, fields: &[(&'static str, &str)]| {
            let uri = format!("http://x{target}");
            let mut request = Request::post(uri).version(Version::HTTP_2);
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            judge(&request.body(()).unwrap(), false).map_err(|problem| problem.response().status().as_u16())
        };
        assert_eq!(
            judged(&format!("/{}", "a".repeat(TARGET_MAX_BYTES - 1)), &[]),
            Ok(())
        );
        assert_eq!(
            judged(&format!("/{}", "a".repeat(TARGET_MAX_BYTES)), &[]),
            Err(414)
        );
        assert_eq!(judged("/\u{fc}", &[]), Err(400));
        assert_eq!(judged("/a?\u{fc}", &[]), Err(400));
    }

    #[test]
    fn a_connection_has_no_options_that_say_whom_a_message_is_for_or_where_it_ends() {
        let judged = |options: &[&str]| {
            let mut request = Request::post("/a").header(HOST, "x");
            for option in options {
                request = request.header(CONNECTION, *option);
            }
            judge(&request.body(()).unwrap(), false).map_err(|problem| problem.response().status().as_u16())
        };
        for options in [&["host"][..], &["close, Host"], &["close", "x,\tCONTENT-LENGTH "]] {
            assert_eq!(judged(options), Err(400), "{options:?}");
        }
        for options in [
            &[][..],
            &["close"],
            &["keep-alive, x-hosts"],
            &["traceparent", "te"],
        ] {
            assert_eq!(judged(options), Ok(()), "{options:?}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in [
            "x",
            "example.org",
            "example.org:80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "x:",
            "a_b",
        ] {
            assert!(judge_host(host.as_bytes()).is_ok(), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "u@a", "u:p@a:1", "a:b", "a:99999", "a:+1", "[::1", "a:80:80", "a\tb",
            "http://a", "a?b", "a#b", "ü",
        ] {
            assert!(judge_host(host.as_bytes()).is_err(), "{host}");
        }
        assert!(judge_host(b"\xff").is_err());
    }
}
