//! A body that is taken in before its request is handed on: whole, or its beginning where the rest follows as
//! it comes.

use super::client_wait::{ClientWait, WINDOW};
use super::problem::Problem;
use super::request_body::{Intake, RequestBody, broke_off, too_slow};
use super::turn::BodyTurn;
use hacher_libos_net::layout::SEGMENT_BYTES;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A client that has sent something and then pauses for so long is not waited for any longer where its body
/// may be handed on in parts.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits for the first bytes of a long body: memory for it is asked for when it comes, and not when it is
/// announced.
pub(super) async fn arrives(body: &mut RequestBody, turn: &BodyTurn, until: Instant) -> Result<(), Problem> {
    let _awaited = turn.awaits();
    match timeout_at(until.min(Instant::now() + WINDOW), body.arrives()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(broke_off()),
        Err(_) => Err(too_slow()),
    }
}

/// Has `intake` take the beginning of a long body: a segment of it, or less if the client pauses; whether
/// that is all of it.
pub(super) async fn begin(
    body: &mut RequestBody,
    turn: &BodyTurn,
    intake: &mut impl Intake,
    until: Instant,
) -> Result<bool, Problem> {
    let _awaited = turn.awaits();
    let mut received = 0_usize;
    while received < SEGMENT_BYTES {
        let patience = match received {
            0 => until.min(Instant::now() + WINDOW),
            _ => until.min(Instant::now() + PAUSE),
        };
        match timeout_at(patience, body.next()).await {
            Ok(None) => return Ok(true),
            Ok(Some(Ok(data))) => {
                received += data.len();
                intake.take(&data)?;
            }
            Ok(Some(Err(_))) => return Err(broke_off()),
            Err(_) if received == 0 => return Err(too_slow()),
            Err(_) => break,
        }
    }
    Ok(false)
}

/// Has `intake` take a body as it comes, to its end.
pub(super) async fn collect(
    body: &mut RequestBody,
    turn: &BodyTurn,
    intake: &mut impl Intake,
    until: Instant,
) -> Result<(), Problem> {
    if let Some(announced) = body.announced_bytes() {
        intake.expect(announced)?;
    }
    let mut wait = ClientWait::of(body);
    let mut received = 0_usize;
    loop {
        let next = match body.next_at_once().await {
            Some(next) => next,
            None => wait.next(body, turn, || until).await?,
        };
        let data = match next {
            None => return Ok(()),
            Some(Ok(data)) => data,
            Some(Err(_)) => return Err(broke_off()),
        };
        if received > SEGMENT_BYTES {
            turn.pace(data.len()).await;
        }
        received += data.len();
        intake.take(&data)?;
    }
}
