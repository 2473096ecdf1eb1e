//! The life of a function's trustlet: attach, lock down, then one run after another until the monitor is
//! gone.
//!
//! ```text
//! take      a record from a ring (a join: one from each upstream function), opening it
//! run       the handler; its output is sealed and published when it returns (`attempt`)
//! settle    release the input, or keep it for another attempt, or tell the gateway that it failed
//! ```

use super::event_loop::Trustlet;
use crate::attach::assembly::Assembly;
use crate::attach::attachment::Attachment;
use crate::attach::channel::{AttachError, Channel};
use crate::attach::instruction::Instruction;
use crate::own_process::last_words;
use crate::own_process::refused_call;
use crate::own_process::{lock_down, take_channel};
use crate::sdk::environment::Environment;
use crate::sdk::failure::{Failure, with_causes};
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::sdk::secret::Secret;
use crate::sdk::start::Start;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// The exit code of a process whose initialisation failed (`EX_CONFIG` of sysexits.h).
pub const INITIALISATION_FAILED: u8 = 78;

/// Serves `handler` as the function of a chain: the `main` of a function's executable. Returns when the
/// monitor goes.
///
/// One run follows another, on one thread, so a handler may change what it has captured. What it has
/// half-changed when it panics, its next run finds so.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     hacher_libos_net::serve(|mut input, output| output.send(input.bytes()?))
/// }
/// ```
pub fn serve<H>(handler: H) -> ExitCode
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    serve_with(|_: &Start<'_>| Ok::<_, Failure>(handler))
}

/// Serves the handler that `initialise` makes, once in the life of each process: before anybody is told that
/// it serves, and after it has its secrets and is locked down. What it loads, all runs have.
///
/// If it fails, or panics, the error is printed with its causes, and the process exits with
/// [`INITIALISATION_FAILED`]; the service tries again, and gives up on a function that never served.
///
/// ```no_run
/// use hacher_libos_net::{Failure, Input, Output, Start, serve_with};
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     serve_with(|start: &Start<'_>| {
///         let words = std::fs::read_to_string("/words.txt")?; // `files` of the chain file
///         let salt = start.secret("SALT").ok_or("there is no secret SALT")?.to_vec();
///         let mut seen = 0_u64;
///         Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
///             move |mut input: Input<'_>, output: &mut Output<'_>| -> Result<(), Failure> {
///                 seen += 1;
///                 let body = input.bytes()?;
///                 let known = words.as_bytes().windows(body.len().max(1)).any(|part| part == body);
///                 output.send(format!("{seen} {known} {}", salt.len()).as_bytes())
///             },
///         )
///     })
/// }
/// ```
pub fn serve_with<H, E>(initialise: impl FnOnce(&Start<'_>) -> Result<H, E>) -> ExitCode
where
    H: FnMut(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let Some(channel) = take_channel() else {
        eprintln!(
            "this executable is a function of a Hacher chain: it runs inside a trustlet, which hacher-fabric \
             starts.\nName it as `exec` in a chain file, then: hacher-fabric run chain.toml --input FILE"
        );
        return ExitCode::from(2);
    };
    let channel = Channel::new(channel);
    let ready = attach(&channel).and_then(|attachment| {
        last_words::install(&attachment.own);
        let (place, secrets) = attachment.into_place();
        let handler = match initialised(initialise, &secrets) {
            Ok(handler) => handler,
            Err(error) => return Ok(Err(error)),
        };
        // Takes over from a predecessor before anybody is told that this process serves.
        let trustlet = Trustlet::new(handler, place, secrets);
        trustlet.place.set_serving();
        channel.say_ready()?;
        Ok(Ok(trustlet))
    });
    match ready {
        Ok(Ok(trustlet)) => trustlet.serve(),
        Ok(Err(error)) => {
            eprintln!("initialisation failed: {}", with_causes(&*error));
            ExitCode::from(INITIALISATION_FAILED)
        }
        // The monitor closes the channel when it no longer wants this trustlet.
        Err(AttachError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("could not attach to the chain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn initialised<H, E>(
    initialise: impl FnOnce(&Start<'_>) -> Result<H, E>,
    secrets: &[Secret],
) -> Result<H, Box<dyn Error + Send + Sync>>
where
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let start = Start::new(secrets, &Environment::OfProcess);
    // Unwind safety: the process ends after a panic.
    let made = catch_unwind(AssertUnwindSafe(|| initialise(&start)));
    // What the panic was about, its hook has printed.
    let made = made.map_err(|_| "it panicked")?;
    made.map_err(Into::into)
}

fn attach(channel: &Channel) -> Result<Attachment, AttachError> {
    let mut assembly = Assembly::default();
    loop {
        match assembly.feed(channel.receive()?)? {
            Some(Instruction::Lockdown(program)) => {
                refused_call::answer_all()?;
                lock_down(&program)?;
            }
            Some(Instruction::Attach(attachment)) => return Ok(*attachment),
            // What gateways are told.
            Some(_) | None => {}
        }
    }
}
