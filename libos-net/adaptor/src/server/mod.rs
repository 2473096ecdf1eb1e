//! A guest that serves HTTP: a record becomes a request, and its answer the record that goes on.

mod connection;
mod exchange;
mod ready;
mod target;

use crate::arguments::{HttpOptions, Program};
use crate::guest::Guest;
use connection::Connection;
use exchange::exchange;
use hacher::{BoxError, Failure, Handler, Input, Output};
use std::time::Duration;
use target::Target;
use tokio::runtime::{Builder, Runtime};

const JOINED: Failure = Failure::permanent(
    "a program that serves HTTP takes one record: a function before it has to put joined ones together",
);

/// The function that hands records to a server.
pub struct ServerFunction {
    runtime: Runtime,
    target: Target,
    /// Kept alive between two runs.
    connection: Option<Connection>,
    /// Called when a connection is lost; does not return if the guest has ended.
    on_lost: Box<dyn Fn()>,
}

impl core::fmt::Debug for ServerFunction {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("ServerFunction")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl ServerFunction {
    /// Starts the program, and returns when it is ready.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is not ready within `within`: with what was tried last.
    pub fn start(program: &Program, options: &HttpOptions, within: Duration) -> Result<Self, BoxError> {
        let guest = Guest::start(program, &[], None)?;
        let mut made = Self::to(options, Box::new(|| {}))?;
        made.runtime.block_on(ready::wait(
            &made.target,
            options.ready.as_deref(),
            within,
            &guest,
        ))?;
        guest.set_serving().map_err(|end| format!("the program {end}"))?;
        made.on_lost = Box::new(move || guest.end_if_it_ends());
        Ok(made)
    }

    /// The function of a server that is there.
    fn to(options: &HttpOptions, on_lost: Box<dyn Fn()>) -> Result<Self, BoxError> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
            target: Target::new(options),
            connection: None,
            on_lost,
        })
    }
}

impl Handler for ServerFunction {
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        if input.is_join() {
            return Err(JOINED);
        }
        let ran = self
            .runtime
            .block_on(exchange(&self.target, &mut self.connection, input, output));
        ran.map_err(|lost| lost.into_failure(&self.on_lost))
    }
}

#[cfg(test)]
mod tests;
