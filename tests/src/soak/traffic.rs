//! Clients that behave: each sends one request after another, and compares what comes back.

use super::Run;
use super::client::{Broken, Client, Protocol, Reply};
use super::subject::{POISONABLE, Subject};
use crate::generated::model::{Answer, End, Fault};
use bytes::Bytes;
use fastrand::Rng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// Longer than the deadline of any chain: a reply that is not here by then was lost.
const PATIENCE: Duration = Duration::from_secs(150);
/// How often a client that is turned away with `Retry-After` comes again.
const TURNED_AWAY_MAX: u32 = 30;
/// The longest pause between two requests of a client, in ms; the processors are to be busy, not full.
const PAUSE_MAX_MS: u64 = 40;

/// How a request ended.
enum Ended {
    Answered(Answer),
    /// The gateway was killed meanwhile.
    Injected,
    Unexpected(String),
}

/// A client that uses all chains of its service.
pub(super) async fn traffic(run: Rc<Run>, protocol: Protocol, number: u64) {
    let mut random = Rng::with_seed(run.seed.wrapping_mul(31).wrapping_add(number));
    let mut client = Client::new(run.served.target.clone(), protocol);
    while !run.is_over() {
        let at = random.usize(..run.served.subjects.len());
        let Some(subject) = run.served.subjects.get(at) else {
            return;
        };
        let body = body(&mut random, subject.largest());
        good(&run, &mut client, subject, body).await;
        sleep(Duration::from_millis(random.u64(..PAUSE_MAX_MS))).await;
    }
}

/// One request that has to be answered as the model says.
async fn good(run: &Run, client: &mut Client, subject: &Subject, body: Vec<u8>) {
    let chain = subject.name();
    let allowed = subject.answers(&body);
    let begun = Instant::now();
    let len = body.len();
    let end = ask(run, client, chain, body.into()).await;
    let mut ledger = run.ledger.borrow_mut();
    match end {
        Ended::Injected => {}
        Ended::Answered(answer) if allowed.contains(&answer) => {
            let at = run.begun.elapsed();
            ledger.expected(chain, len, begun.elapsed(), at);
        }
        Ended::Answered(answer) => {
            let what = difference(&answer, &allowed);
            ledger.unexpected(format!("{}/{chain}, {len} bytes: {what}", run.served.name));
        }
        Ended::Unexpected(what) => {
            ledger.unexpected(format!(
                "{}/{chain}, {len} bytes, after {:?}: {what}",
                run.served.name,
                begun.elapsed()
            ));
        }
    }
}

/// Sends until it is answered otherwise than with `Retry-After`.
async fn ask(run: &Run, client: &mut Client, chain: &str, body: Bytes) -> Ended {
    let mut turned_away = 0;
    let mut unsent = 0;
    loop {
        let begun = Instant::now();
        let reply = match timeout(PATIENCE, client.post(chain, body.clone())).await {
            Err(_) => return Ended::Unexpected("no reply".to_owned()),
            Ok(Ok(reply)) => reply,
            Ok(Err(broken)) if broken.unsent && unsent < 3 => {
                unsent += 1;
                continue;
            }
            Ok(Err(Broken { what, .. })) => {
                if run.served.outages.borrow().touch(begun) {
                    run.ledger
                        .borrow_mut()
                        .injected("requests broken by a gateway's death");
                    // Until another gateway listens.
                    sleep(Duration::from_millis(100)).await;
                    return Ended::Injected;
                }
                return Ended::Unexpected(what);
            }
        };
        if matches!(reply.status, 429 | 503) && reply.retry_after && turned_away < TURNED_AWAY_MAX {
            turned_away += 1;
            run.ledger.borrow_mut().injected("requests told to come again");
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        return match answer(&reply) {
            Ok(answer) => Ended::Answered(answer),
            Err(what) => Ended::Unexpected(what),
        };
    }
}

/// What a reply says, in the model's words.
fn answer(reply: &Reply) -> Result<Answer, String> {
    let text = || String::from_utf8_lossy(reply.body.get(..reply.body.len().min(400)).unwrap_or(&[]));
    match reply.status {
        200 => Ok(Answer::Body(reply.body.to_vec())),
        502 => {
            let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            let member = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or("");
            let end = end_of(member("cause"));
            let end = end.ok_or_else(|| format!("a failure that nothing was told to make: {problem}"))?;
            let attempts = problem.get("attempts").and_then(Value::as_u64).unwrap_or(0);
            Ok(Answer::Fault(Fault {
                function: member("function").to_owned(),
                attempts: u32::try_from(attempts).unwrap_or(0),
                end,
            }))
        }
        status => Err(format!("status {status}: {}", text())),
    }
}

/// How the last attempt ended; `None` for what no function was told to do.
fn end_of(cause: &str) -> Option<End> {
    match cause {
        "failed" => Some(End::Failed),
        "panicked" => Some(End::Panicked),
        "timed_out" | "input_refused" | "output_too_large" | "no_output" | "backlogged" | "" => None,
        // What it is called that a process ended is tested elsewhere.
        _ => Some(End::Died),
    }
}

fn difference(answer: &Answer, allowed: &BTreeSet<Answer>) -> String {
    let show = |answer: &Answer| match answer {
        Answer::Body(body) => format!("{} bytes", body.len()),
        Answer::Fault(fault) => format!("{fault:?}"),
    };
    let allowed: Vec<String> = allowed.iter().map(show).collect();
    format!(
        "answered with {}, allowed is {}",
        show(answer),
        allowed.join(" or ")
    )
}

/// A body of any size: most small, few as large as the chain is sent.
fn body(random: &mut Rng, largest: usize) -> Vec<u8> {
    let len = match random.u8(..64) {
        0 => 0,
        1..40 => random.usize(..2048),
        40..56 => random.usize(..65_600),
        56..63 => random.usize(..300_000),
        _ => random.usize(..=largest),
    };
    let mut body: Vec<u8> = std::iter::repeat_with(|| random.u64(..).to_le_bytes())
        .take(len.min(largest) / 8 + 1)
        .flatten()
        .collect();
    body.truncate(len.min(largest));
    body
}

/// A client that sends what ends functions, one after another.
pub(super) async fn poison(run: Rc<Run>) {
    let mut random = Rng::with_seed(run.seed ^ 0x0701_5017);
    let mut client = Client::new(run.served.target.clone(), Protocol::Kept);
    let poisons: [(&str, Option<End>); 6] = [
        ("fail", Some(End::Failed)),
        ("reject", Some(End::Failed)),
        ("panic", Some(End::Panicked)),
        ("abort", Some(End::Died)),
        ("exit", Some(End::Died)),
        ("hang", None),
    ];
    while !run.is_over() {
        let Some((word, end)) = random.choice(poisons) else {
            return;
        };
        let body = format!("{word} {}", random.u64(..));
        let answered = ask_poison(&run, &mut client, body.into()).await;
        note_poison(&run, word, end, answered);
        sleep(Duration::from_millis(random.u64(500..4000))).await;
    }
}

fn note_poison(run: &Run, word: &str, end: Option<End>, answered: Result<Option<Option<End>>, String>) {
    let mut ledger = run.ledger.borrow_mut();
    match answered {
        Ok(None) => {}
        // A kill may have been its last attempt.
        Ok(Some(found)) if found == end || found == Some(End::Died) => {
            ledger.injected("poison answered with 502 and its cause");
        }
        Ok(Some(found)) => ledger.unexpected(format!("poison `{word}` ended as {found:?}, not {end:?}")),
        Err(what) => ledger.unexpected(format!("poison `{word}`: {what}")),
    }
}

/// How poison ended: `None` if the gateway was killed meanwhile, `Some(None)` if it timed out.
async fn ask_poison(run: &Run, client: &mut Client, body: Bytes) -> Result<Option<Option<End>>, String> {
    let begun = Instant::now();
    for _ in 0..TURNED_AWAY_MAX {
        let reply = match timeout(PATIENCE, client.post(POISONABLE, body.clone())).await {
            Err(_) => return Err("no reply".to_owned()),
            Ok(Err(broken)) if broken.unsent => continue,
            Ok(Err(_)) if run.served.outages.borrow().touch(begun) => return Ok(None),
            Ok(Err(broken)) => return Err(broken.what),
            Ok(Ok(reply)) => reply,
        };
        if matches!(reply.status, 429 | 503) && reply.retry_after {
            sleep(Duration::from_millis(500)).await;
            continue;
        }
        let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let cause = problem.get("cause").and_then(Value::as_str).unwrap_or("");
        return match (reply.status, cause) {
            (502, "timed_out") => Ok(Some(None)),
            (502, cause) => end_of(cause)
                .map(|end| Some(Some(end)))
                .ok_or(problem.to_string()),
            (status, _) => Err(format!("status {status}: {problem}")),
        };
    }
    Err("turned away for ever".to_owned())
}
