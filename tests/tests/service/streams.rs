//! Streams end to end: bodies of any length pass through functions with little memory, and little of them is
//! held anywhere; and what happens in the middle of a stream has a clear end.

use hacher_tests::streamed::MIDDLE_BYTES;
use hacher_tests::{Scrape, Service, executable, function, instances, until};
use ring::digest::{Context, SHA256};
use rustix::process::Signal;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;
const STREAM: &str = "stream = true\nmemory = \"16MiB\"\ntimeout = \"2s\"";

/// A chain of functions that pass a stream on, one after another.
fn chain(ingress: &str, edges: &str, names: &[&str], more: &str) -> String {
    let functions: String = names
        .iter()
        .map(|name| function(name, "stream-pass", &format!("{STREAM}\n{more}")))
        .collect();
    format!(
        "chain = \"t\"\nflow = [\"ingress -> {} -> egress\"]\n[ingress]\n{ingress}\n{edges}\n{functions}",
        names.join(" -> ")
    )
}

/// A request whose body is sent in chunks, as the test likes.
struct Exchange {
    stream: TcpStream,
    reply: BufReader<TcpStream>,
}

/// How a reply ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With the last chunk.
    Whole,
    /// Without it.
    Cut,
}

impl Exchange {
    fn begin(service: &Service) -> Self {
        let stream = TcpStream::connect_timeout(&service.gateway, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut exchange = Self {
            reply: BufReader::new(stream.try_clone().unwrap()),
            stream,
        };
        let head = "POST /chains/t HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        exchange.stream.write_all(head.as_bytes()).unwrap();
        exchange
    }

    fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        write!(self.stream, "{:x}\r\n", bytes.len())?;
        self.stream.write_all(bytes)?;
        self.stream.write_all(b"\r\n")
    }

    fn finish(&mut self) -> std::io::Result<()> {
        self.stream.write_all(b"0\r\n\r\n")
    }

    /// Sends so many bytes that begin with `first` on a thread of its own, as fast as they are taken; their
    /// SHA-256, if they were.
    fn send_all(&self, first: u8, len: u64) -> JoinHandle<std::io::Result<Vec<u8>>> {
        let mut sending = Self {
            stream: self.stream.try_clone().unwrap(),
            reply: BufReader::new(self.stream.try_clone().unwrap()),
        };
        std::thread::spawn(move || {
            let mut hash = Context::new(&SHA256);
            let mut piece: Vec<u8> = (0..=250_u8).cycle().take(100_003).collect();
            piece[0] = first;
            let mut left = len;
            while left > 0 {
                let now = usize::try_from(left.min(piece.len() as u64)).unwrap();
                hash.update(&piece[..now]);
                sending.send(&piece[..now])?;
                left -= now as u64;
            }
            sending.finish()?;
            Ok(hash.finish().as_ref().to_vec())
        })
    }

    /// The status, and the headers in lower case.
    fn head(&mut self) -> (u16, String) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(self.reply.read_line(&mut head).unwrap() > 0, "{head}");
        }
        (head[9..12].parse().unwrap(), head.to_lowercase())
    }

    /// The next chunk; nothing at the end.
    fn chunk(&mut self) -> Result<Vec<u8>, End> {
        let mut size = String::new();
        match self.reply.read_line(&mut size) {
            Ok(0) | Err(_) => return Err(End::Cut),
            Ok(_) => {}
        }
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| End::Cut)?;
        let mut chunk = vec![0; size + 2];
        self.reply.read_exact(&mut chunk).map_err(|_| End::Cut)?;
        chunk.truncate(size);
        if size == 0 { Err(End::Whole) } else { Ok(chunk) }
    }

    /// At least so many bytes of the body.
    fn read_at_least(&mut self, len: usize) -> Vec<u8> {
        let mut read = Vec::new();
        while read.len() < len {
            read.extend(self.chunk().unwrap());
        }
        read
    }

    /// How the body ends, how many bytes there are, their SHA-256 but for the last 32, and these.
    fn rest(&mut self) -> (End, u64, Vec<u8>, Vec<u8>) {
        let mut hash = Context::new(&SHA256);
        let mut tail = Vec::new();
        let mut len = 0;
        loop {
            match self.chunk() {
                Ok(chunk) => {
                    len += chunk.len() as u64;
                    tail.extend(chunk);
                    let before = tail.len().saturating_sub(32);
                    hash.update(&tail[..before]);
                    tail.drain(..before);
                }
                Err(end) => return (end, len, hash.finish().as_ref().to_vec(), tail),
            }
        }
    }
}

/// What is resident of a process, in bytes, and the most that ever was.
fn resident(service: &Service, name: &str) -> (u64, u64) {
    let pid = service.process(name).unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    };
    (field("VmRSS:"), field("VmHWM:"))
}

fn in_flight(service: &Service) -> u64 {
    let status = service.status().unwrap();
    status.pointer("/chains/0/in_flight").unwrap().as_u64().unwrap()
}

/// Waits until the chain's requests are counted so, by outcome.
fn counted(service: &Service, counts: &[(&str, u64)]) {
    let is_so = |status: &serde_json::Value| {
        let gateway = &status["chains"][0]["gateway"];
        counts.iter().all(|(name, count)| gateway[*name] == *count)
    };
    service.status_when("requests are counted so", is_so).unwrap();
}

/// The chain serves as it should: nothing of what happened before is left.
fn serves(service: &Service) {
    let mut exchange = Exchange::begin(service);
    let sending = exchange.send_all(b'h', 300_000);
    assert_eq!(exchange.head().0, 200);
    let (end, len, hash, tail) = exchange.rest();
    assert_eq!((end, len), (End::Whole, 300_032));
    let sent = sending.join().unwrap().unwrap();
    assert_eq!((&hash, &tail), (&sent, &sent));
    until("no request is in flight", || in_flight(service) == 0);
}

fn pass_through(len: u64, chain: &str, functions: &[&str]) {
    let service = Service::start(chain).unwrap();
    let mut exchange = Exchange::begin(&service);
    // The client receives while it sends.
    exchange.send(b"h").unwrap();
    assert_eq!(exchange.head().0, 200);
    assert_eq!(exchange.chunk().unwrap(), b"h");
    let sending = exchange.send_all(b'.', len);
    let (end, received, hash, tail) = exchange.rest();
    sending.join().unwrap().unwrap();
    // Each function appends its digest.
    let digests = 32 * functions.len() as u64;
    assert_eq!((end, received), (End::Whole, len + digests));
    if functions.len() == 1 {
        // Of what follows the first byte, which came alone.
        assert_eq!((hash.len(), tail.len()), (32, 32));
    }
    for name in functions.iter().copied().chain(["hacher-gateway"]) {
        let (_, most) = resident(&service, name);
        eprintln!("{name}: at most {} KiB resident", most >> 10);
        assert!(most < 64 * MIB, "{name} had {most} bytes");
    }
    until("no request is in flight", || in_flight(&service) == 0);
}

#[test]
fn an_edge_says_for_itself_that_it_streams() {
    let edge = |name: &str, streams: bool| format!("[edge.\"{name}\"]\nstream = {streams}\n");
    let streams = ["ingress -> a", "a -> b", "b -> egress"].map(|name| edge(name, true));
    let functions =
        ["a", "b"].map(|name| function(name, "stream-pass", "outbox = \"2MiB\"\nmemory = \"16MiB\""));
    let chain = |edges: String| {
        let head =
            "chain = \"t\"\nflow = [\"ingress -> a -> b -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n";
        format!("{head}{edges}{}", functions.concat())
    };
    let service = Service::start(&chain(streams.concat())).unwrap();
    let mut exchange = Exchange::begin(&service);
    let sent = exchange.send_all(1, 5 * MIB);
    assert_eq!(exchange.head().0, 200);
    let (end, len, ..) = exchange.rest();
    assert_eq!(
        (end, len),
        (End::Whole, 5 * MIB),
        "more than `max_body` and `outbox`"
    );
    assert!(sent.join().unwrap().is_ok());
    // Without the word for the first edge the body is held, and too large.
    let service = Service::start(&chain(streams[1..].concat())).unwrap();
    assert_eq!(service.post("t", vec![1; 2 << 20]).unwrap().status, 413);
}

#[test]
fn a_long_body_passes_through_functions_of_little_memory_while_its_client_receives() {
    pass_through(
        256 * MIB,
        &chain("max_body = \"1MiB\"\nmax_reply = \"1MiB\"", "", &["a"], ""),
        &["a"],
    );
}

#[test]
#[ignore = "takes a minute"]
fn a_gibibyte_passes_through_a_chain_of_such_functions() {
    let names = ["a", "b", "c"];
    pass_through(
        1 << 30,
        &chain("max_body = \"1MiB\"\nmax_reply = \"1MiB\"", "", &names, ""),
        &names,
    );
}

#[test]
fn what_arrives_is_what_was_sent_over_several_functions_and_mapped_edges() {
    for edges in ["", "[edge.\"a -> b\"]\nprotection = \"mapped\"\n"] {
        let service = Service::start(&chain(
            "max_body = \"1MiB\"",
            edges,
            &["a", "b"],
            "outbox = \"1MiB\"",
        ))
        .unwrap();
        let mut exchange = Exchange::begin(&service);
        let sending = exchange.send_all(b'.', 40 * MIB);
        assert_eq!(exchange.head().0, 200);
        let mut hash = Context::new(&SHA256);
        let mut len = 0;
        while let Ok(chunk) = exchange.chunk() {
            hash.update(&chunk);
            len += chunk.len() as u64;
        }
        assert_eq!(len, 40 * MIB);
        assert_eq!(hash.finish().as_ref(), sending.join().unwrap().unwrap());
        serves_after_all(&service);
    }
}

/// As [`serves`], for chains of several functions, each of which appends its digest.
fn serves_after_all(service: &Service) {
    let mut exchange = Exchange::begin(service);
    let sending = exchange.send_all(b'.', 300_000);
    assert_eq!(exchange.head().0, 200);
    assert_eq!(exchange.rest().0, End::Whole);
    sending.join().unwrap().unwrap();
    until("no request is in flight", || in_flight(service) == 0);
}

#[test]
fn a_function_that_answers_at_the_end_reads_a_body_of_any_length() {
    let functions = function("a", "stream-digest", STREAM);
    let text = format!(
        "chain = \"t\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"64KiB\"\n{functions}"
    );
    let service = Service::start(&text).unwrap();
    let mut exchange = Exchange::begin(&service);
    let sending = exchange.send_all(b'.', 30 * MIB);
    let (status, head) = exchange.head();
    assert_eq!(status, 200);
    assert!(head.contains("content-length: 32\r\n"), "{head}");
    let mut digest = vec![0; 32];
    exchange.reply.read_exact(&mut digest).unwrap();
    assert_eq!(digest, sending.join().unwrap().unwrap());
    until("no request is in flight", || in_flight(&service) == 0);
}

#[test]
fn a_function_that_dies_or_fails_in_the_middle_ends_the_reply_and_the_next_one_is_served() {
    let service = Service::start(&chain("", "", &["a", "b"], "")).unwrap();
    for first in [b'k', b'f', b'w'] {
        let mut exchange = Exchange::begin(&service);
        let mut beginning = [b'.'; 200_000];
        beginning[0] = first;
        exchange.send(&beginning).unwrap();
        // Until then it would fail before its first byte.
        assert_eq!(exchange.head().0, 200);
        // Far more than is held anywhere.
        let sending = exchange.send_all(b'.', 64 * MIB);
        let (end, len, ..) = exchange.rest();
        assert_eq!(end, End::Cut, "{}", char::from(first));
        assert!(len <= MIDDLE_BYTES + MIB, "{len}");
        drop(exchange);
        let _ = sending.join().unwrap();
        serves_after_all(&service);
    }
    // What has begun with 200 and is not whole is no success.
    counted(
        &service,
        &[
            ("replies_5xx", 3),
            ("replies_2xx", 3),
            ("requests_disconnected", 0),
        ],
    );
    let broken =
        |scrape: &Scrape| scrape.sum("hacher_requests_failed_total", &["reason=\"broken_off\""]) == Some(3.0);
    Scrape::when(&service, "why they failed", broken).unwrap();
}

#[test]
fn a_function_that_fails_before_its_first_byte_is_a_problem() {
    let service = Service::start(&chain("", "", &["a", "b"], "")).unwrap();
    let mut exchange = Exchange::begin(&service);
    let sending = exchange.send_all(b'e', 64 * MIB);
    let (status, head) = exchange.head();
    assert_eq!(status, 502, "{head}");
    assert!(head.contains("application/problem+json"), "{head}");
    let mut problem = String::new();
    let _ = exchange.reply.read_to_string(&mut problem);
    assert!(problem.contains("\"function\":\"a\""), "{problem}");
    drop(exchange);
    let _ = sending.join().unwrap();
    serves_after_all(&service);
}

#[test]
fn a_function_that_needs_no_more_answers_and_the_rest_is_not_read() {
    let service = Service::start(&chain("", "", &["a"], "")).unwrap();
    let mut exchange = Exchange::begin(&service);
    let sending = exchange.send_all(b'q', 64 * MIB);
    assert_eq!(exchange.head().0, 200);
    let (end, len, ..) = exchange.rest();
    assert_eq!(end, End::Whole);
    assert!((MIDDLE_BYTES..MIDDLE_BYTES + MIB).contains(&len), "{len}");
    let _ = sending.join().unwrap();
    serves(&service);
}

#[test]
fn a_client_that_goes_ends_the_run() {
    let endless = function("a", "stream-endless", STREAM);
    let text = format!("chain = \"t\"\nflow = [\"ingress -> a -> egress\"]\n{endless}");
    let service = Service::start(&text).unwrap();
    for _ in 0..3 {
        let mut exchange = Exchange::begin(&service);
        exchange.finish().unwrap();
        assert_eq!(exchange.head().0, 200);
        exchange.read_at_least(2_000_000);
        drop(exchange);
        until("no request is in flight", || in_flight(&service) == 0);
    }
    service
        .status_when("the run was cancelled, and its process lives", |status| {
            let cancelled = |instance: &serde_json::Value| instance["records_cancelled"].as_u64() >= Some(3);
            instances(status).all(cancelled)
        })
        .unwrap();
    counted(&service, &[("requests_disconnected", 3), ("replies_5xx", 0)]);
    // In the middle of an upload.
    let service = Service::start(&chain("", "", &["a"], "")).unwrap();
    let mut exchange = Exchange::begin(&service);
    exchange.send(&[b'.'; 200_000]).unwrap();
    assert_eq!(exchange.head().0, 200);
    exchange.read_at_least(200_000);
    exchange.stream.shutdown(Shutdown::Both).unwrap();
    serves(&service);
    counted(&service, &[("requests_disconnected", 1), ("replies_5xx", 0)]);
}

#[test]
fn a_client_that_does_not_send_the_rest_is_told_so_and_no_error_of_the_chain() {
    let service = Service::start(&chain("deadline = \"1s\"", "", &["a"], "")).unwrap();
    // Before its reply has begun; the function waits for the rest of a first segment.
    let mut exchange = Exchange::begin(&service);
    let (status, head) = exchange.head();
    assert_eq!(status, 408, "{head}");
    // And after that.
    let mut exchange = Exchange::begin(&service);
    exchange.send(&[b'.'; 200_000]).unwrap();
    assert_eq!(exchange.head().0, 200);
    assert_eq!(exchange.rest().0, End::Cut);
    counted(
        &service,
        &[
            ("replies_4xx", 1),
            ("requests_disconnected", 1),
            ("replies_5xx", 0),
        ],
    );
}

/// What `call` does with a file as its input, in an address space of 256 MiB, and its output to another file.
fn called(service: &Service, input: &Path, output: &Path) -> Output {
    let command = format!(
        "ulimit -v 262144; exec '{}' call t --gateway {} --input '{}' --output '{}'",
        executable("fabric-under-test").display(),
        service.gateway,
        input.display(),
        output.display()
    );
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", &command]).output().unwrap()
}

#[test]
fn call_sends_what_it_reads_and_writes_what_comes() {
    let service = Service::start(&chain("", "", &["a"], "")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("input"), folder.path().join("output"));
    // More than it has memory for.
    let len = 300 * MIB;
    File::create(&input).unwrap().set_len(len).unwrap();
    let said = called(&service, &input, &output);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(fs::metadata(&output).unwrap().len(), len);
    // A reply that ends in the middle leaves what was there before.
    File::options()
        .write(true)
        .open(&input)
        .unwrap()
        .write_all(b"k")
        .unwrap();
    fs::write(&output, "before").unwrap();
    let said = called(&service, &input, &output);
    assert_eq!(
        said.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    assert_eq!(fs::read(&output).unwrap(), b"before");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    let said = called(&service, Path::new("/proc/self/mem"), &output);
    let told = String::from_utf8_lossy(&said.stderr);
    assert!(told.contains("cannot read the input"), "{told}");
}

#[test]
fn a_client_that_reads_slowly_is_waited_for_and_little_is_held() {
    let service = Service::start(&chain("", "", &["a"], "instances = 2")).unwrap();
    let mut slow = Exchange::begin(&service);
    let sending = slow.send_all(b'.', 64 * MIB);
    assert_eq!(slow.head().0, 200);
    // Meanwhile others are served.
    for _ in 0..3 {
        let mut exchange = Exchange::begin(&service);
        let quick = exchange.send_all(b'h', 3 * MIB);
        assert_eq!(exchange.head().0, 200);
        assert_eq!(exchange.rest().0, End::Whole);
        quick.join().unwrap().unwrap();
        slow.read_at_least(10_000);
    }
    assert!(!sending.is_finished(), "nobody holds 64 MiB");
    let (now, _) = resident(&service, "hacher-gateway");
    assert!(now < 64 * MIB, "{now}");
    assert_eq!(slow.rest().0, End::Whole);
    sending.join().unwrap().unwrap();
    serves(&service);
}

#[test]
fn as_many_streams_flow_at_a_time_as_there_are_instances() {
    let service = Service::start(&chain("deadline = \"20s\"", "", &["a"], "instances = 3")).unwrap();
    let mut flowing: Vec<_> = (0..3).map(|_| Exchange::begin(&service)).collect();
    for exchange in &mut flowing {
        exchange.send(b"h").unwrap();
        assert_eq!(exchange.head().0, 200);
        assert_eq!(exchange.chunk().unwrap(), b"h");
    }
    // One more waits for its turn.
    let mut waiting = Exchange::begin(&service);
    waiting.send(b"h").unwrap();
    for round in 0..5 {
        for exchange in &mut flowing {
            let sent = [round; 1000];
            exchange.send(&sent).unwrap();
            assert_eq!(exchange.read_at_least(1000), sent);
        }
    }
    for mut exchange in flowing.into_iter().rev() {
        exchange.finish().unwrap();
        assert_eq!(exchange.rest().0, End::Whole);
    }
    assert_eq!(waiting.head().0, 200);
    waiting.finish().unwrap();
    assert_eq!(waiting.rest().0, End::Whole);
    serves(&service);
}

#[test]
fn a_stream_may_take_longer_than_the_deadline_but_not_stand_still_for_as_long() {
    let service = Service::start(&chain("deadline = \"2s\"", "", &["a", "b"], "")).unwrap();
    let mut exchange = Exchange::begin(&service);
    let begun = Instant::now();
    let mut first = true;
    while begun.elapsed() < Duration::from_secs(5) {
        exchange.send(&[b'.'; 5000]).unwrap();
        if std::mem::take(&mut first) {
            assert_eq!(exchange.head().0, 200);
        }
        exchange.read_at_least(5000);
        std::thread::sleep(Duration::from_millis(100));
    }
    // And now it stands still.
    assert_eq!(exchange.rest().0, End::Cut);
    serves_after_all(&service);
    let mut silent = Exchange::begin(&service);
    silent.send(b"e").unwrap();
    assert_eq!(silent.head().0, 502);
}

#[test]
fn a_service_that_is_asked_to_stop_lets_a_stream_end() {
    let service = Service::start(&chain("", "", &["a"], "")).unwrap();
    let mut exchange = Exchange::begin(&service);
    exchange.send(&[b'.'; 100_000]).unwrap();
    assert_eq!(exchange.head().0, 200);
    exchange.read_at_least(100_000);
    service.signal(service.monitor_pid(), Signal::TERM);
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(50));
        exchange.send(&[b'.'; 100_000]).unwrap();
        exchange.read_at_least(100_000);
    }
    exchange.finish().unwrap();
    assert_eq!(exchange.rest().0, End::Whole);
    let mut service = service;
    assert_eq!(service.wait().unwrap(), Some(0));
}
