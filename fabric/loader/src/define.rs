//! Tells the monitor what a checked chain consists of, call by call, and seals it.

use super::definer::Definer;
use super::file::{ChainFile, FunctionFiles, SecretOrigin, SecretSource};
use super::gateway_memory::outbox_bytes;
use super::linked::{LIBRARY_PATH, LinkedFiles};
use super::placement::Seating;
use super::progress::{Steps, handing};
use super::tree::{Content, Tree, TreeError};
use hacher_chain_dsl::{
    Chain, Function, FunctionId, Ingress, Limits, Logs, Protection, Resource, Retry, Source, Target,
};
use hacher_libos_net::attach::{FunctionLimits, method, outbox_flag};
use hacher_libos_net::name::{Name, NameLength};
use hacher_trustlet_host::calls::{
    ANY_CPU, AwaitedSecret, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GATEWAY_PROCESS,
    GatewayDefinition, file_kind, protection, reading,
};
use hacher_trustlet_host::platform::SystemCalls;
use std::collections::BTreeMap;
use std::fs::File;
use std::mem::ManuallyDrop;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use zerocopy::IntoBytes;

/// Bytes of a chain digest.
pub const DIGEST_BYTES: usize = 48;
/// The gateway's function number, in every chain.
const GATEWAY_FUNCTION: u64 = 0;

const GATEWAY_THREADS: u32 = 4;

/// A call that the monitor refused, or that did not reach it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefineError {
    /// The monitor said no.
    #[error("the monitor refused {what}: {reason}")]
    Refused {
        /// What was asked.
        what: String,
        /// The monitor's words.
        reason: String,
    },
    /// A name is longer than the wire has room for.
    #[error("the name `{name}` is too long: {source}")]
    Name {
        /// The name.
        name: String,
        /// How long it may be.
        source: NameLength,
    },
    /// A file of a function is not what it was when it was looked at.
    #[error("{0}")]
    File(#[from] TreeError),
    /// The monitor's answer is not of the layout that was agreed.
    #[error("the monitor's answer to {0} has another layout than expected")]
    Layout(&'static str),
}

fn ask<D: Definer + ?Sized>(
    monitor: &mut D,
    what: impl Into<String>,
    call: Call,
    arguments: &[u64],
    operand: &[u8],
    files: Vec<OwnedFd>,
) -> Result<(u64, Vec<u8>), DefineError> {
    let what = what.into();
    let _going = handing(&what);
    monitor
        .call(call, arguments, operand, files)
        .map_err(|reason| DefineError::Refused { what, reason })
}

fn name(text: &str) -> Result<Name, DefineError> {
    Name::new(text).map_err(|source| DefineError::Name {
        name: text.to_owned(),
        source,
    })
}

fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a gateway is.
#[derive(Debug, Clone, Copy)]
pub struct GatewayKind<'a> {
    /// The name under which this executable, which is also the gateway's, takes its part.
    pub role: &'a str,
    /// Whether it serves one chain alone.
    pub own: bool,
    /// How it speaks TLS: a value of [`hacher_trustlet_host::calls::tls`].
    pub tls: u32,
    /// The core that it runs on; `None` for any.
    pub cpu: Option<u32>,
}

impl<'a> GatewayKind<'a> {
    /// One that is shared.
    #[must_use]
    pub const fn shared(role: &'a str, tls: u32, cpu: Option<u32>) -> Self {
        Self {
            role,
            own: false,
            tls,
            cpu,
        }
    }
}

/// Defines a gateway's process; its number.
///
/// # Errors
/// [`DefineError`].
pub fn define_gateway<D: Definer + ?Sized>(
    monitor: &mut D,
    executable: File,
    linked: LinkedFiles,
    kind: GatewayKind<'_>,
) -> Result<u64, DefineError> {
    let definition = GatewayDefinition {
        role: name(kind.role)?,
        memory_bytes: hacher_gateway::budget::MEMORY_BYTES,
        scratch_bytes: 0,
        cpu: kind.cpu.map_or(ANY_CPU, u64::from),
        threads: GATEWAY_THREADS,
        logs: 1,
        own: u32::from(kind.own),
        tls: kind.tls,
    };
    let (number, _) = ask(
        monitor,
        "the gateway",
        Call::SetGateway,
        &[],
        definition.as_bytes(),
        vec![executable.into()],
    )?;
    add_libraries(monitor, GATEWAY_PROCESS, number, "the gateway", linked)?;
    Ok(number)
}

fn add_libraries<D: Definer + ?Sized>(
    monitor: &mut D,
    chain: u64,
    function: u64,
    of: &str,
    linked: LinkedFiles,
) -> Result<(), DefineError> {
    for library in linked.files {
        // Written in the one way that the monitor takes: run paths may have doubled slashes.
        let path: PathBuf = library.path.components().collect();
        let path = path.to_string_lossy().into_owned();
        let arguments = [chain, function, u64::from(library.interpreter)];
        let what = format!("the library `{path}` of {of}");
        ask(
            monitor,
            what,
            Call::AddLibrary,
            &arguments,
            path.as_bytes(),
            vec![library.file.into()],
        )?;
    }
    Ok(())
}

/// A chain that was defined and sealed.
#[derive(Debug)]
pub struct Defined {
    /// Its digest.
    pub digest: [u8; DIGEST_BYTES],
    /// What it waits for.
    pub awaited: Vec<Awaited>,
}

/// A secret that a key broker has to release before its function starts.
#[derive(Debug)]
pub struct Awaited {
    /// The chain's number.
    pub chain: u64,
    /// The function's number in the chain.
    pub function: u64,
    /// The secret's number in the function.
    pub secret: u64,
    /// What people call it.
    pub name: String,
    /// What the broker calls it.
    pub resource: Resource,
}

/// Defines and seals a chain that this gateway serves.
///
/// # Errors
/// [`DefineError`]; the monitor then runs nothing of this chain.
pub fn define_chain<D: Definer + ?Sized>(
    monitor: &mut D,
    gateway: u64,
    file: &ChainFile,
    functions: Vec<FunctionFiles>,
    seating: &Seating,
) -> Result<Defined, DefineError> {
    let chain = file.chain();
    let definition = ChainDefinition {
        name: name(chain.name())?,
        version: name(chain.version())?,
        max_body_bytes: chain.ingress().max_body().bytes(),
        max_reply_bytes: chain.ingress().max_reply().bytes(),
        deadline_ns: nanoseconds(chain.ingress().deadline()),
        gateway_outbox_bytes: outbox_bytes(chain),
        in_flight: chain.ingress().in_flight(),
        protection: on_the_wire(chain.protection()),
    };
    let what = format!("the chain `{}`", chain.name());
    let (number, _) = ask(
        monitor,
        &*what,
        Call::BeginChain,
        &[gateway],
        definition.as_bytes(),
        Vec::new(),
    )?;
    define_requests(monitor, number, chain.ingress())?;
    let mut numbers = BTreeMap::new();
    let mut awaited = Vec::new();
    // As in the definer: what is left after a refusal is not closed.
    let mut functions = ManuallyDrop::new(functions.into_iter());
    for ((id, function), files) in chain.functions_with_ids().zip(functions.by_ref()) {
        let defined = define_function(monitor, number, chain, id, function, files, &mut awaited)?;
        numbers.insert(id, defined);
    }
    add_edges(monitor, number, chain, &numbers)?;
    place(monitor, number, chain, &numbers, seating)?;
    let (_, digest) = ask(monitor, what, Call::SealChain, &[number], &[], Vec::new())?;
    let digest = digest.as_slice().try_into();
    Ok(Defined {
        digest: digest.map_err(|_| DefineError::Layout("sealing"))?,
        awaited,
    })
}

/// Which requests the chain takes, where it takes others than every chain does.
fn define_requests<D: Definer + ?Sized>(
    monitor: &mut D,
    chain: u64,
    ingress: &Ingress,
) -> Result<(), DefineError> {
    let methods = ingress
        .methods()
        .names()
        .fold(0, |all, name| all | method::bit(name));
    let route = ingress.route().map_or("", |route| route.as_str());
    if methods != method::POST || !route.is_empty() {
        let (arguments, route) = ([chain, u64::from(methods)], route.as_bytes());
        let what = "the methods and the route of the chain";
        ask(monitor, what, Call::SetRequests, &arguments, route, Vec::new())?;
    }
    for header in ingress.headers() {
        let (what, operand) = (format!("the header `{header}`"), name(header)?);
        ask(
            monitor,
            what,
            Call::CarryHeader,
            &[chain],
            operand.as_bytes(),
            Vec::new(),
        )?;
    }
    Ok(())
}

fn define_function<D: Definer + ?Sized>(
    monitor: &mut D,
    chain_number: u64,
    chain: &Chain,
    id: FunctionId,
    function: &Function,
    files: FunctionFiles,
    awaited: &mut Vec<Awaited>,
) -> Result<u64, DefineError> {
    let definition = FunctionDefinition {
        name: name(function.name())?,
        limits: limits_on_the_wire(function.limits(), function.stream()),
    };
    let of = format!("function `{}`", function.name());
    let (number, _) = ask(
        monitor,
        &*of,
        Call::AddFunction,
        &[chain_number],
        definition.as_bytes(),
        vec![files.executable.into()],
    )?;
    let library_path = files.linked.library_path;
    add_libraries(monitor, chain_number, number, &of, files.linked)?;
    add_files(monitor, chain_number, number, &of, &files.trees)?;
    let calls = system_calls(function);
    if calls != SystemCalls::Native {
        let arguments = [chain_number, number, u64::from(calls.number())];
        let what = format!("the system calls of {of}");
        ask(monitor, what, Call::SetSystemCalls, &arguments, &[], Vec::new())?;
    }
    for argument in files.args.iter().chain(function.args()) {
        let what = format!("an argument of {of}");
        let operand = argument.as_bytes();
        let arguments = [chain_number, number];
        ask(monitor, what, Call::AddArgument, &arguments, operand, Vec::new())?;
    }
    add_environment(monitor, chain_number, number, function, &files.env, library_path)?;
    add_secrets(monitor, chain_number, number, &of, files.secrets, awaited)?;
    for port in ports_of(chain, id, function) {
        let what = format!("the port `{port}` of {of}");
        let operand = name(&port)?;
        ask(
            monitor,
            what,
            Call::AddPort,
            &[chain_number, number],
            operand.as_bytes(),
            Vec::new(),
        )?;
    }
    Ok(number)
}

/// In the monitor's terms.
fn system_calls(function: &Function) -> SystemCalls {
    match function.system_calls() {
        hacher_chain_dsl::SystemCalls::Native => SystemCalls::Native,
        hacher_chain_dsl::SystemCalls::Program => SystemCalls::Program { jit: function.jit() },
    }
}

fn add_files<D: Definer + ?Sized>(
    monitor: &mut D,
    chain: u64,
    function: u64,
    of: &str,
    trees: &[Tree],
) -> Result<(), DefineError> {
    let total = trees.iter().map(|tree| tree.entries().len()).sum();
    let mut steps = Steps::new(of, total);
    for tree in trees {
        for entry in tree.entries() {
            let place = tree.place_of(entry);
            let what = format!("the file `{place}` of {of}");
            let mut operand = place.into_bytes();
            let place_bytes = operand.len() as u64;
            let (kind, file) = match tree.content(entry)? {
                Content::Folder => (file_kind::FOLDER, None),
                Content::File(file) => (file_kind::FILE, Some(file)),
                Content::Link(target) => {
                    operand.extend_from_slice(target.as_bytes());
                    (file_kind::LINK, None)
                }
            };
            let arguments = [chain, function, kind, place_bytes];
            let file = file.into_iter().collect();
            ask(monitor, what, Call::AddFile, &arguments, &operand, file)?;
            steps.step();
        }
    }
    Ok(())
}

fn add_environment<D: Definer + ?Sized>(
    monitor: &mut D,
    chain_number: u64,
    number: u64,
    function: &Function,
    besides: &[(&'static str, String)],
    library_path: Option<&'static str>,
) -> Result<(), DefineError> {
    let of = format!("function `{}`", function.name());
    let given = function.env().iter().filter(|(key, _)| *key != LIBRARY_PATH);
    let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
    // What the chain file says itself counts.
    let besides = besides
        .iter()
        .filter(|(key, _)| !function.env().contains_key(*key));
    let given = given.chain(besides.map(|(key, value)| (*key, value.as_str())));
    for (key, value) in given.chain(library_path.map(|path| (LIBRARY_PATH, path))) {
        let operand = format!("{key}{value}");
        let arguments = [chain_number, number, key.len() as u64];
        let what = format!("the variable `{key}` of {of}");
        ask(
            monitor,
            what,
            Call::AddVariable,
            &arguments,
            operand.as_bytes(),
            Vec::new(),
        )?;
    }
    Ok(())
}

fn add_secrets<D: Definer + ?Sized>(
    monitor: &mut D,
    chain_number: u64,
    number: u64,
    of: &str,
    secrets: Vec<SecretSource>,
    awaited: &mut Vec<Awaited>,
) -> Result<(), DefineError> {
    for SecretSource {
        name: key,
        origin,
        trim,
    } in secrets
    {
        let what = format!("the secret `{key}` of {of}");
        let arguments = [chain_number, number, u64::from(trim)];
        match origin {
            SecretOrigin::File(file) => {
                let (operand, files) = (name(&key)?, vec![file.into()]);
                ask(
                    monitor,
                    what,
                    Call::AddSecret,
                    &arguments,
                    operand.as_bytes(),
                    files,
                )?;
            }
            SecretOrigin::Broker(resource) => {
                let operand = AwaitedSecret {
                    name: name(&key)?,
                    repository: name(&resource.repository)?,
                    kind: name(&resource.kind)?,
                    tag: name(&resource.tag)?,
                };
                let call = Call::AwaitSecret;
                let (secret, _) = ask(monitor, &*what, call, &arguments, operand.as_bytes(), Vec::new())?;
                awaited.push(Awaited {
                    chain: chain_number,
                    function: number,
                    secret,
                    name: what,
                    resource,
                });
            }
        }
    }
    Ok(())
}

/// What limits a function, in the monitor's terms.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a checked factor is between 1 and a few thousand"
)]
fn limits_on_the_wire(limits: &Limits, streams: bool) -> FunctionLimits {
    let Limits {
        memory,
        timeout,
        instances,
        retry,
        logs,
        outbox,
        huge_pages,
        prefault,
        scratch,
        threads,
    } = *limits;
    let Retry {
        attempts,
        backoff,
        factor,
        max,
        jitter,
    } = retry;
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    FunctionLimits {
        memory_bytes: memory.bytes(),
        scratch_bytes: scratch.bytes(),
        outbox_bytes: outbox.bytes(),
        timeout_ns: nanoseconds(timeout),
        retry_backoff_ns: nanoseconds(backoff),
        retry_max_ns: nanoseconds(max),
        retry_factor_milli: (factor * 1000.0).round() as u64,
        retry_attempts: attempts,
        retry_jitter: u32::from(jitter),
        instances,
        threads,
        logs: u32::from(logs == Logs::Forward),
        outbox_flags: flag(huge_pages, outbox_flag::HUGE_PAGES)
            | flag(prefault, outbox_flag::PREFAULT)
            | flag(streams, outbox_flag::STREAMS),
    }
}

/// The declared ports, and `error` if an edge starts there.
pub(super) fn ports_of(chain: &Chain, id: FunctionId, function: &Function) -> Vec<String> {
    let mut ports = function.ports().to_vec();
    let uses_error = chain.edges().iter().any(
        |edge| matches!(edge.from(), Source::Function(from, port) if from == id && port.index().is_none()),
    );
    if uses_error {
        ports.push("error".to_owned());
    }
    ports
}

fn add_edges<D: Definer + ?Sized>(
    monitor: &mut D,
    chain_number: u64,
    chain: &Chain,
    numbers: &BTreeMap<FunctionId, u64>,
) -> Result<(), DefineError> {
    // Groups count from 0 within each consumer.
    let mut groups_of: BTreeMap<u64, u64> = BTreeMap::new();
    for group in chain.groups() {
        let consumer = match group.to() {
            Target::Function(id) => numbers
                .get(&id)
                .copied()
                .ok_or(DefineError::Layout("a function"))?,
            _ => GATEWAY_FUNCTION,
        };
        let next = groups_of.entry(consumer).or_insert(0);
        let group_number = *next;
        *next += 1;
        for (member, edge) in group.edges().iter().filter_map(|id| chain.edge(*id)).enumerate() {
            let (producer, port) = match edge.from() {
                Source::Function(id, port) => {
                    let number = numbers
                        .get(&id)
                        .copied()
                        .ok_or(DefineError::Layout("a function"))?;
                    let declared = chain.function(id).map_or(0, |function| function.ports().len());
                    (number, port.index().unwrap_or(declared))
                }
                _ => (GATEWAY_FUNCTION, 0),
            };
            let arguments = [
                chain_number,
                producer,
                port as u64,
                consumer,
                group_number,
                member as u64,
            ];
            let definition = EdgeDefinition {
                protection: on_the_wire(edge.protection()),
                carrier: 0,
                reading: match edge.stream() {
                    None => reading::AS_FUNCTION,
                    Some(true) => reading::STREAM,
                    Some(false) => reading::WHOLE,
                },
            };
            let what = format!("the edge `{}`", chain.edge_name(edge));
            let operand = definition.as_bytes();
            ask(monitor, what, Call::AddEdge, &arguments, operand, Vec::new())?;
        }
    }
    Ok(())
}

fn on_the_wire(protection: Protection) -> u32 {
    match protection {
        Protection::Mapped => protection::MAPPED,
        _ => protection::SEALED,
    }
}

fn place<D: Definer + ?Sized>(
    monitor: &mut D,
    chain_number: u64,
    chain: &Chain,
    numbers: &BTreeMap<FunctionId, u64>,
    seating: &Seating,
) -> Result<(), DefineError> {
    let mut nth = 0;
    let mut seats = vec![(GATEWAY_FUNCTION, 0, seating.gateway)];
    for (id, function) in chain.functions_with_ids() {
        let Some(number) = numbers.get(&id) else { continue };
        for instance in 0..function.instances() {
            seats.push((*number, u64::from(instance), seating.of(nth)));
            nth += 1;
        }
    }
    for (function, instance, seat) in seats {
        let cpu = seat.cpu.map_or(ANY_CPU, u64::from);
        let waiting = u64::from(seat.waiting.word());
        let arguments = [chain_number, function, instance, cpu, seat.spin_ns, waiting];
        let call = Call::SetPlacement;
        ask(monitor, "a placement", call, &arguments, &[], Vec::new())?;
    }
    Ok(())
}
