//! Two chains, defined by the calls that any loader makes: one of three functions, and one of a hostile
//! trustlet.

use crate::board::Machine;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use hacher_monitor_core::calls::{
    self, ANY_CPU, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GatewayDefinition, PROTOCOL,
    ReplyHeader, RequestHeader, ResultCode, VERSION, protection, reading,
};
use hacher_monitor_core::core::{Caller, Core};
use hacher_snp::platform::Snp;
use zerocopy::{FromBytes, IntoBytes};

macro_rules! program {
    ($name:literal) => {
        include_bytes!(concat!(env!("HACHER_TRUSTLETS"), "/", $name))
    };
}

/// The functions of the chain `text`, in their order, and their programs.
const FUNCTIONS: [(&str, &[u8]); 3] = [
    ("trim", program!("trim")),
    ("upper", program!("upper")),
    ("reverse", program!("reverse")),
];
const GATEWAY: &[u8] = program!("gateway");
/// The hostile one's.
pub(crate) const HOSTILE: &[u8] = program!("hostile");

/// The chain of three functions.
pub(crate) const TEXT_CHAIN: u64 = 0;
/// The chain of the hostile one.
pub(crate) const HOSTILE_CHAIN: u64 = 1;

const MEMORY_BYTES: u64 = 4 << 20;
const OUTBOX_BYTES: u64 = 1 << 20;

/// Makes a call; what it is answered with.
///
/// # Errors
/// What the core refused it with.
pub(crate) fn call(
    core: &mut Core<Snp<Machine>>,
    (caller, call): (Caller, Call),
    arguments: [u64; 6],
    operand: &[u8],
    files: Vec<Vec<u8>>,
) -> Result<Vec<u8>, String> {
    let header = RequestHeader {
        protocol: PROTOCOL,
        call: call.number(),
        version: VERSION,
        sequence: 1,
        arguments,
        operand_bytes: u32::try_from(operand.len()).map_err(|error| error.to_string())?,
        descriptor_count: u32::try_from(files.len()).map_err(|error| error.to_string())?,
    };
    let reply = core.call(caller, &calls::message(&header, operand), files);
    let (header, operand) = ReplyHeader::read_from_prefix(&reply.bytes).map_err(|_| "a short reply")?;
    match ResultCode::from_number(header.result) {
        Some(ResultCode::Success) => Ok(operand.to_vec()),
        code => {
            let words = String::from_utf8_lossy(operand);
            Err(format!("{call:?} was refused: {code:?} {words}"))
        }
    }
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

struct Loader<'c> {
    core: &'c mut Core<Snp<Machine>>,
}

impl Loader<'_> {
    fn call(
        &mut self,
        which: Call,
        arguments: [u64; 6],
        operand: &[u8],
        files: Vec<Vec<u8>>,
    ) -> Result<(), String> {
        call(self.core, (Caller::Loader, which), arguments, operand, files).map(drop)
    }

    fn gateway(&mut self) -> Result<(), String> {
        let gateway = GatewayDefinition {
            role: name("gateway")?,
            memory_bytes: MEMORY_BYTES,
            scratch_bytes: 0,
            cpu: ANY_CPU,
            threads: 1,
            logs: 1,
            own: 0,
            tls: 0,
        };
        self.call(
            Call::SetGateway,
            [0; 6],
            gateway.as_bytes(),
            vec![GATEWAY.to_vec()],
        )
    }

    /// A chain whose functions stand one behind the other, all sealed.
    fn chain(&mut self, number: u64, chain: &str, functions: &[(&str, &[u8])]) -> Result<(), String> {
        let definition = ChainDefinition {
            name: name(chain)?,
            version: name("1")?,
            max_body_bytes: 4096,
            max_reply_bytes: 4096,
            deadline_ns: 60_000_000_000,
            gateway_outbox_bytes: OUTBOX_BYTES,
            in_flight: 1,
            protection: protection::SEALED,
        };
        self.call(Call::BeginChain, [0; 6], definition.as_bytes(), Vec::new())?;
        for (at, (function, program)) in (1..).zip(functions) {
            let function = FunctionDefinition {
                name: name(function)?,
                limits: FunctionLimits {
                    memory_bytes: MEMORY_BYTES,
                    outbox_bytes: OUTBOX_BYTES,
                    timeout_ns: 60_000_000_000,
                    instances: 1,
                    threads: 1,
                    logs: 1,
                    ..FunctionLimits::NONE
                },
            };
            let program = vec![program.to_vec()];
            self.call(
                Call::AddFunction,
                [number, 0, 0, 0, 0, 0],
                function.as_bytes(),
                program,
            )?;
            let port = name("out")?;
            self.call(
                Call::AddPort,
                [number, at, 0, 0, 0, 0],
                port.as_bytes(),
                Vec::new(),
            )?;
        }
        let edge = EdgeDefinition {
            protection: protection::SEALED,
            carrier: 0,
            reading: reading::AS_FUNCTION,
        };
        let last = functions.len() as u64;
        for producer in 0..=last {
            let consumer = if producer == last { 0 } else { producer + 1 };
            let ends = [number, producer, 0, consumer, 0, 0];
            self.call(Call::AddEdge, ends, edge.as_bytes(), Vec::new())?;
        }
        self.call(Call::SealChain, [number, 0, 0, 0, 0, 0], &[], Vec::new())
    }
}

/// Defines both chains.
///
/// # Errors
/// What the core refused.
pub(crate) fn define(core: &mut Core<Snp<Machine>>) -> Result<(), String> {
    let mut loader = Loader { core };
    loader.gateway()?;
    loader.chain(TEXT_CHAIN, "text", &FUNCTIONS)?;
    loader.chain(HOSTILE_CHAIN, "hostile", &[("hostile", HOSTILE)])?;
    core.finish_loading().map_err(|error| error.to_string())
}

/// Starts a trustlet of these arguments.
///
/// # Errors
/// What the core refused.
pub(crate) fn create(core: &mut Core<Snp<Machine>>, arguments: [u64; 6]) -> Result<(), String> {
    call(
        core,
        (Caller::Daemon, Call::CreateTrustlet),
        arguments,
        &[],
        Vec::new(),
    )
    .map(drop)
}

/// How many trustlets the chain `text` has, beside the gateway.
pub(crate) const FUNCTION_COUNT: u64 = FUNCTIONS.len() as u64;
