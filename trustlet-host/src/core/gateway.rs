//! Gateways: one that is shared by all chains without one of their own, and one for each chain that has its
//! own. A gateway is a process with its own definition, listening socket and TLS files; tenants with a
//! gateway each share no process that sees plaintext.

use super::define::{fixed, present, text};
use super::definition::{canonical_name, cpu_hint, process_limits};
use super::ledger::Owner;
use super::program::Program;
use super::refusal::{Refusal, refuse};
use super::{Core, Outcome, limits, narrow};
use crate::calls::{GatewayDefinition, InstanceState, ResultCode, tls};
use crate::ids::{ChainId, GatewayId, InstanceNumber, ProcessId, number};
use crate::platform::{Grant, Launch, Platform, Spawned, TrustletRole};
use core::time::Duration;
use hacher_libos_net::attach::{Drain, Listen, Readiness, Renew, ZeroizingMessage, kind};

/// The name of a gateway's image, and of the gateway as a function.
pub(crate) const GATEWAY: &str = "gateway";

/// One gateway: what was asked for, and its process over its lives.
pub(crate) struct Gateway<P: Platform> {
    pub(crate) definition: GatewayDefinition,
    pub(crate) program: Program<P>,
    pub(crate) listener: Option<Listener<P>>,
    /// By the numbers of [`crate::calls::tls_file`], as far as they were set.
    pub(crate) tls_files: Vec<TlsFile<P>>,
    /// New contents of these files, which the process has been sent and has not answered.
    pub(crate) offered: Option<Vec<P::File>>,
    pub(crate) epoch: u32,
    pub(crate) deaths: u32,
    pub(crate) log: Option<P::Log>,
}

/// Where clients connect to.
pub(crate) struct Listener<P: Platform> {
    pub(crate) address: String,
    pub(crate) socket: P::File,
    /// Whether a service manager holds it too, and keeps it for the successor of this service.
    pub(crate) outlives: bool,
}

/// A file that TLS needs: what it holds, and where a replacement is looked for.
pub(crate) struct TlsFile<P: Platform> {
    pub(crate) path: String,
    pub(crate) content: P::File,
}

impl<P: Platform> Gateway<P> {
    /// Whether it serves one chain alone.
    pub(crate) const fn is_own(&self) -> bool {
        self.definition.own == 1
    }

    /// How many files its TLS needs.
    const fn tls_file_count(&self) -> usize {
        match self.definition.tls {
            tls::NONE => 0,
            tls::SERVER => 2,
            _ => 3,
        }
    }
}

/// Refuses a gateway with values out of their range.
pub(crate) fn check_gateway(definition: &GatewayDefinition) -> Result<(), Refusal> {
    let in_range = (limits::MEMORY_MIN_BYTES..=limits::MEMORY_MAX_BYTES).contains(&definition.memory_bytes)
        && definition.scratch_bytes <= limits::SCRATCH_MAX_BYTES
        && (1..=limits::THREADS_MAX).contains(&definition.threads)
        && definition.logs <= 1
        && definition.own <= 1
        && definition.tls <= tls::MUTUAL;
    if in_range {
        Ok(())
    } else {
        refuse(
            ResultCode::InvalidParameter,
            "a value of the gateway is out of its range",
        )
    }
}

/// The loader's calls.
impl<P: Platform> Core<P> {
    pub(super) fn set_gateway(&mut self, operand: &[u8], file: Option<P::File>) -> Result<Outcome, Refusal> {
        let mut definition: GatewayDefinition = fixed(operand)?;
        definition.role = canonical_name(&definition.role)?;
        check_gateway(&definition)?;
        cpu_hint(definition.cpu)?;
        if self.gateways.len() >= limits::GATEWAYS_MAX {
            return refuse(ResultCode::LimitReached, "a monitor has at most 65 gateways");
        }
        if definition.own == 0 && self.gateways.iter().any(|gateway| !gateway.is_own()) {
            return refuse(ResultCode::InvalidRequest, "the shared gateway is set");
        }
        let image = self.image(GATEWAY, file)?;
        self.gateways.push(Gateway {
            definition,
            program: Program::new(image),
            listener: None,
            tls_files: Vec::new(),
            offered: None,
            epoch: 0,
            deaths: 0,
            log: None,
        });
        Ok(Outcome::value(u64::from(number(self.gateways.len() - 1))))
    }

    /// Adds a library to a gateway of which no sealed chain is measured yet.
    pub(super) fn add_gateway_library(
        &mut self,
        gateway: u64,
        file: P::File,
        path: &str,
        interpreter: bool,
    ) -> Result<(), Refusal> {
        let id = self.gateway_id(gateway)?;
        let is_sealed = |chain: &super::Chain<P>| chain.gateway == id && chain.sealed.is_some();
        if self.chains.iter().any(is_sealed) {
            return refuse(ResultCode::Sealed, "the gateway is part of a sealed chain");
        }
        let Some(gateway) = self.gateways.get_mut(id.at()) else {
            return no_such_gateway();
        };
        gateway
            .program
            .add_library(&mut self.platform, file, path, interpreter)
    }

    pub(super) fn set_listener(
        &mut self,
        [gateway, outlives, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let address = text(operand)?;
        if outlives > 1 {
            return refuse(
                ResultCode::InvalidParameter,
                "a socket outlives the service or not",
            );
        }
        let socket = present(file)?;
        if !self.platform.is_listener(&socket) {
            return refuse(
                ResultCode::InvalidAddress,
                "the descriptor is no listening socket",
            );
        }
        if address.len() > limits::ADDRESS_MAX_BYTES {
            return refuse(ResultCode::InvalidParameter, "an address has at most 256 bytes");
        }
        let gateway = self.gateway_mut(gateway)?;
        if gateway.listener.is_some() {
            return refuse(ResultCode::InvalidRequest, "the listener is set");
        }
        if gateway.tls_files.len() != gateway.tls_file_count() {
            return refuse(
                ResultCode::InvalidRequest,
                "a file that the gateway's TLS needs is not set",
            );
        }
        gateway.listener = Some(Listener {
            address: address.to_owned(),
            socket,
            outlives: outlives == 1,
        });
        Ok(Outcome::default())
    }

    pub(super) fn set_tls_file(
        &mut self,
        [gateway, which, ..]: [u64; 6],
        operand: &[u8],
        file: Option<P::File>,
    ) -> Result<Outcome, Refusal> {
        let path = text(operand)?;
        let content = present(file)?;
        if !path.starts_with('/') || path.contains('\0') {
            return refuse(ResultCode::InvalidParameter, "a file's path is absolute");
        }
        self.check_text(path.len())?;
        let gateway = self.gateway_mut(gateway)?;
        let next = gateway.tls_files.len();
        if usize::try_from(which) != Ok(next) || next >= gateway.tls_file_count() {
            return refuse(
                ResultCode::InvalidParameter,
                "the gateway needs no such file, or another one before it",
            );
        }
        gateway.tls_files.push(TlsFile {
            path: path.to_owned(),
            content,
        });
        self.text_bytes += path.len();
        Ok(Outcome::default())
    }

    /// The gateway that an argument names.
    pub(super) fn gateway_id(&self, argument: u64) -> Result<GatewayId, Refusal> {
        let gateway = GatewayId(narrow(argument)?);
        if gateway.at() < self.gateways.len() {
            Ok(gateway)
        } else {
            no_such_gateway()
        }
    }

    pub(super) fn gateway(&self, gateway: GatewayId) -> Result<&Gateway<P>, Refusal> {
        match self.gateways.get(gateway.at()) {
            Some(gateway) => Ok(gateway),
            None => no_such_gateway(),
        }
    }

    fn gateway_mut(&mut self, argument: u64) -> Result<&mut Gateway<P>, Refusal> {
        let gateway = self.gateway_id(argument)?;
        match self.gateways.get_mut(gateway.at()) {
            Some(gateway) => Ok(gateway),
            None => no_such_gateway(),
        }
    }
}

fn no_such_gateway<T>() -> Result<T, Refusal> {
    refuse(ResultCode::InvalidParameter, "there is no such gateway")
}

/// The lives of gateways.
impl<P: Platform> Core<P> {
    /// The chains that a gateway serves.
    pub(super) fn chains_of(&self, gateway: GatewayId) -> Vec<ChainId> {
        let chains = self.chains.iter().enumerate();
        chains
            .filter(|(_, chain)| chain.gateway == gateway)
            .map(|(at, _)| ChainId(number(at)))
            .collect()
    }

    pub(super) fn next_gateway_epoch(&self, gateway: GatewayId) -> Result<u32, Refusal> {
        if !self.loaded {
            return refuse(
                ResultCode::InvalidRequest,
                "gateways start when all chains are defined",
            );
        }
        if self.drains {
            return refuse(
                ResultCode::InvalidRequest,
                "gateways finish: none is started any more",
            );
        }
        self.gateway(gateway)?
            .epoch
            .checked_add(1)
            .ok_or_else(|| ResultCode::LimitReached.into())
    }

    pub(super) fn start_gateway(
        &mut self,
        process: ProcessId,
        id: GatewayId,
        epoch: u32,
    ) -> Result<(), Refusal> {
        let chains = self.chains_of(id);
        let entries = || chains.iter().filter_map(|chain| self.chains.get(chain.at()));
        let descriptors = entries()
            .filter_map(|chain| {
                let plan = &chain.sealed.as_ref()?.plan;
                Some(plan.instance(InstanceNumber::GATEWAY)?.descriptors())
            })
            .fold(0, u32::saturating_add);
        let Some(gateway) = self.gateways.get_mut(id.at()) else {
            return no_such_gateway();
        };
        gateway.epoch = epoch;
        let definition = &gateway.definition;
        let chain = if gateway.definition.own == 1 {
            let chain = chains.first().and_then(|chain| self.chains.get(chain.at()));
            chain.map_or("", |chain| chain.definition.chain.name.as_str())
        } else {
            ""
        };
        let launch = Launch {
            process,
            role: TrustletRole::Gateway,
            chain,
            function: definition.role.as_str(),
            image: &gateway.program.image,
            libraries: &gateway.program.loaded,
            files: &gateway.program.files,
            arguments: &gateway.program.arguments,
            environment: &gateway.program.environment,
            limits: process_limits(
                definition.memory_bytes,
                definition.scratch_bytes,
                definition.threads,
                descriptors,
            ),
            forward_logs: definition.logs == 1,
            cpu: cpu_hint(definition.cpu)?,
            patient: false,
        };
        let Spawned { log } = self.platform.spawn(launch)?;
        gateway.log = log;
        Ok(())
    }

    /// Sends a gateway all that it needs to serve its chains, and nothing of others.
    pub(super) fn attach_gateway(&mut self, process: ProcessId, id: GatewayId) -> Result<(), Refusal> {
        // Before there is anything to attack it with: it parses what strangers send as soon as it listens.
        if let Some(filters) = self.lockdown(TrustletRole::Gateway)? {
            self.platform
                .send(process, ZeroizingMessage::new(kind::LOCKDOWN, &filters), &[])?;
        }
        let epoch = self.gateway(id)?.epoch;
        for chain in self.chains_of(id) {
            self.ledger.claim_for_gateway(id, chain)?;
            if let Some(slot) = self
                .chains
                .get_mut(chain.at())
                .and_then(|chain| chain.sealed.as_mut())
                .and_then(|sealed| sealed.slots.get_mut(InstanceNumber::GATEWAY.at()))
            {
                // Follows the process, so that one number names its epoch everywhere.
                slot.epoch = epoch;
            }
            self.attach(process, chain, InstanceNumber::GATEWAY)?;
            // It takes its chains for ready until it hears otherwise.
            if self.chains.get(chain.at()).is_some_and(|chain| chain.unready) {
                self.tell_readiness(process, chain)?;
            }
        }
        if self.access_log {
            let message = ZeroizingMessage::new::<[u8; 0]>(kind::ACCESS_LOG, &[]);
            self.platform.send(process, message, &[])?;
        }
        self.bell()?;
        if let Some(bell) = self.bell.as_ref() {
            let message = ZeroizingMessage::new::<[u8; 0]>(kind::BELL, &[]);
            self.platform.send(process, message, &[Grant::Doorbell(bell)])?;
        }
        self.listen(process, id)
    }

    fn listen(&mut self, process: ProcessId, id: GatewayId) -> Result<(), Refusal> {
        let Some(gateway) = self.gateways.get(id.at()) else {
            return no_such_gateway();
        };
        let Some(listener) = gateway.listener.as_ref() else {
            return Ok(());
        };
        let listen = Listen {
            tls: gateway.definition.tls,
            reserved: 0,
        };
        let mut grants = vec![Grant::File(&listener.socket)];
        grants.extend(gateway.tls_files.iter().map(|file| Grant::File(&file.content)));
        let message = ZeroizingMessage::new(kind::LISTEN, &[listen]);
        Ok(self.platform.send(process, message, &grants)?)
    }

    /// A gateway's process is gone.
    pub(super) fn note_gateway_death(&mut self, id: GatewayId) {
        if let Some(gateway) = self.gateways.get_mut(id.at()) {
            gateway.deaths = gateway.deaths.saturating_add(1);
            // Its successor begins with what was good.
            gateway.offered = None;
        }
    }

    /// Notes whether all functions of a chain are fit to serve, and tells its gateway, if that has changed.
    pub(super) fn set_readiness(&mut self, [chain, ready, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let id = self.chain_id(chain)?;
        let chain = self.chain_mut(chain)?;
        let unready = ready == 0;
        if core::mem::replace(&mut chain.unready, unready) != unready {
            let gateway = Owner::Gateway(chain.gateway);
            if let Some(process) = self.ledger.holder(gateway).map(|holder| holder.process) {
                let told = self.tell_readiness(process, id);
                if told.is_err() {
                    // Said again by the daemon, it is told again.
                    self.chain_mut(u64::from(id.0))?.unready = !unready;
                }
                told?;
            }
        }
        Ok(Outcome::default())
    }

    fn tell_readiness(&mut self, process: ProcessId, chain: ChainId) -> Result<(), Refusal> {
        let Some(chain) = self.chains.get(chain.at()) else {
            return Ok(());
        };
        let entry = Readiness {
            chain: chain.definition.chain.name,
            ready: u32::from(!chain.unready),
            reserved: 0,
        };
        let message = ZeroizingMessage::new(kind::READINESS, &[entry]);
        Ok(self.platform.send(process, message, &[])?)
    }

    /// Asks every gateway to drain: to serve on for `delay`, and to finish within `timeout` after that. Those
    /// that were asked. None is started from here on: it would know of no drain.
    pub fn drain_gateways(&mut self, delay: Duration, timeout: Duration) -> Vec<ProcessId> {
        self.drains = true;
        let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
        let mut asked = Vec::new();
        for (gateway, process) in self.live_gateways() {
            let listener = self.gateways.get(gateway.at());
            let listener = listener.and_then(|gateway| gateway.listener.as_ref());
            let drain = Drain {
                delay_ms: millis(delay),
                timeout_ms: millis(timeout),
                keeps_queue: u32::from(listener.is_some_and(|listener| listener.outlives)),
                reserved: 0,
            };
            let message = ZeroizingMessage::new(kind::DRAIN, &[drain]);
            if self.platform.send(process, message, &[]).is_ok() {
                asked.push(process);
            }
        }
        asked
    }

    /// Whether the process of any gateway is alive.
    pub fn has_live_gateway(&self) -> bool {
        !self.live_gateways().is_empty()
    }

    fn live_gateways(&self) -> Vec<(GatewayId, ProcessId)> {
        let ids = (0..self.gateways.len()).map(|at| GatewayId(number(at)));
        ids.filter_map(|id| Some((id, self.ledger.holder(Owner::Gateway(id))?.process)))
            .collect()
    }

    /// Whether the process is a gateway's.
    pub fn is_gateway(&self, process: ProcessId) -> bool {
        let owner = self.ledger.owner(process);
        owner.is_some_and(|(owner, _)| matches!(owner, Owner::Gateway(_)))
    }
}

/// New files of TLS while a gateway serves.
impl<P: Platform> Core<P> {
    /// The gateways that speak TLS.
    pub fn gateways_with_tls(&self) -> Vec<GatewayId> {
        let gateways = self.gateways.iter().enumerate();
        gateways
            .filter(|(_, gateway)| !gateway.tls_files.is_empty())
            .map(|(at, _)| GatewayId(number(at)))
            .collect()
    }

    /// The files of a gateway's TLS: where each is looked for, and the content that is in use.
    pub fn tls_files(&self, gateway: GatewayId) -> impl Iterator<Item = (&str, &P::File)> {
        let files = self.gateways.get(gateway.at());
        let files = files.map_or(&[][..], |gateway| &gateway.tls_files);
        files.iter().map(|file| (file.path.as_str(), &file.content))
    }

    /// Sends a gateway that serves new contents of its files, in their order; it tries them and answers.
    /// `false`: it does not serve, or has not answered the last ones.
    pub fn offer_tls(&mut self, id: GatewayId, contents: Vec<P::File>) -> bool {
        let serves = |holder: &super::ledger::Holder| holder.state == InstanceState::Ready;
        let Some(holder) = self.ledger.holder(Owner::Gateway(id)).filter(serves) else {
            return false;
        };
        let Some(gateway) = self.gateways.get_mut(id.at()) else {
            return false;
        };
        if gateway.offered.is_some() || contents.len() != gateway.tls_files.len() {
            return false;
        }
        let renew = Renew {
            tls: gateway.definition.tls,
            reserved: 0,
        };
        let grants: Vec<_> = contents.iter().map(Grant::File).collect();
        let message = ZeroizingMessage::new(kind::TLS, &[renew]);
        let sent = self.platform.send(holder.process, message, &grants).is_ok();
        if sent {
            gateway.offered = Some(contents);
        }
        sent
    }

    /// Whether a gateway has still to answer what it was offered.
    pub fn tls_is_offered(&self, gateway: GatewayId) -> bool {
        let gateway = self.gateways.get(gateway.at());
        gateway.is_some_and(|gateway| gateway.offered.is_some())
    }

    /// A process answered what it was offered: which gateway it is. From here on a gateway that is replaced
    /// begins with what was taken. `None`: it was offered nothing, and should be ended.
    pub fn tls_answered(&mut self, process: ProcessId, taken: bool) -> Option<GatewayId> {
        let (Owner::Gateway(id), _) = self.ledger.owner(process)? else {
            return None;
        };
        let gateway = self.gateways.get_mut(id.at())?;
        let offered = gateway.offered.take()?;
        if taken {
            for (file, content) in gateway.tls_files.iter_mut().zip(offered) {
                file.content = content;
            }
        }
        Some(id)
    }
}
