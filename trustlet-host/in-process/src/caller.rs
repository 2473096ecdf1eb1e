//! The calls that loader and daemon make, each with a word of what it is about.

use crate::draft::{Draft, DraftedEdge, GATEWAY, Limits, Way};
use crate::platform::InProcess;
use core::time::Duration;
use hacher_libos_net::attach::FunctionLimits;
use hacher_libos_net::name::Name;
use hacher_libos_net::waiting::Waiting;
use hacher_monitor_core::calls::{
    self, ANY_CPU, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GatewayDefinition,
    InstanceEntry, PROTOCOL, ReplyHeader, RequestHeader, ResultCode, VERSION, protection, reading,
};
use hacher_monitor_core::core::limits::SPIN_MAX_NS;
use hacher_monitor_core::core::{Caller as Who, Core};
use zerocopy::{FromBytes, IntoBytes};

/// The chain of a [`Draft`], and the gateway that serves it.
pub(crate) const CHAIN: u64 = 0;

/// The core, as those see it who call it.
pub(crate) struct Caller {
    pub(crate) core: Core<InProcess>,
    sequence: u32,
}

impl Caller {
    /// Defines and seals a chain.
    pub(crate) fn define(draft: &Draft) -> Result<Self, String> {
        let mut caller = Self {
            core: Core::new(InProcess::default()).map_err(|error| error.to_string())?,
            sequence: 0,
        };
        caller.load(Call::SetGateway, [0; 6], gateway().as_bytes(), true)?;
        caller.load(Call::BeginChain, [0; 6], chain(draft).as_bytes(), false)?;
        for at in 1..draft.nodes.len() {
            caller.add_node(draft, at)?;
        }
        for edge in &draft.edges {
            caller.add_edge(edge)?;
        }
        for (function, node) in draft.nodes.iter().enumerate() {
            caller.place(function as u64, &node.limits)?;
        }
        caller.load(Call::SealChain, [CHAIN, 0, 0, 0, 0, 0], &[], false)?;
        caller.core.finish_loading().map_err(|error| error.to_string())?;
        Ok(caller)
    }

    fn add_node(&mut self, draft: &Draft, at: usize) -> Result<(), String> {
        let node = &draft.nodes[at];
        let call = match node.is_carrier {
            true => Call::AddCarrier,
            false => Call::AddFunction,
        };
        let definition = FunctionDefinition {
            name: name(&node.name),
            limits: limits(&node.limits),
        };
        self.load(call, [CHAIN, 0, 0, 0, 0, 0], definition.as_bytes(), true)?;
        for port in &node.ports {
            let arguments = [CHAIN, at as u64, 0, 0, 0, 0];
            self.load(Call::AddPort, arguments, name(port).as_bytes(), false)?;
        }
        Ok(())
    }

    fn add_edge(&mut self, edge: &DraftedEdge) -> Result<(), String> {
        let (protection, carrier) = match edge.way {
            Way::Sealed => (protection::SEALED, GATEWAY),
            Way::Mapped => (protection::MAPPED, GATEWAY),
            Way::Carried(carrier) => (protection::SEALED, carrier),
        };
        let definition = EdgeDefinition {
            protection,
            carrier: carrier.0 as u32,
            reading: reading::AS_FUNCTION,
        };
        let [from, port, to] = [edge.from.0, edge.port_index, edge.to.0].map(|number| number as u64);
        let arguments = [
            CHAIN,
            from,
            port,
            to,
            u64::from(edge.group),
            u64::from(edge.member),
        ];
        self.load(Call::AddEdge, arguments, definition.as_bytes(), false)?;
        Ok(())
    }

    fn place(&mut self, function: u64, limits: &Limits) -> Result<(), String> {
        let waiting = match (limits.spin.is_zero(), limits.takes_turns) {
            (true, _) => Waiting::Sleep,
            (false, false) => Waiting::Look,
            (false, true) => Waiting::TakeTurns,
        };
        let cpu = limits.core.map_or(ANY_CPU, u64::from);
        let spin_ns = ns(limits.spin).min(SPIN_MAX_NS);
        for ordinal in 0..u64::from(limits.instances) {
            let arguments = [CHAIN, function, ordinal, cpu, spin_ns, u64::from(waiting.word())];
            self.load(Call::SetPlacement, arguments, &[], false)?;
        }
        Ok(())
    }

    /// A call of the loader; with a program beside it, or nothing.
    fn load(&mut self, call: Call, arguments: [u64; 6], operand: &[u8], program: bool) -> Result<(), String> {
        let files = program.then(|| b"a program of this process".to_vec());
        self.call(Who::Loader, call, arguments, operand, files.into_iter().collect())
            .map(|_| ())
            .map_err(|refusal| format!("{call:?}: {refusal}"))
    }

    /// A call of the daemon.
    pub(crate) fn daemon(&mut self, call: Call, arguments: [u64; 6]) -> Result<Vec<u8>, String> {
        self.call(Who::Daemon, call, arguments, &[], Vec::new())
            .map_err(|refusal| format!("{call:?}: {refusal}"))
    }

    /// What the daemon is told of an instance.
    pub(crate) fn instance(&mut self, instance: usize) -> Result<InstanceEntry, String> {
        let operand = self.daemon(Call::QueryInstance, [CHAIN, instance as u64, 0, 0, 0, 0])?;
        let entry = InstanceEntry::read_from_bytes(&operand);
        entry.map_err(|_| "an entry of another length".to_owned())
    }

    fn call(
        &mut self,
        who: Who,
        call: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<Vec<u8>>,
    ) -> Result<Vec<u8>, String> {
        self.sequence += 1;
        let header = RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: self.sequence,
            arguments,
            operand_bytes: operand.len() as u32,
            descriptor_count: files.len() as u32,
        };
        let reply = self.core.call(who, &calls::message(&header, operand), files);
        let (header, operand) =
            ReplyHeader::read_from_prefix(&reply.bytes).map_err(|_| "a short reply".to_owned())?;
        match ResultCode::from_number(header.result) {
            Some(ResultCode::Success) => Ok(operand.to_vec()),
            Some(code) if operand.is_empty() => Err(code.text().to_owned()),
            _ => Err(String::from_utf8_lossy(operand).into_owned()),
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name of 1 to 63 bytes")
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn gateway() -> GatewayDefinition {
    GatewayDefinition {
        role: name("gateway"),
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        cpu: ANY_CPU,
        threads: 1,
        logs: 0,
        own: 0,
        tls: 0,
    }
}

fn chain(draft: &Draft) -> ChainDefinition {
    let outboxes = draft.nodes.iter().map(|node| node.limits.outbox_bytes);
    let longest_bytes = outboxes.max().unwrap_or(0);
    ChainDefinition {
        name: name("in-process"),
        version: name("1"),
        max_body_bytes: longest_bytes,
        max_reply_bytes: longest_bytes,
        deadline_ns: ns(draft.deadline),
        gateway_outbox_bytes: draft.nodes[GATEWAY.0].limits.outbox_bytes,
        in_flight: 128,
        protection: protection::SEALED,
    }
}

fn limits(limits: &Limits) -> FunctionLimits {
    FunctionLimits {
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        outbox_bytes: limits.outbox_bytes,
        timeout_ns: ns(limits.timeout),
        retry_backoff_ns: ns(limits.retry_backoff),
        retry_max_ns: ns(limits.retry_max),
        retry_factor_milli: limits.retry_factor_milli,
        retry_attempts: limits.retry_attempts,
        retry_jitter: u32::from(limits.retry_jitter),
        instances: limits.instances,
        threads: 1,
        logs: 0,
        outbox_flags: limits.outbox_flags,
    }
}
