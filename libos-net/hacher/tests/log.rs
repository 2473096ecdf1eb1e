//! What a function says with `tracing`.
#![allow(clippy::unwrap_used, reason = "test code")]

use hacher::harness::Call;
use hacher::{BoxError, Failure, asynchronous};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use tracing::subscriber::with_default;

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is printed while `act` runs.
fn printed(act: impl FnOnce()) -> String {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    with_default(subscriber, act);
    String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn an_event_says_which_request_and_attempt_it_is_about() {
    let said = printed(|| {
        let _ = Call::new().body(b"x").attempt(2).run(|text: String| {
            tracing::info!(len = text.len(), "read");
            text
        });
    });
    assert!(
        said.contains("run{invocation=0000000000000001 attempt=2}"),
        "{said}"
    );
    assert!(said.contains("read len=1"), "{said}");
    let said = printed(|| {
        let _ = Call::new().body(b"x").run(asynchronous(async |text: String| {
            tokio::task::yield_now().await;
            tracing::warn!("later");
            text
        }));
    });
    assert!(said.contains("attempt=1}") && said.contains("later"), "{said}");
}

#[test]
fn an_error_of_a_run_is_told_with_its_causes() {
    let said = printed(|| {
        let _ = Call::new()
            .body(b"x")
            .run(|_: String| -> Result<String, BoxError> {
                Err(hacher::retry("the disk is full").because("no room").into())
            });
    });
    assert!(said.contains("attempt=1}"), "{said}");
    assert!(
        said.contains("hacher: the run failed: no room: the disk is full"),
        "{said}"
    );
    let said = printed(|| {
        let _ = Call::new()
            .body(b"x")
            .run(|_: String| Err::<String, _>(Failure::permanent("told to fail")));
    });
    assert!(said.contains("hacher: the run failed: told to fail"), "{said}");
}
