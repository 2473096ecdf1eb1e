//! Against guests of the test's own, which speak HTTP over a socket.

use super::*;
use hacher::harness::{Call, Reply};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";
const UNKNOWN: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const JSON_BODY: &str = "{\"secret\":1}";

fn function() -> (LambdaFunction, Receiver<Started>, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let arn = Arn::new("us-east-1", "f").unwrap();
    let (function, started) = LambdaFunction::serving(listener, arn).unwrap();
    (function, started, port)
}

/// Runs `call` with a guest that does `asks` on a thread of its own.
fn run<T: Send + 'static>(call: Call, asks: impl FnOnce(Asking) -> T + Send + 'static) -> (Reply, T) {
    let (mut function, _started, port) = function();
    let guest = thread::spawn(move || asks(Asking::to(port)));
    let reply = call.run(&mut function);
    (reply, guest.join().unwrap())
}

/// A connection of the guest.
struct Asking(BufReader<TcpStream>);

/// What it is answered.
#[derive(Debug)]
struct Told {
    status: u16,
    head: String,
    body: String,
}

impl Told {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The id of the event.
    fn id(&self) -> &str {
        self.header("lambda-runtime-aws-request-id").unwrap()
    }
}

impl Asking {
    fn to(port: u16) -> Self {
        Self(BufReader::new(TcpStream::connect(("127.0.0.1", port)).unwrap()))
    }

    fn ask(&mut self, request: &str) -> Told {
        self.send(request);
        self.told().unwrap()
    }

    fn send(&mut self, request: &str) {
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// The next answer; `None` if the connection has ended.
    fn told(&mut self) -> Option<Told> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut told = Told {
            status,
            head,
            body: String::new(),
        };
        let len = told.header("content-length").unwrap_or("0").parse().unwrap();
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).unwrap();
        told.body = String::from_utf8(body).unwrap();
        Some(told)
    }

    /// Asks for an event and posts `body` to `kind` of it, with `headers`.
    fn answer(&mut self, kind: &str, headers: &str, body: &str) -> Told {
        let event = self.ask(NEXT);
        self.ask(&post(event.id(), kind, headers, body))
    }
}

fn post(id: &str, kind: &str, headers: &str, body: &str) -> String {
    format!(
        "POST /2018-06-01/runtime/invocation/{id}/{kind} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A response in chunks, with what follows the last one.
fn chunked(id: &str, headers: &str, chunks: &[&str], end: &str) -> String {
    let chunks: Vec<String> = chunks
        .iter()
        .map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len()))
        .collect();
    format!(
        "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: x\r\n\
         Lambda-Runtime-Function-Response-Mode: streaming\r\n{headers}Transfer-Encoding: chunked\r\n\r\n{}{end}",
        chunks.concat()
    )
}

#[test]
fn a_record_becomes_an_event_and_its_response_a_record() {
    let call = Call::new()
        .body(JSON_BODY.as_bytes())
        .content_type("application/json; charset=utf-8")
        .header(
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        )
        .timeout(Duration::from_secs(40));
    let (reply, (event, told)) = run(call, |mut asking| {
        let event = asking.ask(NEXT);
        let told = asking.ask(&post(event.id(), "response", "", "{\"ok\":true}"));
        (event, told)
    });
    assert_eq!((event.status, &*event.body), (200, JSON_BODY));
    assert_eq!(event.header("content-type"), Some("application/json"));
    assert_eq!(
        event.header("lambda-runtime-invoked-function-arn"),
        Some("arn:aws:lambda:us-east-1:000000000000:function:f")
    );
    let trace = event.header("lambda-runtime-trace-id").unwrap();
    assert!(
        trace.starts_with("Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent="),
        "{trace}"
    );
    let deadline: u64 = event
        .header("lambda-runtime-deadline-ms")
        .unwrap()
        .parse()
        .unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now_ms = u64::try_from(now.unwrap().as_millis()).unwrap();
    assert!(
        (now_ms - 40_000..=now_ms + 40_000).contains(&deadline),
        "{deadline}"
    );
    assert_eq!((told.status, &*told.body), (202, "{\"status\":\"OK\"}\n"));
    let record = reply.port("out").unwrap();
    assert_eq!((record.status(), record.body()), (200, &b"{\"ok\":true}"[..]));
    assert_eq!(record.header("content-type"), Some("application/json"));
}

#[test]
fn the_next_run_goes_to_the_same_guest_under_another_id() {
    let (mut function, started, port) = function();
    let guest = thread::spawn(move || {
        let mut asking = Asking::to(port);
        let mut events = Vec::new();
        for _ in 0..3 {
            let event = asking.ask(NEXT);
            let told = asking.ask(&post(
                event.id(),
                "response",
                "Content-Type: text/x-own\r\n",
                "ok",
            ));
            assert_eq!(told.status, 202);
            events.push(event);
        }
        events
    });
    for _ in 0..3 {
        let reply = Call::new()
            .body(b"x")
            .content_type("text/plain")
            .run(&mut function);
        let record = reply.port("out").unwrap();
        assert_eq!(
            (record.header("content-type"), record.body()),
            (Some("text/x-own"), &b"ok"[..])
        );
    }
    assert_eq!(started.try_recv(), Ok(Started::Ready));
    assert!(started.try_recv().is_err(), "once");
    let events = guest.join().unwrap();
    let ids: std::collections::HashSet<&str> = events.iter().map(Told::id).collect();
    assert_eq!(ids.len(), 3);
    assert_eq!(events[0].header("content-type"), Some("text/plain"));
}

#[test]
fn an_error_is_a_failed_attempt_with_its_type_and_nothing_else_of_it() {
    let report = "{\"errorMessage\":\"secret\",\"errorType\":\"KeyError\",\"stackTrace\":[\"secret\"]}";
    for (headers, report, reason) in [
        ("", report, "the program reported an error: KeyError"),
        (
            "Lambda-Runtime-Function-Error-Type: Runtime.Own\r\n",
            "secret",
            "the program reported an error: Runtime.Own",
        ),
        ("", "", "the program reported an error: unknown"),
    ] {
        let (reply, told) = run(Call::new().body(b"x"), move |mut asking| {
            asking.answer("error", headers, report)
        });
        assert_eq!(told.status, 202);
        let failure = reply.failure().unwrap();
        assert!(failure.is_transient());
        assert_eq!(failure.reason(), reason);
    }
}

#[test]
fn a_cause_of_a_megabyte_in_a_header_and_a_long_message_hide_no_type() {
    let report = format!(
        "{{\"errorMessage\":\"{}\",\"errorType\":\"KeyError\"}}",
        "x".repeat(500_000)
    );
    let cause = format!(
        "Lambda-Runtime-Function-XRay-Error-Cause: {}\r\n",
        "x".repeat(1 << 20)
    );
    let (reply, told) = run(Call::new().body(b"x"), move |mut asking| {
        asking.answer("error", &cause, &report)
    });
    assert_eq!(told.status, 202);
    assert!(reply.failure().unwrap().reason().ends_with(": KeyError"));
}

#[test]
fn an_answer_to_another_run_is_refused_and_changes_nothing() {
    let other = RequestId::new(7).to_string();
    let (reply, told) = run(Call::new().body(b"x"), move |mut asking| {
        let event = asking.ask(NEXT);
        let own = event.id().to_owned();
        let refused = [&*other, "7", &own[1..]].map(|id| asking.ask(&post(id, "response", "", "wrong")));
        let of_error = asking.ask(&post(&other, "error", "", "wrong"));
        let accepted = asking.ask(&post(&own, "response", "", "right"));
        let again = asking.ask(&post(&own, "response", "", "again"));
        (refused, of_error, accepted, again)
    });
    let (refused, of_error, accepted, again) = told;
    for told in refused.iter().chain([&of_error, &again]) {
        assert_eq!(told.status, 400, "{told:?}");
        assert!(
            told.body.contains("\"errorType\":\"InvalidRequestID\""),
            "{told:?}"
        );
        assert_eq!(told.header("content-type"), Some("application/json"));
    }
    assert_eq!(accepted.status, 202);
    assert_eq!(reply.port("out").unwrap().body(), b"right");
}

#[test]
fn what_may_not_be_asked_for_has_an_answer() {
    let (mut function, started, port) = function();
    let mut asking = Asking::to(port);
    for (request, status, error_type) in [
        ("GET / HTTP/1.1", 404, "NotFound"),
        (
            "GET /2018-06-01/runtime/init/error HTTP/1.1",
            405,
            "MethodNotAllowed",
        ),
        (
            "POST /2020-01-01/extension/register HTTP/1.1",
            404,
            "NotSupported",
        ),
        ("PUT /2020-08-15/logs HTTP/1.1", 404, "NotSupported"),
        (
            "POST /2018-06-01/runtime/invocation/x/response HTTP/1.1",
            400,
            "InvalidRequestID",
        ),
    ] {
        let told = asking.ask(&format!("{request}\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(told.status, status, "{told:?}");
        let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
        assert_eq!(body["errorType"], error_type);
        assert!(body["errorMessage"].is_string(), "{body}");
    }
    // Two requests at once are answered one after the other.
    asking.send(&UNKNOWN.repeat(2));
    assert_eq!(
        [asking.told().unwrap(), asking.told().unwrap()].map(|told| told.status),
        [404; 2]
    );

    // One runtime waits; another may not, and takes nothing away from it.
    let (mut first, mut second) = (Asking::to(port), Asking::to(port));
    first.send(NEXT);
    assert_eq!(started.recv(), Ok(Started::Ready));
    let refused = second.ask(NEXT);
    let guest = thread::spawn(move || {
        let event = first.told().unwrap();
        let early = second.ask(NEXT);
        let mode = "Lambda-Runtime-Function-Response-Mode: often\r\n";
        let mode = second.ask(&post(event.id(), "response", mode, "x"));
        let told = second.ask(&post(event.id(), "response", "", "x"));
        (early, mode, told)
    });
    let reply = Call::new().body(b"x").run(&mut function);
    let (early, mode, told) = guest.join().unwrap();
    assert!(
        refused.status == 403 && refused.body.contains("InvalidStateTransition"),
        "{refused:?}"
    );
    assert_eq!(early.status, 403, "{early:?}");
    assert!(
        mode.status == 400 && mode.body.contains("InvalidFunctionResponseMode"),
        "{mode:?}"
    );
    assert_eq!(told.status, 202);
    assert_eq!(reply.port("out").unwrap().body(), b"x");
}

#[test]
fn what_is_no_request_ends_its_connection_and_no_other() {
    let (mut function, _started, port) = function();
    let mut asking = Asking::to(port);
    assert_eq!(asking.ask("no request\r\n\r\n").status, 400);
    let mut asking = Asking::to(port);
    let huge = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    // Refused before all of it is written.
    let _ = asking.0.get_mut().write_all(huge.as_bytes());
    assert!(asking.told().is_none_or(|told| told.status == 431));
    let guest = thread::spawn(move || Asking::to(port).answer("response", "", "ok").status);
    assert_eq!(
        Call::new()
            .body(b"x")
            .run(&mut function)
            .port("out")
            .unwrap()
            .body(),
        b"ok"
    );
    assert_eq!(guest.join().unwrap(), 202);
}

#[test]
fn a_response_that_breaks_off_is_a_failed_attempt() {
    for (call, is_stream) in [
        (Call::new().body(b"x"), false),
        (Call::new().body(b"x").stream(), true),
    ] {
        let (reply, ()) = run(call, |mut asking| {
            let event = asking.ask(NEXT);
            let whole = chunked(event.id(), "", &["half of ", "it"], "");
            asking.send(&whole);
        });
        let failure = reply.failure().unwrap();
        assert!(
            failure.is_transient() && failure.reason().contains("broke off"),
            "{failure}"
        );
        assert!(reply.port("out").is_none(), "{is_stream}");
    }
}

#[test]
fn a_response_that_ends_in_an_error_is_a_failed_attempt() {
    const TYPE: &str = "Lambda-Runtime-Function-Error-Type";
    let announced = format!("Trailer: {TYPE}, Lambda-Runtime-Function-Error-Body\r\n");
    let trailers = format!("0\r\n{TYPE}: Own.Error\r\nLambda-Runtime-Function-Error-Body: c2VjcmV0\r\n\r\n");
    let text = format!("{TYPE}: Own.Error\r\nLambda-Runtime-Function-Error-Body: c2VjcmV0\r\n");
    for (headers, chunks, end) in [
        (announced.clone(), vec!["half".to_owned()], trailers.clone()),
        // Not announced.
        (String::new(), vec!["half".to_owned()], trailers),
        // As `lambda_runtime` writes them.
        (
            announced,
            vec!["half".to_owned(), text.clone()],
            "0\r\n\r\n".to_owned(),
        ),
    ] {
        for call in [Call::new().body(b"x"), Call::new().body(b"x").stream()] {
            let (headers, chunks, end) = (headers.clone(), chunks.clone(), end.clone());
            let (reply, told) = run(call, move |mut asking| {
                let event = asking.ask(NEXT);
                let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
                asking.ask(&chunked(event.id(), &headers, &chunks, &end))
            });
            assert_eq!(told.status, 202);
            let failure = reply.failure().unwrap();
            assert_eq!(failure.reason(), "the program reported an error: Own.Error");
            assert!(reply.port("out").is_none());
        }
    }
    // Where no error is announced, the text is what it is.
    let (reply, _) = run(Call::new().body(b"x"), move |mut asking| {
        let event = asking.ask(NEXT);
        asking.ask(&chunked(event.id(), "", &[&text], "0\r\n\r\n"))
    });
    assert!(reply.port("out").unwrap().body().ends_with(b"c2VjcmV0\r\n"));
}

#[test]
fn a_streaming_response_goes_on_as_it_comes() {
    let large = "x".repeat(100_000);
    let sent = large.clone();
    let (reply, told) = run(Call::new().body(b"x").stream(), move |mut asking| {
        let event = asking.ask(NEXT);
        asking.ask(&chunked(
            event.id(),
            "Content-Type: text/x-own\r\n",
            &["a", &sent],
            "0\r\n\r\n",
        ))
    });
    assert_eq!(told.status, 202);
    let record = reply.port("out").unwrap();
    assert_eq!(record.header("content-type"), Some("text/x-own"));
    assert!(record.body() == format!("a{large}").as_bytes());
}

#[test]
fn a_prelude_chooses_status_and_headers() {
    const TYPE: &str = "Content-Type: application/vnd.awslambda.http-integration-response\r\n";
    let prelude = |status: u16| {
        format!(
            "{{\"statusCode\":{status},\"headers\":{{\"content-type\":\"text/html\",\"connection\":\"close\"}},\"cookies\":[\"a=1\"]}}"
        )
    };
    let respond = |chunks: Vec<String>, ports: &'static [&'static str]| {
        let call = Call::new().body(b"x").ports(ports);
        let (reply, told) = run(call, move |mut asking| {
            let event = asking.ask(NEXT);
            let chunks: Vec<&str> = chunks.iter().map(String::as_str).collect();
            asking.ask(&chunked(event.id(), TYPE, &chunks, "0\r\n\r\n"))
        });
        assert_eq!(told.status, 202);
        reply
    };
    let zeros = "\0".repeat(8);
    let reply = respond(vec![prelude(201), zeros.clone(), "<p>".to_owned()], &["out"]);
    let record = reply.port("out").unwrap();
    assert_eq!((record.status(), record.body()), (201, &b"<p>"[..]));
    assert_eq!(record.header("content-type"), Some("text/html"));
    assert_eq!(record.header("set-cookie"), Some("a=1"));
    assert_eq!(record.header("connection"), None);
    let reply = respond(vec![prelude(422), zeros.clone()], &["out", "reject"]);
    assert_eq!(reply.port("reject").unwrap().status(), 422);
    let failure = respond(vec![prelude(503), zeros], &["out"]).failure().unwrap();
    assert_eq!(failure.reason(), "the program answered with status 503");
    let failure = respond(vec![prelude(200)], &["out"]).failure().unwrap();
    assert!(failure.reason().contains("no prelude"), "{failure}");
}

#[test]
fn a_run_that_nobody_waits_for_is_over_and_its_answer_goes_nowhere() {
    let (mut function, started, port) = function();
    let (go_on, wait) = channel();
    let mut asking = Asking::to(port);
    asking.send(NEXT);
    assert_eq!(started.recv(), Ok(Started::Ready));
    let guest = thread::spawn(move || {
        let first = asking.told().unwrap();
        wait.recv().unwrap();
        let late = asking.ask(&post(first.id(), "response", "", "late"));
        let again = asking.ask(&post(first.id(), "response", "", "late"));
        let told = asking.answer("response", "", "in time");
        (late, again, told)
    });
    let failure = Call::new()
        .body(b"x")
        .cancelled_after(2)
        .run(&mut function)
        .failure();
    assert!(failure.unwrap().reason().contains("nobody waited"));
    go_on.send(()).unwrap();
    let reply = Call::new().body(b"x").run(&mut function);
    assert_eq!(reply.port("out").unwrap().body(), b"in time");
    let (late, again, told) = guest.join().unwrap();
    assert_eq!((late.status, again.status, told.status), (202, 400, 202));
}

#[test]
fn an_event_goes_to_the_connection_that_is_left() {
    let (mut function, started, port) = function();
    let mut gone = Asking::to(port);
    gone.send(NEXT);
    assert_eq!(started.recv(), Ok(Started::Ready));
    drop(gone);
    // What a connection from after that end asks is answered after the end was noticed.
    assert_eq!(Asking::to(port).ask(UNKNOWN).status, 404);
    let guest = thread::spawn(move || {
        let mut asking = Asking::to(port);
        let event = asking.ask(NEXT);
        asking.ask(&post(event.id(), "response", "", "ok")).status
    });
    let reply = Call::new().body(b"x").run(&mut function);
    assert_eq!(reply.port("out").unwrap().body(), b"ok");
    assert_eq!(guest.join().unwrap(), 202);
}

#[test]
fn a_failed_initialisation_is_told_by_its_type_and_only_before_the_first_event() {
    let (_function, started, port) = function();
    let report = "{\"errorMessage\":\"secret\",\"errorType\":\"Runtime.ImportModuleError\"}";
    let request = format!(
        "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{report}",
        report.len()
    );
    let mut asking = Asking::to(port);
    assert_eq!(asking.ask(&request).status, 202);
    assert_eq!(
        started.recv(),
        Ok(Started::Failed("Runtime.ImportModuleError".to_owned()))
    );
    asking.send(NEXT);
    assert_eq!(started.recv(), Ok(Started::Ready));
    assert_eq!(Asking::to(port).ask(&request).status, 403);
}

#[test]
fn a_join_is_refused() {
    let (mut function, _started, _) = function();
    let call = Call::new().input("a", b"x").input("b", b"y");
    assert_eq!(call.run(&mut function).failure(), Some(JOINED));
}
