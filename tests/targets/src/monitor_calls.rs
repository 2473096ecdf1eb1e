//! Monitor calls: whatever loader and daemon send, the core answers, panics at nothing, and a chain that is
//! sealed stays what its digest says, and can be served.

use crate::script::Script;
use hacher_libos_net::attach::FunctionLimits;
use hacher_libos_net::name::Name;
use hacher_monitor_core::calls::{
    ANY_CPU, Call, ChainDefinition, ChainEntry, DESCRIPTORS_MAX, EdgeDefinition, FunctionDefinition,
    GatewayDefinition, OPERAND_MAX_BYTES, PROTOCOL, ReplyHeader, RequestHeader, ResultCode, VERSION,
    protection, reading,
};
use hacher_monitor_core::core::{Caller, Core, Exit};
use hacher_monitor_core::simulated::{Simulated, SimulatedFile};
use zerocopy::{FromBytes, IntoBytes};

/// Calls of one script.
const CALLS_MAX: usize = 64;

struct Answer {
    code: ResultCode,
    value: u64,
    operand: Vec<u8>,
}

struct Monitor {
    core: Core<Simulated>,
    sequence: u32,
}

/// Seals a chain, makes the calls that `bytes` describe, and looks whether the chain is still the same.
pub fn monitor_calls(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut monitor = Monitor {
        core: Core::new(Simulated::new()).expect("a simulated machine has randomness"),
        sequence: 0,
    };
    let gateway = vec![SimulatedFile::Bytes(b"gateway".to_vec())];
    monitor.load(Call::SetGateway, [0; 6], gateway_definition().as_bytes(), gateway);
    let first = monitor.chain("first");
    let before = monitor.digest(first);
    for _ in 0..CALLS_MAX {
        if script.is_empty() {
            break;
        }
        monitor.step(&mut script);
    }
    assert_eq!(monitor.digest(first), before, "a sealed chain has changed");
    let platform = monitor.core.platform_mut();
    (platform.refuse_spawns, platform.refuse_sends) = (false, false);
    for process in monitor.core.platform().live() {
        monitor.die(process);
    }
    let created = monitor.call(
        Caller::Daemon,
        Call::CreateTrustlet,
        [first, 1, 0, 0, 0, 0],
        &[],
        vec![],
    );
    assert_eq!(
        created.code,
        ResultCode::Success,
        "a sealed chain cannot be served: {}",
        String::from_utf8_lossy(&created.operand)
    );
}

impl Monitor {
    fn step(&mut self, script: &mut Script<'_>) {
        let caller = if script.u8().is_multiple_of(2) {
            Caller::Loader
        } else {
            Caller::Daemon
        };
        match script.u8() % 12 {
            0 => {
                let count = usize::from(script.u8()) % (DESCRIPTORS_MAX + 2);
                let len = usize::from(script.u16()) % (OPERAND_MAX_BYTES + 200);
                let message = script.bytes(len).to_vec();
                self.raw(caller, &message, files(script, count));
            }
            1 => {
                if let Some(process) = pick(script, &self.core.platform().live()) {
                    self.core.ready(process);
                }
            }
            2 => {
                if let Some(process) = pick(script, &self.core.platform().live()) {
                    self.die(process);
                }
            }
            3 => self.core.daemon_died(),
            4 => {
                let _ = self.core.finish_loading();
            }
            5 => {
                let bits = script.u8();
                let platform = self.core.platform_mut();
                (platform.refuse_spawns, platform.refuse_sends) = (bits % 4 == 1, bits % 4 == 2);
            }
            6 => while self.core.next_event().is_some() {},
            _ => {
                let call = Call::ALL[usize::from(script.u8()) % Call::ALL.len()];
                let arguments = core::array::from_fn(|_| argument(script));
                let count = usize::from(script.u8()) % (DESCRIPTORS_MAX + 1);
                let operand = operand(script);
                let files = files(script, count);
                self.call(caller, call, arguments, &operand, files);
            }
        }
    }

    fn die(&mut self, process: hacher_monitor_core::ids::ProcessId) {
        if let Some(simulated) = self.core.platform_mut().processes.get_mut(&process) {
            simulated.alive = false;
        }
        let exit = Exit {
            signalled: true,
            code: 9,
            lived_ns: 1,
            asked: None,
        };
        self.core.died(process, exit);
    }

    fn raw(&mut self, caller: Caller, message: &[u8], files: Vec<SimulatedFile>) -> Answer {
        let reply = self.core.call(caller, message, files);
        let (header, operand) = ReplyHeader::read_from_prefix(&reply.bytes).expect("a reply has a header");
        assert!(operand.len() <= OPERAND_MAX_BYTES, "a reply keeps to its page");
        assert!(reply.descriptors.len() <= DESCRIPTORS_MAX);
        Answer {
            code: ResultCode::from_number(header.result).expect("a known result"),
            value: header.values[0],
            operand: operand.to_vec(),
        }
    }

    fn call(
        &mut self,
        caller: Caller,
        call: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<SimulatedFile>,
    ) -> Answer {
        self.sequence += 1;
        let header = RequestHeader {
            protocol: PROTOCOL,
            call: call.number(),
            version: VERSION,
            sequence: self.sequence,
            arguments,
            operand_bytes: u32::try_from(operand.len()).unwrap(),
            descriptor_count: u32::try_from(files.len()).unwrap(),
        };
        let message = [header.as_bytes(), operand].concat();
        self.raw(caller, &message, files)
    }

    fn load(&mut self, call: Call, arguments: [u64; 6], operand: &[u8], files: Vec<SimulatedFile>) -> u64 {
        let answer = self.call(Caller::Loader, call, arguments, operand, files);
        assert_eq!(
            answer.code,
            ResultCode::Success,
            "{call:?}: {}",
            String::from_utf8_lossy(&answer.operand)
        );
        answer.value
    }

    /// `ingress -> only -> egress`, sealed.
    fn chain(&mut self, text: &str) -> u64 {
        let chain = self.load(
            Call::BeginChain,
            [0; 6],
            chain_definition(text).as_bytes(),
            vec![],
        );
        let program = vec![SimulatedFile::Bytes(b"program".to_vec())];
        let at = [chain, 0, 0, 0, 0, 0];
        let only = self.load(Call::AddFunction, at, function_definition().as_bytes(), program);
        self.load(
            Call::AddPort,
            [chain, only, 0, 0, 0, 0],
            name("out").as_bytes(),
            vec![],
        );
        let edge = EdgeDefinition {
            protection: protection::SEALED,
            carrier: 0,
            reading: reading::AS_FUNCTION,
        };
        self.load(Call::AddEdge, [chain, 0, 0, only, 0, 0], edge.as_bytes(), vec![]);
        self.load(Call::AddEdge, [chain, only, 0, 0, 0, 0], edge.as_bytes(), vec![]);
        self.load(Call::SealChain, at, &[], vec![]);
        chain
    }

    fn digest(&mut self, chain: u64) -> [u8; 48] {
        let at = [chain, 0, 0, 0, 0, 0];
        let answer = self.call(Caller::Daemon, Call::QueryChain, at, &[], vec![]);
        let entry = ChainEntry::read_from_bytes(&answer.operand).expect("an entry of a chain");
        assert_eq!(entry.sealed, 1);
        entry.digest
    }
}

fn pick<T: Copy>(script: &mut Script<'_>, among: &[T]) -> Option<T> {
    let at = usize::from(script.u8());
    among.get(at % among.len().max(1)).copied()
}

/// Mostly the number of something that exists.
fn argument(script: &mut Script<'_>) -> u64 {
    match script.u8() {
        small @ 0..240 => u64::from(small % 6),
        240..248 => u64::MAX,
        _ => script.u64(),
    }
}

fn operand(script: &mut Script<'_>) -> Vec<u8> {
    match script.u8() % 9 {
        0 => Vec::new(),
        1 => name("p").as_bytes().to_vec(),
        2 => function_definition().as_bytes().to_vec(),
        3 => chain_definition("other").as_bytes().to_vec(),
        4 => gateway_definition().as_bytes().to_vec(),
        5 => b"/lib/any".to_vec(),
        6 => vec![7; 64],
        7 => b"/a/b"
            .get(..usize::from(script.u8() % 5))
            .unwrap_or(b"/a")
            .to_vec(),
        _ => {
            let len = usize::from(script.u16()) % (OPERAND_MAX_BYTES + 2);
            script.bytes(len).to_vec()
        }
    }
}

fn files(script: &mut Script<'_>, count: usize) -> Vec<SimulatedFile> {
    let one = |sort: u8| match sort % 3 {
        0 => SimulatedFile::Listener,
        _ => SimulatedFile::Bytes(vec![sort; usize::from(sort)]),
    };
    (0..count).map(|_| one(script.u8())).collect()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn gateway_definition() -> GatewayDefinition {
    GatewayDefinition {
        role: name("gateway"),
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        cpu: ANY_CPU,
        threads: 4,
        logs: 0,
        own: 0,
        tls: 0,
    }
}

fn chain_definition(text: &str) -> ChainDefinition {
    ChainDefinition {
        name: name(text),
        version: name("1.0.0"),
        max_body_bytes: 1 << 20,
        max_reply_bytes: 1 << 20,
        deadline_ns: 5_000_000_000,
        gateway_outbox_bytes: 1 << 20,
        in_flight: 128,
        protection: protection::SEALED,
    }
}

fn function_definition() -> FunctionDefinition {
    FunctionDefinition {
        name: name("only"),
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
            instances: 1,
            threads: 16,
            logs: 0,
            outbox_flags: 0,
        },
    }
}
