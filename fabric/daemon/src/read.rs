//! Reads the monitor's tables: everything that a fresh daemon needs to know.

use super::history::{History, LastEnd};
use super::logs::Printer;
use super::tables::{Chain, Flow, Gateway, Inbound, Instance, Key, Tables};
use hacher_libos_net::DEFAULT_PORT;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::end::End;
use hacher_libos_net::layout::PageLayout;
use hacher_libos_net::mapping;
use hacher_libos_net::refused_call::RefusedCall;
use hacher_libos_net::telemetry::{Counter, PageReader};
use hacher_trustlet_host::calls::{
    Call, ChainEntry, EdgeEntry, FunctionEntry, GatewayEntry, InboundEntry, InstanceEntry, InstanceState,
    LayerEntry, MonitorEntry, PortEntry, Statistics, protection,
};
use hacher_trustlet_host::client::{Answer, ClientError, MonitorClient};
use hacher_trustlet_host::hex::hex;
use hacher_trustlet_host::platform::SystemCalls;
use std::os::fd::OwnedFd;
use std::time::Duration;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// Descriptors that come with the tables.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// The sockets that operators connect to.
    pub admin: Vec<OwnedFd>,
    /// Rings when the gateway's first request comes in.
    pub bell: Option<OwnedFd>,
    /// Reading ends of what instances print.
    pub logs: Vec<(Printer, OwnedFd)>,
    /// Whether all chains are defined.
    pub loaded: bool,
}

fn entry<E: FromBytes + Immutable + KnownLayout>(answer: &Answer) -> Result<(E, &[u8]), ClientError> {
    E::read_from_prefix(&answer.operand).map_err(|_| ClientError::Malformed)
}

fn ask<E: FromBytes + Immutable + KnownLayout>(
    client: &mut MonitorClient,
    call: Call,
    arguments: &[u64],
) -> Result<E, ClientError> {
    let answer = client.call(call, arguments, &[], &[])?;
    Ok(entry::<E>(&answer)?.0)
}

/// Reads all tables.
///
/// # Errors
/// When the monitor does not answer, or not as agreed.
pub(super) fn all(client: &mut MonitorClient) -> Result<(Tables, Extras), ClientError> {
    let mut tables = Tables::new();
    let mut extras = Extras::default();
    let monitor: MonitorEntry = ask(client, Call::QueryMonitor, &[])?;
    tables.backend = monitor.backend.to_string();
    tables.snp = monitor.snp == 1;
    tables.measurements = [monitor.monitor_measurement, monitor.fabric_measurement];
    extras.loaded = monitor.loaded == 1;
    for layer in 0..monitor.layer_count {
        let layer: LayerEntry = ask(client, Call::QueryLayer, &[u64::from(layer)])?;
        if layer.enforced == 0 {
            tables.isolation_missing.push(layer.name.to_string());
        }
    }
    tables.daemon_restarts = ask::<Statistics>(client, Call::Statistics, &[])?.daemon_restarts;
    let mut answer = client.call(Call::QueryAdmin, &[], &[], &[])?;
    let mut descriptors = answer.descriptors.drain(..);
    let sockets = usize::try_from(answer.values[0]).unwrap_or(0);
    extras.admin.extend(descriptors.by_ref().take(sockets));
    extras.bell = descriptors.next();
    drop(descriptors);
    if !extras.loaded {
        return Ok((tables, extras));
    }
    for chain in 0..monitor.chain_count {
        tables.chains.push(read_chain(client, chain, &mut extras)?);
    }
    for gateway in 0..monitor.gateway_count {
        let gateway = read_gateway(client, gateway, &tables.chains, &mut extras)?;
        tables.gateways.push(gateway);
    }
    Ok((tables, extras))
}

/// Reads how much memory each instance has.
///
/// # Errors
/// When the monitor does not answer, or not as agreed.
pub(super) fn memory(client: &mut MonitorClient, tables: &mut Tables) -> Result<(), ClientError> {
    for chain in &mut tables.chains {
        let mut from = 0;
        while from < chain.instances.len() {
            let arguments = [u64::from(chain.number), from as u64];
            let answer = client.call(Call::QueryMemory, &arguments, &[], &[])?;
            let before = from;
            let words = answer.operand.chunks_exact(size_of::<u64>());
            for (instance, word) in chain.instances.iter_mut().skip(before).zip(words) {
                instance.memory_used_bytes = u64::read_from_bytes(word).unwrap_or(0);
                from += 1;
            }
            if from == before {
                return Err(ClientError::Malformed);
            }
        }
    }
    Ok(())
}

/// Reads which system calls the monitor has refused to an instance.
///
/// # Errors
/// When the monitor does not answer, or not as agreed.
pub(super) fn refused(client: &mut MonitorClient, tables: &mut Tables, key: Key) -> Result<(), ClientError> {
    let calls = ask_refused(client, [key.0, key.1])?;
    tables.change(key, |found| found.refused_by_monitor.clone_from(&calls));
    Ok(())
}

/// As [`refused`], of all instances that the monitor counts for.
///
/// # Errors
/// As [`refused`].
pub(super) fn all_refused(client: &mut MonitorClient, tables: &mut Tables) -> Result<(), ClientError> {
    for chain in &mut tables.chains {
        let number = u64::from(chain.number);
        for instance in chain.instances.iter_mut().filter(|found| found.has_programs) {
            instance.refused_by_monitor = ask_refused(client, [number, u64::from(instance.number)])?;
        }
    }
    Ok(())
}

fn ask_refused(client: &mut MonitorClient, at: [u64; 2]) -> Result<Vec<RefusedCall>, ClientError> {
    let answer = client.call(Call::QueryRefused, &at, &[], &[])?;
    let pairs = answer.operand.chunks_exact(2 * size_of::<u64>());
    let calls = pairs.filter_map(|pair| {
        let (number, count) = u64::read_from_prefix(pair).ok()?;
        Some(RefusedCall {
            number: (number != u64::MAX).then_some(number),
            count: u64::read_from_bytes(count).ok()?,
        })
    });
    Ok(calls.collect())
}

fn read_gateway(
    client: &mut MonitorClient,
    number: u32,
    chains: &[Chain],
    extras: &mut Extras,
) -> Result<Gateway, ClientError> {
    let mut answer = client.call(Call::QueryGateway, &[u64::from(number)], &[], &[])?;
    let (gateway, address) = entry::<GatewayEntry>(&answer)?;
    let address = String::from_utf8_lossy(address).into_owned();
    let own = gateway.definition.own == 1;
    if let Some(pipe) = answer.descriptors.pop() {
        let chain = chains.iter().find(|chain| own && chain.gateway == number);
        let chain = chain.map_or("", |chain| &chain.name);
        extras.logs.push((Printer::gateway(chain), pipe));
    }
    Ok(Gateway {
        address,
        tls: gateway.definition.tls,
        own,
        state: InstanceState::from_number(gateway.state).unwrap_or(InstanceState::Absent),
    })
}

fn read_chain(client: &mut MonitorClient, number: u32, extras: &mut Extras) -> Result<Chain, ClientError> {
    let at = u64::from(number);
    let entry: ChainEntry = ask(client, Call::QueryChain, &[at])?;
    let many = |count: u32| (0..count).map(u64::from);
    let functions = many(entry.function_count)
        .map(|function| ask::<FunctionEntry>(client, Call::QueryFunction, &[at, function]))
        .collect::<Result<Vec<_>, _>>()?;
    let ports = many(entry.port_count)
        .map(|port| ask::<PortEntry>(client, Call::QueryPort, &[at, port]))
        .collect::<Result<Vec<_>, _>>()?;
    let edges = many(entry.edge_count)
        .map(|edge| ask::<EdgeEntry>(client, Call::QueryEdge, &[at, edge]))
        .collect::<Result<Vec<_>, _>>()?;
    let graph = Graph {
        functions,
        ports,
        edges,
    };
    let edges = graph.edges.iter().map(|edge| {
        let mapped = edge.protection == protection::MAPPED;
        (graph.edge_name(edge), mapped)
    });
    let mut chain = Chain {
        number,
        edges: edges.collect(),
        flows: graph.flows(),
        in_flight_max: entry.definition.in_flight,
        name: entry.definition.name.to_string(),
        version: entry.definition.version.to_string(),
        digest: hex(&entry.digest),
        gateway: entry.gateway,
        instances: Vec::new(),
    };
    for instance in 0..entry.instance_count {
        let instance = read_instance(client, &chain.name, number, instance, &graph, extras)?;
        chain.instances.push(instance);
    }
    Ok(chain)
}

/// The chain as the monitor has it.
struct Graph {
    functions: Vec<FunctionEntry>,
    ports: Vec<PortEntry>,
    edges: Vec<EdgeEntry>,
}

impl Graph {
    fn function(&self, index: u32) -> Option<&FunctionEntry> {
        self.functions.get(usize::try_from(index).ok()?)
    }

    /// An edge as chain files write it.
    fn edge_name(&self, edge: &EdgeEntry) -> String {
        let name = |index: u32, end: &str| match self.function(index) {
            Some(function) if index > 0 => function.definition.name.to_string(),
            _ => end.to_owned(),
        };
        let port = usize::try_from(edge.port)
            .ok()
            .and_then(|port| self.ports.get(port))
            .filter(|port| port.function > 0 && port.name != *DEFAULT_PORT)
            .map_or_else(String::new, |port| format!(".{}", port.name));
        let (from, to) = (name(edge.producer, "ingress"), name(edge.consumer, "egress"));
        format!("{from}{port} -> {to}")
    }

    /// The edges, as pages count what passes: those of a port in the order of their numbers.
    fn flows(&self) -> Vec<Flow> {
        let edges = self.edges.iter().enumerate();
        let flows = edges.filter_map(|(number, edge)| {
            let port = self.ports.get(usize::try_from(edge.port).ok()?)?;
            let before = self.edges.iter().take(number);
            Some(Flow {
                producer: edge.producer,
                port: usize::try_from(port.index).ok()?,
                at: before.filter(|other| other.port == edge.port).count(),
                consumer: edge.consumer,
            })
        });
        flows.collect()
    }

    /// The name of the function that sends over an inbound ring, and the port.
    fn source(&self, inbound: &InboundEntry) -> Inbound {
        let port = usize::try_from(inbound.port)
            .ok()
            .and_then(|port| self.ports.get(port));
        let is_ingress = port.is_some_and(|port| port.function == 0);
        let function = port.and_then(|port| self.function(port.function));
        let edge = usize::try_from(inbound.edge)
            .ok()
            .and_then(|edge| self.edges.get(edge));
        Inbound {
            from: match function {
                _ if is_ingress => "ingress".to_owned(),
                Some(function) => function.definition.name.to_string(),
                None => "?".to_owned(),
            },
            port: port.map_or_else(String::new, |port| port.name.to_string()),
            fault: edge.is_none(),
        }
    }
}

fn read_instance(
    client: &mut MonitorClient,
    chain_name: &str,
    chain: u32,
    number: u32,
    graph: &Graph,
    extras: &mut Extras,
) -> Result<Instance, ClientError> {
    let at = [u64::from(chain), u64::from(number)];
    let mut answer = client.call(Call::QueryInstance, &at, &[], &[])?;
    let (entry, _) = entry::<InstanceEntry>(&answer)?;
    let function = graph.function(entry.function).ok_or(ClientError::Malformed)?;
    let name = function.definition.name.to_string();
    let mut descriptors = answer.descriptors.drain(..);
    let page = descriptors.next().ok_or(ClientError::Malformed)?;
    if let Some(pipe) = descriptors.next() {
        extras.logs.push((
            Printer::function(chain_name, &name, entry.ordinal, ((at[0], at[1]), entry.epoch)),
            pipe,
        ));
    }
    let layout = PageLayout::new(entry.inbound_count, entry.port_count).ok_or(ClientError::Malformed)?;
    let page = mapping::peer(&page, layout.len_bytes()).map_err(|_| ClientError::Malformed)?;
    let page = PageReader::new(page, layout);
    let has_programs = function.system_calls != SystemCalls::Native.number();
    let inbound = read_inbound(client, at, entry.inbound_count)?;
    let ports = graph.ports.iter().filter(|port| port.function == entry.function);
    Ok(Instance {
        number,
        function: name,
        function_index: entry.function,
        ordinal: entry.ordinal,
        state: InstanceState::from_number(entry.state).unwrap_or(InstanceState::Absent),
        epoch: entry.epoch,
        forwards_logs: function.definition.limits.logs == 1,
        history: history(&entry, &page),
        timeout: Duration::from_nanos(function.definition.limits.timeout_ns),
        memory_bytes: function.definition.limits.memory_bytes,
        fabric_bytes: function.fabric_bytes,
        memory_used_bytes: 0,
        threads: function.definition.limits.threads,
        files_bytes: function.files_bytes,
        has_programs,
        refused_by_monitor: if has_programs {
            ask_refused(client, at)?
        } else {
            Vec::new()
        },
        ring_capacity: entry.ring_capacity,
        page,
        inbound: inbound.iter().map(|inbound| graph.source(inbound)).collect(),
        ports: ports.map(|port| port.name.to_string()).collect(),
    })
}

/// What the monitor remembers of an instance.
fn history(entry: &InstanceEntry, page: &PageReader) -> History {
    let end = End::decode(entry.last_end_kind, entry.last_end_code).map(|end| {
        let (cause, code) = end.cause(None);
        LastEnd {
            cause,
            code,
            at: Monotonic::from_ns(entry.died_ns),
            lived: Duration::from_nanos(entry.lived_ns),
            // Its page speaks of the present process.
            record: None,
        }
    });
    let since = (entry.ready_ns > 0).then(|| Monotonic::from_ns(entry.ready_ns));
    History::found(entry.deaths, since, end, page.counter(Counter::Succeeded))
}

fn read_inbound(
    client: &mut MonitorClient,
    at: [u64; 2],
    count: u32,
) -> Result<Vec<InboundEntry>, ClientError> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut inbound = Vec::new();
    while inbound.len() < wanted {
        let arguments = [at[0], at[1], inbound.len() as u64];
        let answer = client.call(Call::QueryInbound, &arguments, &[], &[])?;
        let entries = answer.operand.chunks_exact(size_of::<InboundEntry>());
        let before = inbound.len();
        inbound.extend(entries.filter_map(|bytes| InboundEntry::read_from_bytes(bytes).ok()));
        if inbound.len() == before {
            return Err(ClientError::Malformed);
        }
    }
    Ok(inbound)
}
