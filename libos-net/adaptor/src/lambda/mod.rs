//! A guest that is a Lambda handler: a record becomes an event of the Lambda Runtime API, and the response to
//! it the record that goes on.
//!
//! The adaptor serves the API, and the guest asks it, over the trustlet's own loopback:
//!
//! ```text
//!   thread of the fabric: handle() --- Event ---> Handover ---- 200 ----> guest, which waits at next
//!                             <--- pieces ------- thread of the API <---- POST .../response
//! ```

mod answer;
mod api;
mod environment;
mod error_type;
mod event;
mod handover;
mod listen;
mod prelude;
mod refusal;
mod request_id;
mod route;
mod state;
mod trace_id;
mod trailer_text;

use crate::arguments::{LambdaOptions, Program};
use crate::guest::Guest;
use environment::{Environment, TASK_ROOT};
use event::{Arn, Event};
use hacher::{BoxError, Failure, Handler, Input, Output};
use handover::{Handover, Started};
use request_id::RequestId;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const JOINED: Failure = Failure::permanent(
    "a Lambda handler takes one event: a function before it has to put joined records together",
);
/// How long to wait between two looks whether the guest has ended.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The function that hands records to a Lambda handler.
pub struct LambdaFunction {
    runtime: Runtime,
    handover: Arc<Handover>,
    arn: Arn,
    /// Runs so far.
    runs: u64,
    /// Called when an answer breaks off; does not return if the guest has ended.
    on_lost: Box<dyn Fn()>,
}

impl core::fmt::Debug for LambdaFunction {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("LambdaFunction")
            .field("arn", &self.arn)
            .finish_non_exhaustive()
    }
}

impl LambdaFunction {
    /// Serves the API, starts the program, and returns when it asks for its first event.
    ///
    /// # Errors
    /// When the port is taken, the program cannot be started, ends, reports that its initialisation has
    /// failed, or has not asked within `within`.
    pub fn start(program: &Program, options: &LambdaOptions, within: Duration) -> Result<Self, BoxError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
        let listener = TcpListener::bind(address);
        let listener = listener.map_err(|error| {
            format!("cannot serve the Runtime API at {address}: {error}; `--port` names another port")
        })?;
        let set = |name: &str| std::env::var(name).ok();
        let environment = Environment::of_this_process(&address.to_string(), set);
        let arn = Arn::new(&environment.region, &environment.function)?;
        let (mut made, started) = Self::serving(listener, arn)?;
        let folder = Some(Path::new(TASK_ROOT)).filter(|folder| folder.is_dir());
        let guest = Guest::start(program, &environment.variables, folder)?;
        wait(&started, &guest, within)?;
        guest.set_serving().map_err(|end| format!("the program {end}"))?;
        made.on_lost = Box::new(move || guest.end_if_it_ends());
        Ok(made)
    }

    /// The function whose guest asks at `listener`.
    fn serving(listener: TcpListener, arn: Arn) -> Result<(Self, Receiver<Started>), BoxError> {
        let (sender, started) = channel();
        let handover = Handover::new(sender);
        listen::spawn(listener, Arc::clone(&handover))?;
        let made = Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            handover,
            arn,
            runs: 0,
            on_lost: Box::new(|| {}),
        };
        Ok((made, started))
    }
}

/// Returns when the guest has asked for its first event.
fn wait(started: &Receiver<Started>, guest: &Guest, within: Duration) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        // Asked first: what it has said counts more than that it then ended.
        let end = guest.ended_within(Duration::ZERO);
        match (started.recv_timeout(LOOK_EVERY), end) {
            (Ok(Started::Ready), _) => return Ok(()),
            (Ok(Started::Failed(error_type)), _) => {
                return Err(format!(
                    "the program reported that its initialisation failed: {error_type}"
                ));
            }
            (Err(_), Some(end)) => {
                return Err(format!("the program {end} before it asked for an event"));
            }
            (Err(_), None) if begun.elapsed() >= within => {
                return Err(format!(
                    "the program did not ask for an event within {} s (`--start-within`)",
                    within.as_secs()
                ));
            }
            (Err(_), None) => {}
        }
    }
}

impl Handler for LambdaFunction {
    fn handle(&mut self, mut input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        if input.is_join() {
            return Err(JOINED);
        }
        self.runs = self.runs.wrapping_add(1);
        let id = RequestId::of(&input, self.runs);
        let event = Event::of(&mut input, id, &self.arn)?;
        let run = answer::answered(
            &self.handover,
            event,
            input.cancellation(),
            output,
            input.is_stream(),
        );
        let ran = self.runtime.block_on(run);
        ran.map_err(|lost| lost.into_failure(&self.on_lost))
    }
}

#[cfg(test)]
mod tests;
