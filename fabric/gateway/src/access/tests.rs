use super::*;
use crate::client::Client;
use crate::gateway::Gateway;
use crate::listener::speak;
use crate::screen::Screen;
use crate::stream_tests::{Chain, run};
use hacher_libos_net::attach::Channel;
use hacher_libos_net::name::Name;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::sleep;

fn entry(log: &Rc<AccessLog>) -> Option<Entry> {
    let path = format!("/chains/{}?secret=1", "x".repeat(1000));
    let request = Request::get(path).body(()).unwrap();
    log.entry(&request, &Rc::default(), &Rc::default(), |_| None)
}

#[test]
fn a_line_has_no_query_a_bounded_length_and_is_read_back() {
    let log = Rc::new(AccessLog::default());
    assert!(entry(&log).is_none(), "nobody has asked for it");
    log.is_on.set(true);
    drop(entry(&log));
    let waiting = log.waiting.borrow();
    let line = waiting
        .strip_prefix(&[MARK])
        .unwrap()
        .strip_suffix(b"\n")
        .unwrap();
    let record: Record = serde_json::from_slice(line).unwrap();
    assert_eq!(
        (record.method.as_str(), record.path.len()),
        ("GET", PATH_MAX_BYTES)
    );
    assert!(record.is_bounded());
    assert_eq!((record.status, record.cause.as_str()), (0, "the client has gone"));
    assert!(!String::from_utf8_lossy(line).contains("secret"));
}

#[test]
fn of_a_request_that_is_not_logged_nothing_is_read_and_its_trace_says_what_is_told() {
    let log = Rc::new(AccessLog::default());
    log.sampling.begin(Tracing {
        parent_based: 1,
        reserved: 0,
        threshold: 1 << 63,
    });
    for is_recorded in [false, true] {
        let identity = Rc::new(Identity::default());
        let request = Request::post("/chains/orders/1?secret=1").body(()).unwrap();
        let entry = log.entry(&request, &identity, &Rc::default(), |_| {
            panic!("it is not logged")
        });
        identity.traced.set(Some(Traced {
            chain: Name::new("orders").unwrap(),
            trace: 1,
            span: SpanId::new(2).unwrap(),
            parent: None,
            is_recorded,
        }));
        drop(entry);
        assert_eq!(log.waiting.borrow().is_empty(), !is_recorded);
    }
    let waiting = log.waiting.borrow();
    let record: Record = serde_json::from_slice(waiting.get(1..).unwrap()).unwrap();
    let told = (&*record.chain, &*record.method, &*record.path);
    assert_eq!(told, ("orders", "POST", ""));
    assert_eq!(record.span.unwrap().trace, [0, 1]);
}

#[test]
fn lines_that_nobody_takes_are_counted_and_not_kept() {
    let log = Rc::new(AccessLog::default());
    log.is_on.set(true);
    for _ in 0..10_000 {
        drop(entry(&log));
    }
    assert!(log.waiting.borrow().len() <= WAITING_MAX_BYTES);
    let dropped = log.dropped.get();
    assert!(dropped > 5_000, "{dropped}");
    log.waiting.borrow_mut().clear();
    drop(entry(&log));
    let waiting = log.waiting.borrow();
    let record: Record = serde_json::from_slice(waiting.get(1..).unwrap()).unwrap();
    assert_eq!(
        (record.dropped, log.dropped.get()),
        (dropped, 0),
        "the next line tells of them"
    );
}

/// What the log says of a request with this body whose client leaves while its function runs, and the id that
/// the function knows it by.
async fn left(body: &[u8]) -> (Record, u64) {
    let mut chain = Chain::new(1);
    for function in &chain.functions {
        function.set_serving();
    }
    let (ours, _monitor) = UnixStream::pair().unwrap();
    let gateway = Gateway::new(Rc::new(Channel::new(ours.into())));
    gateway.access.is_on.set(true);
    let endpoints = &gateway.endpoints;
    endpoints
        .borrow_mut()
        .insert("c".to_owned(), Rc::clone(&chain.endpoint));
    let place = gateway.places.take(Client::HERE);
    let connection = Rc::clone(&place.connection);
    let (mut client, wire) = duplex(64 << 10);
    let speaks = Rc::clone(&gateway);
    let speaking = spawn_local(async move {
        speak(&speaks, &connection, Screen::new(wire), None).await;
    });
    client.write_all(body).await.unwrap();
    let invocation = chain.until_opened().await;
    // An end that comes sooner is one of a client that has said all it has to say.
    sleep(Duration::from_millis(100)).await;
    drop(client);
    speaking.await.unwrap();
    let waiting = gateway.access.waiting.borrow();
    let record = serde_json::from_slice(waiting.get(1..).unwrap()).unwrap();
    (record, invocation)
}

#[test]
fn of_a_request_whose_client_leaves_its_id_is_told_and_what_had_come_of_its_body() {
    let whole = b"POST /chains/c HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nsleep".as_slice();
    let begun = b"POST /chains/c HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsleep\r\n";
    for (request, status, cause) in [
        (whole, 0, "the client has gone"),
        (begun, 400, "the request broke off"),
    ] {
        run(async {
            let (record, invocation) = left(request).await;
            assert_eq!((record.status, record.cause.as_str()), (status, cause));
            assert_eq!((record.invocation, record.received_bytes), (Some(invocation), 5));
        });
    }
}
