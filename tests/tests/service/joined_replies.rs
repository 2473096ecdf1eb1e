//! Replies of several records (`egress = "join"`): a part for each edge, over every version of HTTP and
//! sealed; and what becomes of the request where a part does not come, and of records that are not needed.

use bytes::Bytes;
use hacher_fabric::http::Reply;
use hacher_fabric::multipart::{Part, parts};
use hacher_tests::tenants::command;
use hacher_tests::{Scrape, Service, function, functions};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use std::time::Duration;

/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

fn chain(egress: &str, flow: &[&str], ingress: &str, tables: &str) -> String {
    let flow: Vec<String> = flow.iter().map(|line| format!("\"{line}\"")).collect();
    format!(
        "chain = \"t\"\nversion = \"1\"\negress = \"{egress}\"\nflow = [{}]\n[ingress]\n{ingress}\n{tables}",
        flow.join(", ")
    )
}

/// Two functions whose outputs make the reply; the first one is as slow as the input says.
fn two() -> String {
    let tables = function("a", "nap", "") + &function("b", "echo", "");
    chain("join", &["ingress -> a & b -> egress"], "", &tables)
}

fn parts_of(content_type: Option<&str>, body: &Bytes) -> Vec<(String, String, Vec<u8>)> {
    let parts = parts(content_type.unwrap(), body).unwrap();
    let told = |part: &Part| {
        let status = part.header("hacher-status").unwrap().to_owned();
        (part.source(), status, part.body.to_vec())
    };
    parts.iter().map(told).collect()
}

fn told(reply: &Reply) -> Vec<(String, String, Vec<u8>)> {
    parts_of(reply.header("content-type"), &reply.body)
}

fn part(source: &str, status: &str, body: &[u8]) -> (String, String, Vec<u8>) {
    (source.to_owned(), status.to_owned(), body.to_vec())
}

/// Records that the gateway has dropped.
fn dropped(scrape: &Scrape) -> Option<f64> {
    let labels = ["function=\"gateway\"", "reason=\"cancelled\""];
    scrape.sum("hacher_records_dropped_total", &labels)
}

/// Records for which nobody waited any more: dropped by the gateway, or by their function before it ran them,
/// whichever comes first.
fn let_go(scrape: &Scrape) -> Option<f64> {
    scrape.sum("hacher_records_dropped_total", &["reason=\"cancelled\""])
}

#[test]
fn two_records_make_one_reply_in_the_order_of_the_flow_line() {
    let service = Service::start(&two()).unwrap();
    let reply = service.post("t", "30").unwrap();
    assert_eq!(reply.status, 200);
    assert!(reply.header("hacher-invocation").is_some());
    // `b` was there first.
    assert_eq!(told(&reply), [part("a", "200", b"30"), part("b", "200", b"30")]);
    for _ in 0..50 {
        assert_eq!(told(&service.post("t", "0").unwrap()).len(), 2);
    }
    let scrape = Scrape::of(&service, "").unwrap();
    assert_eq!(dropped(&scrape), Some(0.0), "each record was needed");
}

#[test]
fn over_http_2_and_sealed_the_reply_is_the_same() {
    let service = Service::start(&two()).unwrap();
    let (status, content_type, body) = hacher_tests::runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(service.gateway).await.unwrap();
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        let request = Request::post(format!("http://{}/chains/t", service.gateway))
            .body(Full::new(Bytes::from_static(b"5")))
            .unwrap();
        let reply = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
        let reply = reply.unwrap().unwrap();
        let content_type = reply.headers()["content-type"].to_str().unwrap().to_owned();
        let (status, length) = (reply.status(), reply.headers()["content-length"].clone());
        let body = reply.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(length.to_str().unwrap(), body.len().to_string());
        (status, content_type, body)
    });
    assert_eq!(status, 200);
    let expected = [part("a", "200", b"5"), part("b", "200", b"5")];
    assert_eq!(parts_of(Some(&content_type), &body), expected);

    let file = service.chain_file();
    let (_, measured, _) = command(&["measure", file.to_str().unwrap(), "--format", "json"]).unwrap();
    let measured: Value = serde_json::from_str(&measured).unwrap();
    let one = measured.as_array().map_or(&measured, |all| &all[0]);
    let (gateway, digest) = (service.gateway.to_string(), one["digest"].as_str().unwrap());
    let input = service.chain_file().with_file_name("input");
    std::fs::write(&input, "7").unwrap();
    let sealed = [
        "call",
        "t",
        "--gateway",
        &gateway,
        "--input",
        input.to_str().unwrap(),
        "--expect-digest",
        digest,
        "--allow-emulated",
    ];
    let (code, out, err) = command(&[&sealed[..], &["--part", "a"]].concat()).unwrap();
    assert_eq!((code, out.as_str()), (Some(0), "7"), "{err}");
    assert!(err.contains("  b: 200, application/octet-stream, 1 B"), "{err}");
    let (code, _, err) = command(&[&sealed[..], &["--format", "json"]].concat()).unwrap();
    let report: Value = err
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .unwrap();
    assert_eq!((code, &report["sealed"]), (Some(0), &true.into()));
    let sources: Vec<&Value> = report["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["source"])
        .collect();
    assert_eq!(sources, ["a", "b"]);
    let (code, out, err) = command(&[&sealed[..], &["--part", "c"]].concat()).unwrap();
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(
        err.contains("the reply has no part `c`; its parts are `a`, `b`"),
        "{err}"
    );
}

#[test]
fn three_records_have_their_own_statuses_and_headers_and_the_highest_error_is_the_replys() {
    let tables = functions(["a", "b"], "reply", "") + &function("c", "echo", "instances = 3");
    let flow = ["ingress -> a & b & c -> egress"];
    let service = Service::start(&chain("join", &flow, "", &tables)).unwrap();
    let input = "status 422\nset x-own 1\nset content-type a/b\n\nbody";
    let reply = service.post("t", input).unwrap();
    assert_eq!(reply.status, 422);
    assert_eq!(reply.header("x-own"), None, "it is the part's");
    let expected = [
        part("a", "422", b"body"),
        part("b", "422", b"body"),
        part("c", "200", input.as_bytes()),
    ];
    assert_eq!(told(&reply), expected);
    let parts = parts(reply.header("content-type").unwrap(), &reply.body).unwrap();
    assert_eq!(parts[1].header("x-own"), Some("1"));
    assert_eq!(parts[1].header("content-type"), Some("a/b"));
    // What no reply may have, no part may have: the author's error, as ever.
    let reply = service.post("t", "status 100\n\nbody").unwrap();
    assert_eq!(reply.status, 502);
    let function = reply.json()["function"].clone();
    assert!(
        function == "a" || function == "b",
        "the first that fails: {function}"
    );
}

#[test]
fn a_part_that_fails_fails_the_request_or_is_answered_by_its_error_port() {
    let tables = function("a", "echo", "") + &function("b", "reject", "");
    let flow = ["ingress -> a & b -> egress"];
    let service = Service::start(&chain("join", &flow, "", &tables)).unwrap();
    for _ in 0..20 {
        let reply = service.post("t", "x").unwrap();
        assert_eq!(reply.status, 502);
        assert_eq!(reply.json()["function"], "b");
    }
    Scrape::when(&service, "all parts of `a` are let go", |scrape| {
        let_go(scrape) == Some(20.0) && scrape.sum("hacher_request_buffer_bytes", &[]) == Some(0.0)
    })
    .unwrap();

    let flow = ["ingress -> a & b -> egress", "b.error -> egress"];
    let service = Service::start(&chain("join", &flow, "", &tables)).unwrap();
    let reply = service.post("t", "x").unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"x"[..]));
    assert_eq!(reply.header("hacher-error-function"), Some("b"));
}

#[test]
fn a_part_that_does_not_come_in_time_is_missed_by_name() {
    let tables = function("a", "echo", "") + &function("b", "hang", "timeout = \"60s\"");
    let flow = ["ingress -> a & b -> egress"];
    let service = Service::start(&chain("join", &flow, "deadline = \"1s\"", &tables)).unwrap();
    let reply = service.post("t", "hang").unwrap();
    assert_eq!(reply.status, 504);
    let detail = reply.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("of the parts of the reply, only `a` came"),
        "{detail}"
    );
    Scrape::when(&service, "the part is let go", |scrape| {
        dropped(scrape) == Some(1.0) && scrape.sum("hacher_request_buffer_bytes", &[]) == Some(0.0)
    })
    .unwrap();
}

#[test]
fn max_reply_bounds_all_parts_together() {
    let tables = functions(["a", "b", "c"], "flood", "");
    let flow = ["ingress -> a & b & c -> egress"];
    let service = Service::start(&chain("join", &flow, "max_reply = \"1MiB\"", &tables)).unwrap();
    let fits = (1 << 20) / 3;
    let reply = service.post("t", fits.to_string()).unwrap();
    assert_eq!(reply.status, 200);
    assert!(told(&reply).iter().all(|(_, _, body)| body.len() == fits));
    let reply = service.post("t", (fits + 1).to_string()).unwrap();
    assert_eq!(reply.status, 502);
    let problem = reply.json();
    assert_eq!(problem["cause"], "reply_too_large");
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("the parts of the reply, with that of function"),
        "{detail}"
    );
    assert!(
        detail.contains("the limit is \"1MiB\" (`ingress.max_reply`)"),
        "{detail}"
    );
    assert_eq!(service.post("t", "1").unwrap().status, 200);
}

#[test]
fn the_first_record_is_the_reply_and_the_others_are_let_go_and_counted() {
    let tables = function("a", "echo", "") + &function("b", "nap", "");
    let flow = ["ingress -> a -> egress", "ingress -> b -> egress"];
    let service = Service::start(&chain("first", &flow, "", &tables)).unwrap();
    for _ in 0..5 {
        let reply = service.post("t", "20").unwrap();
        assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"20"[..]));
    }
    Scrape::when(&service, "five came second", |scrape| let_go(scrape) == Some(5.0)).unwrap();
}

#[test]
fn an_alternative_answers_instead_of_the_join() {
    let port = function("a", "choose", "ports = [\"out\", \"reject\"]");
    let tables = port + &function("b", "echo", "");
    let flow = ["ingress -> a & b -> egress", "a.reject -> egress"];
    let service = Service::start(&chain("join", &flow, "", &tables)).unwrap();
    let reply = service.post("t", "out").unwrap();
    assert_eq!(told(&reply), [part("a", "200", b"out"), part("b", "200", b"out")]);
    let reply = service.post("t", "reject").unwrap();
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (200, &b"reject"[..]));
    assert_eq!(reply.header("content-type"), Some("application/octet-stream"));
}
