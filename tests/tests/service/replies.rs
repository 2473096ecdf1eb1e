//! What a function makes of its reply: status and headers, what HTTP does not let it say, and who hears of
//! it.

use hacher_fabric::http::Reply;
use hacher_tests::{Service, function};

fn chain(flow: &str, tables: &str) -> String {
    format!("chain = \"t\"\nversion = \"1\"\nflow = [\"{flow}\"]\n{tables}")
}

/// A chain of one function that answers as its input says.
fn serve() -> Service {
    let function = function("a", "reply", "retry = { attempts = 1 }");
    Service::start(&chain("ingress -> a -> egress", &function)).unwrap()
}

fn values<'r>(reply: &'r Reply, name: &str) -> Vec<&'r str> {
    let values = reply.headers.get_all(name).iter();
    values.map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn a_function_chooses_any_status_that_is_an_answer() {
    let service = serve();
    for status in [
        200, 201, 206, 226, 299, 301, 307, 308, 399, 400, 404, 418, 422, 499, 500, 503, 599,
    ] {
        let reply = service
            .post("t", format!("status {status}\nset location /elsewhere\n\nbody"))
            .unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (status, &b"body"[..]));
        assert_eq!(reply.header("location"), Some("/elsewhere"));
    }
    for status in [204, 205, 304] {
        let reply = service
            .post("t", format!("status {status}\nset etag \"1\"\n\nbody"))
            .unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (status, &b""[..]));
        assert_eq!(reply.header("etag"), Some("\"1\""));
        assert_eq!(reply.header("content-type"), None);
    }
    let reply = service.post("t", "set hacher-status 422\n\nbody").unwrap();
    assert_eq!(reply.status, 422);
}

#[test]
fn another_status_is_the_authors_error() {
    let service = serve();
    for asked in [
        "status 0",
        "status 100",
        "status 101",
        "status 199",
        "status 600",
        "status 65535",
    ]
    .into_iter()
    .chain([
        "set hacher-status 103",
        "set hacher-status ok",
        "set HACHER-STATUS 0200",
    ]) {
        let reply = service.post("t", format!("{asked}\n\nbody")).unwrap();
        assert_eq!(reply.status, 502, "{asked}");
        let problem = reply.json();
        assert_eq!(
            (&problem["function"], &problem["cause"]),
            (&"a".into(), &"failed".into())
        );
        let reason = problem["reason"].as_str().unwrap();
        assert!(reason.contains("200 to 599"), "{asked}: {reason}");
    }
}

#[test]
fn any_header_goes_out_in_any_case_and_on_as_many_lines_as_the_function_says() {
    let service = serve();
    let reply = service
        .post(
            "t",
            "set X-Own 1\nset Access-Control-Allow-Origin *\nset Content-Type text/plain\nappend Set-Cookie a=1\n\
             append set-cookie b=2\nappend Vary accept\nappend Vary origin\nset X-Gone 1\nremove x-gone\n\
             set Strict-Transport-Security max-age=1\n\nbody",
        )
        .unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.body);
    for (name, expected) in [
        ("x-own", vec!["1"]),
        ("access-control-allow-origin", vec!["*"]),
        ("content-type", vec!["text/plain"]),
        ("set-cookie", vec!["a=1", "b=2"]),
        ("vary", vec!["accept", "origin"]),
        ("x-gone", vec![]),
        ("strict-transport-security", vec!["max-age=1"]),
    ] {
        assert_eq!(values(&reply, name), expected, "{name}");
    }
}

#[test]
fn headers_of_the_connection_and_the_systems_own_are_the_authors_error() {
    let service = serve();
    for asked in [
        "set Connection close",
        "set content-length 3",
        "set Transfer-Encoding chunked",
        "set keep-alive timeout=1",
        "set proxy-connection close",
        "set te trailers",
        "append Trailer x",
        "set upgrade h2c",
        "set proxy-authenticate Basic",
        "set hacher-invocation 0",
        "set Hacher-Query q",
        "set hacher-new 1",
        "set b\u{e4}d 1",
        "set x a\u{1}b",
        "set content-type a\nappend content-type b",
    ] {
        let reply = service.post("t", format!("{asked}\n\nbody")).unwrap();
        assert_eq!(reply.status, 502, "{asked}");
        let problem = reply.json();
        assert_eq!(problem["cause"], "failed", "{asked}");
        assert!(
            problem["reason"].as_str().unwrap().contains("header"),
            "{asked}: {problem}"
        );
    }
}

#[test]
fn status_and_headers_of_one_function_are_not_those_of_the_next() {
    let tables = function("a", "reply", "") + &function("b", "pass", "");
    let service = Service::start(&chain("ingress -> a -> b -> egress", &tables)).unwrap();
    let reply = service
        .post("t", "status 422\nset x-own 1\nset content-type a/b\n\nbody")
        .unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"body"[..]));
    assert_eq!(reply.header("x-own"), None);
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
}

#[test]
fn a_fallback_decides_what_the_client_sees_of_an_error() {
    let flow = "ingress -> a -> egress\", \"a.error -> b -> egress";
    let tables = function("a", "reject", "") + &function("b", "reply", "");
    let service = Service::start(&chain(flow, &tables)).unwrap();
    let told = service.post("t", "status 503\n\nsorry").unwrap();
    assert_eq!((told.status.as_u16(), &told.body[..]), (503, &b"sorry"[..]));
    assert_eq!(told.header("hacher-error-function"), Some("a"));
    let silent = "remove hacher-error-function\nremove Hacher-Error-Cause\nremove hacher-error-attempts\n\
                  set hacher-error-reason in other words\n\nsorry";
    let silent = service.post("t", silent).unwrap();
    assert_eq!(silent.status, 200);
    let of_the_error = silent
        .headers
        .keys()
        .filter(|name| name.as_str().starts_with("hacher-error"));
    assert_eq!(of_the_error.count(), 1, "{:?}", silent.headers);
    assert_eq!(silent.header("hacher-error-reason"), Some("in other words"));
}
