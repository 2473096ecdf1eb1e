//! What functions see of requests: method, path, query, headers, captures; which requests a chain takes, and
//! whose they are where several chains have routes.

use hacher_fabric::http::Connection;
use hacher_tests::tenants::{command, write};
use hacher_tests::{Scrape, Service, function, without_parent};
use hyper::Method;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn chain(name: &str, ingress: &str, flow: &str, tables: &str) -> String {
    format!("chain = \"{name}\"\nversion = \"1\"\nflow = [\"{flow}\"]\n[ingress]\n{ingress}\n{tables}")
}

/// A chain of one function that tells the headers that it sees.
fn telling(name: &str, ingress: &str) -> String {
    chain(
        name,
        ingress,
        "ingress -> a -> egress",
        &function("a", "headers", ""),
    )
}

/// Status, headers and content of the answer to a request.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) content: String,
}

impl Answer {
    /// What the function saw.
    fn seen(&self) -> BTreeMap<&str, &str> {
        let lines = self.content.lines().filter_map(|line| line.split_once(": "));
        lines.collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
}

pub(super) fn ask(gateway: SocketAddr, method: &str, target: &str, lines: &str, body: &str) -> Answer {
    let mut client = TcpStream::connect(gateway).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: by-header\r\nContent-Length: {}\r\nConnection: close\r\n{lines}\r\n{body}",
        body.len()
    );
    client.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let _ = client.read_to_end(&mut reply);
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, content) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    Answer {
        status: head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0),
        head: head.to_owned(),
        content: content.to_owned(),
    }
}

#[test]
fn a_function_sees_method_path_query_and_where_the_request_came_from() {
    let ingress = "methods = [\"GET\", \"PUT\", \"DELETE\"]";
    let service = Service::start(&telling("t", ingress)).unwrap();
    for (method, target, path, query) in [
        ("GET", "/chains/t", None, None),
        ("PUT", "/chains/t/", Some("/"), None),
        (
            "DELETE",
            "/chains/t/a/%62%2Fc//d?x=%20&y",
            Some("/a/b%2Fc//d"),
            Some("x=%20&y"),
        ),
        ("GET", "/chains/t?", None, Some("")),
        ("GET", "http://by-target/chains/t/x", Some("/x"), None),
    ] {
        let answer = ask(service.gateway, method, target, "", "");
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.content);
        let seen = answer.seen();
        assert_eq!(seen.get("hacher-method"), Some(&method), "{target}");
        assert_eq!(seen.get("hacher-path").copied(), path, "{target}");
        assert_eq!(seen.get("hacher-query").copied(), query, "{target}");
        assert_eq!(seen.get("x-forwarded-for"), Some(&"127.0.0.1"));
    }
    for target in [
        "/chains/t/../x",
        "/chains/t/a/%2e%2e/x",
        "/chains/t/%",
        "/chains/t/#a",
    ] {
        assert_eq!(
            ask(service.gateway, "GET", target, "", "").status,
            400,
            "{target}"
        );
    }
    assert_eq!(ask(service.gateway, "GET", "/chains/tt/x", "", "").status, 404);
    // What clients say under the system's names is nobody's word.
    let forged = "hacher-method: DELETE\r\nhacher-path: /forged\r\nhacher-query: forged\r\nHacher-Status: 500\r\n\
                  hacher-capture-size: forged\r\nhacher-error-reason: forged\r\nhacher-new: forged\r\nx-forwarded-for: 203.0.113.9\r\n";
    let answer = ask(service.gateway, "GET", "/chains/t", forged, "");
    assert_eq!(answer.status, 200, "{}", answer.content);
    assert!(!answer.content.contains("forged"), "{}", answer.content);
    let seen = answer.seen();
    assert_eq!(seen["x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    let own: Vec<_> = seen.keys().filter(|name| name.starts_with("hacher-")).collect();
    assert_eq!(own, [&"hacher-method"]);
}

#[test]
fn methods_that_a_chain_does_not_answer_are_405_and_say_which_it_does() {
    let service = Service::start(&telling("t", "methods = [\"GET\", \"PATCH\"]")).unwrap();
    let ask = |method: &str| ask(service.gateway, method, "/chains/t/x", "", "");
    for method in ["POST", "PUT", "DELETE", "TRACE"] {
        let answer = ask(method);
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, PATCH, OPTIONS"));
    }
    assert_eq!(ask("BREW").status, 501);
    let options = ask("OPTIONS");
    assert_eq!(
        (options.status, options.header("allow")),
        (204, Some("GET, HEAD, PATCH, OPTIONS"))
    );
    let (get, head) = (ask("GET"), ask("HEAD"));
    assert_eq!((get.status, head.status, head.content.as_str()), (200, 200, ""));
    assert!(head.header("content-length").unwrap().parse::<usize>().unwrap() > 0);
    drop(service);
    // A chain that wants it answers OPTIONS itself; one that says nothing answers POST alone.
    let service = Service::start(&telling("t", "methods = [\"OPTIONS\"]")).unwrap();
    let answer = self::ask(service.gateway, "OPTIONS", "/chains/t", "", "");
    assert_eq!((answer.status, answer.seen()["hacher-method"]), (200, "OPTIONS"));
    drop(service);
    let service = Service::start(&telling("t", "")).unwrap();
    let answer = self::ask(service.gateway, "GET", "/chains/t", "", "");
    assert_eq!(
        (answer.status, answer.header("allow")),
        (405, Some("POST, OPTIONS"))
    );
}

#[test]
fn headers_travel_that_every_chain_gets_and_those_that_its_file_names() {
    let ingress = "headers = [\"X-Tenant\", \"authorization\", \"cookie\", \"host\"]\nmethods = [\"POST\"]";
    let tables = function("a", "headers", "") + &function("b", "headers", "");
    let service = Service::start(&chain(
        "t",
        ingress,
        "ingress -> a -> egress\", \"a.error -> b -> egress",
        &tables,
    ))
    .unwrap();
    let lines = "x-tenant: a\r\nX-Tenant: b\r\nAuthorization: Bearer c\r\ncookie: a=1\r\nuser-agent: none\r\naccept: a/b\r\n";
    let answer = ask(service.gateway, "POST", "/chains/t", lines, "");
    let seen = answer.seen();
    for (name, value) in [
        ("x-tenant", Some("a, b")),
        ("authorization", Some("Bearer c")),
        ("cookie", Some("a=1")),
        ("host", Some("by-header")),
        ("accept", Some("a/b")),
        ("user-agent", None),
        ("connection", None),
        ("content-length", None),
    ] {
        assert_eq!(seen.get(name).copied(), value, "{name}");
    }
    // A reply is not made of what came in.
    for name in ["x-tenant", "authorization", "cookie", "accept", "x-forwarded-for"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
    let named = lines.replace("user-agent", "connection: x-tenant\r\nuser-agent");
    assert_eq!(
        ask(service.gateway, "POST", "/chains/t", &named, "")
            .seen()
            .get("x-tenant"),
        None
    );
    let by_target = ask(service.gateway, "POST", "http://by-target/chains/t", lines, "");
    assert_eq!(by_target.seen()["host"], "by-target");
    let twice = "authorization: a\r\nauthorization: a\r\n";
    assert_eq!(ask(service.gateway, "POST", "/chains/t", twice, "").status, 400);
}

#[test]
fn secrets_of_a_request_do_not_come_back_with_a_record_that_failed() {
    let ingress = "headers = [\"authorization\", \"x-tenant\"]";
    let reject = function("a", "reject", "");
    let flow = "ingress -> a -> egress\", \"a.error -> egress";
    let service = Service::start(&chain("t", ingress, flow, &reject)).unwrap();
    let lines = "authorization: secret\r\nx-tenant: secret\r\naccept: secret\r\nidempotency-key: secret\r\ncontent-type: a/b\r\n";
    let answer = ask(service.gateway, "POST", "/chains/t/x?y", lines, "body");
    assert_eq!((answer.status, answer.content.as_str()), (200, "body"));
    assert!(!answer.head.contains("secret"), "{}", answer.head);
    assert_eq!(answer.header("content-type"), Some("a/b"));
    assert_eq!(answer.header("hacher-error-function"), Some("a"));
    assert_eq!(answer.header("hacher-path"), None);
}

#[test]
fn what_speaks_of_the_request_is_known_to_the_end_of_the_chain_and_its_headers_at_the_beginning() {
    let ingress = "headers = [\"authorization\"]\nroute = \"/thumbs/{size}\"";
    let tables = function("a", "pass", "") + &function("b", "headers", "");
    let service = Service::start(&chain("t", ingress, "ingress -> a -> b -> egress", &tables)).unwrap();
    let lines = format!("authorization: secret\r\naccept: a/b\r\ntraceparent: {PARENT}\r\n");
    let answer = ask(service.gateway, "POST", "/thumbs/640?q", &lines, "");
    let expected = [
        ("hacher-capture-size", "640"),
        ("hacher-method", "POST"),
        ("hacher-path", "/thumbs/640"),
        ("hacher-query", "q"),
    ];
    let mut seen = answer.seen();
    let trace = seen.remove("traceparent").unwrap();
    assert_eq!(without_parent(trace), without_parent(PARENT));
    // What the client gets names the function that answered.
    assert_ne!(trace, PARENT);
    assert_eq!(answer.header("traceparent"), Some(trace));
    assert_eq!(seen, BTreeMap::from(expected));
}

#[test]
fn a_chain_stands_at_a_path_of_its_own_and_functions_see_what_it_captures() {
    let folder = tempfile::tempdir().unwrap();
    let other = telling("all", "route = \"/{*rest}\"\nmethods = [\"GET\", \"POST\"]");
    let other = write(folder.path(), "other.toml", &other).unwrap();
    let small = telling("small", "route = \"/thumbs/small\"");
    let small = write(folder.path(), "small.toml", &small).unwrap();
    let service = Service::start_with(
        &telling("t", "route = \"/thumbs/{size}\""),
        &[other.to_str().unwrap(), small.to_str().unwrap()],
    )
    .unwrap();
    let post = |target: &str| ask(service.gateway, "POST", target, "", "");
    for (target, path, captures) in [
        (
            "/thumbs/640",
            Some("/thumbs/640"),
            vec![("hacher-capture-size", "640")],
        ),
        (
            "/thumbs/%36%20%C3%BC%2F?q",
            Some("/thumbs/6%20%C3%BC%2F"),
            vec![("hacher-capture-size", "6 \u{fc}/")],
        ),
        ("/thumbs/small", Some("/thumbs/small"), vec![]),
        (
            "/thumbs/1/2",
            Some("/thumbs/1/2"),
            vec![("hacher-capture-rest", "thumbs/1/2")],
        ),
        (
            "/a%2Fb/c/",
            Some("/a%2Fb/c/"),
            vec![("hacher-capture-rest", "a%2Fb/c/")],
        ),
        ("/chains/t", None, vec![]),
        ("/chains/t/640", Some("/640"), vec![]),
    ] {
        let answer = post(target);
        assert_eq!(answer.status, 200, "{target}: {}", answer.content);
        let seen = answer.seen();
        assert_eq!(seen.get("hacher-path").copied(), path, "{target}");
        let found: Vec<_> = seen
            .iter()
            .filter(|(name, _)| name.starts_with("hacher-capture-"))
            .collect();
        let expected: Vec<_> = captures.iter().map(|(name, value)| (name, value)).collect();
        assert_eq!(found, expected, "{target}");
    }
    // Each by its own methods; and the gateway's paths stay its own.
    assert_eq!(ask(service.gateway, "GET", "/thumbs/640", "", "").status, 405);
    assert_eq!(ask(service.gateway, "GET", "/thumbs/1/2", "", "").status, 200);
    assert_eq!(ask(service.gateway, "GET", "/healthz", "", "").content, "ok\n");
    assert_eq!(post("/healthz").status, 405);
    for target in ["/chains/nobody", "/chains", "/healthz/x", "/evidence/x/y"] {
        assert_eq!(post(target).status, 404, "{target}");
    }
    for target in [
        "/thumbs/%ff",
        "/thumbs/%00",
        "/thumbs/..",
        "/thumbs/a%0db",
        "/thumbs/..%2Fa",
    ] {
        assert_eq!(post(target).status, 400, "{target}");
    }
    let long = format!("/thumbs/{}", "a".repeat(8000));
    assert_eq!(
        post(&long).status,
        414,
        "path and capture are more than a request may bring"
    );
}

#[test]
fn two_chains_that_want_one_route_are_refused_together_and_not_where_each_has_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, ingress: &str| {
        let path = write(folder.path(), &format!("{name}.toml"), &telling(name, ingress)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let one = file("one", "route = \"/thumbs/{size}\"");
    let two = file("two", "route = \"/thumbs/{width}\"");
    let three = file("three", "route = \"/thumbs/{size}\"\nlisten = \"127.0.0.1:9009\"");
    let four = file("four", "route = \"/thumbs/small\"");
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for words in [vec!["check"], [&["serve"], &ports[..]].concat()] {
        let (code, out, err) = command(&[words.clone(), vec![&one, &two]].concat()).unwrap();
        assert_eq!(code, Some(1), "{words:?}: {out}{err}");
        for word in ["E0513", "/thumbs/{width}", "chain `one` has it", "two.toml:5:9"] {
            assert!(err.contains(word), "{word}: {err}");
        }
    }
    // Beside a route that takes its paths a chain is served, and somebody is told.
    let (code, _, err) = command(&["check", &one, &three, &four]).unwrap();
    assert_eq!(code, Some(0), "{err}");
    for word in [
        "W0609",
        "/thumbs/small",
        "/thumbs/{size}",
        "chain `one`",
        "four.toml:5:9",
    ] {
        assert!(err.contains(word), "{word}: {err}");
    }
    assert_eq!(err.matches("W0609").count(), 1, "{err}");
}

#[test]
fn method_path_and_headers_are_the_same_over_http_2() {
    let service = Service::start(&telling(
        "t",
        "methods = [\"PUT\"]\nheaders = [\"host\"]\nroute = \"/a/{b}\"",
    ))
    .unwrap();
    let runtime = hacher_tests::runtime();
    let seen = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(service.gateway).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(hyper_util::rt::TokioExecutor::new(), io)
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::builder()
            .method(Method::PUT)
            .uri("http://by-authority/a/c?q")
            .body(http_body_util::Full::<bytes::Bytes>::default())
            .unwrap();
        let reply = sender.send_request(request).await.unwrap();
        let body = http_body_util::BodyExt::collect(reply.into_body())
            .await
            .unwrap()
            .to_bytes();
        String::from_utf8_lossy(&body).into_owned()
    });
    for line in [
        "hacher-method: PUT",
        "hacher-path: /a/c",
        "hacher-query: q",
        "hacher-capture-b: c",
        "host: by-authority",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line}: {seen}");
    }
}

#[test]
fn a_trace_that_is_none_is_dropped_and_the_request_begins_one() {
    let service = Service::start(&telling("t", "")).unwrap();
    let seen = |lines: &str| {
        let answer = ask(service.gateway, "POST", "/chains/t", lines, "");
        assert_eq!(answer.status, 200, "{lines}: {}", answer.content);
        let seen = answer.seen();
        let state = seen.get("tracestate").map(|state| (*state).to_owned());
        (without_parent(seen["traceparent"]), state)
    };
    let went_on = without_parent(PARENT);
    let parent = format!("traceparent: {PARENT}\r\n");
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen(&format!("{parent}TraceState: a=1\r\ntracestate: b=2\r\n")),
        (went_on.clone(), some("a=1,b=2"))
    );
    assert_eq!(
        seen(&format!("{parent}tracestate: a=1,a=2\r\n")),
        (went_on.clone(), None)
    );
    for lines in [
        "tracestate: a=1\r\n".to_owned(),
        format!("{parent}{parent}tracestate: a=1\r\n"),
        "traceparent: 00-1\r\ntracestate: a=1\r\n".to_owned(),
        format!("traceparent: {}\r\ntracestate: a=1\r\n", PARENT.to_uppercase()),
        format!("traceparent: {PARENT}-more\r\ntracestate: a=1\r\n"),
    ] {
        let (begun, state) = seen(&lines);
        assert!(begun.starts_with("00-") && begun.ends_with("*-00"), "{begun}");
        assert_ne!(begun.get(..36), went_on.get(..36), "{lines}");
        assert_eq!(state, None, "{lines}");
    }
}

#[test]
fn a_body_that_stops_before_its_end_is_no_request() {
    for (what, more) in [("echo", ""), ("stream-digest", "stream = true")] {
        let tables = function("a", what, more);
        let service = Service::start(&chain("t", "", "ingress -> a -> egress", &tables)).unwrap();
        for (framing, part) in [
            ("content-length: 100000", "short".repeat(100)),
            ("transfer-encoding: chunked", "5\r\nshort\r\n".to_owned()),
            ("transfer-encoding: chunked", "5\r\nsho".to_owned()),
            ("transfer-encoding: chunked", "5\r\nshort\r\n0\r\n".to_owned()),
        ] {
            let mut client = TcpStream::connect(service.gateway).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            let head = format!("POST /chains/t HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n{part}");
            client.write_all(head.as_bytes()).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut reply = String::new();
            let _ = client.read_to_string(&mut reply);
            assert!(!reply.starts_with("HTTP/1.1 200"), "{what}: {framing}: {reply}");
        }
        assert_eq!(service.post("t", "whole").unwrap().status, 200);
        let succeeded = |scrape: &Scrape| scrape.sum("hacher_runs_total", &["outcome=\"succeeded\""]);
        let scrape = Scrape::when(&service, "the whole one", |scrape| succeeded(scrape) >= Some(1.0));
        assert_eq!(succeeded(&scrape.unwrap()), Some(1.0), "{what}");
    }
}

#[test]
fn a_client_of_the_project_asks_with_any_method() {
    let service = Service::start(&telling("t", "methods = [\"DELETE\"]")).unwrap();
    let runtime = hacher_tests::runtime();
    let reply = runtime.block_on(async {
        let mut connection = Connection::open(service.gateway).await.unwrap();
        connection
            .send(Method::DELETE, "/chains/t/x", None, bytes::Bytes::new())
            .await
            .unwrap()
    });
    assert_eq!(reply.status, 200);
}
