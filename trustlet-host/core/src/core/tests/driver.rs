//! Calls in few words, and what a process was told, read back.

use crate::calls::{
    self, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GATEWAY_PROCESS, GatewayDefinition,
    ReplyHeader, RequestHeader, ResultCode, protection, reading,
};
use crate::core::{Caller, Core, Exit, ReplyDescriptor};
use crate::ids::ProcessId;
use crate::simulated::{Simulated, SimulatedFile, SimulatedProcess};
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::attach::message::{Ahead, Begin, Edge, Inbound, MessageHeader, Port, kind};
use hacher_data_path::name::Name;
use zerocopy::{FromBytes, IntoBytes};

pub(super) const EXIT: Exit = Exit {
    signalled: true,
    code: 9,
    lived_ns: 1,
    asked: None,
};

pub(super) struct Answer {
    pub(super) code: ResultCode,
    pub(super) values: [u64; 6],
    pub(super) operand: Vec<u8>,
    pub(super) descriptors: Vec<String>,
}

impl Answer {
    pub(super) fn ok(self) -> Self {
        assert_eq!(
            self.code,
            ResultCode::Success,
            "{}",
            String::from_utf8_lossy(&self.operand)
        );
        self
    }
}

pub(super) fn text(text: &str) -> SimulatedFile {
    SimulatedFile::Bytes(text.as_bytes().to_vec())
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn gateway() -> GatewayDefinition {
    GatewayDefinition {
        role: name("gateway"),
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        cpu: calls::ANY_CPU,
        threads: 4,
        logs: 1,
        own: 0,
        tls: 0,
    }
}

pub(super) fn chain(text: &str) -> ChainDefinition {
    ChainDefinition {
        name: name(text),
        version: name("1.0.0"),
        max_body_bytes: 1 << 20,
        max_reply_bytes: 1 << 20,
        deadline_ns: 5_000_000_000,
        gateway_outbox_bytes: 1 << 20,
        in_flight: 128,
        protection: 1,
    }
}

pub(super) fn function(text: &str, instances: u32) -> FunctionDefinition {
    FunctionDefinition {
        name: name(text),
        limits: FunctionLimits {
            memory_bytes: 64 << 20,
            scratch_bytes: 1 << 20,
            outbox_bytes: 1 << 20,
            timeout_ns: 1_000_000_000,
            retry_backoff_ns: 10_000_000,
            retry_max_ns: 1_000_000_000,
            retry_factor_milli: 2000,
            retry_attempts: 3,
            retry_jitter: 1,
            instances,
            threads: 16,
            logs: 0,
            outbox_flags: 0,
        },
    }
}

pub(super) fn tls_file_count(tls: u32) -> usize {
    [0, 2, 3][crate::ids::index(tls)]
}

pub(super) struct Driver {
    pub(super) core: Core<Simulated>,
    sequence: u32,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self {
            core: Core::new(Simulated::new()).unwrap(),
            sequence: 0,
        }
    }

    pub(super) fn with_gateway() -> Self {
        let mut driver = Self::new();
        driver
            .load(
                Call::SetGateway,
                [0; 6],
                gateway().as_bytes(),
                vec![text("gateway")],
            )
            .ok();
        driver
    }

    /// Adds a gateway with this TLS and its files, which serves one chain alone; its number.
    pub(super) fn own_gateway(&mut self, tls: u32) -> u64 {
        let definition = GatewayDefinition {
            own: 1,
            tls,
            ..gateway()
        };
        let file = vec![text("gateway")];
        let answer = self.load(Call::SetGateway, [0; 6], definition.as_bytes(), file);
        let number = answer.ok().values[0];
        let files = ["certificate", "key", "client ca"];
        for (which, content) in (0..).zip(files).take(tls_file_count(tls)) {
            let path = format!("/tls/{content}");
            let arguments = [number, which, 0, 0, 0, 0];
            self.load(Call::SetTlsFile, arguments, path.as_bytes(), vec![text(content)])
                .ok();
        }
        number
    }

    pub(super) fn listen(&mut self, gateway: u64) -> Answer {
        let arguments = [gateway, 0, 0, 0, 0, 0];
        let socket = vec![SimulatedFile::Listener];
        self.load(Call::SetListener, arguments, b"127.0.0.1:1", socket)
    }

    pub(super) fn call(
        &mut self,
        caller: Caller,
        call: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<SimulatedFile>,
    ) -> Answer {
        self.sequence += 1;
        let header = RequestHeader {
            protocol: calls::PROTOCOL,
            call: call.number(),
            version: calls::VERSION,
            sequence: self.sequence,
            arguments,
            operand_bytes: u32::try_from(operand.len()).unwrap(),
            descriptor_count: u32::try_from(files.len()).unwrap(),
        };
        self.raw(caller, &calls::message(&header, operand), files)
    }

    pub(super) fn raw(&mut self, caller: Caller, message: &[u8], files: Vec<SimulatedFile>) -> Answer {
        let reply = self.core.call(caller, message, files);
        let (header, operand) = ReplyHeader::read_from_prefix(&reply.bytes).unwrap();
        assert!(
            operand.len() <= calls::OPERAND_MAX_BYTES,
            "a reply keeps to its page"
        );
        assert_eq!(crate::ids::index(header.operand_bytes), operand.len());
        assert_eq!(
            crate::ids::index(header.descriptor_count),
            reply.descriptors.len()
        );
        assert!(reply.descriptors.len() <= calls::DESCRIPTORS_MAX);
        Answer {
            code: ResultCode::from_number(header.result).unwrap(),
            values: header.values,
            operand: operand.to_vec(),
            descriptors: reply
                .descriptors
                .iter()
                .map(|descriptor| match descriptor {
                    ReplyDescriptor::Region(region) => format!("region {}", region.number),
                    ReplyDescriptor::Log(log) => format!("log {}", log.0),
                    ReplyDescriptor::File(_) => "file".to_owned(),
                    ReplyDescriptor::Doorbell(doorbell) => format!("doorbell {}", doorbell.0),
                    ReplyDescriptor::Collector => "collector".to_owned(),
                })
                .collect(),
        }
    }

    pub(super) fn load(
        &mut self,
        call: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<SimulatedFile>,
    ) -> Answer {
        self.call(Caller::Loader, call, arguments, operand, files)
    }

    pub(super) fn daemon(&mut self, call: Call, arguments: [u64; 6]) -> Answer {
        self.call(Caller::Daemon, call, arguments, &[], Vec::new())
    }

    pub(super) fn begin(&mut self, text: &str) -> u64 {
        self.begin_at(0, text).ok().values[0]
    }

    /// Begins a chain that this gateway serves.
    pub(super) fn begin_at(&mut self, gateway: u64, text: &str) -> Answer {
        let arguments = [gateway, 0, 0, 0, 0, 0];
        self.load(Call::BeginChain, arguments, chain(text).as_bytes(), Vec::new())
    }

    pub(super) fn function(&mut self, chain: u64, text: &str, instances: u32, ports: &[&str]) -> u64 {
        let definition = function(text, instances);
        let file = SimulatedFile::Bytes(format!("program {text}").into_bytes());
        let index = self
            .load(
                Call::AddFunction,
                [chain, 0, 0, 0, 0, 0],
                definition.as_bytes(),
                vec![file],
            )
            .ok()
            .values[0];
        for port in ports {
            self.load(
                Call::AddPort,
                [chain, index, 0, 0, 0, 0],
                name(port).as_bytes(),
                Vec::new(),
            )
            .ok();
        }
        index
    }

    pub(super) fn edge(&mut self, edge: [u64; 6]) {
        self.protected_edge(edge, protection::SEALED).ok();
    }

    pub(super) fn mapped_edge(&mut self, edge: [u64; 6]) {
        self.protected_edge(edge, protection::MAPPED).ok();
    }

    pub(super) fn protected_edge(&mut self, edge: [u64; 6], protection: u32) -> Answer {
        self.defined_edge(edge, protection, reading::AS_FUNCTION)
    }

    pub(super) fn defined_edge(&mut self, edge: [u64; 6], protection: u32, reading: u32) -> Answer {
        let definition = EdgeDefinition {
            protection,
            carrier: 0,
            reading,
        };
        self.load(Call::AddEdge, edge, definition.as_bytes(), Vec::new())
    }

    pub(super) fn seal(&mut self, chain: u64) -> Answer {
        self.load(Call::SealChain, [chain, 0, 0, 0, 0, 0], &[], Vec::new())
    }

    /// `ingress -> decode -> small & large -> pack -> egress`, `decode.reject -> egress`; `small` has two
    /// instances. Instances: 0 gateway, 1 decode, 2 and 3 small, 4 large, 5 pack.
    pub(super) fn thumbnails(&mut self, text: &str) -> u64 {
        self.thumbnails_at(0, text)
    }

    /// The same, served by this gateway.
    pub(super) fn thumbnails_at(&mut self, gateway: u64, text: &str) -> u64 {
        let chain = self.begin_at(gateway, text).ok().values[0];
        let decode = self.function(chain, "decode", 1, &["out", "reject"]);
        let small = self.function(chain, "small", 2, &["out"]);
        let large = self.function(chain, "large", 1, &["out"]);
        let pack = self.function(chain, "pack", 1, &["out"]);
        self.edge([chain, 0, 0, decode, 0, 0]);
        self.edge([chain, decode, 0, small, 0, 0]);
        self.edge([chain, decode, 0, large, 0, 0]);
        self.edge([chain, small, 0, pack, 0, 0]);
        self.edge([chain, large, 0, pack, 0, 1]);
        self.edge([chain, pack, 0, 0, 0, 0]);
        self.edge([chain, decode, 1, 0, 1, 0]);
        self.seal(chain).ok();
        chain
    }

    pub(super) fn create(&mut self, chain: u64, instance: u64) -> Answer {
        self.daemon(Call::CreateTrustlet, [chain, instance, 0, 0, 0, 0])
    }

    pub(super) fn create_gateway(&mut self) -> Answer {
        self.create(GATEWAY_PROCESS, 0)
    }

    pub(super) fn processes(&self) -> Vec<ProcessId> {
        self.core.platform().live()
    }

    pub(super) fn process(&self, process: ProcessId) -> &SimulatedProcess {
        &self.core.platform().processes[&process]
    }

    /// The process that was started last.
    pub(super) fn latest(&self) -> ProcessId {
        *self.core.platform().processes.last_key_value().unwrap().0
    }

    pub(super) fn die(&mut self, process: ProcessId) {
        self.core
            .platform_mut()
            .processes
            .get_mut(&process)
            .unwrap()
            .alive = false;
        self.core.died(process, EXIT);
    }
}

/// One attachment, read back.
pub(super) struct Told {
    pub(super) begin: Begin,
    pub(super) inbound: Vec<Inbound>,
    pub(super) ports: Vec<Port>,
    pub(super) edges: Vec<Edge>,
    pub(super) secrets: Vec<Vec<u8>>,
    pub(super) ahead: Vec<Ahead>,
}

/// All attachments of a process, and whether a listening socket came after them.
pub(super) fn told(process: &SimulatedProcess) -> (Vec<Told>, bool) {
    let mut attachments: Vec<Told> = Vec::new();
    let mut listen = false;
    for message in &process.messages {
        let (header, rest) = MessageHeader::read_from_prefix(message).unwrap();
        let count = crate::ids::index(header.count);
        match header.kind {
            kind::BEGIN => attachments.push(Told {
                begin: Begin::read_from_bytes(rest).unwrap(),
                inbound: Vec::new(),
                ports: Vec::new(),
                edges: Vec::new(),
                secrets: Vec::new(),
                ahead: Vec::new(),
            }),
            kind::INBOUND => {
                let entries = <[Inbound]>::ref_from_bytes_with_elems(rest, count).unwrap();
                attachments.last_mut().unwrap().inbound.extend_from_slice(entries);
            }
            kind::PORT => {
                let entries = <[Port]>::ref_from_bytes_with_elems(rest, count).unwrap();
                attachments.last_mut().unwrap().ports.extend_from_slice(entries);
            }
            kind::EDGE => {
                let entries = <[Edge]>::ref_from_bytes_with_elems(rest, count).unwrap();
                attachments.last_mut().unwrap().edges.extend_from_slice(entries);
            }
            kind::AHEAD => {
                let entries = <[Ahead]>::ref_from_bytes_with_elems(rest, count).unwrap();
                attachments.last_mut().unwrap().ahead.extend_from_slice(entries);
            }
            kind::SECRET => attachments.last_mut().unwrap().secrets.push(rest.to_vec()),
            kind::LISTEN => listen = true,
            kind::LOCKDOWN
            | kind::GO
            | kind::BELL
            | kind::READINESS
            | kind::REQUEST_KEY
            | kind::REQUESTS
            | kind::HEADER
            | kind::EVIDENCE => {}
            other => panic!("message of kind {other}"),
        }
    }
    (attachments, listen)
}
