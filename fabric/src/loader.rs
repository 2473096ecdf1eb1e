//! The loader: a short-lived child of the monitor with the rights of whoever started the service. It reads chain files,
//! opens what they name, tells the monitor, and ends. So neither the monitor nor the daemon parses a chain file with
//! rights worth stealing: the one parses nothing, the other has none.

use crate::bench::driver;
use crate::chain::build::build;
use crate::chain::define::{Definer, GatewayKind, define_chain, define_gateway};
use crate::chain::elf;
use crate::chain::file::{ChainFile, FunctionFiles};
use crate::chain::placement::{Front, seat_all, usable_cpus};
use crate::chain::protection::in_words;
use crate::cli::{Cli, Command, Format, RequireIsolation, ServeArgs};
use crate::command::{Failed, finish, report_chain_error, stderr_has_colours};
use crate::gateway;
use clap::Parser;
use hacher_libos_net::process::take_channel;
use hacher_trustlet_host::calls::{Call, LayerEntry, MonitorEntry, tls, tls_file};
use hacher_trustlet_host::client::{ClientError, MonitorClient};
use hacher_trustlet_host::process::doctor::huge_outboxes_missing_because;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use zerocopy::FromBytes;

impl Definer for MonitorClient {
    fn call(
        &mut self,
        call: Call,
        arguments: &[u64],
        operand: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(u64, Vec<u8>), String> {
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let answer = Self::call(self, call, arguments, operand, &files).map_err(|error| match error {
            ClientError::Refused { text, .. } => text,
            other => other.to_string(),
        })?;
        Ok((answer.values[0], answer.operand))
    }
}

/// The loader's life. Started by the monitor with the arguments of `serve`.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let parsed = Cli::try_parse_from(core::iter::once("hacher-fabric".into()).chain(arguments));
    let (
        Ok(Cli {
            command: Command::Serve(arguments),
        }),
        Some(channel),
    ) = (parsed, take_channel())
    else {
        tell!("hacher-loader: this process is started by `hacher-fabric serve`");
        return ExitCode::from(2);
    };
    finish(load(&arguments, &mut MonitorClient::new(channel)))
}

fn load(arguments: &ServeArgs, monitor: &mut MonitorClient) -> Result<(), Failed> {
    let is_isolated = check_isolation(arguments, monitor)?;
    let files = read_all(&arguments.chains, arguments.build, arguments.format.format)?;
    warn_of_missing_pages(&files);
    if !is_isolated {
        warn_of_mapped(&files);
    }
    let listener = listen(arguments.listen, "--listen")?;
    let admin = listen(arguments.admin, "--admin")?;
    let (executable, linked) = own_executable()?;
    let (role, front) = if arguments.bench_driver {
        (driver::ROLE, Front::Driver)
    } else {
        (gateway::ROLE, Front::Http)
    };
    let chains: Vec<_> = files.iter().map(|(file, _)| file.chain()).collect();
    let seatings = seat_all(&chains, &usable_cpus(), front);
    // It is one process for all chains, and has the same core in each of them.
    let gateway_cpu = seatings.first().and_then(|seating| seating.gateway.cpu);
    let tls = if arguments.tls_cert.is_some() {
        tls::SERVER
    } else {
        tls::NONE
    };
    let kind = GatewayKind::shared(role, tls, gateway_cpu);
    let gateway = define_gateway(monitor, executable, linked, kind)?;
    for ((file, functions), seating) in files.into_iter().zip(&seatings) {
        define_chain(monitor, gateway, &file, functions, seating)?;
    }
    set_listener(arguments, monitor, gateway, listener)?;
    Definer::call(monitor, Call::SetAdmin, &[], &[], vec![admin.into()]).map_err(Failed::new)?;
    Ok(())
}

/// This executable, which is also the gateway's.
///
/// # Errors
/// When it cannot be read.
pub fn own_executable() -> Result<(File, Vec<elf::Linked>), Failed> {
    let path = Path::new("/proc/self/exe");
    let executable = File::open(path)?;
    let linked = elf::linked(&executable, path)?;
    Ok((executable, linked))
}

/// A mapped edge relies on isolation alone.
fn warn_of_mapped(files: &[(ChainFile, Vec<FunctionFiles>)]) {
    for chain in files.iter().map(|(file, _)| file.chain()) {
        if let Some(mapped) = in_words(chain) {
            tell!(
                "warning: chain `{}` has mapped edges ({mapped}), and nothing but isolation keeps their records from \
                 others; on this machine prefer protection = \"sealed\"",
                chain.name()
            );
        }
    }
}

/// Whether every layer of isolation is there.
fn check_isolation(arguments: &ServeArgs, monitor: &mut MonitorClient) -> Result<bool, Failed> {
    let (_, answer) =
        Definer::call(monitor, Call::QueryMonitor, &[], &[], Vec::new()).map_err(Failed::new)?;
    let (monitor_entry, _) = MonitorEntry::read_from_prefix(&answer)
        .map_err(|_| Failed::new("the monitor's answer has another layout"))?;
    let mut missing = Vec::new();
    for layer in 0..u64::from(monitor_entry.layer_count) {
        let (_, answer) =
            Definer::call(monitor, Call::QueryLayer, &[layer], &[], Vec::new()).map_err(Failed::new)?;
        let Ok((layer, reason)) = LayerEntry::read_from_prefix(&answer) else {
            continue;
        };
        if layer.enforced == 0 {
            missing.push(format!("{} ({})", layer.name, String::from_utf8_lossy(reason)));
        }
    }
    if missing.is_empty() {
        return Ok(true);
    }
    let missing = missing.join(", ");
    if arguments.isolation.require_isolation == RequireIsolation::Full {
        return Err(Failed::new(format!(
            "--require-isolation full: this machine lacks {missing}; `hacher-fabric doctor` says more"
        )));
    }
    tell!("warning: this machine lacks isolation layers: {missing}");
    Ok(false)
}

/// Says so where a chain asks for huge pages in vain: its records flow as well without.
fn warn_of_missing_pages(files: &[(ChainFile, Vec<FunctionFiles>)]) {
    let mut functions = files.iter().flat_map(|(file, _)| file.chain().functions());
    if let Some(function) = functions.find(|function| function.huge_pages())
        && let Some(reason) = huge_outboxes_missing_because()
    {
        let name = function.name();
        tell!("warning: function `{name}` asks for huge pages and gets ordinary ones: {reason}");
    }
}

/// Reads, builds and opens all chain files; reports the problems of all of them.
fn read_all(
    paths: &[std::path::PathBuf],
    with_build: bool,
    format: Format,
) -> Result<Vec<(ChainFile, Vec<FunctionFiles>)>, Failed> {
    let mut files = Vec::new();
    let mut failed = None;
    for path in paths {
        match ChainFile::read(path) {
            Ok(file) => files.push(file),
            Err(error) => failed = Some(report_chain_error(&error, format)),
        }
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    let mut opened = Vec::new();
    for file in files {
        if !file.warnings().is_empty() {
            eprint!("{}", file.warnings().render(stderr_has_colours()));
        }
        if with_build {
            build(&file)?;
        }
        match file.open_functions() {
            Ok(functions) => opened.push((file, functions)),
            Err(error) => failed = Some(report_chain_error(&error, format)),
        }
    }
    failed.map_or(Ok(opened), Err)
}

fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, Failed> {
    TcpListener::bind(address)
        .map_err(|error| Failed::new(format!("cannot listen on {address} ({option}): {error}")))
}

fn set_listener(
    arguments: &ServeArgs,
    monitor: &mut MonitorClient,
    gateway: u64,
    listener: TcpListener,
) -> Result<(), Failed> {
    let address = listener.local_addr()?.to_string();
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        for (which, path) in [(tls_file::CERTIFICATE, certificate), (tls_file::KEY, key)] {
            let file = File::open(path)
                .map_err(|error| Failed::new(format!("cannot read `{}`: {error}", path.display())))?;
            let path = std::path::absolute(path)?;
            let operand = path.as_os_str().as_encoded_bytes();
            let arguments = [gateway, which];
            Definer::call(monitor, Call::SetTlsFile, &arguments, operand, vec![file.into()])
                .map_err(Failed::new)?;
        }
    }
    let files = vec![listener.into()];
    Definer::call(monitor, Call::SetListener, &[gateway], address.as_bytes(), files).map_err(Failed::new)?;
    Ok(())
}
