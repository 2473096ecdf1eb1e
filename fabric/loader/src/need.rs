//! What the processes of chains need of this machine's limits, before any of them is started.
//!
//! An estimate from above where a chain file cannot say more: which libraries an executable links is seen
//! later.

use super::gateway_memory::{Exchange, least_memory_bytes, outbox_bytes};
use super::protection::is_mapped;
use super::python::PLACES_MAX;
use hacher_chain_dsl::{ByteSize, Chain, Edge, Function, Program, Source, SystemCalls, Target};
use hacher_trustlet_host::chosen::headroom::{Need, start_memory_bytes};

/// Open files of a monitor besides those of instances and programs: standard ones, event loop, signals, the
/// loader's and the daemon's sockets and pidfds and pipes, listening sockets, certificates; and what starting
/// a process takes for a moment.
const MONITOR_OPEN_FILES: u64 = 32;
/// An instance's regions, each to write and to read, both ends of its doorbell, channel, pidfd and log.
const OPEN_FILES_OF_INSTANCE: u64 = 9;
/// By what the monitor hears of calls that are refused to an instance with programs.
const OPEN_FILES_OF_REFUSALS: u64 = 1;
/// A mapped ring's region, to write and to read.
const OPEN_FILES_OF_MAPPED_RING: u64 = 2;
/// The sealed copy of an executable.
const OPEN_FILES_OF_PROGRAM: u64 = 1;
/// A file or folder that lies on the shelf under a place of its own.
const OPEN_FILES_OF_FILE: u64 = 1;
/// Libraries that all programs of one C library share, and the executable of this command.
const SHARED_LIBRARIES: u64 = 6;
/// The monitor, and the scribe with its two threads.
pub const PROCESSES_AT_LOADING: u64 = 3;
/// These, and the daemon.
const PROCESSES_BESIDES_TRUSTLETS: u64 = PROCESSES_AT_LOADING + 1;
/// Daemon and scribe.
const JAILS_BESIDES_TRUSTLETS: u64 = 2;
/// A gateway's channel, pidfd and log, its listening socket, and three TLS files.
const OPEN_FILES_OF_GATEWAY: u64 = 8;
/// Address space of a small program with its libraries, and private memory of one that does nothing yet.
const PROGRAM_ADDRESS_BYTES: u64 = 32 << 20;
const PROGRAM_DATA_BYTES: u64 = 4 << 20;
/// Memory of a trustlet or the daemon that does nothing yet: its tables in the kernel, and pages that it has
/// touched.
const PROCESS_MEMORY_BYTES: u64 = 6 << 20;
/// Mappings of a program with its libraries, stacks and heaps; and of one ring at either end.
const PROGRAM_MAPPINGS: u64 = 256;

/// What `chains` need together.
#[must_use]
pub fn of_chains(chains: &[&Chain]) -> Need {
    let whose = match chains {
        [chain] => format!("the chain `{}`", chain.name()),
        chains => format!("serving these {} chains", chains.len()),
    };
    let least = Need::to_start();
    let totals: Vec<Totals> = chains.iter().map(|chain| Totals::of(chain)).collect();
    let sum = |part: fn(&Totals) -> u64| totals.iter().map(part).fold(0, u64::saturating_add);
    let most = |part: fn(&Totals) -> u64| totals.iter().map(part).max().unwrap_or(0);
    let instances = sum(|totals| totals.instances);
    let own_gateways = chains
        .iter()
        .filter(|chain| chain.ingress().listen().is_some())
        .count();
    // One for all chains that have none of their own.
    let gateways = own_gateways as u64 + u64::from(own_gateways < chains.len());
    let gateway_bytes = gateway_memory_bytes(chains);
    let open_files = MONITOR_OPEN_FILES
        + OPEN_FILES_OF_GATEWAY * own_gateways as u64
        + SHARED_LIBRARIES
        // The gateway has regions in each chain.
        + OPEN_FILES_OF_INSTANCE * (instances + chains.len() as u64)
        + OPEN_FILES_OF_REFUSALS * sum(|totals| totals.with_programs)
        + OPEN_FILES_OF_PROGRAM * (sum(|totals| totals.programs) + 1)
        + OPEN_FILES_OF_FILE * sum(|totals| totals.files)
        + OPEN_FILES_OF_MAPPED_RING * sum(|totals| totals.mapped_rings)
        + 2 * sum(|totals| totals.gateway_rings).max(most(|totals| totals.rings_of_one));
    Need {
        whose,
        open_files: open_files.max(least.open_files),
        processes: instances + gateways + PROCESSES_BESIDES_TRUSTLETS,
        jails: instances + gateways + JAILS_BESIDES_TRUSTLETS,
        file_bytes: most(|totals| totals.region_bytes).max(least.file_bytes),
        address_bytes: (PROGRAM_ADDRESS_BYTES
            + (sum(|totals| totals.gateway_address_bytes) + gateway_bytes)
                .max(most(|totals| totals.address_bytes)))
        .max(least.address_bytes),
        data_bytes: PROGRAM_DATA_BYTES.max(least.data_bytes).max(gateway_bytes),
        memory_bytes: start_memory_bytes() + PROCESS_MEMORY_BYTES * (instances + gateways + 1),
        mappings: PROGRAM_MAPPINGS
            + 3 * sum(|totals| totals.gateway_rings).max(most(|totals| totals.rings_of_one)),
    }
}

/// Memory of the gateway that needs most, at least.
fn gateway_memory_bytes(chains: &[&Chain]) -> u64 {
    let exchange = |chain: &&Chain| Exchange::of(chain);
    let (own, shared): (Vec<&Chain>, Vec<&Chain>) = chains
        .iter()
        .partition(|chain| chain.ingress().listen().is_some());
    let own = own
        .iter()
        .map(|chain| least_memory_bytes([exchange(chain)]))
        .max();
    own.unwrap_or(0)
        .max(least_memory_bytes(shared.iter().map(exchange)))
}

/// What `doctor` looks for where no chain is named: a chain of one function.
#[must_use]
pub fn of_a_small_chain() -> Need {
    let outbox_bytes = 64 << 20;
    let body = ByteSize::new(32 << 20);
    let exchange = Exchange {
        max_body: body,
        max_reply: body,
        reply_parts: 1,
    };
    let gateway_bytes = least_memory_bytes([exchange]);
    let least = Need::to_start();
    Need {
        whose: "a chain of one function".to_owned(),
        open_files: MONITOR_OPEN_FILES
            + SHARED_LIBRARIES
            + 2 * (OPEN_FILES_OF_INSTANCE + OPEN_FILES_OF_PROGRAM),
        processes: 2 + PROCESSES_BESIDES_TRUSTLETS,
        jails: 2 + JAILS_BESIDES_TRUSTLETS,
        file_bytes: least.file_bytes.max(outbox_bytes + REGION_EXTRA_BYTES),
        address_bytes: least
            .address_bytes
            .max(PROGRAM_ADDRESS_BYTES + 2 * (outbox_bytes + REGION_EXTRA_BYTES) + gateway_bytes),
        data_bytes: least.data_bytes.max(gateway_bytes),
        memory_bytes: start_memory_bytes() + 3 * PROCESS_MEMORY_BYTES,
        mappings: PROGRAM_MAPPINGS,
    }
}

/// What a region of an outbox holds besides segments: rings and its head. A sixteenth and a megabyte are
/// above what any layout takes; see [`region_bytes`].
const REGION_EXTRA_BYTES: u64 = 8 << 20;

/// An outbox with its rings, from above.
const fn region_bytes(outbox_bytes: u64) -> u64 {
    outbox_bytes + outbox_bytes / 16 + REGION_EXTRA_BYTES
}

/// The figures of one chain.
struct Totals {
    instances: u64,
    /// Those that may start programs.
    with_programs: u64,
    /// Executables with different paths.
    programs: u64,
    /// Files and folders that functions are given.
    files: u64,
    mapped_rings: u64,
    /// Rings that the gateway reads or writes.
    gateway_rings: u64,
    /// Rings of the function instance that has most.
    rings_of_one: u64,
    /// The longest region.
    region_bytes: u64,
    gateway_address_bytes: u64,
    /// Of the function instance that maps most.
    address_bytes: u64,
}

/// The executable of a function, or what chooses its interpreter.
fn executable_of(function: &Function) -> &str {
    match function.program() {
        Program::Python(python) => {
            let interpreter = python.interpreter();
            interpreter.path().or(interpreter.venv()).unwrap_or_default()
        }
        // The adaptor, for all of them.
        Program::Guest(_) => "",
        _ => function.exec().unwrap_or_default(),
    }
}

/// Places that a function takes beside those of its `files`.
fn places_of(function: &Function) -> u64 {
    let program = u64::from(function.guest().is_some());
    program + function.interpreter().map_or(0, |_| PLACES_MAX)
}

impl Totals {
    fn of(chain: &Chain) -> Self {
        let mut programs: Vec<&str> = chain.functions().iter().map(executable_of).collect();
        programs.sort_unstable();
        programs.dedup();
        let rings = |edge: &Edge| instances_of(chain, edge.from()) * instances_at(chain, edge.to());
        let mut totals = Self {
            instances: chain
                .functions()
                .iter()
                .map(|function| u64::from(function.instances()))
                .sum(),
            with_programs: chain
                .functions()
                .iter()
                .filter(|function| function.system_calls() == SystemCalls::Program)
                .map(|function| u64::from(function.instances()))
                .sum(),
            programs: programs.len() as u64,
            files: chain
                .functions()
                .iter()
                .map(|function| function.files().len() as u64 + places_of(function))
                .sum(),
            mapped_rings: chain
                .edges()
                .iter()
                .filter(|edge| is_mapped(edge))
                .map(rings)
                .sum(),
            gateway_rings: 0,
            rings_of_one: 0,
            region_bytes: region_bytes(outbox_bytes(chain)),
            gateway_address_bytes: region_bytes(outbox_bytes(chain)),
            address_bytes: 0,
        };
        // Each function has a ring of faults to the gateway.
        totals.gateway_rings = totals.instances;
        for edge in chain.edges() {
            match (edge.from(), edge.to()) {
                (Source::Function(..), Target::Function(_)) => {}
                _ => totals.gateway_rings += rings(edge),
            }
            if edge.to() == Target::Egress {
                totals.gateway_address_bytes += outboxes(chain, edge.from());
            }
        }
        for (id, function) in chain.functions_with_ids() {
            let own = region_bytes(function.outbox().bytes());
            let (mut rings_of_one, mut address_bytes) = (1, own);
            for edge in chain.edges() {
                if edge.to() == Target::Function(id) {
                    rings_of_one += instances_of(chain, edge.from());
                    address_bytes += outboxes(chain, edge.from());
                }
                if matches!(edge.from(), Source::Function(from, _) if from == id) {
                    let readers = instances_at(chain, edge.to());
                    rings_of_one += readers;
                    address_bytes += if is_mapped(edge) { readers * own } else { 0 };
                }
            }
            totals.region_bytes = totals.region_bytes.max(own);
            totals.rings_of_one = totals.rings_of_one.max(rings_of_one);
            totals.address_bytes = totals.address_bytes.max(address_bytes);
        }
        totals
    }
}

fn instances_of(chain: &Chain, source: Source) -> u64 {
    match source {
        Source::Function(id, _) => chain
            .function(id)
            .map_or(1, |function| u64::from(function.instances())),
        _ => 1,
    }
}

fn instances_at(chain: &Chain, target: Target) -> u64 {
    match target {
        Target::Function(id) => chain
            .function(id)
            .map_or(1, |function| u64::from(function.instances())),
        _ => 1,
    }
}

/// The outboxes of all instances at `source`, as their readers map them.
fn outboxes(chain: &Chain, source: Source) -> u64 {
    let bytes = match source {
        Source::Function(id, _) => chain.function(id).map_or(0, |function| function.outbox().bytes()),
        _ => outbox_bytes(chain),
    };
    instances_of(chain, source) * region_bytes(bytes)
}
