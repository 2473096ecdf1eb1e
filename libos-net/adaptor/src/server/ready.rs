//! Waits until the guest serves.

use super::connection::{Connection, RequestBody};
use super::target::Target;
use crate::guest::Guest;
use http_body_util::Full;
use std::time::{Duration, Instant};

/// How long to wait between two attempts; the end of the guest ends it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Returns when the port accepts, and, if `path` is given, that path answers with a status of 2xx.
///
/// # Errors
/// When the guest ends, or that is not so within `within`: with what was tried last.
pub(super) async fn wait(
    target: &Target,
    path: Option<&str>,
    within: Duration,
    guest: &Guest,
) -> Result<(), String> {
    let begun = Instant::now();
    let mut last = "nothing was tried".to_owned();
    loop {
        let left = within.saturating_sub(begun.elapsed());
        // An attempt that fails at once is not timed out, however little time is left for it.
        if left.is_zero() {
            return Err(format!(
                "the program was not ready within {} s (`--start-within`); at last: {last}",
                within.as_secs()
            ));
        }
        match tokio::time::timeout(left, attempt(target, path)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => last = why,
            Err(_) => last = format!("{} did not answer", place(target, path)),
        }
        if let Some(end) = guest.ended_within(LOOK_EVERY) {
            return Err(format!("the program {end} before it was ready; at last: {last}"));
        }
    }
}

fn place(target: &Target, path: Option<&str>) -> String {
    format!("{}{}", target.address, path.unwrap_or_default())
}

async fn attempt(target: &Target, path: Option<&str>) -> Result<(), String> {
    let failed = |what: String| format!("{}: {what}", place(target, path));
    let opened = Connection::open(target.address).await;
    let mut connection = opened.map_err(|error| failed(error.to_string()))?;
    let Some(path) = path else {
        connection.close().await;
        return Ok(());
    };
    let request = target.asking(path).body(RequestBody::Whole(Full::default()));
    let request = request.map_err(|error| failed(error.to_string()))?;
    let answered = connection.sender.send_request(request).await;
    let status = answered.map(|answer| answer.status());
    connection.close().await;
    match status {
        Ok(status) if status.is_success() => Ok(()),
        Ok(status) => Err(failed(format!("status {}", status.as_u16()))),
        Err(error) => Err(failed(error.to_string())),
    }
}
