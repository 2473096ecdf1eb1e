//! The loader: a short-lived child of the monitor with the rights of whoever started the service. It reads
//! chain files, opens what they name, tells the monitor, and ends. So neither the monitor nor the daemon
//! parses a chain file with rights worth stealing: the one parses nothing, the other has none.

mod sockets;

use crate::adaptor_program::with_adaptor;
use crate::admin_socket;
use crate::build::build;
use crate::cli::{Cli, Command, RequireIsolation, ServeArgs};
use crate::command::serve::{check_admin_address, check_gateway_address};
use crate::command::{complain, finish, report_chain_error, stderr_has_colours};
use crate::failed::Failed;
use crate::gateway_program::GatewayProgram;
use crate::key_broker::{KeyBroker, release};
use clap::Parser;
use hacher_gateway::tls::material::Which;
use hacher_http::admin_address::AdminAddress;
use hacher_libos_net::process::take_channel;
use hacher_libos_net::share::fabric_bytes;
use hacher_loader::define::{GatewayKind, define_chain, define_gateway};
use hacher_loader::definer::Definer;
use hacher_loader::file::{ChainFile, Opened};
use hacher_loader::machine_memory::past_machine;
use hacher_loader::named::chain_files;
use hacher_loader::need;
use hacher_loader::own_gateway;
use hacher_loader::placement::{Front, Seating, seat_all, usable_cpus};
use hacher_loader::progress;
use hacher_loader::protection::in_words;
use hacher_loader::routes::overlaps;
use hacher_loader::share;
use hacher_loader::tls_source::Source;
use hacher_loader::together::{check_files, check_programs, check_sums, find_room_for_files, first_conflict};
use hacher_trustlet_host::calls::{Call, LayerEntry, MonitorEntry, tls};
use hacher_trustlet_host::chosen::doctor::huge_outboxes_missing_because;
use hacher_trustlet_host::chosen::headroom::shortfall;
use hacher_trustlet_host::client::MonitorClient;
use hacher_trustlet_host::lines;
use hacher_trustlet_host::socket_file::SocketFile;
use hacher_trustlet_host::tell;
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Resource, getrlimit};
use sockets::{Listening, Sockets};
use std::collections::VecDeque;
use std::mem::ManuallyDrop;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::time::Duration;
use zerocopy::FromBytes;

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
        tell!(Error: "this process is started by `hacher-fabric serve`");
        return ExitCode::from(2);
    };
    lines::begin(arguments.log_format.into(), "hacher-loader");
    let ours = channel.try_clone();
    progress::watch(move || {
        // This process may be kept from ending, and the monitor is not to wait for that.
        if let Ok(channel) = ours {
            let _ = shutdown(&channel, Shutdown::Both);
        }
    });
    finish(load(&arguments, &mut MonitorClient::new(channel)))
}

fn load(arguments: &ServeArgs, monitor: &mut MonitorClient) -> Result<(), Failed> {
    let mut sockets = SocketFiles::default();
    define_all(arguments, monitor, &mut sockets)?;
    // The monitor sees to them from here on.
    sockets.0.clear();
    Ok(())
}

/// Sockets that were made as files; removed when dropped.
#[derive(Default)]
struct SocketFiles(Vec<SocketFile>);

impl Drop for SocketFiles {
    fn drop(&mut self) {
        self.0.iter().for_each(SocketFile::remove);
    }
}

fn define_all(
    arguments: &ServeArgs,
    monitor: &mut MonitorClient,
    sockets: &mut SocketFiles,
) -> Result<(), Failed> {
    let is_isolated = check_isolation(arguments, monitor)?;
    let mut given = Sockets::given(monitor)?;
    let files = read_all(arguments, &given)?;
    warn_of_missing_pages(&files);
    if !is_isolated {
        warn_of_mapped(&files);
    }
    let broker = key_broker(arguments, &files)?;
    let mut fronts = Fronts::open(arguments, &files, &mut given)?;
    let mut admin = Vec::new();
    for address in &arguments.admin {
        admin.push(listen_admin(address, &mut given)?);
        if let AdminAddress::Path(path) = address {
            sockets.0.extend(SocketFile::at(path));
        }
    }
    given.none_is_left()?;
    let front = match arguments.stand_in {
        Some(_) => Front::Driver,
        None => Front::Http,
    };
    let chains: Vec<_> = files.iter().map(|(file, _)| file.chain()).collect();
    let seatings = seat_all(&chains, &usable_cpus(), front);
    // What is left when one is refused is not closed before that is said: its file system may make it wait.
    let mut files = ManuallyDrop::new(files.into_iter());
    let mut awaited = Vec::new();
    for ((file, opened), seating) in files.by_ref().zip(&seatings) {
        let gateway = fronts.gateway_of(monitor, &file, opened.tls.as_ref(), seating)?;
        let defined = define_chain(monitor, gateway, &file, opened.functions, seating)?;
        awaited.extend(defined.awaited);
    }
    for socket in admin {
        Definer::call(monitor, Call::SetAdmin, &[], &[], vec![socket]).map_err(Failed::new)?;
    }
    if let (Some(broker), false) = (broker, awaited.is_empty()) {
        let patience = Duration::from_secs(u64::from(arguments.start.start_timeout));
        release(&broker, monitor, &awaited, patience)?;
    }
    Ok(())
}

/// The broker that the chains' secrets are asked for of; refused here if they need one and there is none.
fn key_broker(arguments: &ServeArgs, files: &[(ChainFile, Opened)]) -> Result<Option<KeyBroker>, Failed> {
    let chains = files.iter().map(|(file, _)| file.chain());
    let mut secrets = chains.flat_map(|chain| {
        let functions = chain.functions().iter();
        functions.flat_map(|one| {
            one.secrets()
                .iter()
                .map(|(name, secret)| (one.name(), name, secret))
        })
    });
    let needed = secrets.find(|(_, _, secret)| secret.resource().is_some());
    match (&arguments.broker.kbs, needed) {
        (Some(url), _) => KeyBroker::new(url, arguments.broker.kbs_ca.as_deref()).map(Some),
        (None, None) => Ok(None),
        (None, Some((function, name, secret))) => Err(Failed::new(format!(
            "secret `{name}` of function `{function}` is `{secret}`, and there is no key broker: add --kbs URL"
        ))),
    }
}

/// Where chains are served: the sockets of their gateways, opened before anything is defined.
struct Fronts {
    program: GatewayProgram,
    /// For each chain in turn its own socket, unless the shared gateway serves it.
    own: VecDeque<Option<Listening>>,
    shared: Option<(Listening, Option<Source>)>,
    /// The shared gateway, once it is defined.
    shared_number: Option<u64>,
}

impl Fronts {
    fn open(
        arguments: &ServeArgs,
        files: &[(ChainFile, Opened)],
        given: &mut Sockets,
    ) -> Result<Self, Failed> {
        let own = files.iter().map(|(file, _)| {
            let chain = file.chain();
            let wanted = chain.ingress().listen().filter(|_| !arguments.ignore_listen);
            let who = || format!("`listen` of chain `{}`, {}", chain.name(), file.path().display());
            let open = |address| match given.of_chain(chain.name(), address) {
                Some(socket) => kept(socket, chain.ingress().tls().is_some(), chain.name()),
                None => listen(address, &who()).map(Listening::ours),
            };
            wanted.map(open).transpose()
        });
        let own = own.collect::<Result<VecDeque<_>, _>>()?;
        let shared = if own.iter().any(Option::is_none) {
            let tls = shared_tls(arguments)?;
            let listening = match given.of_gateway(arguments.shared_listen()) {
                Some(socket) => kept(socket, tls.is_some(), "gateway")?,
                None => Listening::ours(listen(arguments.shared_listen(), "--listen")?),
            };
            Some((listening, tls))
        } else {
            if arguments.listen.is_some() {
                tell!(Warning: "--listen is not opened: every chain has a `listen` of its own");
            }
            None
        };
        let program = match &arguments.stand_in {
            Some(path) => GatewayProgram::stand_in(path)?,
            None => GatewayProgram::find()?,
        };
        Ok(Self {
            program,
            own,
            shared,
            shared_number: None,
        })
    }

    /// The gateway that serves the next chain; defined if it is not yet.
    fn gateway_of(
        &mut self,
        monitor: &mut MonitorClient,
        file: &ChainFile,
        tls: Option<&Source>,
        seating: &Seating,
    ) -> Result<u64, Failed> {
        if let Some(socket) = self.own.pop_front().flatten() {
            let kind = own_gateway::kind(file.chain(), self.program.role, seating.gateway.cpu);
            return self.define(monitor, kind, socket, tls);
        }
        if let Some(number) = self.shared_number {
            return Ok(number);
        }
        let (socket, tls) = self.shared.take().ok_or_else(|| Failed::new("no gateway"))?;
        let mode = tls.as_ref().map_or(tls::NONE, Source::mode);
        // It is one process for many chains, and has the same core in each of them.
        let kind = GatewayKind::shared(self.program.role, mode, seating.gateway.cpu);
        let number = self.define(monitor, kind, socket, tls.as_ref())?;
        self.shared_number = Some(number);
        Ok(number)
    }

    /// Defines a gateway with its socket and its files.
    fn define(
        &self,
        monitor: &mut MonitorClient,
        kind: GatewayKind<'_>,
        Listening { socket, outlives }: Listening,
        tls: Option<&Source>,
    ) -> Result<u64, Failed> {
        let (executable, linked) = self.program.open_all()?;
        let gateway = define_gateway(monitor, executable, linked, kind)?;
        let files = tls.map(Source::sealed_copies).transpose()?.unwrap_or_default();
        for (which, (path, content)) in (0..).zip(files) {
            let operand = path.as_os_str().as_encoded_bytes();
            let arguments = [gateway, which];
            Definer::call(monitor, Call::SetTlsFile, &arguments, operand, vec![content])
                .map_err(Failed::new)?;
        }
        let address = socket.local_addr()?.to_string();
        let files = vec![socket.into()];
        let arguments = [gateway, u64::from(outlives)];
        Definer::call(monitor, Call::SetListener, &arguments, address.as_bytes(), files)
            .map_err(Failed::new)?;
        Ok(gateway)
    }
}

/// What the shared gateway speaks TLS with.
fn shared_tls(arguments: &ServeArgs) -> Result<Option<Source>, Failed> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let paths = [
        (Which::Certificate, certificate.clone()),
        (Which::Key, key.clone()),
    ];
    let source = Source::read(paths).map_err(|faults| {
        let lines = faults
            .iter()
            .map(|fault| format!("{}: {fault}", option_of(fault.which)));
        Failed::new(lines.collect::<Vec<_>>().join("\n"))
    })?;
    for (which, warning) in source.warnings() {
        tell!(
            Warning: "{} `{}`: {warning}",
            option_of(which),
            source.path(which).display()
        );
    }
    Ok(Some(source))
}

const fn option_of(which: Which) -> &'static str {
    match which {
        Which::Key => "--tls-key",
        _ => "--tls-cert",
    }
}

/// A mapped edge relies on isolation alone.
fn warn_of_mapped(files: &[(ChainFile, Opened)]) {
    for chain in files.iter().map(|(file, _)| file.chain()) {
        if let Some(mapped) = in_words(chain) {
            tell!(
                Warning: "chain `{}` has mapped edges ({mapped}), and nothing but isolation keeps their records from \
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
    tell!(Warning: "this machine lacks isolation layers: {missing}");
    Ok(false)
}

/// Says so where a chain asks for huge pages in vain: its records flow as well without.
fn warn_of_missing_pages(files: &[(ChainFile, Opened)]) {
    let mut functions = files.iter().flat_map(|(file, _)| file.chain().functions());
    if let Some(function) = functions.find(|function| function.huge_pages())
        && let Some(reason) = huge_outboxes_missing_because()
    {
        let name = function.name();
        tell!(Warning: "function `{name}` asks for huge pages and gets ordinary ones: {reason}");
    }
}

/// How often limits are looked at before they are too low, and how long to wait in between.
const LIMITS_LOOKED_AT_MAX: u32 = 5;
const LIMITS_LOOKED_AT_EVERY: Duration = Duration::from_millis(100);

/// The one that loads, and the one that watches it.
const LOADER_THREADS: u64 = 2;

/// Refuses what this machine's limits leave no room for, before anything of it is started.
fn check_limits(files: &[ChainFile]) -> Result<(), Failed> {
    let chains: Vec<_> = files.iter().map(ChainFile::chain).collect();
    let mut need = need::of_chains(&chains);
    // Monitor and scribe run already, and this process ends before the others start.
    need.processes = need
        .processes
        .saturating_sub(need::PROCESSES_AT_LOADING + LOADER_THREADS);
    // Processes that are ending count until they have been waited for, those among them that tried isolation.
    for _ in 1..LIMITS_LOOKED_AT_MAX {
        if shortfall(&need).is_none() {
            return Ok(());
        }
        std::thread::sleep(LIMITS_LOOKED_AT_EVERY);
    }
    shortfall(&need).map_or(Ok(()), |short| Err(Failed::new(short)))
}

/// Says so where a function gets less memory than its chain file says.
fn warn_of_little_memory(files: &[ChainFile]) {
    let limits = [(Resource::Data, "ulimit -d"), (Resource::As, "ulimit -v")];
    let tightest = limits
        .into_iter()
        .filter_map(|(resource, setting)| Some((getrlimit(resource).maximum?, setting)))
        .min();
    let Some((limit, setting)) = tightest else { return };
    for chain in files.iter().map(ChainFile::chain) {
        for (id, function) in chain.functions_with_ids() {
            let memory = function.memory().bytes();
            let needed = memory.saturating_add(fabric_bytes(share::of_function(chain, id)));
            if needed > limit {
                tell!(
                    Warning: "function `{}` has memory = \"{}\", and with what the fabric needs beside it {needed} bytes; on this \
                     machine it gets no more than {limit} ({setting})",
                    function.name(),
                    function.memory()
                );
            }
        }
    }
}

/// Reads, builds and opens all chain files; reports the problems of all of them.
fn read_all(arguments: &ServeArgs, given: &Sockets) -> Result<Vec<(ChainFile, Opened)>, Failed> {
    let format = arguments.format.format;
    let folders = arguments.secrets.folders()?;
    let mut files = Vec::new();
    let mut failed = None;
    for path in &chain_files(&arguments.chains)? {
        match ChainFile::read(path) {
            Ok(file) => files.push(file.within(&folders)),
            Err(error) => failed = Some(report_chain_error(&error, format)),
        }
    }
    if let Some(failed) = failed {
        return Err(failed);
    }
    let elsewhere = (!arguments.ignore_listen).then(|| given.elsewhere(arguments));
    if let Some((_, error)) = first_conflict(&files.iter().collect::<Vec<_>>(), elsewhere.as_ref()) {
        return Err(report_chain_error(&error, format));
    }
    let chains: Vec<_> = files.iter().map(ChainFile::chain).collect();
    check_sums(&chains).map_err(Failed::new)?;
    check_limits(&files)?;
    warn_of_little_memory(&files);
    find_room_for_files(files.iter().map(ChainFile::chain));
    let mut opened = Vec::new();
    for file in files {
        if arguments.build {
            build(&file)?;
        }
        let file = with_adaptor(file, arguments.build);
        let found = match arguments.ignore_listen {
            false => file.open_all(),
            true => file.open_functions().map(|functions| Opened {
                functions,
                tls: None,
                warnings: file.warnings().clone(),
            }),
        };
        match found {
            Ok(found) => opened.push((file, found)),
            Err(error) => failed = Some(report_chain_error(&error, format)),
        }
    }
    // Both count files too, so they come after these were looked at.
    let looked_at: Vec<_> = opened.iter().map(|(file, _)| file).collect();
    check_files(&looked_at).map_err(Failed::new)?;
    let chains: Vec<_> = looked_at.iter().map(|file| file.chain()).collect();
    check_programs(&chains).map_err(Failed::new)?;
    let mut together = overlaps(&looked_at);
    together.extend(past_machine(&looked_at));
    for (at, (_, found)) in opened.iter_mut().enumerate() {
        let of_this = together.iter().filter(|(place, _)| *place == at);
        let of_this: Vec<_> = of_this.map(|(_, warning)| warning.clone()).collect();
        if !of_this.is_empty() {
            found.warnings = found.warnings.with_more(of_this);
        }
        if !found.warnings.is_empty() {
            complain(&found.warnings.render(stderr_has_colours()))?;
        }
    }
    failed.map_or(Ok(opened), Err)
}

/// Connections that wait to be accepted, where the system allows as many: a burst of new ones must not wait
/// for a second SYN.
const BACKLOG: i32 = 4096;

/// A service manager's socket, which has to be where plain HTTP may be served if it has no TLS.
fn kept(socket: TcpListener, has_tls: bool, name: &str) -> Result<Listening, Failed> {
    check_gateway_address(socket.local_addr()?, has_tls, &format!("socket `{name}` at"))?;
    Ok(Listening {
        socket,
        outlives: true,
    })
}

/// Where operators are answered: the service manager's socket, or one of our own.
fn listen_admin(address: &AdminAddress, given: &mut Sockets) -> Result<OwnedFd, Failed> {
    match address {
        AdminAddress::Port(wanted) => {
            let Some(socket) = given.of_operators(*wanted) else {
                return listen(*wanted, "--admin").map(Into::into);
            };
            check_admin_address(socket.local_addr()?, "socket `admin` at")?;
            Ok(socket.into())
        }
        AdminAddress::Path(path) => admin_socket::listen(path)
            .map(Into::into)
            .map_err(|error| Failed::new(format!("cannot listen on {address} (--admin): {error}"))),
    }
}

fn listen(address: SocketAddr, option: &str) -> Result<TcpListener, Failed> {
    let listener = TcpListener::bind(address).and_then(|listener| {
        // The standard library has fewer wait. Listening again changes how many.
        rustix::net::listen(&listener, BACKLOG)?;
        Ok(listener)
    });
    listener.map_err(|error| Failed::new(format!("cannot listen on {address} ({option}): {error}")))
}
