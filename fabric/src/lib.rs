//! The command `hacher-fabric`, and what it wires together.
//!
//! One executable, several processes. `hacher-fabric serve` becomes the monitor (crate
//! `hacher-trustlet-host`) and starts the same file again under other names: the [`loader`], which reads
//! chain files and ends; the [daemon](hacher_daemon), which watches; the [gateway](hacher_gateway), the
//! trustlet that speaks HTTP. Everything else is a [`command`].
//!
//! ```text
//! cli               what can be asked, and in which words; command, what is done then
//! loader            the process that has chains defined, with what `hacher-loader` makes of their files
//! build             the `build` commands of chain files
//! companion         the executables beside this one; gateway_program, which of them is the gateway, and
//!                   adaptor_program, which is the adaptor
//! admin_socket      a path where operators are answered
//! given, policy     what whoever verifies brings: files, and what they say
//! demands, verdict  what is demanded of evidence, and what came of it, in words
//! content_type      what a file probably holds
//! tree              a whole service, for commands that need one
//! key_broker        has secrets of functions released, for the loader
//! table, failed     how results are printed, and failures
//! ```
#![forbid(unsafe_code)]

pub mod adaptor_program;
pub mod admin_socket;
pub mod build;
pub mod cli;
pub mod command;
pub mod companion;
pub mod content_type;
pub mod demands;
pub mod failed;
pub mod gateway_program;
pub mod given;
pub mod key_broker;
pub mod loader;
pub mod policy;
pub mod table;
pub mod tree;
pub mod verdict;

pub use hacher_client::{http, multipart};

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use command::finish;
use failed::Failed;
use hacher_trustlet_host::scribe;
use std::io::Write;
use std::process::ExitCode;

/// Where the executable starts: by the name that it was started under.
#[must_use]
pub fn main() -> ExitCode {
    match std::env::args_os()
        .next()
        .and_then(|name| name.into_string().ok())
        .as_deref()
    {
        Some(hacher_gateway::ROLE) => hacher_gateway::main(),
        Some(hacher_daemon::settings::ROLE) => hacher_daemon::main(),
        Some(scribe::ROLE) => scribe::main(),
        Some("hacher-loader") => loader::main(),
        _ => match Cli::try_parse() {
            Ok(cli) => run_command(cli.command),
            Err(error) => explain_usage(&error),
        },
    }
}

/// Prints help, a version, or what is wrong with the arguments.
#[must_use]
pub fn explain_usage(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(failed::FAILED)),
        Err(unwritten) => finish(Err(Failed::unwritten("the terminal", &unwritten))),
    }
}

fn run_command(command: Command) -> ExitCode {
    finish(match command {
        Command::Run(arguments) => command::run::run(&arguments),
        Command::Serve(arguments) => match command::serve::serve(&arguments) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        Command::Check(arguments) => command::check::check(&arguments),
        Command::Graph(arguments) => command::graph::graph(&arguments),
        Command::New(arguments) => command::new::new(&arguments),
        Command::Schema => command::graph::schema(),
        Command::Call(arguments) => command::call::call(&arguments),
        Command::Evidence(arguments) => command::evidence::evidence(&arguments),
        Command::Status(arguments) => match command::status::status(&arguments) {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        Command::Traces(arguments) => command::traces::traces(&arguments),
        Command::Explain(arguments) => command::explain::explain(&arguments),
        Command::Measure(arguments) => command::measure::measure(&arguments),
        Command::Verify(arguments) => command::verify::verify(&arguments),
        Command::Doctor(arguments) => command::doctor::doctor(&arguments),
        // Whatever they are, they have been understood.
        Command::Bench(_) => become_bench("bench"),
        Command::Tcb(_) => become_bench("tcb"),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hacher-fabric", &mut script);
            command::print_bytes(&script)
        }
    })
}

fn become_bench(command: &str) -> Result<(), Failed> {
    command::bench::bench(command, std::env::args_os().skip(1)).map(|never| match never {})
}
