//! How a gateway leaves: the stages of its end (`drain.rs`), one after another.

use super::drain::{Draining, Stage};
use super::gateway::Gateway;
use hacher_libos_net::attach;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How often a gateway that leaves looks whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// For so long whoever is in the queue, or about to send on an open connection, is still answered when all
/// else is done.
const LAST_CALL: Duration = Duration::from_millis(50);
/// How long replies of the last stage may take to be written. The monitor waits longer than this and the last
/// call together.
const FAREWELL: Duration = Duration::from_secs(1);

/// Begins the end, or hurries it if it has begun.
pub(super) fn begin(gateway: &Rc<Gateway>, plan: attach::Drain) {
    let drain = &gateway.drain;
    if drain.has_begun() {
        return drain.enter(Stage::Cutting);
    }
    if plan.keeps_queue == 1 {
        drain.keep_queue();
    }
    // At once, not when the task gets its turn.
    drain.enter(Stage::Leaving);
    tokio::task::spawn_local(leave(Rc::clone(gateway), plan));
}

async fn leave(gateway: Rc<Gateway>, plan: attach::Drain) {
    let drain = &gateway.drain;
    let delay = Duration::from_millis(u64::from(plan.delay_ms));
    let no_client = async {
        // Where nobody new is accepted, nobody is left to be served once all have gone.
        while !(drain.keeps_queue() && gateway.places.are_free()) {
            sleep(LOOK_EVERY).await;
        }
    };
    unless_cut(drain, delay, no_client).await;
    drain.enter(Stage::Refusing);
    gateway.places.end_http_2();
    let time = Duration::from_millis(u64::from(plan.timeout_ms));
    let all_done = async {
        while drain.is_awaited() {
            sleep(LOOK_EVERY).await;
        }
    };
    unless_cut(drain, time, all_done).await;
    drain.enter(Stage::Cutting);
    sleep(LAST_CALL).await;
    gateway.places.end_all();
    let _ = timeout(FAREWELL, gateway.places.all_free()).await;
    drain.finish();
}

/// Waits for `what`, for no longer than `time`, and not when everything is cut.
async fn unless_cut(drain: &Draining, time: Duration, what: impl Future<Output = ()>) {
    tokio::select! {
        _ = timeout(time, what) => {}
        () = drain.cuts() => {}
    }
}
