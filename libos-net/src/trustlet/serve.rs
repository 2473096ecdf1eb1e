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
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use std::process::ExitCode;

/// Serves `handler` as the function of a chain: the `main` of a function's executable. Returns when the
/// monitor goes.
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
    H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
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
        // Takes over from a predecessor before anybody is told that this process serves.
        let (place, secrets) = attachment.into_place();
        let trustlet = Trustlet::new(handler, place, secrets);
        trustlet.place.set_serving();
        channel.say_ready()?;
        Ok(trustlet)
    });
    match ready {
        Ok(trustlet) => trustlet.serve(),
        // The monitor closes the channel when it no longer wants this trustlet.
        Err(AttachError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("could not attach to the chain: {error}");
            ExitCode::FAILURE
        }
    }
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
