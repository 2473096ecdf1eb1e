//! What operators scrape: every series from the start, each request counted once and under its reason, limits
//! beside figures, and a bound to all of it.

use hacher_tests::tenants::{Tenants, get, write};
use hacher_tests::{Scrape, Service, function, functions};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// What a scrape may have for each function, for each chain, and in all.
const FUNCTION_MAX_BYTES: usize = 8 << 10;
const CHAIN_MAX_BYTES: usize = 6 << 10;
const SERVICE_MAX_BYTES: usize = 12 << 10;

fn chain(ingress: &str, flow: &str, functions: &str) -> String {
    format!("chain = \"t\"\nversion = \"1\"\nflow = [\"{flow}\"]\n[ingress]\n{ingress}\n{functions}")
}

/// Sends bytes over a connection of their own; everything that comes back until it ends.
fn send(service: &Service, request: &str) -> String {
    let mut stream = TcpStream::connect(service.gateway).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

fn post(service: &Service, fields: &str, body: &str) -> String {
    let len = body.len();
    let head = "POST /chains/t HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    send(
        service,
        &format!("{head}{fields}content-length: {len}\r\n\r\n{body}"),
    )
}

/// A request that is sent and not waited for.
fn begin(service: &Service, body: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.gateway).unwrap();
    let head = format!(
        "POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    stream
}

#[test]
fn every_series_is_there_before_anything_has_happened() {
    let functions = functions(["a", "b"], "echo", "instances = 2");
    let service = Service::start(&chain("in_flight = 7", "ingress -> a -> b -> egress", &functions)).unwrap();
    // A gateway tells its limits when it begins to listen, which is a moment after it is ready.
    let is_told = |scrape: &Scrape| scrape.sum("hacher_gateway_buffer_limit_bytes", &[]) > Some(0.0);
    let scrape = Scrape::when(&service, "the gateway's limits", is_told).unwrap();
    for (name, labels, value) in scrape.samples() {
        let counts = ["_total", "_count", "_sum", "_bucket"]
            .iter()
            .any(|end| name.ends_with(end));
        if counts && name != "hacher_trustlet_starts_total" {
            assert!(value == 0.0, "{name}{{{labels}}} {value}");
        }
        assert!(
            !labels.contains("instance="),
            "that is Prometheus' own label: {name}{{{labels}}}"
        );
    }
    for function in ["a", "b"] {
        let of = format!("function=\"{function}\"");
        let value = |name: &str, label: &str| scrape.sum(name, &["chain=\"t\"", &of, label]);
        assert_eq!(value("hacher_trustlet_starts_total", ""), Some(2.0));
        assert_eq!(value("hacher_instances", "state=\"ready\""), Some(2.0));
        assert_eq!(value("hacher_instances", "state=\"crash_loop\""), Some(0.0));
        assert_eq!(value("hacher_instances_busy", ""), Some(0.0));
        assert_eq!(value("hacher_queue_segments", ""), Some(0.0));
        assert!(value("hacher_queue_limit_segments", "") > Some(0.0));
        assert!(value("hacher_memory_limit_bytes", "") > Some(0.0));
        assert!(value("hacher_memory_bytes", "") > Some(0.0));
        assert!(value("hacher_memory_bytes", "") < value("hacher_memory_limit_bytes", ""));
        for cause in ["timed_out", "out_of_memory", "exited", "signalled", "unwanted"] {
            let cause = format!("cause=\"{cause}\"");
            assert_eq!(
                value("hacher_trustlet_deaths_total", &cause),
                Some(0.0),
                "{cause}"
            );
        }
    }
    let of_chain = |name: &str, label: &str| scrape.sum(name, &["chain=\"t\"", label]);
    for outcome in ["2xx", "3xx", "4xx", "5xx", "disconnected"] {
        let outcome = format!("outcome=\"{outcome}\"");
        assert_eq!(of_chain("hacher_requests_total", &outcome), Some(0.0));
    }
    for reason in [
        "in_flight",
        "memory",
        "connections",
        "backlog",
        "body_too_large",
        "headers",
        "draining",
    ] {
        let reason = format!("reason=\"{reason}\"");
        assert_eq!(
            of_chain("hacher_requests_refused_total", &reason),
            Some(0.0),
            "{reason}"
        );
    }
    assert_eq!(of_chain("hacher_requests_in_flight", ""), Some(0.0));
    assert_eq!(of_chain("hacher_requests_in_flight_limit", ""), Some(7.0));
    assert_eq!(of_chain("hacher_chain_info", "version=\"1\""), Some(1.0));
    assert_eq!(of_chain("hacher_chain_ready", ""), Some(1.0));
    assert!(scrape.sum("hacher_gateway_buffer_limit_bytes", &[]) > Some(0.0));
    assert!(scrape.sum("hacher_gateway_connections_limit", &[]) > Some(0.0));
    assert_eq!(scrape.sum("hacher_gateway_ready", &[]), Some(1.0));
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        scrape.sum("hacher_build_info", &[&version, "backend=\"process\""]),
        Some(1.0)
    );
}

#[test]
fn each_request_is_counted_once_and_under_its_reason() {
    let functions = function("a", "end", "timeout = \"50s\"\nretry = { attempts = 1 }");
    let ingress = "in_flight = 1\nmax_body = \"16KiB\"\ndeadline = \"50s\"";
    let service = Service::start(&chain(ingress, "ingress -> a -> egress", &functions)).unwrap();
    assert!(post(&service, "", "x").starts_with("HTTP/1.1 200"));
    assert!(post(&service, "", "abort").starts_with("HTTP/1.1 502"));
    assert!(post(&service, "", &"x".repeat(16 * 1024 + 1)).starts_with("HTTP/1.1 413"));
    let twice = "idempotency-key: a\r\nidempotency-key: b\r\n";
    assert!(post(&service, twice, "x").starts_with("HTTP/1.1 400"));
    let waits = begin(&service, "sleep");
    Scrape::when(&service, "the one that sleeps is in flight", |scrape| {
        scrape.sum("hacher_requests_in_flight", &[]) == Some(1.0)
            && scrape.sum("hacher_instances_busy", &[]) == Some(1.0)
    })
    .unwrap();
    assert!(post(&service, "", "x").starts_with("HTTP/1.1 429"));
    // Who closes right behind a request may only have no more to say.
    std::thread::sleep(Duration::from_millis(200));
    drop(waits);
    let scrape = Scrape::when(&service, "who went away is counted", |scrape| {
        scrape.sum("hacher_requests_total", &["outcome=\"disconnected\""]) == Some(1.0)
    })
    .unwrap();
    let requests = |outcome: &str| {
        let outcome = format!("outcome=\"{outcome}\"");
        scrape.sum("hacher_requests_total", &["chain=\"t\"", &outcome])
    };
    assert_eq!(
        (requests("2xx"), requests("4xx"), requests("5xx")),
        (Some(1.0), Some(3.0), Some(1.0))
    );
    assert_eq!(scrape.sum("hacher_requests_total", &[]), Some(6.0));
    for reason in ["in_flight", "body_too_large", "headers"] {
        let label = format!("reason=\"{reason}\"");
        assert_eq!(
            scrape.sum("hacher_requests_refused_total", &[&label]),
            Some(1.0),
            "{reason}"
        );
    }
    assert_eq!(scrape.sum("hacher_requests_refused_total", &[]), Some(3.0));
    assert_eq!(
        scrape.sum("hacher_requests_failed_total", &["reason=\"function\""]),
        Some(1.0)
    );
    assert_eq!(scrape.sum("hacher_requests_failed_total", &[]), Some(1.0));
    let timed = scrape.sum("hacher_request_duration_seconds_count", &["chain=\"t\""]);
    assert_eq!(timed, Some(3.0), "all but the refused ones");
    let death = ["cause=\"signalled\"", "code=\"6\"", "function=\"a\""];
    assert_eq!(scrape.sum("hacher_trustlet_deaths_total", &death), Some(1.0));
}

#[test]
fn a_reply_is_counted_in_the_class_of_its_status() {
    let functions = functions(["a"], "status", "");
    let service = Service::start(&chain("", "ingress -> a -> egress", &functions)).unwrap();
    for status in ["200", "204", "303", "304", "308", "404", "503"] {
        let reply = post(&service, "", status);
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
    }
    let scrape = Scrape::of(&service, "").unwrap();
    for (outcome, count) in [("2xx", 2.0), ("3xx", 3.0), ("4xx", 1.0), ("5xx", 1.0)] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(
            scrape.sum("hacher_requests_total", &["chain=\"t\"", &label]),
            Some(count),
            "{outcome}"
        );
    }
    // What a function chose is no failure of the request.
    assert_eq!(scrape.sum("hacher_requests_failed_total", &[]), Some(0.0));
}

#[test]
fn requests_for_no_chain_are_counted_at_their_gateway() {
    let service = Service::start(&chain(
        "",
        "ingress -> a -> egress",
        &functions(["a"], "echo", ""),
    ))
    .unwrap();
    for request in [
        "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "GET /chains/t HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        "POST /chains/t HTTP/1.1\r\nconnection: close\r\n\r\n",
    ] {
        send(&service, request);
    }
    let scrape = Scrape::of(&service, "").unwrap();
    for reason in ["not_found", "method", "malformed"] {
        let label = format!("reason=\"{reason}\"");
        assert_eq!(
            scrape.sum("hacher_gateway_requests_rejected_total", &[&label]),
            Some(1.0),
            "{reason}"
        );
    }
    assert_eq!(scrape.sum("hacher_requests_total", &[]), Some(0.0));
}

#[test]
fn what_waits_for_a_function_is_seen_and_goes_even_if_the_function_dies() {
    let functions =
        functions(["a"], "echo", "") + &function("b", "end", "timeout = \"50s\"\nretry = { attempts = 1 }");
    let service = Service::start(&chain(
        "deadline = \"50s\"",
        "ingress -> a -> b -> egress",
        &functions,
    ))
    .unwrap();
    let queued = |function: &'static str, wanted: f64| {
        move |scrape: &Scrape| {
            let label = format!("function=\"{function}\"");
            scrape.sum("hacher_queue_segments", &[&label]) == Some(wanted)
        }
    };
    let waiting: Vec<_> = ["sleep", "x", "x", "x"]
        .iter()
        .map(|body| begin(&service, body))
        .collect();
    Scrape::when(&service, "four lie before `b`", queued("b", 4.0)).unwrap();
    Scrape::when(&service, "none lies before `a`", queued("a", 0.0)).unwrap();
    // A producer that is replaced goes on counting where it was.
    let killed = service.process("a").unwrap();
    service.signal(killed, rustix::process::Signal::KILL);
    service
        .status_when("`a` is replaced", |status| {
            let a = &status["chains"][0]["instances"][0];
            a["epoch"] == 2 && a["state"] == "ready"
        })
        .unwrap();
    Scrape::when(&service, "they still lie there", queued("b", 4.0)).unwrap();
    drop(waiting);
    service.signal(service.process("b").unwrap(), rustix::process::Signal::KILL);
    Scrape::when(&service, "nothing lies anywhere", |scrape| {
        scrape.sum("hacher_queue_segments", &[]) == Some(0.0)
    })
    .unwrap();
    for _ in 0..20 {
        assert!(post(&service, "", "x").starts_with("HTTP/1.1 200"));
    }
    Scrape::when(&service, "nothing is left", |scrape| {
        scrape.sum("hacher_queue_segments", &[]) == Some(0.0)
    })
    .unwrap();
}

#[test]
fn instances_are_told_one_by_one_only_on_request() {
    let functions = functions(["a", "b", "c"], "echo", "instances = 4");
    let flow = "ingress -> a -> b -> c -> egress";
    let service = Service::start(&chain("", flow, &functions)).unwrap();
    for _ in 0..8 {
        assert!(post(&service, "", "x").starts_with("HTTP/1.1 200"));
    }
    let ran = |scrape: &Scrape, label: &str| scrape.sum("hacher_runs_total", &["function=\"a\"", label]);
    let scrape = Scrape::when(&service, "all runs", |scrape| {
        ran(scrape, "succeeded") == Some(8.0)
    })
    .unwrap();
    assert!(!scrape.text.contains("ordinal="));
    let most = SERVICE_MAX_BYTES + CHAIN_MAX_BYTES + 3 * FUNCTION_MAX_BYTES;
    assert!(scrape.text.len() < most, "{} bytes", scrape.text.len());
    let each = Scrape::of(&service, "?per=instance").unwrap();
    let ordinals: BTreeSet<_> = (0..4)
        .map(|at| ran(&each, &format!("ordinal=\"{at}\"")).is_some())
        .collect();
    assert_eq!(ordinals, BTreeSet::from([true]));
    let of_all = ran(&each, "succeeded");
    assert_eq!(of_all, Some(8.0));
    assert_eq!(each.kinds(), scrape.kinds());
    assert_eq!(service.operator("/metrics?per=planet").unwrap().status, 400);
    let again = Scrape::of(&service, "").unwrap();
    assert!(!again.text.contains("ordinal="), "it is not kept");
}

/// The metrics of the handbook's table, with their kinds.
fn documented() -> BTreeMap<String, String> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `hacher_"));
    rows.map(|row| {
        let mut cells = row.split('|');
        let name = cells.next().unwrap().trim().trim_end_matches('`');
        let name = name.split('{').next().unwrap();
        (format!("hacher_{name}"), cells.next().unwrap().trim().to_owned())
    })
    .collect()
}

#[test]
fn the_handbook_has_every_metric_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = write(folder.path(), "cert.pem", &pair.cert.pem()).unwrap();
    let key = write(folder.path(), "key.pem", &pair.signing_key.serialize_pem()).unwrap();
    let own = format!(
        "listen = \"127.0.0.1:0\"\ntls = {{ cert = \"{0}\", key = \"{1}\", client_ca = \"{0}\" }}",
        cert.display(),
        key.display()
    );
    let functions = functions(["a"], "echo", "");
    let chains = [("t", chain(&own, "ingress -> a -> egress", &functions))];
    let tenants = Tenants::start(folder.path(), &chains, &[]).unwrap();
    let admin = tenants.ready["admin"].as_str().unwrap().parse().unwrap();
    let expires_late = |scrape: &Scrape, file: &str| {
        let expiry = scrape.sum("hacher_certificate_expiry_timestamp_seconds", &[file]);
        // The certificate of `rcgen` is good for two thousand years, and for no less.
        expiry > Some(4e9)
    };
    // A gateway says it when it listens, which may be a moment after it is ready.
    let end = Instant::now() + PATIENCE;
    let scrape = loop {
        let body = get(admin, "/metrics").unwrap().body;
        let text = String::from_utf8(body.to_vec()).unwrap();
        let scrape = Scrape { text };
        let files = ["file=\"cert\"", "file=\"client_ca\""];
        if files.iter().all(|file| expires_late(&scrape, file)) {
            break scrape;
        }
        assert!(Instant::now() < end, "{}", scrape.text);
        std::thread::sleep(Duration::from_millis(20));
    };
    let printed: BTreeMap<String, String> = scrape
        .kinds()
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    assert_eq!(documented(), printed);
    for (name, kind) in &printed {
        let help = scrape
            .text
            .lines()
            .find(|line| line.starts_with(&format!("# HELP {name} ")));
        let help = help.unwrap();
        assert!(help.len() > name.len() + 20, "{help}");
        for unit in ["seconds", "bytes", "segments"] {
            let has = name.trim_end_matches("_total").ends_with(&format!("_{unit}"));
            assert!(!has || help.to_lowercase().contains(unit), "{help}");
        }
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
    }
}
