//! The end of a service that is asked to stop: who is still answered and how, what is counted, and what the
//! exit code says.

use bytes::Bytes;
use hacher_tests::tenants::{Tenants, command, until, write};
use hacher_tests::{Service, function};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// To detect what hangs.
const PATIENCE: Duration = Duration::from_secs(40);

/// A service of one function that naps, and what it says on standard error.
struct Draining {
    service: Service,
    folder: TempDir,
}

impl Draining {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with("", arguments)
    }

    fn start_with(ingress: &str, arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let chain = format!(
            "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"60s\"\n{ingress}\n{}",
            function("a", "nap", "timeout = \"60s\"\ninstances = 2")
        );
        let told = File::create(folder.path().join("told")).unwrap();
        let service = Service::start_telling(&chain, arguments, Stdio::from(told)).unwrap_or_else(|error| {
            let told = std::fs::read_to_string(folder.path().join("told")).unwrap_or_default();
            panic!("{error}: {told}")
        });
        Self { service, folder }
    }

    fn told(&self) -> PathBuf {
        self.folder.path().join("told")
    }

    fn ask(&self, signal: Signal) {
        self.service.signal(self.service.monitor_pid(), signal);
    }

    /// A request that is with the function when this returns.
    fn in_flight(&self, millis: u32) -> JoinHandle<String> {
        let before = self.requests();
        let gateway = self.service.gateway;
        let request = std::thread::spawn(move || post(gateway, millis));
        self.service
            .status_when("the request is in flight", |status| {
                status["chains"][0]["in_flight"].as_u64() > before
            })
            .unwrap();
        request
    }

    fn requests(&self) -> Option<u64> {
        self.service.status().unwrap()["chains"][0]["in_flight"].as_u64()
    }

    /// The gateway says that it is not ready, as soon as the signal has come.
    fn until_not_ready(&self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let reply = exchange(self.service.gateway, "GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n");
            if reply.starts_with("HTTP/1.1 503") {
                return reply.to_ascii_lowercase();
            }
            assert!(Instant::now() < end, "still ready: {reply}");
        }
    }

    /// Its exit code, and the line that says what became of requests.
    fn ended(mut self) -> (Option<i32>, String) {
        let code = self.service.wait().unwrap();
        let told = std::fs::read_to_string(self.told()).unwrap();
        let lines: Vec<_> = told.lines().filter(|line| line.contains("drained: ")).collect();
        assert_eq!(lines.len(), 1, "{told}");
        (code, lines[0].to_owned())
    }
}

fn head_of(millis: u32) -> String {
    let body = millis.to_string();
    format!(
        "POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn post(gateway: SocketAddr, millis: u32) -> String {
    exchange(gateway, &head_of(millis))
}

fn connect(gateway: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(gateway).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Sends a request on a connection of its own; head and content of the reply.
fn exchange(gateway: SocketAddr, request: &str) -> String {
    exchange_on(&mut connect(gateway), request)
}

fn exchange_on(client: &mut (impl Read + Write), request: &str) -> String {
    client.write_all(request.as_bytes()).unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while !reply.ends_with(b"\r\n\r\n") && client.read(&mut byte).is_ok_and(|len| len > 0) {
        reply.push(byte[0]);
    }
    let head = String::from_utf8(reply).unwrap();
    let lower = head.to_ascii_lowercase();
    let length = lower
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut content = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or(0)];
    client.read_exact(&mut content).unwrap();
    head + &String::from_utf8(content).unwrap()
}

#[test]
fn readiness_goes_at_once_and_requests_are_served_for_the_delay() {
    // Long enough for all that is asked for in it, on a machine that does much else.
    let draining = Draining::start(&["--drain-delay", "12"]);
    let mut kept = connect(draining.service.gateway);
    assert!(exchange_on(&mut kept, &head_of(0)).starts_with("HTTP/1.1 200"));
    draining.ask(Signal::TERM);
    let refusal = draining.until_not_ready();
    assert!(
        refusal.contains("retry-after: ") && refusal.contains("connection: close"),
        "{refusal}"
    );
    assert!(refusal.contains("stopping"), "{refusal}");
    let health = exchange(
        draining.service.gateway,
        "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
    );
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");
    // New connections as well as old ones, and each is told to find another.
    for reply in [
        exchange_on(&mut kept, &head_of(0)),
        post(draining.service.gateway, 0),
    ] {
        let reply = reply.to_ascii_lowercase();
        assert!(reply.starts_with("http/1.1 200"), "{reply}");
        assert!(reply.contains("connection: close"), "{reply}");
    }
    assert_eq!(draining.service.operator("/healthz").unwrap().status, 200);
    let (code, line) = draining.ended();
    assert_eq!(code, Some(0), "{line}");
    assert!(line.contains("2 served, 0 cut, 0 refused"), "{line}");
}

#[test]
fn after_the_delay_new_requests_are_refused_while_others_finish_and_operators_are_answered() {
    let draining = Draining::start(&[]);
    let request = draining.in_flight(4000);
    draining.ask(Signal::TERM);
    // Even no delay may be over a moment after the signal. Whoever waits for leave to send its content is
    // told which of the two it is, and no function gets a request that might wait behind the one in
    // flight.
    let mut served = 1;
    let reply = loop {
        let mut client = connect(draining.service.gateway);
        client
            .write_all(
                b"POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\n",
            )
            .unwrap();
        let mut first = [0; 12];
        client.read_exact(&mut first).unwrap();
        if first != *b"HTTP/1.1 100" {
            let mut reply = String::from_utf8(first.to_vec()).unwrap();
            client.read_to_string(&mut reply).unwrap();
            break reply.to_ascii_lowercase();
        }
        served += 1;
    };
    assert!(reply.starts_with("http/1.1 503"), "{reply}");
    assert!(
        reply.contains("retry-after: ") && reply.contains("connection: close"),
        "{reply}"
    );
    assert!(
        reply.contains("problem+json") && reply.contains("stopping"),
        "{reply}"
    );
    let status = draining.service.status().unwrap();
    assert_eq!(status["chains"][0]["in_flight"], 1, "{status:#}");
    assert_eq!(draining.service.operator("/metrics").unwrap().status, 200);
    assert!(request.join().unwrap().starts_with("HTTP/1.1 200"));
    let (code, line) = draining.ended();
    assert_eq!(code, Some(0), "{line}");
    // What was over before the signal came does not count.
    let counted = line
        .split_once("drained: ")
        .and_then(|(_, rest)| rest.split_once(" served"));
    let counted: u64 = counted.unwrap().0.parse().unwrap();
    assert!((1..=served).contains(&counted), "{line}");
    assert!(line.contains("served, 0 cut, 1 refused"), "{line}");
}

#[test]
fn what_is_not_done_in_time_gets_503_and_is_counted() {
    let draining = Draining::start(&["--drain-timeout", "1"]);
    let requests = [draining.in_flight(60_000), draining.in_flight(60_000)];
    // One whose body does not come.
    let mut half = connect(draining.service.gateway);
    half.write_all(
        b"POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n",
    )
    .unwrap();
    let mut awaited = [0; 25];
    half.read_exact(&mut awaited).unwrap();
    assert_eq!(awaited, *b"HTTP/1.1 100 Continue\r\n\r\n");
    draining.ask(Signal::TERM);
    for request in requests {
        let reply = request.join().unwrap().to_ascii_lowercase();
        assert!(reply.starts_with("http/1.1 503"), "{reply}");
        assert!(
            reply.contains("retry-after: ") && reply.contains("connection: close"),
            "{reply}"
        );
    }
    let mut reply = String::new();
    half.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 503"), "{reply}");
    let (code, line) = draining.ended();
    assert_eq!(code, Some(3), "{line}");
    assert!(line.contains("0 served, 3 cut, 0 refused"), "{line}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let draining = Draining::start(&["--drain-delay", "3600", "--drain-timeout", "3600"]);
    let request = draining.in_flight(60_000);
    draining.ask(Signal::TERM);
    draining.until_not_ready();
    draining.ask(Signal::TERM);
    assert!(request.join().unwrap().starts_with("HTTP/1.1 503"));
    let (code, line) = draining.ended();
    assert_eq!(code, Some(3), "{line}");
    assert!(line.contains("0 served, 1 cut, 0 refused"), "{line}");
}

#[test]
fn an_interrupt_skips_the_delay_and_answers_what_is_in_flight() {
    let draining = Draining::start(&["--drain-delay", "3600"]);
    let request = draining.in_flight(500);
    draining.ask(Signal::INT);
    assert!(request.join().unwrap().starts_with("HTTP/1.1 200"));
    let (code, line) = draining.ended();
    assert_eq!(code, Some(0), "{line}");
    assert!(line.contains("1 served, 0 cut, 0 refused"), "{line}");
}

#[test]
fn a_function_that_dies_while_the_service_drains_is_replaced_and_its_request_is_answered() {
    let draining = Draining::start(&[]);
    let request = draining.in_flight(2000);
    draining.ask(Signal::TERM);
    draining.until_not_ready();
    for (pid, name) in draining.service.processes() {
        if name == "a" {
            draining.service.signal(pid, Signal::KILL);
        }
    }
    let reply = request.join().unwrap();
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    assert_eq!(draining.ended().0, Some(0));
}

#[test]
fn a_daemon_that_dies_while_the_service_drains_comes_back_for_operators() {
    let draining = Draining::start(&[]);
    let request = draining.in_flight(4000);
    draining.ask(Signal::TERM);
    draining.until_not_ready();
    let daemon = draining.service.process("hacher-daemon").unwrap();
    draining.service.signal(daemon, Signal::KILL);
    draining
        .service
        .status_when("a new daemon answers", |status| status["daemon_restarts"] == 1)
        .unwrap();
    assert!(request.join().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(draining.ended().0, Some(0));
}

#[test]
fn a_reply_that_nobody_reads_is_cut_and_counted() {
    let folder = TempDir::new().unwrap();
    let chain = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"32MiB\"\n{}",
        function("a", "echo", "memory = \"256MiB\"")
    );
    let told = File::create(folder.path().join("told")).unwrap();
    let service = Service::start_telling(&chain, &["--drain-timeout", "1"], Stdio::from(told)).unwrap();
    let draining = Draining { service, folder };
    let mut client = connect(draining.service.gateway);
    let body = vec![b'x'; 32 << 20];
    client
        .write_all(
            format!(
                "POST /chains/t HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
                body.len()
            )
            .as_bytes(),
        )
        .unwrap();
    client.write_all(&body).unwrap();
    // It begins to come, and is left lying.
    client.read_exact(&mut [0; 12]).unwrap();
    draining.ask(Signal::TERM);
    let (code, line) = draining.ended();
    assert_eq!(code, Some(3), "{line}");
    assert!(line.contains("0 served, 1 cut, 0 refused"), "{line}");
}

#[test]
fn a_request_of_which_a_part_has_arrived_at_the_very_end_is_answered() {
    let draining = Draining::start(&[]);
    let head = head_of(0);
    let parts = [1, 20, head.len() - 4, 1, 20, head.len() - 4];
    let clients: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(number, part)| {
            let mut client = connect(draining.service.gateway);
            if number < 3 {
                assert!(exchange_on(&mut client, &head).starts_with("HTTP/1.1 200"));
            }
            client.write_all(&head.as_bytes()[..part]).unwrap();
            client
        })
        .collect();
    draining.ask(Signal::TERM);
    for mut client in clients {
        let mut reply = String::new();
        client.read_to_string(&mut reply).unwrap();
        let reply = reply.to_ascii_lowercase();
        assert!(reply.starts_with("http/1.1 503"), "{reply:?}");
        assert!(
            reply.contains("retry-after: ") && reply.contains("connection: close"),
            "{reply}"
        );
    }
    let (code, line) = draining.ended();
    assert_eq!(code, Some(0), "{line}");
    assert!(line.contains("0 served, 0 cut, 6 refused"), "{line}");
}

/// What becomes of a request on a connection that was kept.
#[derive(Debug, PartialEq, Eq)]
enum Last {
    Answered,
    /// The connection had ended before all of the request was sent, as its client could see.
    Ended,
    /// It had not, and there is no answer.
    Lost,
}

fn send_last(client: &mut TcpStream) -> Last {
    let peek = |client: &TcpStream| {
        client.set_nonblocking(true).unwrap();
        let peeked = client.peek(&mut [0]);
        client.set_nonblocking(false).unwrap();
        peeked.map_err(|error| error.kind())
    };
    let open = Err(std::io::ErrorKind::WouldBlock);
    if peek(client) != open || client.write_all(head_of(0).as_bytes()).is_err() {
        return Last::Ended;
    }
    match peek(client) {
        Ok(0) => return Last::Ended,
        Err(kind) if kind != std::io::ErrorKind::WouldBlock => return Last::Ended,
        _ => {}
    }
    let mut first = [0; 12];
    match client.read_exact(&mut first) {
        Ok(()) if first == *b"HTTP/1.1 200" || first == *b"HTTP/1.1 503" => Last::Answered,
        _ => Last::Lost,
    }
}

#[test]
fn a_connection_that_was_kept_loses_no_request_at_the_very_end() {
    const CLIENTS: u32 = 96;
    // Looking whether something has arrived and ending a connection are two calls: what arrives in between is
    // lost, at any server of HTTP/1.1 (RFC 9112, section 9.5). That takes a processor which is taken away
    // right there: seen once in some two thousand ends on a machine whose load was 6.
    const LOST_MAX: usize = 1;
    let mut lost = 0;
    for round in 0..4 {
        let draining = Draining::start(&[]);
        let gateway = draining.service.gateway;
        let begin = Arc::new(Barrier::new(CLIENTS as usize + 1));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let begin = Arc::clone(&begin);
                std::thread::spawn(move || {
                    let mut client = connect(gateway);
                    assert!(exchange_on(&mut client, &head_of(0)).starts_with("HTTP/1.1 200"));
                    begin.wait();
                    // Spread around the moment at which idle connections are ended.
                    std::thread::sleep(Duration::from_micros(1500) * number);
                    send_last(&mut client)
                })
            })
            .collect();
        begin.wait();
        draining.ask(Signal::TERM);
        let became: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let count = |what: Last| became.iter().filter(|last| **last == what).count();
        println!(
            "round {round}: {} answered, {} ended before",
            count(Last::Answered),
            count(Last::Ended)
        );
        lost += count(Last::Lost);
        assert!(lost <= LOST_MAX, "round {round}");
        let (code, line) = draining.ended();
        assert_eq!(code, Some(0), "{line}");
    }
}

/// A connection over TLS of a client that trusts this certificate.
fn connect_over_tls(
    gateway: SocketAddr,
    trusted: &CertificateDer<'static>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(
        ClientConnection::new(Arc::new(config), name).unwrap(),
        connect(gateway),
    )
}

#[test]
fn over_tls_and_at_gateways_of_their_own_chains_are_drained_alike() {
    let folder = TempDir::new().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    write(folder.path(), "cert.pem", &made.cert.pem()).unwrap();
    write(folder.path(), "key.pem", &made.signing_key.serialize_pem()).unwrap();
    let trusted = made.cert.der().clone();
    let chain = |name: &str, more: &str| {
        format!(
            "chain = \"{name}\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\ndeadline = \"60s\"\n\
             listen = \"127.0.0.1:0\"\n{more}\n{}",
            function("a", "nap", "timeout = \"60s\"\ninstances = 2")
        )
    };
    let chains = [
        (
            "t",
            chain("t", "tls = { cert = \"cert.pem\", key = \"key.pem\" }"),
        ),
        ("plain", chain("plain", "")),
    ];
    let mut service = Tenants::start(folder.path(), &chains, &["--drain-delay", "0"]).unwrap();
    let (secure, plain) = (service.address("t"), service.address("plain"));
    let mut idle = connect_over_tls(secure, &trusted);
    assert!(exchange_on(&mut idle, &head_of(0)).starts_with("HTTP/1.1 200"));
    let in_flight = {
        let trusted = trusted.clone();
        std::thread::spawn(move || exchange_on(&mut connect_over_tls(secure, &trusted), &head_of(4000)))
    };
    assert!(until(|| {
        let status = service.status().unwrap();
        let chains = status["chains"].as_array().unwrap();
        chains
            .iter()
            .any(|chain| chain["name"] == "t" && chain["in_flight"] == 1)
    }));
    service.signal(service.monitor_pid(), Signal::TERM);
    // The other gateway has nothing to finish, and is gone a moment later.
    let refused = |reply: &str| reply.starts_with("HTTP/1.1 503");
    assert!(until(|| {
        let reply = exchange_on(&mut connect_over_tls(secure, &trusted), &head_of(0));
        refused(&reply) && reply.to_ascii_lowercase().contains("connection: close")
    }));
    assert!(in_flight.join().unwrap().starts_with("HTTP/1.1 200"));
    // It ends as TLS has it, so its client knows that nothing was cut off.
    assert_eq!(idle.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(service.wait().unwrap(), Some(0), "{}", service.messages());
    assert!(service.has_said(" served, 0 cut, ", 1), "{}", service.messages());
    assert!(TcpStream::connect(plain).is_err());
}

#[test]
fn a_run_says_nothing_of_its_drain() {
    let folder = TempDir::new().unwrap();
    let text = format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n{}",
        function("a", "echo", "")
    );
    let file = write(folder.path(), "t.toml", &text).unwrap();
    let input = write(folder.path(), "input", "hello").unwrap();
    let words = ["run", file.to_str().unwrap(), "--input", input.to_str().unwrap()];
    let (code, out, said) = command(&words).unwrap();
    assert_eq!((code, out.as_str()), (Some(0), "hello"), "{said}");
    assert!(said.contains("request ") && !said.contains("drained"), "{said}");
}

#[test]
fn http_2_clients_are_sent_away_and_their_streams_finish() {
    let draining = Draining::start(&[]);
    let gateway = draining.service.gateway;
    let client = std::thread::spawn(move || {
        let runtime = hacher_tests::runtime();
        runtime.block_on(stay_on_http_2(gateway));
    });
    draining
        .service
        .status_when("the request is in flight", |status| {
            status["chains"][0]["in_flight"] == 1
        })
        .unwrap();
    draining.ask(Signal::TERM);
    draining.until_not_ready();
    client.join().unwrap();
    let (code, line) = draining.ended();
    assert_eq!(code, Some(0), "{line}");
    assert!(line.contains("1 served, 0 cut, 0 refused"), "{line}");
}

/// Gets its reply, and stays until the gateway ends the connection.
async fn stay_on_http_2(gateway: SocketAddr) {
    let request = || {
        Request::post("http://x/chains/t")
            .body(Full::new(Bytes::from("3000")))
            .unwrap()
    };
    let stream = tokio::net::TcpStream::connect(gateway).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let reply = sender.send_request(request()).await.unwrap();
    assert_eq!(reply.status(), 200);
    assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), "3000");
    // GOAWAY: the connection ends by itself, without an error, although its client never closes it.
    let ended = tokio::time::timeout(PATIENCE, connection).await;
    ended.unwrap().unwrap().unwrap();
    assert!(sender.send_request(request()).await.is_err());
}
