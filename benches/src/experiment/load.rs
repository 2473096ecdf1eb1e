//! Requests through the gateway at given rates.
//!
//! Open loop: requests are due at times that are drawn beforehand (exponential gaps, so a Poisson process)
//! and do not wait for earlier answers; a latency counts from when the request was *due*, so that a stall
//! shows in every request that it delays (no coordinated omission). The rate is swept upwards until the
//! service falls behind: the last rate that it kept up with is its knee. Then half of that rate, in turn for
//! the chain and for the gateway alone, and the closed loop: as many connections as it takes, each sending
//! its next request when it has its answer.

use super::super::fabric::{Shape, serve};
use super::super::place::Pinned;
use super::super::report::row::Measured;
use super::super::subject::{Identity, payload};
use super::run::{Run, progress};
use bytes::Bytes;
use hacher_fabric::failed::Failed;
use hacher_fabric::http::Connection;
use hacher_fabric::tree::Tree;
use hyper::Method;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::LocalSet;

const PAYLOAD_BYTES: usize = 4 << 10;
/// Connections of the client; more requests than these wait at the client, and their time counts.
const CONNECTIONS: usize = 32;
/// The first rate of the sweep, in requests a second.
const RATE_FIRST: f64 = 500.0;
/// Each rate is this much higher than the one before.
const RATE_STEP: f64 = 1.4;
/// Most steps of a sweep.
const STEPS_MAX: usize = 20;
/// A service that answers less than this part of what is due has fallen behind.
const KEPT_UP: f64 = 0.95;
/// And so has one whose 99th percentile is above this.
const P99_MAX: Duration = Duration::from_millis(20);

/// What is asked for.
#[derive(Clone)]
struct Target {
    identity: Identity,
    hops: u32,
    gateway: SocketAddr,
    method: Method,
    path: String,
    body: Bytes,
}

/// Measures requests.
///
/// # Errors
/// When the chain does not start, or does not answer.
pub fn load(run: &mut Run) -> Result<(), Failed> {
    if !run.wants("fabric") {
        return Ok(());
    }
    let shape = Shape::BEHIND_GATEWAY;
    let tree = serve(&run.fabric, &shape, run.cores, &[])?;
    let targets = targets(&shape, &tree);
    // The client has a core of its own, if there is one.
    let client = Pinned::to_core(run.cores.away)?;
    let step = if run.effort.full {
        Duration::from_millis(1500)
    } else {
        Duration::from_millis(400)
    };
    let progress = progress(u64::try_from(targets.len() * 2).unwrap_or(0), "load");
    let mut half_knees = Vec::new();
    for target in &targets {
        let knee = sweep(run, target, step)?;
        half_knees.push(knee / 2.0);
        progress.inc(1);
    }
    at_half_knee(run, &targets, &half_knees, step)?;
    for target in &targets {
        closed_loop(run, target, step)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    drop(client);
    tree.stop()
}

/// The chain, and the same gateway answering by itself: a request of the same size, and a reply of three
/// bytes.
fn targets(shape: &Shape, tree: &Tree) -> Vec<Target> {
    let identity = |transport| Identity {
        transport,
        protection: shape.protection.as_str(),
        placement: shape.place,
        touched: true,
    };
    let body = Bytes::from(payload(PAYLOAD_BYTES));
    vec![
        Target {
            identity: identity("fabric"),
            hops: shape.functions,
            gateway: tree.gateway,
            method: Method::POST,
            path: format!("/chains/{}", shape.name()),
            body: body.clone(),
        },
        Target {
            identity: Identity {
                protection: "none",
                ..identity("gateway")
            },
            hops: 0,
            gateway: tree.gateway,
            method: Method::GET,
            path: "/healthz".to_owned(),
            body,
        },
    ]
}

/// Raises the rate until the service falls behind; the last rate that it kept up with.
fn sweep(run: &mut Run, target: &Target, step: Duration) -> Result<f64, Failed> {
    let mut rate = RATE_FIRST;
    let mut knee = RATE_FIRST;
    for _ in 0..STEPS_MAX {
        let mut outcome = open_loop(run, target, rate, step)?;
        if !outcome.kept_up() {
            // Once may be somebody else's doing.
            outcome = open_loop(run, target, rate, step)?;
        }
        let kept_up = outcome.kept_up();
        let mut measured = cell(target, "open");
        measured.set_rate_per_s(rate);
        outcome.latencies.iter().for_each(|ns| measured.record(0, *ns));
        run.rows.extend(measured.row());
        if !kept_up {
            break;
        }
        knee = rate;
        rate *= RATE_STEP;
    }
    Ok(knee)
}

/// All targets at half of their knees, in turn, once in every round.
fn at_half_knee(run: &mut Run, targets: &[Target], rates: &[f64], step: Duration) -> Result<(), Failed> {
    let mut cells: Vec<Measured> = targets.iter().map(|target| cell(target, "half-knee")).collect();
    for round in 0..run.effort.rounds {
        for ((target, rate), measured) in targets.iter().zip(rates).zip(&mut cells) {
            measured.set_rate_per_s(*rate);
            let outcome = open_loop(run, target, *rate, step)?;
            outcome
                .latencies
                .iter()
                .for_each(|ns| measured.record(round, *ns));
        }
    }
    run.rows.extend(cells.into_iter().filter_map(Measured::row));
    Ok(())
}

fn cell(target: &Target, phase: &str) -> Measured {
    Measured::new("load", target.identity.clone(), target.body.len(), target.hops).with_phase(phase)
}

/// What came of a time of load.
struct Outcome {
    latencies: Vec<u64>,
    due: usize,
}

impl Outcome {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn kept_up(&self) -> bool {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let p99 = sorted.get(sorted.len() * 99 / 100).copied().unwrap_or(u64::MAX);
        sorted.len() as f64 >= KEPT_UP * self.due as f64 && u128::from(p99) <= P99_MAX.as_nanos()
    }
}

/// Requests that are due and not sent yet.
#[derive(Default)]
struct Queue {
    due: RefCell<VecDeque<Instant>>,
    news: Notify,
    over: Cell<bool>,
    latencies: RefCell<Vec<u64>>,
    failed: RefCell<Option<Failed>>,
}

/// Offers `rate` requests a second for a while.
fn open_loop(run: &mut Run, target: &Target, rate: f64, time: Duration) -> Result<Outcome, Failed> {
    let mut arrivals = Vec::new();
    let mut at = 0.0;
    while at < time.as_secs_f64() {
        arrivals.push(Duration::from_secs_f64(at));
        at += -(1.0 - run.random.f64()).ln() / rate;
    }
    let due = arrivals.len();
    let queue = Rc::new(Queue::default());
    on_connections(target, &queue, async |queue: Rc<Queue>| {
        let start = Instant::now();
        for arrival in arrivals {
            let due = start + arrival;
            wait_until(due).await;
            queue.due.borrow_mut().push_back(due);
            queue.news.notify_one();
        }
        // Whoever has fallen behind by more than this stays behind.
        let patience = Instant::now() + P99_MAX * 5;
        while queue.latencies.borrow().len() < due
            && Instant::now() < patience
            && queue.failed.borrow().is_none()
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })?;
    let latencies = queue.latencies.take();
    Ok(Outcome { latencies, due })
}

/// Timers of the runtime count milliseconds; what is left of a wait is spent looking at the clock, letting
/// others run.
async fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > Duration::from_millis(2) {
        tokio::time::sleep(left - Duration::from_millis(2)).await;
    }
    while Instant::now() < due {
        tokio::task::yield_now().await;
    }
}

/// As many requests as are answered.
fn closed_loop(run: &mut Run, target: &Target, time: Duration) -> Result<(), Failed> {
    let mut measured = cell(target, "closed");
    let queue = Rc::new(Queue::default());
    let start = Instant::now();
    on_connections(target, &queue, async |queue: Rc<Queue>| {
        // One at a time for each connection: another is due when one has been answered.
        let mut answered = 0;
        for _ in 0..CONNECTIONS {
            queue.due.borrow_mut().push_back(Instant::now());
            queue.news.notify_one();
        }
        while start.elapsed() < time && queue.failed.borrow().is_none() {
            tokio::task::yield_now().await;
            let now = queue.latencies.borrow().len();
            for _ in answered..now {
                queue.due.borrow_mut().push_back(Instant::now());
                queue.news.notify_one();
            }
            answered = now;
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let latencies = queue.latencies.take();
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^53")]
    measured.set_rate_per_s(latencies.len() as f64 / seconds);
    latencies.into_iter().for_each(|ns| measured.record(0, ns));
    run.rows.extend(measured.row());
    Ok(())
}

/// Runs `schedule`, which fills the queue, beside connections that empty it.
fn on_connections<S, F>(target: &Target, queue: &Rc<Queue>, schedule: S) -> Result<(), Failed>
where
    S: FnOnce(Rc<Queue>) -> F,
    F: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = Connection::open(target.gateway).await?;
            let serving = serve_queue(connection, target.clone(), Rc::clone(queue));
            tasks.push(tokio::task::spawn_local(serving));
        }
        schedule(Rc::clone(queue)).await;
        queue.over.set(true);
        for task in tasks {
            task.abort();
        }
        queue.failed.take().map_or(Ok(()), Err)
    })
}

/// One connection: sends what is due, as long as there is something.
async fn serve_queue(mut connection: Connection, target: Target, queue: Rc<Queue>) {
    loop {
        let due = queue.due.borrow_mut().pop_front();
        let Some(due) = due else {
            queue.news.notified().await;
            continue;
        };
        let sent = connection
            .send(target.method.clone(), &target.path, None, target.body.clone())
            .await;
        match sent {
            Ok(reply) if reply.status.is_success() => {
                let ns = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
                queue.latencies.borrow_mut().push(ns);
            }
            // Turned away because too much is in flight: counts as not answered.
            Ok(reply) if reply.status.as_u16() == 429 => {}
            Ok(reply) => {
                let failed = Failed::new(format!("{} answered {}", target.path, reply.status));
                *queue.failed.borrow_mut() = Some(failed);
                return;
            }
            Err(error) => {
                *queue.failed.borrow_mut() = Some(error.into());
                return;
            }
        }
    }
}
