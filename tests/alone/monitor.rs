//! The monitor's core in a program without the standard library: it defines a chain, seals it, starts its
//! trustlets on a simulated platform, sees one die and replaces it, and has evidence verified.
//!
//! It exits with the number of the first thing that was not as it should be, or with 0.
#![no_std]
#![no_main]

extern crate alloc;

mod bare;

use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::name::Name;
use hacher_monitor_core::calls::{
    self, ANY_CPU, Call, ChainDefinition, EdgeDefinition, FunctionDefinition, GATEWAY_PROCESS,
    GatewayDefinition, PROTOCOL, ReplyHeader, RequestHeader, ResultCode, VERSION, protection, reading,
};
use hacher_monitor_core::core::{Caller, Core, Exit};
use hacher_monitor_core::evidence::emulated;
use hacher_monitor_core::evidence::{Evidence, Manifest, NONCE_BYTES};
use hacher_monitor_core::simulated::{Simulated, SimulatedFile};
use zerocopy::{FromBytes, IntoBytes};

#[unsafe(no_mangle)]
extern "C" fn main(_count: i32, _words: *const *const u8) -> i32 {
    match life() {
        Ok(()) => 0,
        Err(step) => step,
    }
}

/// A call, whose failure is `step`.
fn call(
    core: &mut Core<Simulated>,
    step: i32,
    (caller, call): (Caller, Call),
    arguments: [u64; 6],
    operand: &[u8],
    files: Vec<SimulatedFile>,
) -> Result<Vec<u8>, i32> {
    let header = RequestHeader {
        protocol: PROTOCOL,
        call: call.number(),
        version: VERSION,
        sequence: 1,
        arguments,
        operand_bytes: u32::try_from(operand.len()).map_err(|_| step)?,
        descriptor_count: u32::try_from(files.len()).map_err(|_| step)?,
    };
    let reply = core.call(caller, &calls::message(&header, operand), files);
    let (header, operand) = ReplyHeader::read_from_prefix(&reply.bytes).map_err(|_| step)?;
    match ResultCode::from_number(header.result) {
        Some(ResultCode::Success) => Ok(operand.to_vec()),
        _ => Err(step),
    }
}

fn name(text: &str) -> Result<Name, i32> {
    Name::new(text).map_err(|_| 1)
}

fn program() -> Vec<SimulatedFile> {
    vec![SimulatedFile::Bytes(b"program".to_vec())]
}

/// `ingress -> f -> egress`.
fn define(core: &mut Core<Simulated>) -> Result<(), i32> {
    let loader = |call| (Caller::Loader, call);
    let gateway = GatewayDefinition {
        role: name("gateway")?,
        memory_bytes: 64 << 20,
        scratch_bytes: 0,
        cpu: ANY_CPU,
        threads: 1,
        logs: 0,
        own: 0,
        tls: 0,
    };
    call(
        core,
        2,
        loader(Call::SetGateway),
        [0; 6],
        gateway.as_bytes(),
        program(),
    )?;
    let chain = ChainDefinition {
        name: name("alone")?,
        version: name("1")?,
        max_body_bytes: 1 << 20,
        max_reply_bytes: 1 << 20,
        deadline_ns: 1_000_000_000,
        gateway_outbox_bytes: 1 << 20,
        in_flight: 1,
        protection: protection::SEALED,
    };
    call(
        core,
        3,
        loader(Call::BeginChain),
        [0; 6],
        chain.as_bytes(),
        Vec::new(),
    )?;
    let function = FunctionDefinition {
        name: name("f")?,
        limits: FunctionLimits {
            memory_bytes: 64 << 20,
            outbox_bytes: 1 << 20,
            timeout_ns: 1_000_000_000,
            retry_factor_milli: 1000,
            retry_attempts: 1,
            instances: 1,
            threads: 1,
            ..FunctionLimits::NONE
        },
    };
    call(
        core,
        4,
        loader(Call::AddFunction),
        [0; 6],
        function.as_bytes(),
        program(),
    )?;
    let port = name("out")?;
    call(
        core,
        5,
        loader(Call::AddPort),
        [0, 1, 0, 0, 0, 0],
        port.as_bytes(),
        Vec::new(),
    )?;
    let edge = EdgeDefinition {
        protection: protection::SEALED,
        carrier: 0,
        reading: reading::AS_FUNCTION,
    };
    for ends in [[0, 0, 0, 1, 0, 0], [0, 1, 0, 0, 0, 0]] {
        call(core, 6, loader(Call::AddEdge), ends, edge.as_bytes(), Vec::new())?;
    }
    call(core, 7, loader(Call::SealChain), [0; 6], &[], Vec::new())?;
    core.finish_loading().map_err(|_| 8)
}

fn life() -> Result<(), i32> {
    let mut core = Core::new(Simulated::new()).map_err(|_| 17)?;
    define(&mut core)?;
    let daemon = |call| (Caller::Daemon, call);
    let f = [0, 1, 0, 0, 0, 0];
    for trustlet in [[GATEWAY_PROCESS, 0, 0, 0, 0, 0], f] {
        call(
            &mut core,
            9,
            daemon(Call::CreateTrustlet),
            trustlet,
            &[],
            Vec::new(),
        )?;
    }
    let live = core.platform().live();
    let [gateway, function] = live[..] else {
        return Err(10);
    };
    if !core.ready(gateway) || !core.ready(function) {
        return Err(11);
    }
    if call(&mut core, 0, daemon(Call::CreateTrustlet), f, &[], Vec::new()).is_ok() {
        return Err(12);
    }
    core.died(
        function,
        Exit {
            signalled: true,
            code: 9,
            lived_ns: 1,
            asked: None,
        },
    );
    call(&mut core, 13, daemon(Call::CreateTrustlet), f, &[], Vec::new())?;
    let nonce = [7; NONCE_BYTES];
    let evidence = call(&mut core, 14, daemon(Call::Evidence), [0; 6], &nonce, Vec::new())?;
    let evidence = Evidence::decode(&evidence).map_err(|_| 15)?;
    let data = evidence.expected_report_data(&nonce);
    emulated::verify(&evidence.report, &data).map_err(|_| 15)?;
    let manifest = Manifest::decode(&evidence.manifest).map_err(|_| 16)?;
    match manifest.chains.as_slice() {
        [chain] if chain.functions.len() == 1 => Ok(()),
        _ => Err(16),
    }
}
