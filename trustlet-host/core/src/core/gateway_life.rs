//! The lives of gateways: what a process is started with, what it is told, and how it finishes.

use super::definition::{cpu_hint, process_limits};
use super::gateway::no_such_gateway;
use super::identity::RequestKey;
use super::ledger::{Holder, Owner};
use super::refusal::{Refusal, refuse};
use super::reply::Outcome;
use super::tables::Core;
use crate::calls::{InstanceState, ResultCode};
use crate::ids::{ChainId, GatewayId, InstanceNumber, ProcessId, number};
use crate::platform::{Grant, Launch, Platform, Spawned, SystemCalls, TrustletRole};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use hacher_data_path::attach::message::{Drain, Listen, Readiness, Renew, ZeroizingMessage, kind};

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
        let made = chains.iter().map(|_| RequestKey::new(&mut self.platform));
        let request_keys: Vec<_> = made.collect::<Result<_, _>>()?;
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
            system_calls: SystemCalls::Native,
            limits: process_limits(
                definition.memory_bytes,
                definition.scratch_bytes,
                definition.threads,
                descriptors,
            ),
            forward_logs: definition.logs == 1,
            cpu: cpu_hint(definition.cpu)?,
            patient: false,
            ordinal: 0,
            // Of its own chains, of which there may be many; it is not bounded by what they hold.
            regions_bytes: 0,
        };
        let Spawned { log } = self.platform.spawn(launch)?;
        gateway.log = log;
        self.set_request_keys(id, request_keys.into_iter().map(Some));
        Ok(())
    }

    /// Gives the chains of a gateway these keys, in their order, or takes them away.
    fn set_request_keys(&mut self, id: GatewayId, keys: impl Iterator<Item = Option<RequestKey>>) {
        for (chain, key) in self.chains_of(id).into_iter().zip(keys) {
            let chain = self.chains.get_mut(chain.at());
            if let Some(sealed) = chain.and_then(|chain| chain.sealed.as_mut()) {
                // The one before is wiped where it is dropped.
                sealed.request_key = key;
            }
        }
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
        if let Some(tracing) = self.tracing {
            let message = ZeroizingMessage::new(kind::TRACING, &[tracing]);
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
            // Its successor begins with what was good, and says itself which key that has.
            gateway.offered = None;
            gateway.tls_key = None;
        }
        // What it has opened, its successor cannot know: what was sealed for it is not opened again.
        self.set_request_keys(id, core::iter::repeat_with(|| None));
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
        let serves = |holder: &Holder| holder.state == InstanceState::Ready;
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
