//! Uploads and replies that flow, at a gateway whose functions are in the hands of the test: what wakes whom,
//! what is held, and who is waited for.

use super::begin_queue::Turn;
use super::budget::{Budget, FLOW_BYTES, UPLOAD_BYTES};
use super::client::Client;
use super::connection::Connection;
use super::drain::Draining;
use super::endpoint::{Answer, Endpoint, INGRESS, Waiting};
use super::places::{Place, Places};
use super::progress::Progress;
use super::record::Record;
use super::reply_flow::FlowReader;
use super::request::take_in_beginning;
use super::request_body::RequestBody;
use super::turn::RequestTurn;
use super::upload::{Upload, Uploading};
use bytes::Bytes;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use hacher_in_process::{Draft, Monitor, Node, after};
use hacher_libos_net::attach::{Attachment, outbox_flag};
use hacher_libos_net::headers;
use hacher_libos_net::inlet::Step;
use hacher_libos_net::invocation::InvocationId;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::seal::RecordContext;
use hacher_libos_net::telemetry::Counter;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{Instant, timeout};

/// How long something may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let test = async { timeout(PATIENCE, test).await.expect("the test hangs") };
    LocalSet::new().block_on(&runtime, test);
}

/// `ingress -> f -> egress`, of which `f` streams.
pub(super) struct Chain {
    monitor: Monitor,
    gateway: Node,
    pub(super) functions: Vec<Attachment>,
    pub(super) endpoint: Rc<Endpoint>,
}

impl Chain {
    pub(super) fn new(instances: u32) -> Self {
        let mut draft = Draft::new();
        let gateway = draft.gateway(&["out"]);
        let f = draft.function("f", &["out"]);
        draft.edge((gateway, "out"), f);
        draft.edge((f, "out"), gateway);
        draft.limits(f).outbox_flags = outbox_flag::STREAMS;
        draft.limits(f).outbox_bytes = 4 << 20;
        draft.limits(gateway).outbox_bytes = 4 << 20;
        draft.limits(f).instances = instances;
        let mut monitor = draft.define();
        let attachment = monitor.attach(gateway, 0);
        let functions = (0..instances).map(|at| monitor.attach(f, at)).collect();
        Self {
            endpoint: Endpoint::start(attachment, &Budget::of_this_process(), &Rc::default()).unwrap(),
            monitor,
            gateway,
            functions,
        }
    }

    /// `f & g -> egress`, and `h -> egress`, of which `h` streams.
    fn joined() -> Self {
        let mut draft = Draft::new();
        let gateway = draft.gateway(&["out"]);
        let functions = ["f", "g", "h"].map(|name| draft.function(name, &["out"]));
        let [f, g, h] = functions;
        for function in functions {
            draft.edge((gateway, "out"), function);
        }
        draft.join(&[(f, "out"), (g, "out")], gateway);
        draft.edge((h, "out"), gateway);
        draft.limits(h).outbox_flags = outbox_flag::STREAMS;
        let mut monitor = draft.define();
        let attachment = monitor.attach(gateway, 0);
        Self {
            endpoint: Endpoint::start(attachment, &Budget::of_this_process(), &Rc::default()).unwrap(),
            functions: functions.map(|function| monitor.attach(function, 0)).into(),
            monitor,
            gateway,
        }
    }

    /// Has every instance read and release what it has: how many segments, and how many records were given
    /// up.
    fn read(&mut self) -> (usize, usize) {
        let (mut segments, mut abandoned) = (0, 0);
        for function in &mut self.functions {
            loop {
                match function.receiver.step(&function.own, 0, &mut Vec::new()) {
                    Step::Opened(opened) => {
                        segments += 1;
                        if opened.descriptor.last {
                            function.receiver.release(&function.own, opened.record);
                        } else {
                            function.receiver.release_part(&function.own, opened.record);
                        }
                    }
                    Step::Abandoned(record) => {
                        abandoned += 1;
                        function.receiver.release(&function.own, record);
                    }
                    Step::Empty => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        (segments, abandoned)
    }

    /// Waits until the functions have been sent something.
    async fn until_read(&mut self) -> (usize, usize) {
        loop {
            let read = self.read();
            if read != (0, 0) {
                return read;
            }
            yield_now().await;
        }
    }

    /// Waits until the first of them has the beginning of a request, and says its id.
    pub(super) async fn until_opened(&mut self) -> u64 {
        let function = &mut self.functions[0];
        loop {
            if let Step::Opened(opened) = function.receiver.step(&function.own, 0, &mut Vec::new()) {
                return opened.descriptor.invocation.halves().0;
            }
            yield_now().await;
        }
    }

    fn counter(&self, counter: Counter) -> u64 {
        self.monitor.reader(self.gateway, 0).counter(counter)
    }

    fn waits(&self) -> u64 {
        self.counter(Counter::Waited)
    }

    /// Sends a segment of the answer to a request.
    fn answer(&mut self, waiting: &Waiting, body: &[u8], last: bool) {
        self.answer_of(0, waiting, body, last);
    }

    /// Has the function at this place send one.
    fn answer_of(&mut self, at: usize, waiting: &Waiting, body: &[u8], last: bool) {
        let Attachment { own, sender, .. } = &mut self.functions[at];
        let record = record(waiting.invocation);
        sender.send(own, 0, &record, body, last).unwrap();
    }
}

fn record(invocation: InvocationId) -> RecordContext {
    RecordContext {
        invocation,
        deadline: after(PATIENCE),
        attempt: 1,
    }
}

/// A client that sends a body in chunks, and the body where it arrives.
async fn body() -> (DuplexStream, RequestBody) {
    let (mut client, gateway) = duplex(64 << 10);
    let (given, taken) = oneshot::channel();
    let given = Cell::new(Some(given));
    spawn_local(async move {
        let service = service_fn(|request: Request<Incoming>| {
            let given = given.take();
            async move {
                if let Some(given) = given {
                    drop(given.send(request));
                }
                pending::<Result<Response<Empty<Bytes>>, Infallible>>().await
            }
        });
        let server = hyper::server::conn::http1::Builder::new();
        let _ = server.serve_connection(TokioIo::new(gateway), service).await;
    });
    client
        .write_all(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        .await
        .unwrap();
    let (parts, incoming) = taken.await.unwrap().into_parts();
    (client, RequestBody::new(&parts, incoming))
}

async fn send(client: &mut DuplexStream, len_bytes: usize) {
    let chunk = format!("{len_bytes:x}\r\n{}\r\n", "x".repeat(len_bytes));
    client.write_all(chunk.as_bytes()).await.unwrap();
}

/// A connection on which one request is answered.
struct Asked {
    turn: RequestTurn,
    place: Place,
}

impl Asked {
    fn new() -> Self {
        let places = Places::new(&Budget::of_this_process());
        spawn_local(Rc::clone(&places).keep_pace());
        let place = places.take(Client::HERE);
        let turn = RequestTurn::new(&place.connection, &places, &Rc::new(Draining::new()));
        Self { turn, place }
    }

    fn connection(&self) -> &Connection {
        &self.place.connection
    }
}

/// Begins an upload of a body, behind a head without headers.
fn upload(chain: &Chain, asked: &Asked, body: RequestBody, progress: &Rc<Progress>) -> Upload {
    let mut head = Vec::new();
    headers::start(&mut head, &[]);
    Upload::begin(Uploading {
        endpoint: Rc::clone(&chain.endpoint),
        invocation: chain.endpoint.expect(None).invocation,
        record: Record::beginning_with(head, &chain.endpoint.account),
        body,
        turn: asked.turn.body(),
        client: Client::HERE,
        progress: Rc::clone(progress),
    })
}

fn look<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn an_instance_that_an_abort_frees_is_given_to_who_waits_for_one() {
    run(async {
        let mut chain = Chain::new(1);
        let (asked, progress) = (Asked::new(), Progress::new(PATIENCE));
        let (mut client, body) = body().await;
        let upload = upload(&chain, &asked, body, &progress);
        send(&mut client, 1000).await;
        chain.until_read().await;
        let queue = Rc::clone(&chain.endpoint.queue);
        let waits = spawn_local(async move {
            let _turn: Turn = queue.turn(Client::HERE).await;
        });
        yield_now().await;
        assert!(
            !waits.is_finished(),
            "its one instance is in the middle of an upload"
        );
        drop(upload);
        waits.await.unwrap();
        while chain.until_read().await.1 == 0 {}
    });
}

#[test]
fn an_upload_that_finds_something_released_leaves_others_announced_and_tells_them() {
    run(async {
        let mut chain = Chain::new(1);
        let endpoint = Rc::clone(&chain.endpoint);
        let until = Instant::now() + PATIENCE;
        let sent = endpoint.expect(None);
        let send = || {
            let mut sender = endpoint.sender.borrow_mut();
            let sent = sender.send(&endpoint.own, INGRESS, &record(sent.invocation), b"x", false);
            sent.unwrap();
        };
        send();
        let mut sleeps = pin!(endpoint.wait_for_room(endpoint.room.notified(), until));
        assert!(look(sleeps.as_mut()).is_pending());
        assert_eq!(chain.read(), (1, 0));
        let mut finds = pin!(endpoint.wait_for_room(endpoint.room.notified(), until));
        // In between others get their turn; the pump does not, as this test does not wait.
        while look(finds.as_mut()).is_pending() {}
        assert!(look(sleeps.as_mut()).is_ready(), "it was told to look again");
        // What was released and is of no use keeps nobody from sleeping.
        let mut again = pin!(endpoint.wait_for_room(endpoint.room.notified(), until));
        assert!((0..10).all(|_| look(again.as_mut()).is_pending()));
        // Somebody who still sleeps is rung for what is released next.
        send();
        assert_eq!(chain.read(), (1, 0));
        again.await.unwrap();
    });
}

#[test]
fn an_upload_that_stands_still_is_not_cut_while_its_reply_moves() {
    run(async {
        let mut chain = Chain::new(1);
        let (asked, progress) = (Asked::new(), Progress::new(Duration::from_secs(1)));
        let (mut client, body) = body().await;
        let mut upload = upload(&chain, &asked, body, &progress);
        let sending = spawn_local(async move {
            for _ in 0..40 {
                send(&mut client, SEGMENT_BYTES).await;
            }
            client.write_all(b"0\r\n\r\n").await.unwrap();
            client
        });
        let reply_moves = async |upload: &mut Upload| {
            progress.moves();
            tokio::select! {
                biased;
                problem = upload.fails() => panic!("{problem:?}"),
                () = yield_now() => {}
            }
        };
        while chain.waits() == 0 {
            reply_moves(&mut upload).await;
        }
        // A wait for room ends at the deadline as it was when the wait began, and another one begins.
        for _ in 0..2 {
            let (waits, until) = (chain.waits(), progress.until());
            while chain.waits() == waits || Instant::now() < until {
                reply_moves(&mut upload).await;
            }
        }
        while !sending.is_finished() {
            chain.read();
            reply_moves(&mut upload).await;
        }
        sending.await.unwrap();
    });
}

#[test]
fn memory_for_an_upload_is_asked_for_when_its_first_bytes_are_here() {
    run(async {
        let chain = Chain::new(1);
        let asked = Asked::new();
        let (mut client, mut body) = body().await;
        let base = chain.endpoint.account.used_bytes();
        let used = || chain.endpoint.account.used_bytes() - base;
        let (turn, until) = (asked.turn.body(), Instant::now() + PATIENCE);
        let mut taken = pin!(take_in_beginning(
            &chain.endpoint,
            &mut body,
            turn,
            Vec::new(),
            until
        ));
        // Its head has announced a body, of which nothing comes.
        for _ in 0..10 {
            assert!(look(taken.as_mut()).is_pending());
            yield_now().await;
        }
        assert_eq!(used(), 0);
        send(&mut client, 1000).await;
        while used() == 0 {
            assert!(look(taken.as_mut()).is_pending());
            yield_now().await;
        }
        assert_eq!(used(), UPLOAD_BYTES);
    });
}

#[test]
fn a_client_is_not_taken_for_stalled_whose_function_is_slow() {
    run(async {
        let mut chain = Chain::new(1);
        let (asked, progress) = (Asked::new(), Progress::new(PATIENCE));
        let (mut client, body) = body().await;
        let _upload = upload(&chain, &asked, body, &progress);
        let is_stalled = || {
            // Long after anything has moved.
            let dispensable = asked.connection().dispensable(100, Instant::now() + PATIENCE);
            dispensable.is_some()
        };
        send(&mut client, 1000).await;
        chain.until_read().await;
        while !is_stalled() {
            // Until the gateway waits for the client.
            yield_now().await;
        }
        spawn_local(async move {
            for _ in 0..40 {
                send(&mut client, SEGMENT_BYTES).await;
            }
            pending::<()>().await;
        });
        while chain.waits() == 0 {
            yield_now().await;
        }
        assert!(!is_stalled(), "its function does not read");
        while chain.read() != (0, 0) || !is_stalled() {
            yield_now().await;
        }
    });
}

/// Takes in what functions have sent, and the flow that a request is answered with.
async fn flow_of(endpoint: &Rc<Endpoint>, waiting: &mut Waiting) -> FlowReader {
    endpoint.take_in();
    match waiting.answer(pending()).await {
        Some(Answer::Flow { rest, .. }) => rest,
        _ => panic!("no flow"),
    }
}

#[test]
fn a_flow_holds_what_it_asked_for_and_goes_on_once_something_was_written() {
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    run(async {
        let mut chain = Chain::new(1);
        let endpoint = Rc::clone(&chain.endpoint);
        let mut waiting = endpoint.expect(Some(Progress::new(PATIENCE)));
        let base = endpoint.account.used_bytes();
        let full = [1; SEGMENT_BYTES];
        chain.answer(&waiting, &full, false);
        let mut rest = flow_of(&endpoint, &mut waiting).await;
        let used = || endpoint.account.used_bytes() - base;
        assert_eq!(used(), FLOW_BYTES, "it asked for all of it when it began");
        let woken = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        // What was taken is being written, to a client that does not read.
        let mut written = Vec::new();
        let mut sent = 0;
        for _ in 0..40 {
            if !chain.functions[0].sender.is_ahead(0) {
                chain.answer(&waiting, &full, false);
                sent += 1;
            }
            endpoint.take_in();
            while rest.poll_ready(&mut Context::from_waker(&waker)).is_ready() {
                written.push(rest.take_piece().unwrap());
            }
            assert_eq!(used(), FLOW_BYTES);
        }
        let held = u64::try_from(written.len() * SEGMENT_BYTES).unwrap();
        assert!(
            held <= FLOW_BYTES && written.len() < sent,
            "{held} bytes of {sent} segments"
        );
        // A piece that was written makes room for another.
        let before = woken.0.load(Ordering::Relaxed);
        drop(written.pop());
        assert!(woken.0.load(Ordering::Relaxed) > before);
        assert!(rest.poll_ready(&mut Context::from_waker(&waker)).is_pending());
        endpoint.take_in();
        assert!(rest.poll_ready(&mut Context::from_waker(&waker)).is_ready());
        drop((rest, written));
        endpoint.take_in();
        assert_eq!(used(), 0);
    });
}

#[test]
fn a_flow_for_which_there_is_no_room_does_not_begin() {
    run(async {
        let mut chain = Chain::new(1);
        let endpoint = Rc::clone(&chain.endpoint);
        let mut waiting = endpoint.expect(Some(Progress::new(PATIENCE)));
        let mut others = Vec::new();
        let mut len_bytes = 1 << 30;
        while len_bytes >= SEGMENT_BYTES as u64 {
            match endpoint.account.charge(len_bytes) {
                Some(charge) => others.push(charge),
                None => len_bytes /= 2,
            }
        }
        others.pop();
        let used = endpoint.account.used_bytes();
        chain.answer(&waiting, b"beginning", false);
        endpoint.take_in();
        let answer = waiting.answer(pending()).await;
        assert!(matches!(answer, Some(Answer::NoRoom)));
        assert_eq!(endpoint.account.used_bytes(), used);
        // Its rest is passed over, and the next one comes.
        chain.answer(&waiting, b"end", true);
        drop(others);
        let mut next = endpoint.expect(None);
        chain.answer(&next, b"next", true);
        endpoint.take_in();
        assert!(matches!(
            next.answer(pending()).await,
            Some(Answer::Record { .. })
        ));
    });
}

#[test]
fn a_flow_that_is_left_late_does_not_unpause_the_one_behind_it() {
    run(async {
        let mut chain = Chain::new(1);
        let endpoint = Rc::clone(&chain.endpoint);
        let (mut first, mut second) = (
            endpoint.expect(Some(Progress::new(PATIENCE))),
            endpoint.expect(Some(Progress::new(PATIENCE))),
        );
        chain.answer(&first, b"beginning", false);
        let left = flow_of(&endpoint, &mut first).await;
        let Attachment { own, sender, .. } = &mut chain.functions[0];
        sender.abort(own, 0, &record(first.invocation)).unwrap();
        chain.answer(&second, b"beginning", false);
        let mut rest = flow_of(&endpoint, &mut second).await;
        let full = [1; SEGMENT_BYTES];
        for _ in 0..8 {
            chain.answer(&second, &full, false);
        }
        (0..8).for_each(|_| endpoint.take_in());
        let taken = || chain.counter(Counter::BytesIn);
        let before = taken();
        assert!(before < 8 * SEGMENT_BYTES as u64, "it is paused");
        drop(left);
        for _ in 0..3 {
            endpoint.take_in();
        }
        assert_eq!(taken(), before, "and stays so until its client reads");
        assert!(
            rest.poll_ready(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
        assert!(rest.take_piece().is_some());
        endpoint.take_in();
        assert!(taken() > before);
    });
}

#[test]
fn a_flow_that_is_first_drops_and_counts_what_has_come_of_a_joined_reply() {
    run(async {
        let mut chain = Chain::joined();
        let endpoint = Rc::clone(&chain.endpoint);
        let mut waiting = endpoint.expect(Some(Progress::new(PATIENCE)));
        let base = endpoint.account.used_bytes();
        let used = || endpoint.account.used_bytes() - base;
        let full = [0; SEGMENT_BYTES];
        // One part whole, and the beginning of the other.
        chain.answer_of(0, &waiting, &full, true);
        chain.answer_of(1, &waiting, &full, false);
        endpoint.take_in();
        assert!(used() >= 2 * SEGMENT_BYTES as u64, "{}", used());
        chain.answer_of(2, &waiting, &[0; 100], false);
        let mut rest = flow_of(&endpoint, &mut waiting).await;
        assert_eq!(chain.counter(Counter::Cancelled), 2);
        assert_eq!(used(), FLOW_BYTES, "the flow alone is held");
        // What is still to come of that part is passed over.
        chain.answer_of(1, &waiting, &full, true);
        chain.answer_of(2, &waiting, b"end", true);
        endpoint.take_in();
        assert_eq!(used(), FLOW_BYTES);
        assert!(
            rest.poll_ready(&mut Context::from_waker(Waker::noop()))
                .is_ready()
        );
        assert_eq!(rest.take_piece().unwrap().bytes(), b"end");
        assert!(rest.is_over());
        assert_eq!(chain.counter(Counter::Cancelled), 2);
    });
}
