//! Sealed requests at a gateway: answered sealed, errors of functions too; whatever is not exactly what was
//! sealed, to this gateway and for this chain, a moment ago, is refused before any function sees it.

use hacher_evidence::{Evidence, Manifest};
use hacher_sealed_request::reply::{Expected, PREFIX_BYTES as REPLY_PREFIX_BYTES};
use hacher_sealed_request::request::{self, PREFIX_BYTES};
use hacher_sealed_request::segments::SEGMENT_BYTES;
use hacher_sealed_request::{REPLY_MEDIA_TYPE, REQUEST_MEDIA_TYPE, head, problem};
use hacher_tests::Scrape;
use hacher_tests::tenants::{get, until};
use hacher_tests::{Service, function};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::Signal;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MIB: usize = 1 << 20;
const MAX_BODY: usize = 2 * MIB;

fn chain(what: &str) -> String {
    format!(
        "chain = \"t\"\nversion = \"1\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"2MiB\"\nmax_reply = \"8MiB\"\n[defaults]\noutbox = \"16MiB\"\n{}",
        function("a", what, "retry = { attempts = 1 }")
    )
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// What a client knows from evidence.
#[derive(Clone, Copy)]
struct Known {
    gateway: SocketAddr,
    key: [u8; 32],
    digest: [u8; 48],
}

/// A request in its parts.
struct Sealed {
    prefix: Vec<u8>,
    segments: Vec<Vec<u8>>,
    reply: Expected,
}

/// A reply as it came, and as it was sealed.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Known {
    fn of(gateway: SocketAddr) -> Self {
        let reply = get(gateway, &format!("/evidence?nonce={}", "5a".repeat(64))).unwrap();
        let manifest = Manifest::decode(&Evidence::decode(&reply.body).unwrap().manifest).unwrap();
        Self {
            gateway,
            key: manifest.chains[0].request_key.unwrap(),
            digest: manifest.chains[0].digest,
        }
    }

    /// Seals these pieces, each as a segment of its own.
    fn pieces(&self, made_at_ms: u64, pieces: &[&[u8]]) -> Sealed {
        let (prefix, mut sealer, reply) = request::seal(&self.key, &self.digest, made_at_ms).unwrap();
        let (last, before) = pieces.split_last().unwrap();
        let mut segments: Vec<Vec<u8>> = Vec::new();
        for piece in before {
            let mut segment = Vec::new();
            sealer.seal(piece, &mut segment).unwrap();
            segments.push(segment);
        }
        let mut end = Vec::new();
        sealer.end(last, &mut end).unwrap();
        segments.push(end);
        Sealed {
            prefix,
            segments,
            reply,
        }
    }

    fn seal(&self, fields: &[(&str, &str)], body: &[u8]) -> Sealed {
        let plain = [head::encode(fields.iter().copied()).unwrap(), body.to_vec()].concat();
        let (before, last) = plain.split_at((plain.len() - 1) / SEGMENT_BYTES * SEGMENT_BYTES);
        let mut pieces: Vec<&[u8]> = before.chunks(SEGMENT_BYTES).collect();
        pieces.push(last);
        self.pieces(now_ms(), &pieces)
    }

    /// Posts bytes with further header lines.
    fn post(&self, lines: &str, body: &[u8]) -> Answer {
        self.post_to("/chains/t", lines, body)
    }

    fn post_to(&self, target: &str, lines: &str, body: &[u8]) -> Answer {
        let head = head_of(target, lines, body.len());
        let mut client = TcpStream::connect(self.gateway).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.write_all(head.as_bytes()).unwrap();
        // A gateway need not read what it refuses.
        let _ = client.write_all(body);
        Answer::read(client)
    }

    /// Posts a head that announces so many bytes, and none of them.
    fn post_announcing(&self, len: usize) -> Answer {
        let mut client = TcpStream::connect(self.gateway).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client
            .write_all(head_of("/chains/t", "", len).as_bytes())
            .unwrap();
        Answer::read(client)
    }

    /// What was refused: the problem, which is not sealed.
    fn refused(&self, body: &[u8]) -> (u16, String) {
        let answer = self.post("", body);
        answer.problem()
    }
}

fn head_of(target: &str, lines: &str, len: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: {REQUEST_MEDIA_TYPE}\r\nConnection: close\r\n{lines}Content-Length: {len}\r\n\r\n"
    )
}

impl Sealed {
    fn bytes(&self) -> Vec<u8> {
        [&self.prefix[..], &self.segments.concat()].concat()
    }
}

impl Answer {
    fn read(mut client: TcpStream) -> Self {
        let mut all = Vec::new();
        let _ = client.read_to_end(&mut all);
        let end = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&all[..end]).to_ascii_lowercase();
        let body = all.split_off(end + 4);
        let status = head[9..12].parse().unwrap();
        let length: usize = head
            .split("content-length: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(length, body.len(), "{head}");
        Self { status, head, body }
    }

    fn problem(&self) -> (u16, String) {
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        (self.status, problem["type"].as_str().unwrap().to_owned())
    }

    /// The status, the head and the body inside.
    fn open(&self, reply: Expected) -> (u16, Vec<(String, String)>, Vec<u8>) {
        assert_eq!(
            self.status,
            200,
            "{} {}",
            self.head,
            String::from_utf8_lossy(&self.body)
        );
        assert!(
            self.head.contains(&format!("content-type: {REPLY_MEDIA_TYPE}")),
            "{}",
            self.head
        );
        let mut opener = reply.open(self.body.first_chunk().unwrap()).unwrap();
        let mut plain = Vec::new();
        opener.open(&self.body[REPLY_PREFIX_BYTES..], &mut plain).unwrap();
        opener.end().unwrap();
        let head = head::decode(&plain).unwrap().unwrap();
        let fields: Vec<_> = head
            .fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        assert_eq!(fields[0].0, "hacher-status");
        (
            fields[0].1.parse().unwrap(),
            fields.clone(),
            plain[head.len_bytes..].to_vec(),
        )
    }
}

fn field<'f>(fields: &'f [(String, String)], name: &str) -> Option<&'f str> {
    fields
        .iter()
        .find(|(found, _)| found == name)
        .map(|(_, value)| value.as_str())
}

#[test]
fn bodies_of_every_size_come_back_sealed_up_to_the_chains_limit() {
    let service = Service::start(&chain("echo")).unwrap();
    let known = Known::of(service.gateway);
    for len in [
        0,
        1,
        SEGMENT_BYTES - 1,
        SEGMENT_BYTES,
        SEGMENT_BYTES + 1,
        MIB,
        MAX_BODY,
    ] {
        let body: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let sealed = known.seal(&[("content-type", "text/csv")], &body);
        let answer = known.post("", &sealed.bytes());
        let (status, fields, echoed) = answer.open(sealed.reply);
        assert_eq!(
            (status, field(&fields, "content-type")),
            (200, Some("text/csv")),
            "{len}"
        );
        assert!(echoed == body, "{len} bytes");
        assert_eq!(field(&fields, "hacher-invocation").map(str::len), Some(16));
    }
    let sealed = known.seal(&[], &vec![0; MAX_BODY + 1]);
    assert_eq!(known.post("", &sealed.bytes()).open(sealed.reply).0, 413);
    // What is too long however it was cut is refused before any of it is opened.
    let announced = known.seal(&[], &[0]).bytes().len() + 64 * MAX_BODY;
    let outside = known.post_announcing(announced);
    assert_eq!(outside.problem(), (413, "about:blank".to_owned()));
    // The smallest pieces count no more than the largest.
    let bytes = vec![7; 1000];
    let head = head::encode([]).unwrap();
    let pieces: Vec<&[u8]> = head.chunks(1).chain(bytes.chunks(1)).chain([&[][..]]).collect();
    let sealed = known.pieces(now_ms(), &pieces);
    let (status, _, echoed) = known.post("", &sealed.bytes()).open(sealed.reply);
    assert_eq!((status, echoed), (200, bytes));
}

#[test]
fn a_large_reply_is_sealed_piece_by_piece_and_has_its_length() {
    let service = Service::start(&chain("flood")).unwrap();
    let known = Known::of(service.gateway);
    for len in [0, 65_536, 100_000, 5_000_001, 8 * MIB] {
        let sealed = known.seal(&[], len.to_string().as_bytes());
        let (status, _, reply) = known.post("", &sealed.bytes()).open(sealed.reply);
        assert_eq!((status, reply.len()), (200, len));
        assert!(reply.iter().all(|byte| *byte == 7));
    }
}

#[test]
fn the_head_inside_is_what_a_function_sees_and_headers_outside_are_not() {
    let service = Service::start(&chain("headers")).unwrap();
    let known = Known::of(service.gateway);
    let inside = [
        ("content-type", "image/png"),
        ("ce-id", "7"),
        ("baggage", "a=1"),
        ("baggage", "b=2"),
        ("hacher-query", "size=3"),
        ("user-agent", "mine"),
    ];
    let sealed = known.seal(&inside, b"x");
    let outside = "traceparent: 00-outside\r\nce-subject: outside\r\nidempotency-key: outside\r\n";
    let (status, _, seen) = known.post(outside, &sealed.bytes()).open(sealed.reply);
    let seen = String::from_utf8(seen).unwrap();
    assert_eq!(status, 200);
    for line in [
        "content-type: image/png",
        "ce-id: 7",
        "baggage: a=1, b=2",
        "hacher-query: size=3",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line} in {seen}");
    }
    assert!(
        !seen.contains("outside") && !seen.contains("user-agent"),
        "{seen}"
    );
    for (inside, status) in [
        (vec![("ce-id", "1"), ("ce-id", "2")], 400),
        (vec![("hacher-query", "a"), ("hacher-query", "b")], 400),
        (vec![("x", "y"); 101], 431),
    ] {
        let sealed = known.seal(&inside, b"");
        let answer = known.post("", &sealed.bytes());
        if inside[0].0 == "hacher-query" {
            assert_eq!(answer.problem().0, status, "no head");
            continue;
        }
        let (found, fields, body) = answer.open(sealed.reply);
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (found, &problem["type"]),
            (status, &Value::from("about:blank")),
            "{inside:?}"
        );
        assert_eq!(field(&fields, "content-type"), Some("application/problem+json"));
    }
}

#[test]
fn what_a_chain_answers_is_sealed_whatever_it_is() {
    let service = Service::start(&chain("status")).unwrap();
    let known = Known::of(service.gateway);
    for status in [201_u16, 204, 404, 503] {
        let sealed = known.seal(&[], status.to_string().as_bytes());
        let (found, _, body) = known.post("", &sealed.bytes()).open(sealed.reply);
        let content = if status == 204 { &b""[..] } else { b"content" };
        assert_eq!((found, body.as_slice()), (status, content));
    }
    let service = Service::start(&chain("reject")).unwrap();
    let known = Known::of(service.gateway);
    let sealed = known.seal(&[], b"secret");
    let (status, fields, body) = known.post("", &sealed.bytes()).open(sealed.reply);
    let problem: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, problem["function"].as_str()), (502, Some("a")));
    assert_eq!(field(&fields, "content-type"), Some("application/problem+json"));
    Scrape::when(&service, "it is counted as what it is inside", |scrape| {
        scrape.sum("hacher_requests_total", &["outcome=\"5xx\""]) == Some(1.0)
    })
    .unwrap();
}

#[test]
fn what_is_not_exactly_what_was_sealed_is_refused_and_says_why() {
    let service = Service::start(&chain("echo")).unwrap();
    let known = Known::of(service.gateway);
    let head = head::encode([]).unwrap();
    let pieces: [&[u8]; 4] = [&head, b"one", b"two", b"end"];
    let fresh = || known.pieces(now_ms(), &pieces);
    let with = |sealed: &Sealed, order: &[usize]| {
        let segments: Vec<u8> = order.iter().flat_map(|at| sealed.segments[*at].clone()).collect();
        [sealed.prefix.clone(), segments].concat()
    };
    let flipped = |at: fn(&[u8]) -> usize| {
        let mut bytes = fresh().bytes();
        let at = at(&bytes);
        bytes[at] ^= 1;
        bytes
    };
    let other_chain = Known {
        digest: [9; 48],
        ..known
    };
    let other_key = Known {
        key: known.digest[..32].try_into().unwrap(),
        ..known
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("nothing", Vec::new(), problem::MALFORMED),
        ("another form", vec![b'x'; 200], problem::MALFORMED),
        ("a prefix alone", fresh().prefix, problem::MALFORMED),
        (
            "half a prefix",
            fresh().prefix[..PREFIX_BYTES / 2].to_vec(),
            problem::MALFORMED,
        ),
        ("no end", with(&fresh(), &[0, 1, 2]), problem::MALFORMED),
        (
            "a byte less",
            {
                let mut bytes = fresh().bytes();
                bytes.pop();
                bytes
            },
            problem::MALFORMED,
        ),
        (
            "a byte more",
            {
                let mut bytes = fresh().bytes();
                bytes.push(0);
                bytes
            },
            problem::MALFORMED,
        ),
        ("two swapped", with(&fresh(), &[0, 2, 1, 3]), problem::MALFORMED),
        ("one twice", with(&fresh(), &[0, 1, 1, 2, 3]), problem::MALFORMED),
        ("one missing", with(&fresh(), &[0, 2, 3]), problem::MALFORMED),
        ("the end early", with(&fresh(), &[0, 3]), problem::MALFORMED),
        (
            "the whole twice",
            [fresh().bytes(), fresh().bytes()].concat(),
            problem::MALFORMED,
        ),
        (
            "a bit of the end",
            flipped(|bytes| bytes.len() - 1),
            problem::MALFORMED,
        ),
        ("a bit of the time", flipped(|_| PREFIX_BYTES - 8), problem::KEY),
        ("a bit of the key", flipped(|_| 9), problem::KEY),
        (
            "a bit of the first segment",
            flipped(|_| PREFIX_BYTES + 5),
            problem::KEY,
        ),
        (
            "of another chain",
            other_chain.seal(&[], b"x").bytes(),
            problem::KEY,
        ),
        ("of another key", other_key.seal(&[], b"x").bytes(), problem::KEY),
        (
            "of an hour ago",
            known.pieces(now_ms() - 3_600_000, &pieces).bytes(),
            problem::TIME,
        ),
        (
            "of an hour ahead",
            known.pieces(now_ms() + 3_600_000, &pieces).bytes(),
            problem::TIME,
        ),
        (
            "no head",
            known.pieces(now_ms(), &[b""]).bytes(),
            problem::MALFORMED,
        ),
        (
            "a head that is none",
            known.pieces(now_ms(), &[b"\xff\xff\xff\xff"]).bytes(),
            problem::MALFORMED,
        ),
    ];
    for (what, bytes, kind) in &cases {
        assert_eq!(known.refused(bytes), (400, (*kind).to_owned()), "{what}");
    }
    let sealed = fresh();
    let bytes = sealed.bytes();
    assert_eq!(known.post("", &bytes).open(sealed.reply).0, 200);
    for _ in 0..3 {
        assert_eq!(known.refused(&bytes), (409, problem::REPLAYED.to_owned()));
    }
    // One that was broken off was opened, too: what comes again may not be what its sender wanted twice.
    let sealed = fresh();
    let _ = known.refused(&with(&sealed, &[0, 1]));
    assert_eq!(
        known.refused(&sealed.bytes()),
        (409, problem::REPLAYED.to_owned())
    );
    let count = |kind: &str| cases.iter().filter(|(_, _, found)| *found == kind).count();
    let expected = [
        ("sealed_malformed", count(problem::MALFORMED) + 1),
        ("sealed_key", count(problem::KEY)),
        ("sealed_time", count(problem::TIME)),
        ("sealed_replayed", 4),
    ];
    Scrape::when(&service, "each refusal is counted under its reason", |scrape| {
        expected.iter().all(|(reason, count)| {
            let found = scrape.sum(
                "hacher_requests_refused_total",
                &[&format!("reason=\"{reason}\"")],
            );
            found == Some(f64::from(u32::try_from(*count).unwrap()))
        })
    })
    .unwrap();
}

#[test]
fn a_request_that_finds_no_place_is_not_opened_and_may_come_again() {
    let service = Service::start(&chain("nap").replace("max_body", "in_flight = 1\nmax_body")).unwrap();
    let known = Known::of(service.gateway);
    let sealed = known.seal(&[], b"0");
    let bytes = sealed.bytes();
    // Its head comes while there is a place, and its first segment when there is none any more.
    let mut client = TcpStream::connect(service.gateway).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = head_of("/chains/t", "Expect: 100-continue\r\n", bytes.len());
    client.write_all(head.as_bytes()).unwrap();
    let mut word = [0; 25];
    client.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"HTTP/1.1 100 Continue\r\n\r\n");
    let mut other = TcpStream::connect(service.gateway).unwrap();
    other
        .write_all(b"POST /chains/t HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n5000")
        .unwrap();
    let in_flight = |count: u64| until(|| service.status().unwrap()["chains"][0]["in_flight"] == count);
    assert!(in_flight(1));
    client.write_all(&bytes).unwrap();
    assert_eq!(Answer::read(client).problem(), (429, "about:blank".to_owned()));
    assert!(in_flight(0));
    let (status, _, body) = known.post("", &bytes).open(sealed.reply);
    assert_eq!((status, body.as_slice()), (200, &b"0"[..]));
}

#[test]
fn what_is_said_outside_may_not_change_what_is_inside() {
    let service = Service::start(&chain("echo")).unwrap();
    let known = Known::of(service.gateway);
    for (lines, target, status) in [
        ("Content-Encoding: gzip\r\n", "/chains/t", 415),
        ("Content-Type: text/plain\r\n", "/chains/t", 400),
        ("", "/chains/t?size=3", 400),
    ] {
        let sealed = known.seal(&[], b"x");
        let answer = known.post_to(target, lines, &sealed.bytes());
        assert_eq!(answer.problem().0, status, "{lines}{target}");
        // Nothing of it was opened.
        assert_eq!(known.post("", &sealed.bytes()).open(sealed.reply).0, 200);
    }
}

#[test]
fn what_is_asked_inside_is_judged_and_answered_as_outside() {
    let taken = "[ingress]\nmethods = [\"GET\", \"PUT\"]\n";
    let service = Service::start(&chain("headers").replace("[ingress]\n", taken)).unwrap();
    let known = Known::of(service.gateway);
    let ask = |inside: &[(&str, &str)]| {
        let sealed = known.seal(inside, b"x");
        let (status, fields, body) = known.post("", &sealed.bytes()).open(sealed.reply);
        (status, fields, String::from_utf8(body).unwrap())
    };
    let (status, _, seen) = ask(&[
        ("hacher-method", "GET"),
        ("hacher-path", "/a"),
        ("hacher-query", "b?/"),
    ]);
    assert_eq!(status, 200, "{seen}");
    for line in ["hacher-method: GET", "hacher-path: /a", "hacher-query: b?/"] {
        assert!(seen.lines().any(|found| found == line), "{line} in {seen}");
    }
    let (status, fields, body) = ask(&[("hacher-method", "HEAD"), ("hacher-path", "/a")]);
    assert_eq!((status, body.as_str()), (200, ""));
    let length = field(&fields, "content-length").and_then(|length| length.parse::<usize>().ok());
    assert!(length > Some(0), "{fields:?}");
    let (status, fields, body) = ask(&[("hacher-method", "OPTIONS")]);
    assert_eq!((status, body.as_str()), (204, ""));
    assert_eq!(field(&fields, "allow"), Some("GET, HEAD, PUT, OPTIONS"));
    let long = "q".repeat(9000);
    for (name, value, refused) in [
        ("hacher-method", "POST", 405),
        ("hacher-path", "/\u{fc}", 400),
        ("hacher-path", "/a#b", 400),
        ("hacher-path", "/a<b>", 400),
        ("hacher-path", "/a/..", 400),
        ("hacher-query", "a b", 400),
        ("hacher-query", "a#b", 400),
        ("hacher-query", "\u{fc}", 400),
        ("hacher-query", "<", 400),
        ("hacher-query", &long, 414),
    ] {
        let inside = [("hacher-method", "GET"), (name, value)];
        let inside = if name == "hacher-method" {
            &inside[1..]
        } else {
            &inside
        };
        let (status, _, problem) = ask(inside);
        assert_eq!(status, refused, "{name}: {value}: {problem}");
    }
    // Outside it is posted, whatever the chain answers.
    let sealed = known.seal(&[("hacher-method", "PUT")], b"x");
    let bytes = sealed.bytes();
    let mut client = TcpStream::connect(service.gateway).unwrap();
    let head = head_of("/chains/t", "", bytes.len()).replacen("POST", "PUT", 1);
    client.write_all(head.as_bytes()).unwrap();
    let _ = client.write_all(&bytes);
    let answer = Answer::read(client);
    assert_eq!(answer.problem().0, 405);
    assert!(answer.head.contains("allow: post"), "{}", answer.head);
    assert_eq!(
        known.post("", &bytes).open(sealed.reply).0,
        200,
        "nothing of it was opened"
    );
}

#[test]
fn sealed_requests_are_served_over_http_2_too() {
    let service = Service::start(&chain("echo")).unwrap();
    let known = Known::of(service.gateway);
    let body = vec![5; MIB];
    let sealed = known.seal(&[], &body);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (status, bytes) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(service.gateway).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = hyper::Request::post(format!("http://{}/chains/t", service.gateway))
            .header("content-type", REQUEST_MEDIA_TYPE)
            .body(Full::new(bytes::Bytes::from(sealed.bytes())))
            .unwrap();
        let reply = sender.send_request(request).await.unwrap();
        let status = reply.status().as_u16();
        (status, reply.into_body().collect().await.unwrap().to_bytes())
    });
    let answer = Answer {
        status,
        head: format!("content-type: {REPLY_MEDIA_TYPE}"),
        body: bytes.to_vec(),
    };
    let (status, _, echoed) = answer.open(sealed.reply);
    assert!(status == 200 && echoed == body);
}

#[test]
fn what_a_gateway_has_not_answered_its_successor_does_not_open() {
    let service = Service::start(&chain("echo")).unwrap();
    let before = Known::of(service.gateway);
    let old = service.process("hacher-gateway").unwrap();
    let kept = before.seal(&[], b"kept");
    service.signal(old, Signal::KILL);
    let is_there = until(|| {
        let reply = get(service.gateway, "/readyz");
        let is_new = service.process("hacher-gateway").is_some_and(|pid| pid != old);
        is_new && reply.is_ok_and(|reply| reply.status.is_success())
    });
    assert!(is_there, "a new gateway answers");
    assert_eq!(before.refused(&kept.bytes()), (400, problem::KEY.to_owned()));
    let after = Known::of(service.gateway);
    assert!(after.key != before.key);
    let sealed = after.seal(&[], b"new");
    assert_eq!(after.post("", &sealed.bytes()).open(sealed.reply).2, b"new");
}
