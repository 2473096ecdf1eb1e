//! The monitor's core: tables, policy, keys and the ledger of writers. It does no I/O; what it needs from the
//! machine is a [`Platform`].
//!
//! Two callers speak to it. The *loader* reads chain files with the rights of whoever started the service,
//! defines the chains, and ends. The *daemon* stays: it sees the tables and starts and ends trustlets, but it
//! can neither define a chain nor obtain a key or a writable region. Both are taken to lie: a bad call is an
//! error result, changes nothing, and never concerns another chain.

mod ahead;
mod attachment;
mod define;
pub(crate) mod definition;
mod digest;
mod event;
mod gateway;
mod ledger;
mod lifecycle;
pub mod limits;
mod manifest;
mod plan;
mod program;
mod query;
mod refusal;
mod sealed;
#[cfg(test)]
mod tests;
mod whom;

pub use event::{EndReason, Event, Exit};
pub use ledger::Owner;
pub use whom::Whom;

use crate::calls::{self, Call, ReplyHeader, Request, ResultCode};
use crate::ids::{ChainId, FunctionIndex, GatewayId, InstanceNumber, ProcessId};
use crate::platform::{LayerStatus, MEASUREMENT_BYTES, Measurement, Platform};
use gateway::Gateway;
use hacher_libos_net::clock::Monotonic;
use ledger::Ledger;
use refusal::{Refusal, refuse};
use sealed::Chain;
use std::collections::{BTreeMap, VecDeque};

/// Who calls. Each has a connection of its own, so nobody can pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Defines chains until it ends.
    Loader,
    /// Starts and ends trustlets.
    Daemon,
}

/// The loader ended too early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It defined nothing.
    #[error("no chain was defined")]
    NoChain,
    /// It did not seal a chain.
    #[error("the chain {0} was begun and not sealed")]
    Open(String),
}

/// The answer to a call.
pub struct Reply<'a, P: Platform> {
    /// The message.
    pub bytes: Vec<u8>,
    /// What goes beside it.
    pub descriptors: Vec<ReplyDescriptor<'a, P>>,
}

/// A descriptor beside a reply. There is no kind for a writable region, nor for anything with a key.
pub enum ReplyDescriptor<'a, P: Platform> {
    /// A region, to read.
    Region(&'a P::Region),
    /// The reading end of a process's output.
    Log(&'a P::Log),
    /// The daemon's listening socket.
    File(&'a P::File),
    /// The daemon's own bell.
    Doorbell(&'a P::Doorbell),
}

/// Names a descriptor until the borrow of the tables allows taking it.
#[derive(Debug, Clone, Copy)]
enum Handle {
    Page(ChainId, InstanceNumber),
    Log(ChainId, InstanceNumber),
    GatewayLog(GatewayId),
    Admin(usize),
    Bell,
    Socket(usize),
}

/// A listening socket that a service manager has opened, by the name that it gave it.
pub struct NamedSocket<P: Platform> {
    /// Its name: whom it is for, in the loader's judgement.
    pub name: String,
    /// The socket.
    pub socket: P::File,
}

/// What a call returns.
#[derive(Debug, Default)]
struct Outcome {
    values: [u64; 6],
    operand: Vec<u8>,
    handles: Vec<Handle>,
}

impl Outcome {
    fn value(value: u64) -> Self {
        Self {
            values: [value, 0, 0, 0, 0, 0],
            ..Self::default()
        }
    }

    fn operand(bytes: &[u8]) -> Self {
        Self {
            operand: bytes.to_vec(),
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    calls: u64,
    refused_calls: u64,
    created: u64,
    failed_creations: u64,
    died: u64,
    daemon_restarts: u64,
}

/// The core.
pub struct Core<P: Platform> {
    platform: P,
    layers: Vec<LayerStatus>,
    chains: Vec<Chain<P>>,
    /// By their numbers.
    gateways: Vec<Gateway<P>>,
    admin: Vec<P::File>,
    /// What the loader may listen on instead of sockets of its own.
    sockets: Vec<NamedSocket<P>>,
    /// What gateways ring to wake the daemon when the first request comes in.
    bell: Option<P::Doorbell>,
    ledger: Ledger,
    events: VecDeque<Event>,
    /// Processes that are being ended, and why.
    ending: BTreeMap<ProcessId, EndReason>,
    counts: Counts,
    /// Bytes of paths, arguments, variables and secrets so far.
    text_bytes: usize,
    /// Files, folders and links of all functions so far.
    file_total: usize,
    /// Instances of all chains so far.
    instance_total: usize,
    /// Sealings so far.
    sealings: u64,
    loaded: bool,
    /// Gateways have been asked to finish.
    drains: bool,
    /// Chains that serve, and all chains, since the present daemon has said so.
    daemon_ready: Option<(u32, u32)>,
    /// What the clock of whoever drives the core said last, ns of `CLOCK_MONOTONIC`.
    now_ns: u64,
    /// Whether gateways tell of each request.
    access_log: bool,
    /// Of the executables of the monitor, and of loader and daemon.
    measurements: [Measurement; 2],
}

impl<P: Platform> Core<P> {
    /// An empty monitor.
    pub fn new(platform: P) -> Self {
        Self {
            layers: platform.layers(),
            platform,
            chains: Vec::new(),
            gateways: Vec::new(),
            admin: Vec::new(),
            sockets: Vec::new(),
            bell: None,
            ledger: Ledger::default(),
            events: VecDeque::new(),
            ending: BTreeMap::new(),
            counts: Counts::default(),
            text_bytes: 0,
            file_total: 0,
            instance_total: 0,
            sealings: 0,
            loaded: false,
            drains: false,
            daemon_ready: None,
            now_ns: 0,
            access_log: false,
            measurements: [[0; MEASUREMENT_BYTES]; 2],
        }
    }

    /// The platform.
    pub const fn platform(&self) -> &P {
        &self.platform
    }

    /// The platform, for whoever drives its input and output.
    pub const fn platform_mut(&mut self) -> &mut P {
        &mut self.platform
    }

    /// Says what time it is, before anything is told that has just happened: births and deaths are stamped
    /// with it.
    pub const fn set_time(&mut self, now: Monotonic) {
        self.now_ns = now.as_ns();
    }

    /// Says which executable this monitor is, and which loader and daemon are; evidence names both.
    pub fn name_programs(&mut self, monitor: &P::Image, fabric: &P::Image) {
        self.measurements = [monitor, fabric].map(P::image_measurement);
    }

    /// Has gateways tell of each request, on their standard error.
    pub const fn keep_access_log(&mut self) {
        self.access_log = true;
    }

    /// Answers one message. Never fails: what is wrong with the message is the answer.
    pub fn call(&mut self, caller: Caller, message: &[u8], files: Vec<P::File>) -> Reply<'_, P> {
        let (call, sequence) = Request::peek(message);
        let result = Request::decode(message, files.len())
            .map_err(Refusal::from)
            .and_then(|request| self.dispatch(caller, &request, files));
        let (code, outcome) = match result {
            Ok(outcome) => {
                self.counts.calls += 1;
                (ResultCode::Success, outcome)
            }
            Err(refusal) => {
                self.counts.refused_calls += 1;
                (refusal.code, error_outcome(&refusal))
            }
        };
        let descriptors: Vec<_> = outcome
            .handles
            .iter()
            .filter_map(|&handle| self.descriptor(handle))
            .collect();
        let header = ReplyHeader {
            protocol: calls::PROTOCOL,
            call,
            result: code.number(),
            sequence,
            values: outcome.values,
            operand_bytes: crate::ids::number(outcome.operand.len()),
            descriptor_count: crate::ids::number(descriptors.len()),
        };
        Reply {
            bytes: calls::message(&header, &outcome.operand),
            descriptors,
        }
    }

    /// The daemon's bell, made when it is first needed.
    fn bell(&mut self) -> Result<&P::Doorbell, Refusal> {
        let bell = match self.bell.take() {
            Some(bell) => bell,
            None => self.platform.create_doorbell()?,
        };
        Ok(self.bell.insert(bell))
    }

    /// The loader ended well: nothing more will be defined.
    ///
    /// # Errors
    /// When it left something undone.
    pub fn finish_loading(&mut self) -> Result<(), LoadError> {
        if self.chains.is_empty() {
            return Err(LoadError::NoChain);
        }
        if let Some(chain) = self.chains.iter().find(|chain| chain.sealed.is_none()) {
            return Err(LoadError::Open(chain.definition.chain.name.to_string()));
        }
        self.loaded = true;
        self.events.push_back(Event::Loaded {
            chain_count: crate::ids::number(self.chains.len()),
        });
        Ok(())
    }

    /// The next thing that the daemon should be told.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Chains.
    pub const fn chain_count(&self) -> usize {
        self.chains.len()
    }

    /// The live processes of functions, and their chains.
    pub fn function_processes(&self) -> Vec<(ProcessId, ChainId)> {
        self.ledger.functions().collect()
    }

    /// Instances of all chains, the gateway's among them.
    pub fn instance_count(&self) -> u32 {
        crate::ids::number(self.instance_total)
    }

    /// Forgets what a daemon that is gone should have been told; its successor reads the tables.
    pub fn daemon_died(&mut self) {
        self.counts.daemon_restarts += 1;
        self.daemon_ready = None;
        self.events.clear();
    }

    /// How many chains serve, and of how many, once the present daemon has said that the service is ready.
    pub const fn serving_chains(&self) -> Option<(u32, u32)> {
        self.daemon_ready
    }

    /// Lets the loader take sockets that a service manager has opened.
    pub fn offer_sockets(&mut self, sockets: Vec<NamedSocket<P>>) {
        self.sockets = sockets;
    }

    fn take_socket(&self, [number, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let found = usize::try_from(number).ok();
        let found = found.and_then(|at| Some((at, self.sockets.get(at)?)));
        let Some((at, socket)) = found else {
            return refuse(ResultCode::InvalidParameter, "there is no such socket");
        };
        let mut outcome = Outcome::operand(socket.name.as_bytes());
        outcome.handles.push(Handle::Socket(at));
        Ok(outcome)
    }

    fn dispatch(
        &mut self,
        caller: Caller,
        request: &Request<'_>,
        files: Vec<P::File>,
    ) -> Result<Outcome, Refusal> {
        self.check_permission(caller, request.call)?;
        let mut files = files.into_iter();
        let arguments = request.arguments;
        match request.call {
            Call::QueryMonitor => Ok(self.query_monitor()),
            Call::QueryLayer => self.query_layer(arguments),
            Call::QueryChain => self.query_chain(arguments),
            Call::QueryFunction => self.query_function(arguments),
            Call::QueryPort => self.query_port(arguments),
            Call::QueryEdge => self.query_edge(arguments),
            Call::QueryInstance => self.query_instance(arguments),
            Call::QueryInbound => self.query_inbound(arguments),
            Call::QueryGateway => self.query_gateway(caller, arguments),
            Call::QueryAdmin => self.query_admin(),
            Call::QueryMemory => self.query_memory(arguments),
            Call::SetGateway => self.set_gateway(request.operand, files.next()),
            Call::BeginChain => self.begin_chain(arguments, request.operand),
            Call::AddFunction => self.add_function(arguments, request.operand, files.next()),
            Call::AddLibrary => self.add_library(arguments, request.operand, files.next()),
            Call::AddFile => self.add_file(arguments, request.operand, files.next()),
            Call::AddArgument => self.add_argument(arguments, request.operand),
            Call::AddVariable => self.add_variable(arguments, request.operand),
            Call::AddSecret => self.add_secret(arguments, request.operand, files.next()),
            Call::AddPort => self.add_port(arguments, request.operand),
            Call::AddEdge => self.add_edge(arguments, request.operand),
            Call::SetPlacement => self.set_placement(arguments),
            Call::SetListener => self.set_listener(arguments, request.operand, files.next()),
            Call::SetTlsFile => self.set_tls_file(arguments, request.operand, files.next()),
            Call::SetAdmin => self.set_admin(files.next()),
            Call::TakeSocket => self.take_socket(arguments),
            Call::SealChain => self.seal_chain(arguments),
            Call::CreateTrustlet => self.create_trustlet(arguments),
            Call::DeleteTrustlet => self.delete_trustlet(arguments),
            Call::Evidence => self.evidence(arguments, request.operand),
            Call::Statistics => Ok(self.statistics()),
            Call::DaemonReady => {
                let [serving, all, ..] = arguments;
                self.daemon_ready = Some((narrow(serving)?, narrow(all)?));
                Ok(Outcome::default())
            }
            Call::SetReadiness => self.set_readiness(arguments),
        }
    }

    fn check_permission(&self, caller: Caller, call: Call) -> Result<(), Refusal> {
        let owner = match call {
            Call::QueryMonitor
            | Call::QueryLayer
            | Call::QueryChain
            | Call::QueryFunction
            | Call::QueryPort
            | Call::QueryEdge
            | Call::QueryInbound
            | Call::QueryGateway
            | Call::Evidence
            | Call::Statistics => return Ok(()),
            Call::QueryInstance
            | Call::QueryAdmin
            | Call::QueryMemory
            | Call::CreateTrustlet
            | Call::DeleteTrustlet
            | Call::DaemonReady
            | Call::SetReadiness => Caller::Daemon,
            Call::SetGateway
            | Call::BeginChain
            | Call::AddFunction
            | Call::AddLibrary
            | Call::AddFile
            | Call::AddArgument
            | Call::AddVariable
            | Call::AddSecret
            | Call::AddPort
            | Call::AddEdge
            | Call::SetPlacement
            | Call::SetListener
            | Call::SetTlsFile
            | Call::SetAdmin
            | Call::TakeSocket
            | Call::SealChain => Caller::Loader,
        };
        if caller != owner {
            return Err(ResultCode::NotPermitted.into());
        }
        if caller == Caller::Loader && self.loaded {
            return refuse(ResultCode::InvalidRequest, "the loader has finished");
        }
        Ok(())
    }

    fn descriptor(&self, handle: Handle) -> Option<ReplyDescriptor<'_, P>> {
        let slot = |chain: ChainId, instance: InstanceNumber| {
            let sealed = self.chains.get(chain.at())?.sealed.as_ref()?;
            sealed.slots.get(instance.at())
        };
        match handle {
            Handle::Page(chain, instance) => Some(ReplyDescriptor::Region(&slot(chain, instance)?.page)),
            Handle::Log(chain, instance) => slot(chain, instance)?.log.as_ref().map(ReplyDescriptor::Log),
            Handle::GatewayLog(gateway) => {
                let gateway = self.gateways.get(gateway.at())?;
                gateway.log.as_ref().map(ReplyDescriptor::Log)
            }
            Handle::Admin(number) => self.admin.get(number).map(ReplyDescriptor::File),
            Handle::Socket(at) => self
                .sockets
                .get(at)
                .map(|named| ReplyDescriptor::File(&named.socket)),
            Handle::Bell => self.bell.as_ref().map(ReplyDescriptor::Doorbell),
        }
    }

    /// The chain that an argument names.
    fn chain_id(&self, argument: u64) -> Result<ChainId, Refusal> {
        let chain = ChainId(narrow(argument)?);
        if chain.at() < self.chains.len() {
            Ok(chain)
        } else {
            refuse(ResultCode::InvalidParameter, "there is no such chain")
        }
    }

    fn chain(&self, argument: u64) -> Result<&Chain<P>, Refusal> {
        let chain = self.chain_id(argument)?;
        self.chains
            .get(chain.at())
            .ok_or_else(|| ResultCode::InvalidParameter.into())
    }

    fn chain_mut(&mut self, argument: u64) -> Result<&mut Chain<P>, Refusal> {
        let chain = self.chain_id(argument)?;
        self.chains
            .get_mut(chain.at())
            .ok_or_else(|| ResultCode::InvalidParameter.into())
    }
}

/// The text of an error, cut to what an operator reads.
fn error_outcome(refusal: &Refusal) -> Outcome {
    const TEXT_MAX_BYTES: usize = 1024;
    let mut text = refusal.text.as_bytes();
    if let Some(cut) = text.get(..TEXT_MAX_BYTES) {
        text = cut;
    }
    Outcome::operand(text)
}

/// A 64-bit argument that counts or numbers something.
fn narrow(argument: u64) -> Result<u32, Refusal> {
    u32::try_from(argument).map_err(|_| ResultCode::InvalidParameter.into())
}

fn function_index(argument: u64) -> Result<FunctionIndex, Refusal> {
    narrow(argument).map(FunctionIndex)
}
