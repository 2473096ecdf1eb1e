//! Where a request's time went, at each function: from the telemetry that every instance keeps of its last
//! runs.

use super::super::fabric::{Shape, serve};
use super::super::report::row::Measured;
use super::super::subject::{Identity, payload};
use super::run::{Run, progress};
use bytes::Bytes;
use hacher_fabric::failed::Failed;
use hacher_fabric::http::Connection;
use hacher_fabric::tree::Tree;
use hyper::Method;
use serde_json::Value;

const PAYLOAD_BYTES: usize = 4 << 10;
/// Requests of a round; instances keep their last 256 runs.
const REQUESTS: usize = 200;
/// The phases, in the order in which a record passes them, and the telemetry's names for them.
const PHASES: [(&str, &str); 5] = [
    ("queued", "queued_ns"),
    ("hand-over", "hand_over_ns"),
    ("open", "open_ns"),
    ("run", "run_ns"),
    ("seal", "seal_ns"),
];

/// Measures where the time goes.
///
/// # Errors
/// When the chain does not start, or does not answer.
pub fn breakdown(run: &mut Run) -> Result<(), Failed> {
    if !run.wants("fabric") {
        return Ok(());
    }
    let shape = Shape::BEHIND_GATEWAY;
    let tree = serve(&run.fabric, &shape, run.cores, &[])?;
    let mut cells = cells(&shape);
    let progress = progress(u64::try_from(run.effort.rounds).unwrap_or(0), "breakdown");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for round in 0..run.effort.rounds {
        let traces = runtime.block_on(requests(&tree, &shape.name()))?;
        for trace in traces
            .get("traces")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            note(&mut cells, round, trace);
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    run.rows
        .extend(cells.into_iter().flatten().filter_map(Measured::row));
    tree.stop()
}

/// A cell for each phase of each function.
fn cells(shape: &Shape) -> Vec<Vec<Measured>> {
    let identity = Identity {
        transport: "fabric",
        protection: shape.protection.as_str(),
        placement: shape.place,
        touched: true,
    };
    let cell = |function, phase| {
        Measured::new("breakdown", identity.clone(), PAYLOAD_BYTES, function).with_phase(phase)
    };
    (1..=shape.functions)
        .map(|function| PHASES.iter().map(|(phase, _)| cell(function, *phase)).collect())
        .collect()
}

/// Sends requests one after another, and asks for the traces of what ran.
async fn requests(tree: &Tree, chain: &str) -> Result<Value, Failed> {
    let mut gateway = Connection::open(tree.gateway).await?;
    let path = format!("/chains/{chain}");
    let body = Bytes::from(payload(PAYLOAD_BYTES));
    for _ in 0..REQUESTS {
        let reply = gateway.send(Method::POST, &path, None, body.clone()).await?;
        if !reply.status.is_success() || reply.body != body {
            return Err(Failed::new(format!(
                "a request was answered with {}",
                reply.status
            )));
        }
    }
    let mut admin = Connection::open(tree.admin).await?;
    Ok(admin.get("/traces").await?.json())
}

fn note(cells: &mut [Vec<Measured>], round: usize, trace: &Value) {
    let number = trace
        .get("function")
        .and_then(Value::as_str)
        .and_then(|name| name.rsplit('-').next())
        .and_then(|number| number.parse::<usize>().ok());
    let Some(phases) = number
        .and_then(|number| number.checked_sub(1))
        .and_then(|at| cells.get_mut(at))
    else {
        return;
    };
    for (measured, (_, key)) in phases.iter_mut().zip(PHASES) {
        if let Some(ns) = trace.get(key).and_then(Value::as_u64) {
            measured.record(round, ns);
        }
    }
}
