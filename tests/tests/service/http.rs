//! HTTP as its specifications have it, over raw sockets: what a server must refuse, section by section; what
//! crosses the gateway; who is answered and who has gone.

use bytes::Bytes;
use hacher_tests::{Service, function, without_parent};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn chain(flow: &str, tables: &str) -> String {
    format!("chain = \"t\"\nversion = \"1\"\nflow = [\"{flow}\"]\n{tables}")
}

fn serve_one(what: &str) -> Service {
    Service::start(&chain("ingress -> a -> egress", &function("a", what, ""))).unwrap()
}

fn connect(gateway: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(gateway).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// What comes back until the gateway closes the connection.
fn read_all(mut client: TcpStream) -> String {
    let mut reply = Vec::new();
    // A reset after the reply is the end too.
    let _ = client.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

/// Sends bytes as they are, keeps the connection open, and reads until the gateway closes it.
fn raw(gateway: SocketAddr, request: &[u8]) -> String {
    let mut client = connect(gateway);
    client.write_all(request).unwrap();
    read_all(client)
}

/// Sends bytes as they are and reads one reply, head and content.
fn once(gateway: SocketAddr, request: &[u8]) -> String {
    let mut client = connect(gateway);
    client.write_all(request).unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|len| len > 0) {
        reply.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&reply).to_ascii_lowercase();
    let length = header(&head, "content-length").and_then(|length| length.parse().ok());
    let mut content = vec![0; length.unwrap_or(0)];
    if !request.starts_with(b"HEAD ") && client.read_exact(&mut content).is_ok() {
        reply.extend(content);
    }
    String::from_utf8_lossy(&reply).into_owned()
}

fn status(reply: &str) -> u16 {
    let code = reply.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5));
    code.and_then(|code| code.parse().ok()).unwrap_or(0)
}

fn header<'r>(reply: &'r str, name: &str) -> Option<&'r str> {
    let head = reply.split("\r\n\r\n").next()?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    let mut found = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value)
}

fn content(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or("", |(_, content)| content)
}

/// Posts with further header lines, each with its end.
fn post(gateway: SocketAddr, path: &str, lines: &str, body: &str) -> String {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n{lines}\r\n{body}",
        body.len()
    );
    raw(gateway, request.as_bytes())
}

/// A rule of RFC 9110 or 9112, a request that breaks it, and the status that says so.
struct Rule(&'static str, &'static str, u16);

/// The gateway judges all of these before hyper reads them (`fabric/gateway/src/framing.rs`), but for those
/// in [`ROUTED`].
const REFUSED: &[Rule] = &[
    Rule("9112 2.2: bare LF", "GET /healthz HTTP/1.1\nHost: x\n\n", 400),
    Rule(
        "9112 2.2: bare CR in a value",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n",
        400,
    ),
    Rule(
        "9112 2.2: space before the first field",
        "GET /healthz HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3: two spaces",
        "GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule("9112 3: no version", "GET /healthz\r\nHost: x\r\n\r\n", 400),
    Rule(
        "9112 3: lower-case version",
        "GET /healthz http/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9110 15.6.6: HTTP/2.0 in a request line",
        "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n",
        505,
    ),
    Rule(
        "9110 15.6.6: HTTP/3.0 in a request line",
        "GET /healthz HTTP/3.0\r\nHost: x\r\n\r\n",
        505,
    ),
    Rule(
        "9110 9.1: method is no token",
        "G@T /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: target with a fragment",
        "GET /healthz#a HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: target that is none",
        "GET healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: target with other than ASCII",
        "GET /\u{fc} HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule("9112 3.2: no Host", "GET /healthz HTTP/1.1\r\n\r\n", 400),
    Rule(
        "9112 3.2: no Host beside a whole URI",
        "GET http://x/healthz HTTP/1.1\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: two Hosts",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: two Hosts in HTTP/1.0",
        "GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: empty Host",
        "GET /healthz HTTP/1.1\r\nHost:\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: Host with a path",
        "GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: Host with a user",
        "GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: Host with a space",
        "GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2: Host with a port that is none",
        "GET /healthz HTTP/1.1\r\nHost: x:y\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2.4: `*` but for OPTIONS",
        "GET * HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 3.2.3: authority but for CONNECT",
        "GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 5: empty name",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
        400,
    ),
    Rule(
        "9112 5: no colon",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA\r\n\r\n",
        400,
    ),
    Rule(
        "9112 5.1: space before the colon",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        400,
    ),
    Rule(
        "9112 5.1: space before Host's colon",
        "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n",
        400,
    ),
    Rule(
        "9112 5.2: folded line",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        400,
    ),
    Rule(
        "9110 5.5: NUL in a value",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        400,
    ),
    Rule(
        "9110 5.5: DEL in a value",
        "GET /healthz HTTP/1.1\r\nHost: x\r\nA: b\x7fc\r\n\r\n",
        400,
    ),
    Rule(
        "9110 5.1: name with a space",
        "GET /healthz HTTP/1.1\r\nHost: x\r\na b: c\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.1: coding that is not known",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    Rule(
        "9112 6.1: chunked twice",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.1: chunked in two fields",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.1: coding in HTTP/1.0",
        "POST /chains/t HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.3: chunked is not the last",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.3: something like chunked",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.3: identity",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.3: CL.TE",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        400,
    ),
    Rule(
        "9112 6.3: TE.CL",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 6.3: equal lengths",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx",
        400,
    ),
    Rule(
        "9112 6.3: different lengths",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        400,
    ),
    Rule(
        "9112 6.3: list of lengths",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\nx",
        400,
    ),
    Rule(
        "9110 8.6: signed length",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nx",
        400,
    ),
    Rule(
        "9110 8.6: negative length",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        400,
    ),
    Rule(
        "9110 8.6: empty length",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n",
        400,
    ),
    Rule(
        "9110 8.6: length past all integers",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        413,
    ),
    Rule(
        "9112 7.1: size that is none",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n\r\n",
        400,
    ),
    Rule(
        "9112 7.1: size past all integers",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 7.1: data longer than its size",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 7.1: bare LF after data",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
        400,
    ),
    Rule(
        "9112 7.1.1: bare LF in an extension",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nx\r\n0\r\n\r\n",
        400,
    ),
];

/// Requests that are well framed and that the gateway answers itself.
const ROUTED: &[Rule] = &[
    Rule(
        "9110 9.1: method that nobody knows",
        "FROB /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        501,
    ),
    Rule(
        "9110 9.3.6: CONNECT",
        "CONNECT x:80 HTTP/1.1\r\nHost: x:80\r\n\r\n",
        405,
    ),
    Rule(
        "9110 9.3.8: TRACE",
        "TRACE /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        405,
    ),
    Rule(
        "9110 15.5.6: GET a chain",
        "GET /chains/t HTTP/1.1\r\nHost: x\r\n\r\n",
        405,
    ),
    Rule(
        "9110 15.5.6: PUT a chain",
        "PUT /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        405,
    ),
    Rule(
        "9110 15.5.6: POST to /healthz",
        "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        405,
    ),
    Rule(
        "9110 10.1.1: expectation that nobody knows",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nExpect: the-best\r\nContent-Length: 0\r\n\r\n",
        417,
    ),
    Rule(
        "9110 10.1.1: one that is known and one that is not",
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nExpect: more\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
        417,
    ),
    Rule(
        "9110 7.4: https on a connection without TLS",
        "GET https://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        421,
    ),
    Rule(
        "9110 7.4: another scheme",
        "GET ftp://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        421,
    ),
    Rule(
        "9110 4.2.4: user in a URI",
        "GET http://u:p@x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
    ),
    Rule(
        "3986 2.1: `%` before other than digits",
        "POST /chains/%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    Rule(
        "3986 3.3: dot segments",
        "POST /chains/../chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    Rule(
        "3986 3.3: hidden dot segments",
        "POST /chains/%2e%2E/chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    Rule(
        "3986 3.3: empty segments are segments",
        "POST //chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        404,
    ),
    Rule(
        "3986 2.2: %2F is no slash",
        "POST /chains%2Ft HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        404,
    ),
];

#[test]
fn what_a_server_must_refuse_is_refused_and_nothing_behind_it_is_read() {
    let service = serve_one("echo");
    for Rule(rule, request, expected) in REFUSED {
        // Behind each, a request that would be answered if the connection went on.
        let smuggled = format!("{request}GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let reply = raw(service.gateway, smuggled.as_bytes());
        assert_eq!(status(&reply), *expected, "{rule}: {reply}");
        assert_eq!(reply.matches("\r\ndate: ").count(), 1, "{rule}: {reply}");
        assert_eq!(
            header(&reply, "content-type"),
            Some("application/problem+json"),
            "{rule}"
        );
        assert!(header(&reply, "date").is_some(), "{rule}");
        assert_eq!(header(&reply, "connection"), Some("close"), "{rule}");
    }
    for Rule(rule, request, expected) in ROUTED {
        let reply = once(service.gateway, request.as_bytes());
        assert_eq!(status(&reply), *expected, "{rule}: {reply}");
        assert_eq!(
            header(&reply, "allow").is_some(),
            *expected == 405,
            "{rule}: {reply}"
        );
    }
    assert_eq!(service.post("t", "still here").unwrap().body, "still here");
}

#[test]
fn heads_past_their_bounds_are_414_and_431() {
    let service = serve_one("echo");
    let target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(9000));
    assert_eq!(status(&raw(service.gateway, target.as_bytes())), 414);
    let many = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n",
        "a: b\r\n".repeat(100)
    );
    assert_eq!(status(&raw(service.gateway, many.as_bytes())), 431);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: x\r\na: {}", "b".repeat(33_000));
    assert_eq!(status(&raw(service.gateway, long.as_bytes())), 431);
    let carried = format!("baggage: {}\r\n", "b".repeat(9000));
    assert_eq!(status(&post(service.gateway, "/chains/t", &carried, "x")), 431);
}

#[test]
fn what_a_server_must_understand_is_understood() {
    let service = serve_one("echo");
    let ask = |request: &str| once(service.gateway, request.as_bytes());
    for request in [
        "\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        // The target's host counts (RFC 9112, section 3.2.2).
        "GET http://other:8080/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET HTTP://x/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz?verbose HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /%68ealthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /healthz HTTP/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nhOsT:x:80\r\nUpgrade: h2c, websocket\r\nConnection: upgrade\r\nTE: trailers\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nX_Under_Score: a\r\nEmpty:\r\n\r\n",
    ] {
        let reply = ask(request);
        assert_eq!((status(&reply), content(&reply)), (200, "ok\n"), "{request}");
        assert!(header(&reply, "date").is_some());
    }
    for (request, expected) in [
        (
            "POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n2;a=\"b\"\r\nab\r\n0001\r\nc\r\n0\r\nTrailer: 1\r\n\r\n",
            "abc",
        ),
        (
            "POST http://x/chains/%74?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 03\r\n\r\nabc",
            "abc",
        ),
        ("POST /chains/t HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", "abc"),
        ("POST /chains/t HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ] {
        let reply = ask(request);
        assert_eq!((status(&reply), content(&reply)), (200, expected), "{request}");
    }
    let options = ask("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        (status(&options), header(&options, "allow")),
        (204, Some("GET, HEAD, OPTIONS, POST"))
    );
    let options = ask("OPTIONS /chains/t HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(
        (status(&options), header(&options, "allow")),
        (204, Some("POST, OPTIONS"))
    );
    assert_eq!(header(&options, "content-length"), None);
}

#[test]
fn head_is_answered_as_get_without_content() {
    let service = serve_one("echo");
    for (path, expected, length) in [
        ("/healthz", 200, Some("3")),
        ("/readyz", 200, Some("6")),
        ("/nowhere", 404, None),
    ] {
        let reply = raw(
            service.gateway,
            format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes(),
        );
        assert_eq!((status(&reply), content(&reply)), (expected, ""), "{reply}");
        let found = header(&reply, "content-length");
        assert!(
            found.is_some() && (length.is_none() || found == length),
            "{reply}"
        );
    }
    let refused = raw(service.gateway, b"HEAD /healthz HTTP/1.1\r\n\r\n");
    assert_eq!((status(&refused), content(&refused)), (400, ""), "{refused}");
}

#[test]
fn continue_is_said_before_a_body_is_awaited_and_not_to_http_1_0() {
    let service = serve_one("echo");
    let mut client = connect(service.gateway);
    client
        .write_all(b"POST /chains/t HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut interim = [0; 25];
    client.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"x").unwrap();
    assert_eq!(status(&read_all(client)), 200);
    let old = once(
        service.gateway,
        b"POST /chains/t HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    );
    assert!(
        old.starts_with("HTTP/1.0 200") || old.starts_with("HTTP/1.1 200"),
        "{old}"
    );
}

#[test]
fn lists_keep_all_values_singletons_are_not_repeated_and_text_is_carried_as_it_is() {
    let service = serve_one("headers");
    let ask = |lines: &str| post(service.gateway, "/chains/t", lines, "x");
    let reply = ask(
        "baggage: a=1\r\nBaggage: b=2\r\ntracestate: x=1\r\ntracestate: y=2\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\
         accept: a/b\r\naccept: */*;q=0.5\r\ncontent-encoding: gzip\r\n\
         content-type: text/plain\r\nce-id:  7 \r\nce-own: gr%C3%BCn\r\nce-subject: gr\u{fc}n\r\nce-none:\r\nx-mine: 1\r\nce_id: 8\r\n",
    );
    assert_eq!(status(&reply), 200, "{reply}");
    let mut lines = without_parents(content(&reply));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "accept: a/b, */*;q=0.5",
            "baggage: a=1, b=2",
            "ce-id: 7",
            "ce-none: ",
            "ce-own: gr%C3%BCn",
            "ce-subject: gr\u{fc}n",
            "content-encoding: gzip",
            "content-type: text/plain",
            "hacher-method: POST",
            "traceparent: 00-0af7651916cd43dd8448eb211c80319c-*-01",
            "tracestate: x=1,y=2",
            "x-forwarded-for: 127.0.0.1",
        ]
    );
    assert_eq!(header(&reply, "baggage"), Some("a=1, b=2"));
    assert_eq!(header(&reply, "tracestate"), Some("x=1,y=2"));
    for name in ["content-type", "idempotency-key", "ce-id", "ce-own"] {
        let reply = ask(&format!("{name}: a\r\n{name}: a\r\n"));
        assert_eq!(status(&reply), 400, "{name}");
        assert!(content(&reply).contains(name), "{reply}");
    }
    let latin_1 = |name: &str| {
        let mut request = b"POST /chains/t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n".to_vec();
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": gr\xfcn\r\n\r\n");
        raw(service.gateway, &request)
    };
    let reply = latin_1("ce-subject");
    assert_eq!(status(&reply), 400);
    assert!(content(&reply).contains("ce-subject"), "{reply}");
    // What is not carried is nobody's business.
    assert_eq!(status(&latin_1("x-subject")), 200);
    let query = post(service.gateway, "/chains/t?size=3&q=%20", "", "x");
    assert!(
        content(&query).contains("hacher-query: size=3&q=%20\n"),
        "{query}"
    );
}

/// The lines of a text of headers, without what is another at each function.
fn without_parents(text: &str) -> Vec<String> {
    let line = |line: &str| match line.strip_prefix("traceparent: ") {
        Some(trace) => format!("traceparent: {}", without_parent(trace)),
        None => line.to_owned(),
    };
    text.lines().map(line).collect()
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-*-00";
const REQUEST_HEADERS: &str = "content-type: application/json\r\ncontent-encoding: gzip\r\nce-id: 7\r\nce-source: /client\r\n\
     ce-type: asked\r\nce-specversion: 1.0\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\r\ntracestate: a=1\r\nbaggage: b=2\r\nidempotency-key: k\r\n";

#[test]
fn a_reply_is_an_event_of_its_own() {
    let service = serve_one("pass");
    let reply = post(service.gateway, "/chains/t", REQUEST_HEADERS, "x");
    assert_eq!(status(&reply), 200);
    for name in [
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-specversion",
        "content-encoding",
        "idempotency-key",
    ] {
        assert_eq!(header(&reply, name), None, "{name}: {reply}");
    }
    assert_eq!(header(&reply, "content-type"), Some("application/octet-stream"));
    let trace = header(&reply, "traceparent").map(without_parent);
    assert_eq!(trace.as_deref(), Some(TRACE));
    assert_eq!(header(&reply, "tracestate"), Some("a=1"));
    assert_eq!(header(&reply, "baggage"), Some("b=2"));
    drop(service);
    let service = serve_one("event");
    let reply = post(service.gateway, "/chains/t", REQUEST_HEADERS, "x");
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("content-encoding", Some("identity")),
        ("ce-id", Some("own")),
        ("ce-own", Some("x")),
        ("ce-source", None),
        ("tracestate", None),
    ] {
        assert_eq!(header(&reply, name), value, "{name}: {reply}");
    }
    assert_eq!(reply.matches("\r\nlink: <").count(), 2, "{reply}");
    drop(service);
    let service = serve_one("echo");
    let reply = post(service.gateway, "/chains/t", REQUEST_HEADERS, "x");
    assert_eq!(header(&reply, "content-type"), Some("application/json"));
    assert_eq!(header(&reply, "content-encoding"), Some("gzip"));
    assert_eq!(header(&reply, "ce-id"), None);
}

#[test]
fn between_functions_flows_what_speaks_of_the_request() {
    let tables = function("a", "event", "") + &function("b", "pass", "") + &function("c", "headers", "");
    let service = Service::start(&chain("ingress -> a -> b -> c -> egress", &tables)).unwrap();
    let reply = post(service.gateway, "/chains/t?q", REQUEST_HEADERS, "x");
    let mut lines = without_parents(content(&reply));
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "baggage: b=2",
            "hacher-method: POST",
            "hacher-query: q",
            "idempotency-key: k",
            &format!("traceparent: {TRACE}"),
        ]
    );
}

#[test]
fn a_record_on_the_error_port_is_the_input_with_its_headers_and_the_reason_stays_with_what_is_made_of_it() {
    let reject = function("a", "reject", "");
    let flow = "ingress -> a -> egress\", \"a.error -> egress";
    let service = Service::start(&chain(flow, &reject)).unwrap();
    let reply = post(service.gateway, "/chains/t", REQUEST_HEADERS, "x");
    assert_eq!(content(&reply), "x");
    assert_eq!(header(&reply, "content-type"), Some("application/json"));
    assert_eq!(header(&reply, "content-encoding"), Some("gzip"));
    assert_eq!(header(&reply, "hacher-error-function"), Some("a"));
    drop(service);
    let flow = "ingress -> a -> egress\", \"a.error -> b -> egress";
    let service = Service::start(&chain(flow, &(reject + &function("b", "pass", "")))).unwrap();
    let reply = post(service.gateway, "/chains/t", REQUEST_HEADERS, "x");
    assert_eq!(header(&reply, "ce-id"), None, "{reply}");
    assert_eq!(header(&reply, "hacher-error-function"), Some("a"), "{reply}");
    assert!(header(&reply, "hacher-error-reason").is_some());
}

#[test]
fn a_client_that_has_said_all_it_has_to_say_gets_its_replies() {
    let service = serve_one("slow");
    let request = b"POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    let health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (sent, expected) in [
        (&health[..], 1),
        (request, 1),
        (&[&request[..], health, request].concat(), 3),
        (
            b"POST /chains/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            1,
        ),
    ] {
        let mut client = connect(service.gateway);
        client.write_all(sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let replies = read_all(client);
        assert_eq!(replies.matches("HTTP/1.1 200").count(), expected, "{replies}");
    }
    // Nor does it matter that its body was for nobody.
    let mut client = connect(service.gateway);
    let unread = [
        &b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n"[..],
        &[b'x'; 30_000],
    ]
    .concat();
    client.write_all(&unread).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&read_all(client)), 404);
    // Cut within its body, it is told so.
    let mut client = connect(service.gateway);
    client
        .write_all(b"POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        .unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&read_all(client)), 400);
    let status = service.status().unwrap();
    assert_eq!(status["chains"][0]["gateway"]["requests_disconnected"], 0);
}

#[test]
fn a_large_reply_reaches_a_client_that_has_closed_its_side() {
    let service = serve_one("echo");
    let body = vec![b'x'; 4 << 20];
    let mut client = connect(service.gateway);
    let head = format!(
        "POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes()).unwrap();
    client.write_all(&body).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    // The reply does not fit into the sockets' buffers, so it is still being written for a while.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(content(&read_all(client)).len(), body.len());
}

#[test]
fn a_client_that_resets_its_connection_is_noticed_at_once() {
    let service = serve_one("slow");
    let client = connect(service.gateway);
    let mut writer = client.try_clone().unwrap();
    writer
        .write_all(b"POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    std::thread::sleep(Duration::from_millis(20));
    rustix::net::sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
    drop((client, writer));
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let status = service.status().unwrap();
        if status["chains"][0]["gateway"]["requests_disconnected"] == 1 {
            break;
        }
        assert!(Instant::now() < end, "{status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

async fn http_2(gateway: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

#[test]
fn http_2_has_the_same_rules_where_they_apply() {
    let service = serve_one("headers");
    let runtime = hacher_tests::runtime();
    runtime.block_on(async {
        let mut sender = http_2(service.gateway).await;
        let mut ask = async |request: hyper::http::request::Builder| {
            let request = request.body(Full::new(Bytes::from_static(b"x"))).unwrap();
            sender.send_request(request).await.unwrap()
        };
        let chain = || Request::post("http://x/chains/t");
        for (request, expected) in [
            (chain(), 200),
            (chain().header("host", "x"), 200),
            (chain().header("host", "x:80"), 200),
            (chain().header("host", "y"), 400),
            (chain().header("host", "x").header("host", "x"), 400),
            (chain().header("expect", "more"), 417),
            (chain().header("x-padded", " a"), 400),
            (chain().header("ce-id", "7").header("ce-id", "7"), 400),
            (Request::post("http://u@x/chains/t"), 400),
            (Request::post("http://x/chains/../chains/t"), 400),
            (Request::head("http://x/healthz"), 200),
            (Request::get("http://x/chains/t"), 405),
            (Request::options("http://x/chains/t"), 204),
        ] {
            let asked = format!("{request:?}");
            let reply: Response<_> = ask(request).await;
            assert_eq!(reply.status(), StatusCode::from_u16(expected).unwrap(), "{asked}");
            if asked.contains("HEAD") {
                assert_eq!(reply.headers()["content-length"], "3");
                assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "");
            }
        }
        let lists = chain().header("baggage", "a=1").header("baggage", "b=2");
        let reply = ask(lists).await.into_body().collect().await.unwrap().to_bytes();
        let reply = String::from_utf8_lossy(&reply);
        assert!(reply.contains("baggage: a=1, b=2\n"), "{reply}");
    });
}
