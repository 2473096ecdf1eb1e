//! Handlers that are `async`, in the harness.
#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    clippy::cast_possible_truncation,
    reason = "test code"
)]

use hacher::harness::Call;
use hacher::{BoxError, Failure, Input, Json, Output, asynchronous};
use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

#[test]
fn all_forms_of_an_asynchronous_handler_answer() {
    async fn typed(Json(number): Json<u32>) -> Result<Json<u32>, BoxError> {
        sleep(Duration::from_millis(1)).await;
        Ok(Json(number + 1))
    }
    async fn raw(mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        sleep(Duration::from_millis(1)).await;
        output.send(input.bytes()?)
    }
    async fn reading(input: Input<'_>) -> Result<String, BoxError> {
        Ok(input.parts().len().to_string())
    }
    async fn writing(body: String, output: &mut Output<'_>) -> Result<(), Failure> {
        sleep(Duration::from_millis(1)).await;
        output.send_to("reject", body.as_bytes())
    }
    let call = || Call::new().body(b"41").ports(&["out", "reject"]);
    let body = |reply: hacher::harness::Reply, port| reply.port(port).unwrap().body().to_vec();
    assert_eq!(body(call().run(asynchronous(typed)), "out"), b"42");
    assert_eq!(body(call().run(asynchronous(raw)), "out"), b"41");
    assert_eq!(body(call().run(asynchronous(reading)), "out"), b"1");
    assert_eq!(body(call().run(asynchronous(writing)), "reject"), b"41");
    let mut runs = 0;
    let mut counting = asynchronous(|text: String| {
        runs += 1;
        let said = format!("{text} {runs}");
        async move { said }
    });
    let _ = call().run(&mut counting);
    assert_eq!(
        body(call().run(&mut counting), "out"),
        b"41 2",
        "one runtime, several runs"
    );
}

/// Notes that it was dropped.
struct Guard(Rc<Cell<bool>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[test]
fn a_run_that_nobody_waits_for_is_dropped_where_it_waits() {
    let dropped = Rc::new(Cell::new(false));
    let never = || {
        let guard = Guard(Rc::clone(&dropped));
        asynchronous(move |_: String| {
            let guard = Guard(Rc::clone(&guard.0));
            async move {
                pending::<()>().await;
                drop(guard);
                "never"
            }
        })
    };
    for call in [
        Call::new().body(b"").cancelled_after(3),
        Call::new().body(b"").deadline(Duration::from_millis(30)),
        Call::new().body(b"").timeout(Duration::from_millis(30)),
    ] {
        dropped.set(false);
        let mut handler = never();
        let failure = call.run(&mut handler).failure().unwrap();
        assert!(dropped.get(), "its future is gone, and what it held");
        assert!(failure.reason().contains("cancelled"), "{failure}");
    }
}

#[test]
fn what_is_done_at_once_is_done_even_if_nobody_waits() {
    let reply = Call::new()
        .body(b"x")
        .cancelled()
        .run(asynchronous(async |text: String| text));
    assert_eq!(reply.port("out").unwrap().body(), b"x");
}
