//! The daemon: the unprivileged process that starts trustlets, replaces those that die or overrun, forwards
//! the logs that a chain file allows, and answers operators. It sees tables and telemetry; never plaintext,
//! never a key. When it is killed, records keep flowing; its successor reads the monitor's tables and goes
//! on.
//!
//! ```text
//! settings       what the command line says that concerns the daemon; collector, where traces are sent to
//! read           the monitor's tables, and what comes with them
//! tables         what is known: chains, instances, gateways
//! history        what became of the processes of an instance; life, when the next one is created
//! supervise      the loop: create what is absent, replace what dies
//! bell           what ends its sleep while requests are in flight
//! runs           which runs have to be ended
//! start          what is said while functions start; announcement, when all serve
//! readiness      which chains are ready, as far as others have been told
//! refused        system calls that functions were refused
//! logs           what functions print
//! admin          what operators ask: status, traces, metrics; filter, of what; memory, when it was asked for
//! tracing        spans of requests, for a collector of traces
//! stop           why the daemon stops
//! hostile        what a fuzzer reaches of these
//! ```
#![forbid(unsafe_code)]

mod admin;
mod announcement;
mod bell;
pub mod collector;
mod filter;
mod history;
pub mod hostile;
mod life;
mod logs;
mod memory;
mod metrics;
mod printed_level;
mod read;
mod readiness;
mod refused;
mod runs;
pub mod settings;
mod start;
mod status;
mod stop;
mod supervise;
mod tables;
mod traces;
mod tracing;

use hacher_libos_net::process::take_channel;
use hacher_trustlet_host::client::MonitorClient;
use hacher_trustlet_host::service::EXIT_CANNOT_START;
use hacher_trustlet_host::{lines, tell};
use logs::Logs;
use memory::MemoryQuestion;
use settings::{ROLE, Settings};
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use stop::Stop;
use supervise::{Known, Supervisor};
use tokio::task::{LocalSet, spawn_local};
use tracing::Tracer;

/// The daemon's life. Started by the monitor, with the call socket as its only channel.
#[must_use]
pub fn main() -> ExitCode {
    let settings = Settings::from_arguments(std::env::args().skip(1));
    lines::begin(settings.log_format, ROLE);
    let Some(channel) = take_channel() else {
        tell!(Error: "this process is started by `hacher-fabric serve`");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, daemon(channel, settings)),
        Err(error) => Err(Stop::Error(error.to_string())),
    };
    match result {
        // Without its monitor, everything has ended.
        Ok(()) | Err(Stop::MonitorGone) => ExitCode::SUCCESS,
        Err(Stop::CannotStart(reason)) => {
            tell!(Error: "{reason}");
            ExitCode::from(EXIT_CANNOT_START)
        }
        Err(Stop::Error(error)) => {
            tell!(Error: "the daemon: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves operators and supervises instances until the monitor ends it.
async fn daemon(channel: OwnedFd, settings: Settings) -> Result<(), Stop> {
    let own = metrics::install();
    let mut client = MonitorClient::new(channel);
    let (tables, extras) = read::all(&mut client)?;
    let tables = Rc::new(RefCell::new(tables));
    let memory = Rc::new(MemoryQuestion::default());
    let mut admin_addresses = Vec::new();
    for socket in extras.admin {
        let listener = admin::Listener::new(socket)?;
        admin_addresses.push(listener.address());
        let served = admin::serve(listener, Rc::clone(&tables), own.clone(), Rc::clone(&memory));
        spawn_local(served);
    }
    let collector = settings.collector.clone();
    let tracer = collector.map(|url| Tracer::begin(url, &tables));
    let mut logs = Logs::new(Rc::clone(&tables), tracer.clone());
    for (printer, pipe) in extras.logs {
        logs.forward(printer, pipe);
    }
    let known = Known {
        tables,
        memory,
        tracer,
    };
    let mut supervisor = Supervisor::new(client, known, logs, settings, admin_addresses, extras.loaded);
    let result = supervisor.run(extras.bell).await;
    supervisor.finish().await;
    result
}
