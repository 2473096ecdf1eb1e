//! A chain while a loader defines it: what was asked for, checked piece by piece.

use super::limits;
use super::names::{FAULT_PORT, GATEWAY, INGRESS, word};
use super::program::Program;
use super::refusal::{Refusal, refuse};
use super::requests::Requests;
use crate::calls::{
    ChainDefinition, EdgeDefinition, FunctionDefinition, GatewayDefinition, ResultCode, protection, reading,
};
use crate::ids::{FunctionIndex, index, number};
use crate::platform::{Limits, Platform};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::attach::message::outbox_flag;
use hacher_data_path::name::Name;
use hacher_data_path::region::layout::{OUTBOX_MAX_BYTES, OUTBOX_MIN_BYTES};
use hacher_data_path::share::{Shape, fabric_bytes};
use hacher_data_path::waiting::Waiting;
use zeroize::Zeroizing;

/// A secret of a function.
pub(crate) struct Secret {
    pub(crate) name: Name,
    /// What a key broker releases its value from; none of a secret that the loader has read.
    pub(crate) awaited: Option<Awaited>,
    /// None as long as it is awaited.
    pub(crate) value: Option<Zeroizing<Vec<u8>>>,
}

/// What a key broker calls a secret, and what becomes of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Awaited {
    pub(crate) repository: Name,
    pub(crate) kind: Name,
    pub(crate) tag: Name,
    /// Whether line breaks at the end are not part of the value.
    pub(crate) trim: bool,
}

/// Where an instance runs; a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Placement {
    pub(crate) cpu: Option<u32>,
    pub(crate) waiting: Waiting,
    pub(crate) spin_ns: u64,
}

/// One function.
pub(crate) struct Function<P: Platform> {
    pub(crate) definition: FunctionDefinition,
    pub(crate) program: Program<P>,
    pub(crate) secrets: Vec<Secret>,
    /// Port numbers in the chain, in the order of the function's ports.
    pub(crate) ports: Vec<u32>,
    /// It relays, and is given no key.
    pub(crate) is_carrier: bool,
}

/// One port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: Name,
    pub(crate) function: FunctionIndex,
    pub(crate) index: u32,
    pub(crate) fault: bool,
}

/// One declared edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) producer: FunctionIndex,
    /// The index among the producer's ports.
    pub(crate) port_index: u32,
    /// The port's number in the chain.
    pub(crate) port: u32,
    pub(crate) consumer: FunctionIndex,
    pub(crate) group: u32,
    pub(crate) member: u32,
    /// A value of [`protection`].
    pub(crate) protection: u32,
    /// What its records cross on their way.
    pub(crate) carrier: Option<FunctionIndex>,
    /// A value of [`reading`].
    pub(crate) reading: u32,
}

impl Edge {
    /// Whether its records are mapped, and not sealed.
    pub(crate) const fn is_mapped(&self) -> bool {
        self.protection == protection::MAPPED
    }

    /// Whether the gateway is one of its ends.
    pub(crate) fn touches_gateway(&self) -> bool {
        self.producer == FunctionIndex::GATEWAY || self.consumer == FunctionIndex::GATEWAY
    }
}

/// A chain as defined so far.
pub(crate) struct Definition<P: Platform> {
    pub(crate) chain: ChainDefinition,
    pub(crate) requests: Requests,
    /// Without the gateway: function `i` stands at `i - 1`.
    pub(crate) functions: Vec<Function<P>>,
    pub(crate) ports: Vec<Port>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) placements: BTreeMap<(FunctionIndex, u32), Placement>,
}

impl<P: Platform> Definition<P> {
    /// A chain with its gateway and no functions.
    pub(crate) fn new(mut chain: ChainDefinition) -> Result<Self, Refusal> {
        chain.name = word(&chain.name)?;
        chain.version = word(&chain.version)?;
        let in_range = (1..=limits::BODY_MAX_BYTES).contains(&chain.max_body_bytes)
            && (1..=limits::BODY_MAX_BYTES).contains(&chain.max_reply_bytes)
            && (1..=limits::WAIT_MAX_NS).contains(&chain.deadline_ns)
            && (OUTBOX_MIN_BYTES..=OUTBOX_MAX_BYTES).contains(&chain.gateway_outbox_bytes)
            && (1..=limits::IN_FLIGHT_MAX).contains(&chain.in_flight)
            && matches!(chain.protection, protection::SEALED | protection::MAPPED);
        if !in_range {
            return refuse(
                ResultCode::InvalidParameter,
                "a value of the chain is out of its range",
            );
        }
        let ingress = Port {
            name: Name::new(INGRESS).map_err(|_| Refusal::from(ResultCode::InvalidParameter))?,
            function: FunctionIndex::GATEWAY,
            index: 0,
            fault: false,
        };
        Ok(Self {
            chain,
            requests: Requests::default(),
            functions: Vec::new(),
            ports: vec![ingress],
            edges: Vec::new(),
            placements: BTreeMap::new(),
        })
    }

    /// The function with this number; not the gateway.
    pub(crate) fn function(&self, function: FunctionIndex) -> Option<&Function<P>> {
        self.functions.get(function.at().checked_sub(1)?)
    }

    pub(crate) fn function_mut(&mut self, function: FunctionIndex) -> Result<&mut Function<P>, Refusal> {
        function
            .at()
            .checked_sub(1)
            .and_then(|at| self.functions.get_mut(at))
            .ok_or_else(|| Refusal::new(ResultCode::InvalidParameter, "there is no such function"))
    }

    /// Whether a function is a carrier.
    pub(crate) fn is_carrier(&self, function: FunctionIndex) -> bool {
        self.function(function)
            .is_some_and(|function| function.is_carrier)
    }

    /// Functions, carriers and the gateway.
    pub(crate) fn function_count(&self) -> u32 {
        number(self.functions.len() + 1)
    }

    /// How many instances a function has; 1 for the gateway.
    pub(crate) fn instances_of(&self, function: FunctionIndex) -> u32 {
        self.function(function)
            .map_or(1, |function| function.definition.limits.instances)
    }

    /// Port numbers of a function, in order.
    pub(crate) fn ports_of(&self, function: FunctionIndex) -> &[u32] {
        self.function(function)
            .map_or(&[0], |function| function.ports.as_slice())
    }

    pub(crate) fn placement(&self, function: FunctionIndex, ordinal: u32) -> Placement {
        self.placements
            .get(&(function, ordinal))
            .copied()
            .unwrap_or_default()
    }

    /// Refuses what [`Definition::add_function`] would, before the executable is read.
    pub(crate) fn check_function(
        &self,
        definition: &FunctionDefinition,
        is_carrier: bool,
    ) -> Result<(), Refusal> {
        if is_carrier && definition.limits.instances != 1 {
            return refuse(ResultCode::InvalidParameter, "a carrier has one instance");
        }
        let name = definition.name.as_str();
        if [INGRESS, "egress", GATEWAY].contains(&name) {
            return refuse(ResultCode::NameTaken, "the name is reserved");
        }
        if self
            .functions
            .iter()
            .any(|function| function.definition.name == definition.name)
        {
            return refuse(ResultCode::NameTaken, "the chain has a function of this name");
        }
        if self.functions.len() >= limits::FUNCTIONS_MAX {
            return refuse(ResultCode::LimitReached, "a chain has at most 256 functions");
        }
        if are_in_range(&definition.limits) {
            Ok(())
        } else {
            refuse(
                ResultCode::InvalidParameter,
                "a value of the function is out of its range",
            )
        }
    }

    /// Adds a function that [`Definition::check_function`] let pass.
    pub(crate) fn add_function(
        &mut self,
        definition: FunctionDefinition,
        is_carrier: bool,
        image: P::Image,
    ) -> FunctionIndex {
        self.functions.push(Function {
            definition,
            program: Program::new(image),
            secrets: Vec::new(),
            ports: Vec::new(),
            is_carrier,
        });
        FunctionIndex(number(self.functions.len()))
    }

    /// Refuses what [`Definition::add_secret`] would, before the value is read.
    pub(crate) fn check_secret(&mut self, function: FunctionIndex, name: &Name) -> Result<(), Refusal> {
        let function = self.function_mut(function)?;
        if function.is_carrier {
            return refuse(ResultCode::InvalidParameter, "a carrier has no secrets");
        }
        if function.secrets.iter().any(|secret| secret.name == *name) {
            return refuse(ResultCode::NameTaken, "the function has a secret of this name");
        }
        if function.secrets.len() >= limits::SECRETS_MAX {
            return refuse(ResultCode::LimitReached, "a function has at most 64 secrets");
        }
        Ok(())
    }

    /// Its number among the function's secrets.
    pub(crate) fn add_secret(&mut self, function: FunctionIndex, secret: Secret) -> Result<u32, Refusal> {
        let secrets = &mut self.function_mut(function)?.secrets;
        secrets.push(secret);
        Ok(number(secrets.len() - 1))
    }

    pub(crate) fn add_port(&mut self, function: FunctionIndex, name: Name) -> Result<u32, Refusal> {
        if name.as_str() == FAULT_PORT {
            return refuse(ResultCode::NameTaken, "the name is reserved");
        }
        let port = number(self.ports.len());
        let entry = self.function_mut(function)?;
        if entry.is_carrier {
            return refuse(ResultCode::InvalidParameter, "a carrier has no ports of its own");
        }
        let declared = entry.ports.len();
        // `error` is not declared, so it comes on top.
        if declared > limits::PORTS_MAX {
            return refuse(ResultCode::LimitReached, "a function has at most 64 ports");
        }
        entry.ports.push(port);
        let taken = self
            .ports
            .iter()
            .any(|other| other.function == function && other.name == name);
        if taken {
            self.function_mut(function)?.ports.pop();
            return refuse(ResultCode::NameTaken, "the function has a port of this name");
        }
        let index = number(declared);
        self.ports.push(Port {
            name,
            function,
            index,
            fault: false,
        });
        Ok(index)
    }

    /// Gives every function its fault port, and no carrier one; the last step of a definition.
    pub(crate) fn add_fault_ports(&mut self) -> Result<(), Refusal> {
        let name = Name::new(FAULT_PORT).map_err(|_| Refusal::from(ResultCode::InvalidParameter))?;
        for (at, function) in self.functions.iter_mut().enumerate() {
            if function.is_carrier {
                continue;
            }
            let port = number(self.ports.len());
            self.ports.push(Port {
                name,
                function: FunctionIndex(number(at + 1)),
                index: number(function.ports.len()),
                fault: true,
            });
            function.ports.push(port);
        }
        Ok(())
    }

    /// Takes back what [`Definition::add_fault_ports`] did, when sealing fails afterwards.
    pub(crate) fn remove_fault_ports(&mut self) {
        self.ports.retain(|port| !port.fault);
        let declared = number(self.ports.len());
        for function in &mut self.functions {
            function.ports.retain(|&port| port < declared);
        }
    }

    pub(crate) fn add_edge(
        &mut self,
        producer: FunctionIndex,
        port_index: u32,
        consumer: FunctionIndex,
        group: u32,
        member: u32,
        definition: &EdgeDefinition,
    ) -> Result<u32, Refusal> {
        if self.edges.len() >= limits::EDGES_MAX {
            return refuse(ResultCode::LimitReached, "a chain has at most 1,024 edges");
        }
        let EdgeDefinition {
            protection,
            carrier,
            reading,
        } = *definition;
        if !matches!(protection, protection::SEALED | protection::MAPPED) || reading > reading::WHOLE {
            return refuse(
                ResultCode::InvalidParameter,
                "a value of the edge is out of its range",
            );
        }
        let carrier = (carrier != 0).then_some(FunctionIndex(carrier));
        if carrier.is_some_and(|carrier| protection != protection::SEALED || !self.is_carrier(carrier)) {
            return refuse(
                ResultCode::InvalidParameter,
                "sealed records cross a carrier, and nothing else",
            );
        }
        let known = |function: FunctionIndex| function.0 < self.function_count();
        let is_end = |function| known(function) && !self.is_carrier(function);
        if !is_end(producer) || !is_end(consumer) {
            return refuse(
                ResultCode::InvalidParameter,
                "an edge joins two functions of the chain",
            );
        }
        let Some(&port) = self.ports_of(producer).get(index(port_index)) else {
            return refuse(ResultCode::InvalidParameter, "the producer has no such port");
        };
        if index(group) >= limits::EDGES_MAX || index(member) >= limits::EDGES_MAX {
            return refuse(
                ResultCode::InvalidParameter,
                "groups and members are numbered from 0",
            );
        }
        let taken = self.edges.iter().any(|edge| {
            edge.consumer == consumer && edge.group == group && (edge.member == member || edge.port == port)
        });
        if taken {
            return refuse(
                ResultCode::NameTaken,
                "the group has this member, or a member of this port",
            );
        }
        self.edges.push(Edge {
            producer,
            port_index,
            port,
            consumer,
            group,
            member,
            protection,
            carrier,
            reading,
        });
        Ok(number(self.edges.len() - 1))
    }

    pub(crate) fn set_placement(
        &mut self,
        function: FunctionIndex,
        ordinal: u32,
        placement: Placement,
    ) -> Result<(), Refusal> {
        if function.0 >= self.function_count() || ordinal >= self.instances_of(function) {
            return refuse(ResultCode::InvalidParameter, "there is no such instance");
        }
        if placement.spin_ns > limits::SPIN_MAX_NS {
            return refuse(
                ResultCode::InvalidParameter,
                "an instance spins for at most a millisecond",
            );
        }
        self.placements.insert((function, ordinal), placement);
        Ok(())
    }
}

/// A CPU on the wire as a hint.
pub(crate) fn cpu_hint(cpu: u64) -> Result<Option<u32>, Refusal> {
    match cpu {
        crate::calls::ANY_CPU => Ok(None),
        cpu if cpu <= limits::CPU_MAX => Ok(u32::try_from(cpu).ok()),
        _ => refuse(ResultCode::InvalidParameter, "there is no such CPU"),
    }
}

impl<P: Platform> Definition<P> {
    /// Private memory that the fabric needs in a process of this function, besides what its author asked for.
    pub(crate) fn fabric_bytes(&self, function: FunctionIndex) -> u64 {
        let Some(found) = self.function(function) else {
            return 0;
        };
        let edges = || self.edges.iter().filter(|edge| edge.consumer == function);
        let parts_of = |group| edges().filter(|edge| edge.group == group).count();
        let is_own = |port: &&u32| self.ports.get(index(**port)).is_some_and(|port| !port.fault);
        let parts = edges().map(|edge| parts_of(edge.group)).max().unwrap_or(1);
        fabric_bytes(Shape {
            threads: found.definition.limits.threads,
            parts: number(parts),
            ports: number(found.ports.iter().filter(is_own).count()),
            record_bytes: self.chain.max_body_bytes,
            in_flight: self.chain.in_flight,
        })
    }
}

/// Whether each limit of a function is within its bounds.
fn are_in_range(limits: &FunctionLimits) -> bool {
    let FunctionLimits {
        memory_bytes,
        scratch_bytes,
        outbox_bytes,
        timeout_ns,
        retry_backoff_ns,
        retry_max_ns,
        retry_factor_milli,
        retry_attempts,
        retry_jitter,
        instances,
        threads,
        logs,
        outbox_flags,
    } = *limits;
    (limits::MEMORY_MIN_BYTES..=limits::MEMORY_MAX_BYTES).contains(&memory_bytes)
        && scratch_bytes <= limits::SCRATCH_MAX_BYTES
        && (OUTBOX_MIN_BYTES..=OUTBOX_MAX_BYTES).contains(&outbox_bytes)
        && (1..=limits::WAIT_MAX_NS).contains(&timeout_ns)
        && retry_backoff_ns <= limits::WAIT_MAX_NS
        && retry_max_ns <= limits::WAIT_MAX_NS
        && limits::FACTOR_MILLI.contains(&retry_factor_milli)
        && (1..=limits::ATTEMPTS_MAX).contains(&retry_attempts)
        && retry_jitter <= 1
        && (1..=limits::INSTANCES_MAX).contains(&instances)
        && (1..=limits::THREADS_MAX).contains(&threads)
        && logs <= 1
        && outbox_flags & !outbox_flag::ALL == 0
}

/// What limits a gateway in one of its chains, in the terms of a function: it runs no handler, but each
/// request has a deadline.
pub(crate) fn gateway_limits(chain: &ChainDefinition, gateway: &GatewayDefinition) -> FunctionLimits {
    FunctionLimits {
        memory_bytes: gateway.memory_bytes,
        scratch_bytes: gateway.scratch_bytes,
        outbox_bytes: chain.gateway_outbox_bytes,
        timeout_ns: chain.deadline_ns,
        threads: gateway.threads,
        logs: gateway.logs,
        ..FunctionLimits::NONE
    }
}

/// What a process may use, by its definition and by what it is attached to.
pub(crate) const fn process_limits(
    memory_bytes: u64,
    scratch_bytes: u64,
    threads: u32,
    descriptors: u32,
) -> Limits {
    Limits {
        memory_bytes,
        scratch_bytes,
        threads,
        descriptors,
    }
}
