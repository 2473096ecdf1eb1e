//! The core's tables, and how a chain is found in them.

use super::event::{EndReason, Event};
use super::gateway::Gateway;
use super::identity::StatementKey;
use super::last_evidence::LastEvidence;
use super::ledger::Ledger;
use super::operand::narrow;
use super::refusal::{Refusal, refuse};
use super::release::Release;
use super::reply::{Handle, Outcome, ReplyDescriptor};
use super::sealed::Chain;
use crate::calls::ResultCode;
use crate::ids::{ChainId, InstanceNumber, ProcessId, number};
use crate::platform::{LayerStatus, MEASUREMENT_BYTES, Measurement, Platform, PlatformError};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use hacher_data_path::attach::message::Tracing;
use hacher_data_path::machine::clock::Monotonic;

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
    /// No key broker has released a secret.
    #[error("a secret of the chain {0} was not released by a key broker")]
    Secret(String),
    /// It has ended before.
    #[error("the loader has finished")]
    Finished,
}

/// A listening socket that a service manager has opened, by the name that it gave it.
pub struct NamedSocket<P: Platform> {
    /// Its name: whom it is for, in the loader's judgement.
    pub name: String,
    /// The socket.
    pub socket: P::File,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) calls: u64,
    pub(super) refused_calls: u64,
    pub(super) created: u64,
    pub(super) failed_creations: u64,
    pub(super) died: u64,
    pub(super) daemon_restarts: u64,
}

/// The core.
pub struct Core<P: Platform> {
    pub(super) platform: P,
    pub(super) layers: Vec<LayerStatus>,
    pub(super) chains: Vec<Chain<P>>,
    /// By their numbers.
    pub(super) gateways: Vec<Gateway<P>>,
    pub(super) admin: Vec<P::File>,
    /// What the loader may listen on instead of sockets of its own.
    pub(super) sockets: Vec<NamedSocket<P>>,
    /// What gateways ring to wake the daemon when the first request comes in.
    pub(super) bell: Option<P::Doorbell>,
    pub(super) ledger: Ledger,
    pub(super) events: VecDeque<Event>,
    /// Processes that are being ended, and why.
    pub(super) ending: BTreeMap<ProcessId, EndReason>,
    pub(super) counts: Counts,
    /// Bytes of paths, arguments, variables and secrets so far.
    pub(super) text_bytes: usize,
    /// Files, folders and links of all functions so far.
    pub(super) file_total: usize,
    /// Bytes of these files.
    pub(super) file_bytes: u64,
    /// Instances of all chains so far.
    pub(super) instance_total: usize,
    /// Sealings so far.
    pub(super) sealings: u64,
    pub(super) loaded: bool,
    /// Gateways have been asked to finish.
    pub(super) drains: bool,
    /// Chains that serve, and all chains, since the present daemon has said so.
    pub(super) daemon_ready: Option<(u32, u32)>,
    /// What the clock of whoever drives the core said last, ns of `CLOCK_MONOTONIC`.
    pub(super) now_ns: u64,
    /// Whether gateways tell of each request.
    pub(super) access_log: bool,
    /// Which requests are traced, if there is a collector.
    pub(super) tracing: Option<Tracing>,
    /// Signs what the monitor states.
    pub(super) statements: StatementKey,
    /// The evidence that was made last: whoever reads it in parts gets one.
    pub(super) last_evidence: Option<LastEvidence>,
    /// The secret that a key broker is being asked for, while chains are defined.
    pub(super) release: Option<Release>,
    /// Of the executables of the monitor, and of loader and daemon.
    pub(super) measurements: [Measurement; 2],
}

impl<P: Platform> Core<P> {
    /// An empty monitor, with an identity that it never had before.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(mut platform: P) -> Result<Self, PlatformError> {
        Ok(Self {
            layers: platform.layers(),
            statements: StatementKey::new(&mut platform)?,
            last_evidence: None,
            release: None,
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
            file_bytes: 0,
            instance_total: 0,
            sealings: 0,
            loaded: false,
            drains: false,
            daemon_ready: None,
            now_ns: 0,
            access_log: false,
            tracing: None,
            measurements: [[0; MEASUREMENT_BYTES]; 2],
        })
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

    /// Has gateways tell of each request that is traced, and the daemon get connections to the collector.
    pub const fn trace(&mut self, tracing: Tracing) {
        self.tracing = Some(tracing);
    }

    /// The daemon's bell, made when it is first needed.
    pub(super) fn bell(&mut self) -> Result<&P::Doorbell, Refusal> {
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
        if self.loaded {
            return Err(LoadError::Finished);
        }
        if self.chains.is_empty() {
            return Err(LoadError::NoChain);
        }
        if let Some(chain) = self.chains.iter().find(|chain| chain.sealed.is_none()) {
            return Err(LoadError::Open(chain.definition.chain.name.to_string()));
        }
        let awaits = |chain: &&Chain<P>| {
            let mut secrets = chain.definition.functions.iter().flat_map(|one| &one.secrets);
            secrets.any(|secret| secret.value.is_none())
        };
        if let Some(chain) = self.chains.iter().find(awaits) {
            return Err(LoadError::Secret(chain.definition.chain.name.to_string()));
        }
        self.loaded = true;
        self.release = None;
        self.events.push_back(Event::Loaded {
            chain_count: number(self.chains.len()),
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
        number(self.instance_total)
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

    pub(super) fn take_socket(&self, [number, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let found = usize::try_from(number).ok();
        let found = found.and_then(|at| Some((at, self.sockets.get(at)?)));
        let Some((at, socket)) = found else {
            return refuse(ResultCode::InvalidParameter, "there is no such socket");
        };
        let mut outcome = Outcome::operand(socket.name.as_bytes());
        outcome.handles.push(Handle::Socket(at));
        Ok(outcome)
    }

    pub(super) fn descriptor(&self, handle: Handle) -> Option<ReplyDescriptor<'_, P>> {
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
            Handle::Collector => Some(ReplyDescriptor::Collector),
        }
    }

    /// The chain that an argument names.
    pub(super) fn chain_id(&self, argument: u64) -> Result<ChainId, Refusal> {
        let chain = ChainId(narrow(argument)?);
        if chain.at() < self.chains.len() {
            Ok(chain)
        } else {
            refuse(ResultCode::InvalidParameter, "there is no such chain")
        }
    }

    pub(super) fn chain(&self, argument: u64) -> Result<&Chain<P>, Refusal> {
        let chain = self.chain_id(argument)?;
        self.chains
            .get(chain.at())
            .ok_or_else(|| ResultCode::InvalidParameter.into())
    }

    pub(super) fn chain_mut(&mut self, argument: u64) -> Result<&mut Chain<P>, Refusal> {
        let chain = self.chain_id(argument)?;
        self.chains
            .get_mut(chain.at())
            .ok_or_else(|| ResultCode::InvalidParameter.into())
    }
}
