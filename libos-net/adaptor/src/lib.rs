//! Functions that are programs which know nothing of chains: servers of HTTP, and Lambda handlers.
//!
//! The adaptor is the function. It is process 1 of its trustlet, holds the keys, and starts the *guest*, the
//! program, as a child by fork and exec, so nothing that the adaptor knows is in the guest's memory. Both share
//! the trustlet's own empty network, over which records go to the guest and come back:
//!
//! ```text
//!   ring --- sealed ---> adaptor --- 127.0.0.1 ---> guest
//!   ring <-- sealed ---- adaptor <-- 127.0.0.1 ---- guest
//! ```
//!
//! All input from the guest is hostile: it is bounded, and a fault in it fails the run and never panics.

#![forbid(unsafe_code)]

pub mod arguments;
pub mod guest;
pub mod lambda;
mod lost;
mod reason;
mod reply;
pub mod server;

use arguments::{Arguments, Way};
use hacher::{BoxError, Failure, Handler, Input, Output};
use lambda::LambdaFunction;
use server::ServerFunction;
use std::ffi::OsString;
use std::process::ExitCode;

/// The `main` of `hacher-adaptor`: serves the function that the arguments describe.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    if words.first().is_some_and(|word| word == "--help" || word == "-h") {
        println!("{}", arguments::USAGE);
        return ExitCode::SUCCESS;
    }
    hacher::serve_with(|_| Function::start(words))
}

/// The function, by how records reach its program.
enum Function {
    Server(ServerFunction),
    Lambda(LambdaFunction),
}

impl Function {
    fn start(words: Vec<OsString>) -> Result<Self, BoxError> {
        let Arguments {
            way,
            program,
            start_within,
        } = Arguments::parse(words)?;
        match way {
            Way::Http(options) => ServerFunction::start(&program, &options, start_within).map(Self::Server),
            Way::Lambda(options) => LambdaFunction::start(&program, &options, start_within).map(Self::Lambda),
        }
    }
}

impl Handler for Function {
    fn handle(&mut self, input: Input<'_>, output: &mut Output<'_>) -> Result<(), Failure> {
        match self {
            Self::Server(server) => server.handle(input, output),
            Self::Lambda(lambda) => lambda.handle(input, output),
        }
    }
}
