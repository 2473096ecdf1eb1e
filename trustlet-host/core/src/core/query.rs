//! The tables, as a daemon reads them: enough to go on after it was started anew.

use super::definition::gateway_limits;
use super::dispatch::Caller;
use super::ledger::Owner;
use super::names::GATEWAY;
use super::operand::{function_index, narrow};
use super::program::Program;
use super::refusal::{Refusal, refuse};
use super::reply::{Handle, Outcome};
use super::sealed::SealedChain;
use super::tables::Core;
use crate::calls::{
    self, ANY_CPU, ChainEntry, EdgeEntry, FunctionDefinition, FunctionEntry, GatewayEntry, InboundEntry,
    InstanceEntry, LayerEntry, MonitorEntry, OPERAND_MAX_BYTES, PortEntry, ResultCode,
};
use crate::ids::{FunctionIndex, GatewayId, InstanceNumber, index, number};
use crate::platform::{MEASUREMENT_BYTES, Measurement, Platform};
use alloc::vec;
use hacher_data_path::name::Name;
use zerocopy::IntoBytes;

impl<P: Platform> Core<P> {
    pub(super) fn query_monitor(&self) -> Outcome {
        let missing = self
            .layers
            .iter()
            .filter(|layer| layer.missing_because.is_some())
            .count();
        let [monitor_measurement, fabric_measurement] = self.measurements;
        let entry = MonitorEntry {
            backend: short_name(self.platform.backend()),
            chain_count: number(self.chains.len()),
            layer_count: number(self.layers.len()),
            missing_layer_count: number(missing),
            loaded: u32::from(self.loaded),
            gateway_count: number(self.gateways.len()),
            snp: u32::from(self.platform.is_snp()),
            statement_key: self.statements.public_key(),
            monitor_measurement,
            fabric_measurement,
        };
        Outcome::operand(entry.as_bytes())
    }

    pub(super) fn query_layer(&self, [layer, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let layer = self
            .layers
            .get(index(narrow(layer)?))
            .ok_or(ResultCode::InvalidParameter)?;
        let reason = layer.missing_because.as_deref().unwrap_or("");
        let reason = cut(reason, 1024);
        let entry = LayerEntry {
            name: short_name(&layer.name),
            enforced: u32::from(layer.missing_because.is_none()),
            reason_bytes: number(reason.len()),
        };
        let mut operand = entry.as_bytes().to_vec();
        operand.extend_from_slice(reason.as_bytes());
        Ok(Outcome::operand(&operand))
    }

    pub(super) fn query_chain(&self, [chain, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let chain = self.chain(chain)?;
        let definition = &chain.definition;
        let sealed = chain.sealed.as_ref();
        let instances: u32 = (0..definition.function_count())
            .map(|function| definition.instances_of(FunctionIndex(function)))
            .sum();
        let entry = ChainEntry {
            definition: definition.chain,
            epoch: sealed.map_or(0, |sealed| sealed.epoch),
            digest: sealed.map_or([0; MEASUREMENT_BYTES], |sealed| sealed.digest),
            sealed: u32::from(sealed.is_some()),
            function_count: definition.function_count(),
            instance_count: instances,
            port_count: number(definition.ports.len()),
            edge_count: number(definition.edges.len()),
            gateway: chain.gateway.0,
        };
        Ok(Outcome::operand(entry.as_bytes()))
    }

    pub(super) fn query_function(&self, [chain, function, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let chain = self.chain(chain)?;
        let definition = &chain.definition;
        let function = function_index(function)?;
        let first_instance: u32 = (0..function.0.min(definition.function_count()))
            .map(|function| definition.instances_of(FunctionIndex(function)))
            .sum();
        let fabric_bytes = definition.fabric_bytes(function);
        let entry = if function == FunctionIndex::GATEWAY {
            let gateway = self.gateway(chain.gateway)?;
            let values = FunctionDefinition {
                name: short_name(GATEWAY),
                limits: gateway_limits(&definition.chain, &gateway.definition),
            };
            function_entry(values, &gateway.program, first_instance, 1, 0)
        } else {
            let function = definition
                .function(function)
                .ok_or(ResultCode::InvalidParameter)?;
            function_entry(
                function.definition,
                &function.program,
                first_instance,
                function.ports.len(),
                function.secrets.len(),
            )
        };
        let entry = FunctionEntry {
            fabric_bytes,
            image: image_of(chain.sealed.as_ref(), function),
            carrier: u32::from(definition.is_carrier(function)),
            ..entry
        };
        Ok(Outcome::operand(entry.as_bytes()))
    }

    pub(super) fn query_port(&self, [chain, port, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let definition = &self.chain(chain)?.definition;
        let port = definition
            .ports
            .get(index(narrow(port)?))
            .ok_or(ResultCode::InvalidParameter)?;
        let entry = PortEntry {
            name: port.name,
            function: port.function.0,
            index: port.index,
            fault: u32::from(port.fault),
            reserved: 0,
        };
        Ok(Outcome::operand(entry.as_bytes()))
    }

    pub(super) fn query_edge(&self, [chain, edge, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let definition = &self.chain(chain)?.definition;
        let edge = definition
            .edges
            .get(index(narrow(edge)?))
            .ok_or(ResultCode::InvalidParameter)?;
        let width = definition
            .edges
            .iter()
            .filter(|other| other.consumer == edge.consumer && other.group == edge.group)
            .count();
        let entry = EdgeEntry {
            producer: edge.producer.0,
            port: edge.port,
            consumer: edge.consumer.0,
            group: edge.group,
            member: edge.member,
            group_width: number(width),
            protection: edge.protection,
            carrier: edge.carrier.map_or(0, |carrier| carrier.0),
        };
        Ok(Outcome::operand(entry.as_bytes()))
    }

    pub(super) fn query_instance(&self, [chain, instance, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let id = self.chain_id(chain)?;
        let instance = InstanceNumber(narrow(instance)?);
        let entry = self.chain(chain)?;
        let sealed = entry.sealed()?;
        let planned = sealed
            .plan
            .instance(instance)
            .ok_or(ResultCode::InvalidParameter)?;
        let slot = sealed
            .slots
            .get(instance.at())
            .ok_or(ResultCode::InvalidParameter)?;
        let placement = entry.definition.placement(planned.function, planned.ordinal);
        let operand = InstanceEntry {
            function: planned.function.0,
            ordinal: planned.ordinal,
            state: self.state_of(id, instance).number(),
            epoch: slot.epoch,
            deaths: slot.deaths,
            last_end_kind: slot.last_exit.map_or(0, |exit| exit.end().encode().0),
            last_end_code: slot.last_exit.map_or(0, |exit| exit.end().encode().1),
            inbound_count: number(planned.inbound.len()),
            port_count: planned.port_count,
            ring_count: number(planned.rings.len()),
            ring_capacity: planned.ring_capacity,
            reserved: 0,
            outbox_bytes: planned.outbox_bytes,
            cpu: placement.cpu.map_or(ANY_CPU, u64::from),
            spin_ns: placement.spin_ns,
            ready_ns: slot.ready_ns,
            died_ns: slot.died_ns,
            lived_ns: slot.last_exit.map_or(0, |exit| exit.lived_ns),
        };
        let mut outcome = Outcome::operand(operand.as_bytes());
        outcome.handles.push(Handle::Page(id, instance));
        if slot.log.is_some() {
            outcome.handles.push(Handle::Log(id, instance));
            outcome.values = [1, 0, 0, 0, 0, 0];
        }
        Ok(outcome)
    }

    pub(super) fn query_inbound(&self, [chain, instance, from, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let sealed = self.chain(chain)?.sealed()?;
        let planned = sealed
            .plan
            .instance(InstanceNumber(narrow(instance)?))
            .ok_or(ResultCode::InvalidParameter)?;
        let from = index(narrow(from)?);
        if from > planned.inbound.len() {
            return Err(ResultCode::InvalidParameter.into());
        }
        let mut outcome = Outcome::value(u64::from(number(planned.inbound.len())));
        let most = OPERAND_MAX_BYTES / size_of::<InboundEntry>();
        for inbound in planned.inbound.iter().skip(from).take(most) {
            let entry = InboundEntry {
                edge: inbound.edge.declared,
                producer: inbound.writer.0,
                port: inbound.edge.of.port,
                ring: inbound.ring,
            };
            outcome.operand.extend_from_slice(entry.as_bytes());
        }
        Ok(outcome)
    }

    pub(super) fn query_gateway(&self, caller: Caller, [gateway, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let id = self.gateway_id(gateway)?;
        let gateway = self.gateway(id)?;
        let listener = gateway.listener.as_ref();
        let address = listener.map_or("", |listener| listener.address.as_str());
        let entry = GatewayEntry {
            definition: gateway.definition,
            measurement: P::image_measurement(&gateway.program.image),
            image: self.gateway_image(id),
            state: self.gateway_state(id).number(),
            epoch: gateway.epoch,
            deaths: gateway.deaths,
            listening: u32::from(listener.is_some()),
            address_bytes: number(address.len()),
            reserved: 0,
        };
        let mut outcome = Outcome::operand(entry.as_bytes());
        outcome.operand.extend_from_slice(address.as_bytes());
        if caller == Caller::Daemon && gateway.log.is_some() {
            outcome.handles.push(Handle::GatewayLog(id));
            outcome.values = [1, 0, 0, 0, 0, 0];
        }
        Ok(outcome)
    }

    /// Zeros until a chain that it serves is sealed.
    fn gateway_image(&self, gateway: GatewayId) -> Measurement {
        let mut served = self.chains.iter().filter(|chain| chain.gateway == gateway);
        let sealed = served.find_map(|chain| chain.sealed.as_ref());
        sealed.map_or([0; MEASUREMENT_BYTES], |sealed| sealed.gateway_image)
    }

    pub(super) fn query_admin(&mut self) -> Result<Outcome, Refusal> {
        self.bell()?;
        let mut outcome = Outcome::default();
        outcome.handles.extend((0..self.admin.len()).map(Handle::Admin));
        outcome.values = [u64::from(number(self.admin.len())), 0, 0, 0, 0, 0];
        outcome.handles.push(Handle::Bell);
        Ok(outcome)
    }

    /// Whether the daemon may have a connection: to the collector that the operator has named, and to nobody
    /// else.
    pub(super) fn reach_collector(&self) -> Result<Outcome, Refusal> {
        if self.tracing.is_none() {
            return refuse(ResultCode::InvalidRequest, "there is no collector of traces");
        }
        Ok(Outcome {
            handles: vec![Handle::Collector],
            ..Outcome::default()
        })
    }

    pub(super) fn query_memory(&self, [chain, from, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let id = self.chain_id(chain)?;
        let count = self.chain(chain)?.sealed()?.slots.len();
        let from = index(narrow(from)?);
        if from > count {
            return Err(ResultCode::InvalidParameter.into());
        }
        let mut outcome = Outcome::value(u64::from(number(count)));
        for instance in (from..count).take(OPERAND_MAX_BYTES / size_of::<u64>()) {
            let holder = self
                .ledger
                .holder(Owner::Function(id, InstanceNumber(number(instance))));
            let bytes = holder.and_then(|holder| self.platform.memory_bytes(holder.process));
            outcome
                .operand
                .extend_from_slice(&bytes.unwrap_or(0).to_le_bytes());
        }
        Ok(outcome)
    }

    pub(super) fn query_refused(&self, [chain, instance, ..]: [u64; 6]) -> Result<Outcome, Refusal> {
        let sealed = self.chain(chain)?.sealed()?;
        let slot = sealed.slots.get(index(narrow(instance)?));
        let slot = slot.ok_or(ResultCode::InvalidParameter)?;
        let mut outcome = Outcome::default();
        for word in slot.refused.entries().flatten() {
            outcome.operand.extend_from_slice(&word.to_le_bytes());
        }
        Ok(outcome)
    }

    pub(super) fn statistics(&self) -> Outcome {
        let counts = &self.counts;
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let entry = calls::Statistics {
            calls: counts.calls,
            refused_calls: counts.refused_calls,
            created: counts.created,
            failed_creations: counts.failed_creations,
            died: counts.died,
            live: count(self.ledger.live_count()),
            daemon_restarts: counts.daemon_restarts,
            region_bytes: self
                .chains
                .iter()
                .filter_map(|chain| chain.sealed.as_ref())
                .fold(0, |total, sealed| total.saturating_add(sealed.region_bytes)),
        };
        Outcome::operand(entry.as_bytes())
    }
}

/// Zeros before sealing.
fn image_of<P: Platform>(sealed: Option<&SealedChain<P>>, function: FunctionIndex) -> Measurement {
    let image = sealed.and_then(|sealed| match function.at().checked_sub(1) {
        None => Some(&sealed.gateway_image),
        Some(at) => sealed.images.get(at),
    });
    image.copied().unwrap_or([0; MEASUREMENT_BYTES])
}

fn function_entry<P: Platform>(
    definition: FunctionDefinition,
    program: &Program<P>,
    first_instance: u32,
    ports: usize,
    secrets: usize,
) -> FunctionEntry {
    FunctionEntry {
        definition,
        fabric_bytes: 0,
        files_bytes: program.files_bytes,
        measurement: P::image_measurement(&program.image),
        image: [0; MEASUREMENT_BYTES],
        first_instance,
        port_count: number(ports),
        library_count: number(program.libraries.len()),
        file_count: number(program.entries.len()),
        argument_count: number(program.arguments.len()),
        variable_count: number(program.environment.len()),
        secret_count: number(secrets),
        carrier: 0,
        system_calls: program.system_calls.number(),
        reserved: 0,
    }
}

/// A name of ours, which is short; cut if a platform names a layer at length.
fn short_name(text: &str) -> Name {
    Name::new(cut(text, hacher_data_path::name::NAME_MAX_BYTES))
        .or_else(|_| Name::new("unnamed"))
        .expect("\"unnamed\" is a name")
}

/// The longest prefix of at most `max_bytes`.
fn cut(text: &str, max_bytes: usize) -> &str {
    let mut end = text.len().min(max_bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or("")
}
