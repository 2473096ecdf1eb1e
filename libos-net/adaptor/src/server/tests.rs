//! Against servers of the test's own, each of which is asked once or more over one connection.

use super::*;
use hacher::harness::{Call, Reply};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A function whose server answers the requests of its first connection with `answers`, one after the other, each
/// when it has read `until`; what it has read comes back.
fn function(
    path: &str,
    until: &'static str,
    answers: Vec<Vec<u8>>,
) -> (ServerFunction, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = HttpOptions {
        port: listener.local_addr().unwrap().port(),
        path: path.to_owned(),
        ready: None,
    };
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = String::new();
        for answer in answers {
            let mut read = read_until(&mut stream, until);
            all.push_str(&read);
            read.clear();
            stream.write_all(&answer).unwrap();
        }
        all
    });
    (ServerFunction::to(&options, Box::new(|| {})).unwrap(), server)
}

fn read_until(stream: &mut TcpStream, until: &str) -> String {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    while !read.ends_with(until.as_bytes()) {
        let len = stream.read(&mut piece).unwrap();
        if len == 0 {
            break;
        }
        read.extend_from_slice(&piece[..len]);
    }
    String::from_utf8(read).unwrap()
}

fn asked_once(call: Call, until: &'static str, answer: &str) -> (Reply, String) {
    let (mut function, server) = function("/api/", until, vec![answer.as_bytes().to_vec()]);
    let reply = call.run(&mut function);
    (reply, server.join().unwrap())
}

#[test]
fn a_record_becomes_a_request_and_its_answer_a_record() {
    let call = Call::new()
        .body(b"photo")
        .method("PUT")
        .path("/a%20b")
        .query("c=d")
        .content_type("image/jpeg")
        .header("accept", "image/*")
        .header("hacher-capture-size", "64");
    let answer = "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
                  Hacher-Status: 500\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 4\r\n\r\nthanks";
    let (reply, asked) = asked_once(call, "photo", answer);
    assert!(asked.starts_with("PUT /api/a%20b?c=d HTTP/1.1\r\n"), "{asked}");
    for header in [
        "content-type: image/jpeg\r\n",
        "accept: image/*\r\n",
        "hacher-capture-size: 64\r\n",
        "content-length: 5\r\n",
        "host: 127.0.0.1:",
    ] {
        assert!(asked.contains(header), "{header}: {asked}");
    }
    assert!(!asked.contains("hacher-method"), "{asked}");
    let record = reply.port("out").unwrap();
    assert_eq!((record.status(), record.body()), (201, &b"than"[..]));
    assert_eq!(record.header("content-type"), Some("text/plain"));
    for name in ["x-hop", "connection", "content-length"] {
        assert_eq!(record.header(name), None, "{name}");
    }
}

#[test]
fn a_record_without_a_body_is_a_request_without_one() {
    let call = Call::new().body(b"").method("GET");
    let (reply, asked) = asked_once(call, "\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n");
    assert!(asked.starts_with("GET /api/ HTTP/1.1\r\n"), "{asked}");
    assert!(
        !asked.contains("content-length") && !asked.contains("transfer-encoding"),
        "{asked}"
    );
    assert_eq!(reply.port("out").unwrap().status(), 204);
}

#[test]
fn a_status_decides_what_becomes_of_the_run() {
    let answer = |status: u16| format!("HTTP/1.1 {status} X\r\nContent-Length: 6\r\n\r\nsecret");
    for (status, ports, port) in [
        (200, &["out", "reject"][..], "out"),
        (302, &["out", "reject"], "out"),
        (404, &["out"], "out"),
        (404, &["out", "reject"], "reject"),
    ] {
        let (reply, _) = asked_once(Call::new().body(b"x").ports(ports), "x", &answer(status));
        let record = reply.port(port).unwrap();
        assert_eq!((record.status(), record.body()), (status, &b"secret"[..]));
        assert!(port == "out" || reply.port("out").is_none());
    }
    for status in [500, 503, 700, 101] {
        let (reply, _) = asked_once(Call::new().body(b"x"), "x", &answer(status));
        let failure = reply.failure().unwrap();
        assert!(failure.is_transient());
        assert_eq!(
            failure.reason(),
            format!("the program answered with status {status}")
        );
    }
}

#[test]
fn what_is_no_answer_is_a_failed_attempt() {
    for (answer, reason) in [
        ("", exchange_reasons::BROKEN),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
            exchange_reasons::BROKEN,
        ),
        ("SSH-2.0-x\r\n\r\n", exchange_reasons::NOT_HTTP),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", exchange_reasons::NOT_HTTP),
    ] {
        let (reply, _) = asked_once(Call::new().body(b"x"), "x", answer);
        let failure = reply.failure().unwrap();
        assert!(
            failure.is_transient() && failure.reason().contains(reason),
            "{answer}: {failure}"
        );
    }
    let huge = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(1 << 20));
    let (reply, _) = asked_once_tolerant(&huge);
    assert!(reply.failure().unwrap().is_transient());
}

/// What the reasons have in them.
mod exchange_reasons {
    pub(super) const BROKEN: &str = "was lost";
    pub(super) const NOT_HTTP: &str = "not HTTP";
}

/// As `asked_once`, with an answer that is refused before all of it is written.
fn asked_once_tolerant(answer: &str) -> (Reply, bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = HttpOptions {
        port: listener.local_addr().unwrap().port(),
        path: "/".to_owned(),
        ready: None,
    };
    let answer = answer.to_owned();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_until(&mut stream, "x");
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let mut function = ServerFunction::to(&options, Box::new(|| {})).unwrap();
    let reply = Call::new().body(b"x").run(&mut function);
    drop(function);
    (reply, server.join().unwrap())
}

#[test]
fn a_connection_is_kept_alive() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec();
    // Of one connection alone: a second one would never be answered.
    let (mut function, server) = function("/", "x", vec![answer.clone(), answer.clone(), answer]);
    for _ in 0..3 {
        assert_eq!(
            Call::new()
                .body(b"x")
                .run(&mut function)
                .port("out")
                .unwrap()
                .body(),
            b"ok"
        );
    }
    assert_eq!(server.join().unwrap().matches("POST / HTTP/1.1").count(), 3);
}

#[test]
fn a_guest_that_is_gone_is_told_apart_from_one_that_answers() {
    let lost = std::rc::Rc::new(core::cell::Cell::new(0));
    let noted = std::rc::Rc::clone(&lost);
    // A port that was free a moment ago, with nobody behind it.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let options = HttpOptions {
        port,
        path: "/".to_owned(),
        ready: None,
    };
    let mut function = ServerFunction::to(&options, Box::new(move || noted.set(noted.get() + 1))).unwrap();
    let failure = Call::new().body(b"x").run(&mut function).failure().unwrap();
    assert!(failure.is_transient() && failure.reason().contains("did not accept"));
    assert_eq!(lost.get(), 1);
}

#[test]
fn a_run_that_nobody_waits_for_closes_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = HttpOptions {
        port: listener.local_addr().unwrap().port(),
        path: "/".to_owned(),
        ready: None,
    };
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_until(&mut stream, "x");
        // Never answers; the connection ends.
        stream.read(&mut [0; 16]).unwrap_or(0)
    });
    let mut function = ServerFunction::to(&options, Box::new(|| {})).unwrap();
    let failure = Call::new()
        .body(b"x")
        .cancelled_after(3)
        .run(&mut function)
        .failure()
        .unwrap();
    assert!(failure.reason().contains("nobody waited"), "{failure}");
    assert_eq!(server.join().unwrap(), 0);
}

#[test]
fn a_stream_goes_on_as_it_comes_in_both_directions() {
    let call = Call::new().body(&[b'x'; 100_000]).segment_bytes(10_000).stream();
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    let (reply, asked) = asked_once(call, "0\r\n\r\n", answer);
    assert!(
        asked.contains("transfer-encoding: chunked\r\n"),
        "{}",
        &asked[..200]
    );
    assert_eq!(asked.matches('x').count(), 100_000);
    assert_eq!(reply.port("out").unwrap().body(), b"abcdef");
    // One that is there whole has a length.
    let (_, asked) = asked_once(Call::new().body(b"x").stream(), "x", answer);
    assert!(asked.contains("content-length: 1\r\n"), "{asked}");
}

#[test]
fn a_join_is_refused() {
    let (mut function, _server) = function("/", "x", Vec::new());
    let failure = Call::new()
        .input("a", b"x")
        .input("b", b"y")
        .run(&mut function)
        .failure()
        .unwrap();
    assert_eq!(failure, JOINED);
}
