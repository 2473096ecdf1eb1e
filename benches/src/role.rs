//! The processes of a run: this executable again, under the name of what it is to be.

#[cfg(feature = "peers")]
use super::peers;
use super::{baseline, driver, floor, peer, python, step};
use hacher_fabric::command::finish;
use hacher_fabric::failed::Failed;
use hacher_fabric::gateway_program::STAND_IN;
use std::process::ExitCode;

/// Plays the role that this process was started in, to its end; `None` if it was started as the command.
#[must_use]
pub fn played() -> Option<ExitCode> {
    let name = std::env::args_os().next()?;
    Some(match name.to_str()? {
        STAND_IN => driver::main(),
        peer::ROLE => finish(part()),
        #[cfg(feature = "peers")]
        peers::iceoryx::ROLE => finish(peers::iceoryx::peer()),
        #[cfg(feature = "peers")]
        peers::nats::ROLE => finish(peers::nats::peer()),
        name if name.starts_with(step::ROLE) => step::main(),
        _ => return None,
    })
}

/// The part of a floor or of a baseline.
fn part() -> Result<(), Failed> {
    match peer::arrive()?.as_str() {
        floor::spin::PART => floor::spin::peer(),
        floor::wake::PART => floor::wake::peer(),
        baseline::unix::PART => baseline::unix::peer(),
        baseline::server::PART => baseline::server::peer(),
        python::over_https::PART => python::over_https::peer(),
        part => Err(Failed::new(format!("there is no part {part:?}"))),
    }
}
