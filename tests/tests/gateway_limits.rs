//! What clients and functions can make the gateway hold, and for how long: announcements, unread replies,
//! silence, slowness, refusals, and records that nobody waits for.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use hacher_skipped::skipped;
use hacher_tests::{Service, function, functions};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);
const ANNOUNCED: &str = "content-length: 33554432\r\n\r\n";

fn chain(name: &str, ingress: &str, functions: &str) -> String {
    format!("chain = \"{name}\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\n{ingress}\n{functions}")
}

fn echo(name: &str, ingress: &str) -> String {
    chain(name, ingress, &functions(["a"], "echo", "timeout = \"30s\""))
}

/// Serves chain `t` and, beside it, `other`.
fn beside_another(chain: &str) -> (Service, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.toml");
    std::fs::write(&path, echo("other", "")).unwrap();
    let service = Service::start_with(chain, &[path.to_str().unwrap()]).unwrap();
    (service, folder)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn head(chain: &str, rest: &str) -> String {
    format!("POST /chains/{chain} HTTP/1.1\r\nhost: x\r\n{rest}")
}

/// Everything until the gateway closes the connection.
fn read_all(mut stream: &TcpStream) -> io::Result<String> {
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}

/// One reply on a connection that stays open.
fn read_reply(mut stream: &TcpStream) -> String {
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        reply.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&reply).to_lowercase();
    let length = head.split("content-length: ").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}

const LAST_HEALTHZ: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

fn healthz(address: SocketAddr) -> String {
    let mut stream = connect(address);
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    read_all(&stream).unwrap()
}

/// Private memory of the gateway, in bytes.
fn gateway_memory(service: &Service) -> u64 {
    let pid = service.process("hacher-gateway").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Descriptors for all tests of this file together, as they run beside each other: the largest holds 4,100
/// connections.
const DESCRIPTORS: u64 = 8000;

/// Raises this process's limit on descriptors; whether there are [`DESCRIPTORS`].
fn has_descriptors() -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let present = getrlimit(Resource::Nofile);
    let maximum = present.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit {
        current: Some(DESCRIPTORS.min(maximum).max(present.current.unwrap_or(0))),
        maximum: present.maximum,
    };
    let _ = setrlimit(Resource::Nofile, wanted);
    let enough = getrlimit(Resource::Nofile)
        .current
        .is_none_or(|current| current >= DESCRIPTORS);
    if !enough {
        skipped!("this needs {DESCRIPTORS} descriptors");
    }
    enough
}

#[test]
fn announced_bodies_take_no_memory_and_hurt_no_other_chain() {
    let (service, _folder) = beside_another(&echo("t", "deadline = \"20s\""));
    let gateway = service.process("hacher-gateway");
    assert_eq!(service.post("other", "warm").unwrap().status, 200);
    let before = gateway_memory(&service);
    let silent: Vec<_> = (0..128)
        .map(|_| {
            let mut stream = connect(service.gateway);
            stream.write_all(head("t", ANNOUNCED).as_bytes()).unwrap();
            stream
        })
        .collect();
    for _ in 0..100 {
        assert_eq!(service.post("other", "x".repeat(1000)).unwrap().status, 200);
    }
    let grown = gateway_memory(&service).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for nothing");
    drop(silent);
    assert_eq!(service.process("hacher-gateway"), gateway);
}

#[test]
fn replies_that_nobody_reads_are_bounded_and_end() {
    let (service, _folder) = beside_another(&echo("t", "deadline = \"60s\""));
    let gateway = service.process("hacher-gateway");
    let address = service.gateway;
    let body = vec![b'x'; 16 << 20];
    let clients: Vec<_> = std::thread::scope(|scope| {
        let posting: Vec<_> = (0..140)
            .map(|_| {
                let body = &body;
                scope.spawn(move || {
                    let mut stream = connect(address);
                    stream
                        .write_all(head("t", "content-length: 16777216\r\n\r\n").as_bytes())
                        .unwrap();
                    // Refused ones need not take all of it.
                    let _ = stream.write_all(body);
                    stream
                })
            })
            .collect();
        for _ in 0..100 {
            assert_eq!(service.post("other", "x".repeat(1000)).unwrap().status, 200);
        }
        posting.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for _ in 0..100 {
        assert_eq!(service.post("other", "x".repeat(1000)).unwrap().status, 200);
    }
    assert!(gateway_memory(&service) < 3 << 30);
    // Whoever does not read is closed, and the chain serves again.
    let end = Instant::now() + PATIENCE;
    while service.post("t", body.clone()).unwrap().status != 200 {
        assert!(Instant::now() < end, "the memory is never given back");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(service.process("hacher-gateway"), gateway, "the gateway died");
    drop(clients);
}

#[test]
fn silence_locks_nobody_out() {
    if !has_descriptors() {
        return;
    }
    let service = Service::start(&echo("t", "")).unwrap();
    let mut silent = Vec::new();
    for round in 0..3 {
        silent.extend((0..1000).map(|_| connect(service.gateway)));
        assert!(
            healthz(service.gateway).starts_with("HTTP/1.1 200"),
            "round {round}"
        );
        assert_eq!(service.post("t", "x").unwrap().status, 200);
    }
    // Idle ones, too, and the one idle longest goes first: of these the newest is still served.
    let mut idle = Vec::new();
    for _ in 0..1100 {
        let mut stream = connect(service.gateway);
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        assert!(read_reply(&stream).starts_with("http/1.1 200"));
        idle.push(stream);
    }
    let mut newest = idle.pop().unwrap();
    newest
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    assert!(read_reply(&newest).starts_with("http/1.1 200"));
}

#[test]
fn health_is_answered_when_every_connection_is_busy() {
    if !has_descriptors() {
        return;
    }
    let service = Service::start(&chain(
        "t",
        "in_flight = 2000\ndeadline = \"60s\"",
        &function("a", "hang", "timeout = \"50s\""),
    ))
    .unwrap();
    let busy: Vec<_> = (0..1100)
        .map(|_| {
            let mut stream = connect(service.gateway);
            stream
                .write_all((head("t", "content-length: 4\r\n\r\n") + "hang").as_bytes())
                .unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        assert!(healthz(service.gateway).starts_with("HTTP/1.1 200"));
    }
    let mut stream = connect(service.gateway);
    stream
        .write_all((head("t", "content-length: 1\r\n\r\n") + "x").as_bytes())
        .unwrap();
    let reply = read_all(&stream).unwrap().to_lowercase();
    assert!(
        reply.starts_with("http/1.1 503") && reply.contains("retry-after"),
        "{reply}"
    );
    if backlog() >= 1000 {
        // More at once than there are places for them: none goes before what it says was read.
        let gateway = service.process("hacher-gateway").unwrap();
        service.signal(gateway, rustix::process::Signal::STOP);
        let asking: Vec<_> = (0..400)
            .map(|_| {
                let mut stream = connect(service.gateway);
                stream.write_all(LAST_HEALTHZ).unwrap();
                stream
            })
            .collect();
        service.signal(gateway, rustix::process::Signal::CONT);
        for (number, stream) in asking.iter().enumerate() {
            let reply = read_all(stream);
            assert!(
                reply
                    .as_ref()
                    .is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")),
                "{number}: {reply:?}"
            );
        }
    }
    drop(busy);
}

/// The longest queue of a listening socket that the machine allows.
fn backlog() -> u32 {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    most.trim().parse().unwrap_or(0)
}

#[test]
fn a_burst_of_connections_waits_for_no_second_syn() {
    if backlog() < 1000 || !has_descriptors() {
        skipped!("this needs net.core.somaxconn of 1000");
        return;
    }
    let service = Service::start(&echo("t", "")).unwrap();
    let gateway = service.process("hacher-gateway").unwrap();
    // Nobody accepts meanwhile, so all of them have to fit into the backlog.
    service.signal(gateway, rustix::process::Signal::STOP);
    let clients: Result<Vec<_>, _> = (0..600)
        .map(|_| TcpStream::connect_timeout(&service.gateway, Duration::from_secs(20)))
        .collect();
    service.signal(gateway, rustix::process::Signal::CONT);
    for mut client in clients.unwrap() {
        client.write_all(LAST_HEALTHZ).unwrap();
        assert!(read_all(&client).unwrap().starts_with("HTTP/1.1 200"));
    }
}

/// Sends `begin`, then `more` again and again; returns what came back once the gateway has ended the
/// connection.
fn ended(address: SocketAddr, begin: &[u8], more: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(begin).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let end = Instant::now() + PATIENCE;
    let (mut reply, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        assert!(Instant::now() < end, "the gateway waits for ever");
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => reply.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                let _ = stream.write_all(more);
            }
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn slow_heads_and_slow_bodies_are_ended() {
    let service = Service::start(&echo("t", "deadline = \"300s\"")).unwrap();
    let address = service.gateway;
    std::thread::scope(|scope| {
        let ended = |begin: String, more: &'static str| {
            scope.spawn(move || ended(address, begin.as_bytes(), more.as_bytes()))
        };
        let cases = [
            ended(String::new(), ""),
            ended("P".to_owned(), ""),
            ended("GET /healthz HTTP/1.1\r\n".to_owned(), "x: y\r\n"),
            ended("PRI * HTTP/2.0\r\n".to_owned(), ""),
            ended(
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_owned(),
                "",
            ),
        ];
        let bodies = [
            ended(head("t", ANNOUNCED), ""),
            ended(head("t", ANNOUNCED), "x"),
            ended(head("t", "transfer-encoding: chunked\r\n\r\n"), "1\r\nx\r\n"),
        ];
        for case in cases {
            let reply = case.join().unwrap();
            assert!(!reply.starts_with("HTTP/1.1 2"), "{reply}");
        }
        for body in bodies {
            let reply = body.join().unwrap();
            assert!(reply.starts_with("HTTP/1.1 408"), "{reply}");
        }
    });
    assert_eq!(service.post("t", "x").unwrap().status, 200);
}

#[test]
fn readers_of_a_byte_a_second_are_ended() {
    let service = Service::start(&echo("t", "deadline = \"60s\"")).unwrap();
    let mut stream = connect(service.gateway);
    stream
        .write_all(head("t", "content-length: 16777216\r\n\r\n").as_bytes())
        .unwrap();
    stream.write_all(&vec![b'x'; 16 << 20]).unwrap();
    let before = service.status().unwrap();
    let end = Instant::now() + PATIENCE;
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    let client = stream.local_addr().unwrap();
    while is_established(client) {
        assert!(Instant::now() < end, "the gateway waits for ever: {before}");
        let _ = stream.read(&mut byte);
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(service.post("t", "x").unwrap().status, 200);
}

/// Whether the kernel still has the gateway's end of a client's connection established.
fn is_established(client: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{:04X}", client.port());
    // Remote address in the third column, state 01 (established) in the fourth.
    table.lines().any(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        columns.get(2).is_some_and(|remote| remote.ends_with(&port)) && columns.get(3) == Some(&"01")
    })
}

#[test]
fn http_2_streams_that_are_not_read_are_ended() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let service = Service::start(&echo("t", "deadline = \"60s\"")).unwrap();
    let runtime = hacher_tests::runtime();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(service.gateway).await.unwrap();
        let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(connection);
        let mut replies = Vec::new();
        for _ in 0..4 {
            let body = Full::new(bytes::Bytes::from(vec![1; 8 << 20]));
            let request = hyper::Request::post("http://x/chains/t").body(body).unwrap();
            let reply = sender.send_request(request).await.unwrap();
            assert_eq!(reply.status(), 200);
            // The body is not read, so the stream's window stays closed.
            replies.push(reply);
        }
        // Pings go on, so the connection itself is alive.
        let ended = tokio::time::timeout(PATIENCE, connection).await;
        assert!(ended.is_ok(), "the gateway waits for ever");
        for reply in replies {
            assert!(reply.into_body().collect().await.is_err());
        }
    });
    assert_eq!(service.post("t", "x").unwrap().status, 200);
}

#[test]
fn uploads_that_do_not_come_take_no_place_from_requests_that_are_there() {
    let service = Service::start(&chain(
        "t",
        "in_flight = 4",
        &function("a", "hang", "instances = 4\ntimeout = \"40s\""),
    ))
    .unwrap();
    let upload = || {
        let mut stream = connect(service.gateway);
        let begun = head("t", "content-length: 1048576\r\n\r\n") + "x";
        stream.write_all(begun.as_bytes()).unwrap();
        stream
    };
    let silent: Vec<_> = (0..64).map(|_| upload()).collect();
    for _ in 0..20 {
        assert_eq!(service.post("t", "x").unwrap().status, 200);
    }
    service
        .status_when("nothing is in flight", |status| {
            status["chains"][0]["in_flight"] == 0
        })
        .unwrap();
    let mut late = upload();
    // The places are taken by what is there, and then others are told so before they send anything.
    let hanging: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = connect(service.gateway);
            let whole = head("t", "content-length: 4\r\n\r\n") + "hang";
            stream.write_all(whole.as_bytes()).unwrap();
            stream
        })
        .collect();
    service
        .status_when("all places are taken", |status| {
            status["chains"][0]["in_flight"] == 4
        })
        .unwrap();
    let mut stream = connect(service.gateway);
    let asking = head("t", "content-length: 1048576\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(asking.as_bytes()).unwrap();
    let reply = read_all(&stream).unwrap().to_lowercase();
    assert!(
        reply.starts_with("http/1.1 429") && reply.contains("retry-after"),
        "{reply}"
    );
    // An upload that had begun before is told when it is whole.
    late.write_all(&vec![b'x'; (1 << 20) - 1]).unwrap();
    assert!(read_reply(&late).starts_with("http/1.1 429"));
    drop((hanging, silent));
}

#[test]
fn a_body_over_the_limit_is_413_every_time() {
    let service = Service::start(&echo("t", "max_body = \"1MiB\"")).unwrap();
    let address = service.gateway;
    let body = vec![b'x'; 8 << 20];
    let length = format!("content-length: {}\r\n", body.len());
    let chunked: Vec<u8> = body
        .chunks(1 << 20)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat())
        .chain(*b"0\r\n\r\n")
        .collect();
    for round in 0..15 {
        let cases = [
            (head("t", &format!("{length}\r\n")), &body, "413"),
            (head("t", "transfer-encoding: chunked\r\n\r\n"), &chunked, "413"),
            // Sends without waiting for the word that it asks for.
            (
                head("t", &format!("{length}expect: 100-continue\r\n\r\n")),
                &body,
                "413",
            ),
            (head("nobody", &format!("{length}\r\n")), &body, "404"),
            (
                head("t", &format!("{length}\r\n")).replace("POST", "PUT"),
                &body,
                "405",
            ),
            // Large headers.
            (
                head("t", &format!("{length}baggage: {}\r\n\r\n", "x".repeat(9000))),
                &body,
                "431",
            ),
        ];
        for (head, body, status) in cases {
            let mut stream = connect(address);
            stream.write_all(head.as_bytes()).unwrap();
            // Reads only after all of it was written, as many clients do.
            stream.write_all(body).unwrap();
            let reply = read_all(&stream).unwrap();
            assert!(
                reply.starts_with(&format!("HTTP/1.1 {status}")),
                "round {round}: {head}{reply}"
            );
        }
        assert_eq!(service.post("t", body.clone()).unwrap().status, 413);
    }
}

#[test]
fn a_request_that_is_refused_whole_leaves_its_connection_usable() {
    let service = Service::start(&echo("t", "")).unwrap();
    let mut stream = connect(service.gateway);
    for _ in 0..3 {
        let request = head("nobody", "content-length: 1000\r\n\r\n") + &"x".repeat(1000);
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read_reply(&stream).starts_with("http/1.1 404"));
        let request = head("t", "content-length: 1\r\n\r\n") + "x";
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read_reply(&stream).starts_with("http/1.1 200"));
    }
}

#[test]
fn call_and_run_say_413_every_time() {
    let service = Service::start(&echo("t", "max_body = \"1MiB\"")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input");
    std::fs::write(&input, vec![0; 8 << 20]).unwrap();
    let fabric = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let input = input.to_str().unwrap();
    let url = service.gateway.to_string();
    for _ in 0..20 {
        let said = fabric(&["call", "t", "--input", input, "--gateway", &url]);
        assert!(said.contains("413"), "{said}");
    }
    let chain = service.chain_file();
    for _ in 0..5 {
        let said = fabric(&["run", chain.to_str().unwrap(), "--input", input]);
        assert!(said.contains("413"), "{said}");
    }
}

#[test]
fn a_reply_over_its_limit_is_502_and_names_both_sizes() {
    let service = Service::start(&chain(
        "t",
        "max_reply = \"100000B\"",
        &functions(["a"], "flood", ""),
    ))
    .unwrap();
    let good = service.post("t", "100000").unwrap();
    assert_eq!((good.status.as_u16(), good.body.len()), (200, 100_000));
    for size in ["100001", "200000", "20000000"] {
        let reply = service.post("t", size).unwrap();
        assert_eq!(reply.status, 502);
        let problem = reply.json();
        assert_eq!(problem["cause"], "reply_too_large", "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("the limit is \"100000B\" (`ingress.max_reply`)") && detail.contains("`a`"),
            "{detail}"
        );
        let said: u64 = detail
            .split("at least ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next()?.parse().ok())
            .unwrap();
        assert!(said > 100_000 && said <= size.parse().unwrap(), "{detail}");
    }
    assert_eq!(service.post("t", "7").unwrap().body.len(), 7);
}

#[test]
fn records_that_nobody_waits_for_are_not_kept() {
    let service = Service::start(&chain(
        "t",
        "deadline = \"500ms\"",
        &function("a", "stall-in-reply", "instances = 16\ntimeout = \"30s\""),
    ))
    .unwrap();
    let before = gateway_memory(&service);
    // Each stops in the middle of 8 MiB, and stays there.
    for _ in 0..16 {
        assert_eq!(service.post("t", "x").unwrap().status, 504);
    }
    let grown = gateway_memory(&service).saturating_sub(before);
    assert!(grown < 48 << 20, "{grown} bytes are kept for nobody");
}

#[test]
fn chains_that_do_not_fit_are_refused_with_the_sum() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, ingress: &str| {
        let path = folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, echo(name, ingress)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let large = write("large", "max_body = \"4GiB\"");
    let half = [
        write("one", "max_body = \"1GiB\""),
        write("two", "max_body = \"1GiB\""),
    ];
    let said = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fabric-under-test"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let serve = |chains: &[&str]| said(&[&["serve"], chains, &listen].concat());
    for text in [
        serve(&[&large]),
        said(&["check", &large]),
        serve(&[&half[0], &half[1]]),
    ] {
        assert!(text.contains("max_body") && text.contains("max_reply"), "{text}");
        assert!(text.contains("4GiB") || text.contains("4096MiB"), "{text}");
    }
    assert!(Path::new(&large).exists());
}

#[test]
fn a_client_that_never_reads_its_pipelined_replies_is_not_answered_for_ever() {
    let service = Service::start(&echo("t", "")).unwrap();
    let mut stream = connect(service.gateway);
    stream.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let before = gateway_memory(&service);
    let request = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1000);
    // Until the gateway reads no more, as it cannot write.
    let mut sent = 0;
    while sent < (64 << 20) && stream.write_all(&request).is_ok() {
        sent += request.len();
    }
    let grown = gateway_memory(&service).saturating_sub(before);
    assert!(
        grown < 8 << 20,
        "{grown} bytes of replies after {sent} bytes of requests"
    );
    assert!(healthz(service.gateway).starts_with("HTTP/1.1 200"));
    let _ = stream.shutdown(Shutdown::Both);
}
