//! What a new process is told: its place in the chain, its regions and its keys, as the messages of
//! `libos-net/path/src/attach/message.rs`. This is the only place where keys leave the monitor, and it gives
//! a process exactly the epoch secrets of its own ports and the port secrets of the rings that it reads, a
//! gateway the key of requests that are sealed for its chain as well, and a carrier none (I7, deny by
//! default).

use super::definition::gateway_limits;
use super::identity;
use super::names::{ERROR_PORT, GATEWAY, INGRESS};
use super::planned::PlannedInstance;
use super::requests::Requests;
use super::sealed::{Chain, SealedChain};
use crate::calls::GatewayDefinition;
use crate::ids::{FunctionIndex, InstanceNumber, index, number};
use crate::platform::{Grant, Platform};
use alloc::vec;
use alloc::vec::Vec;
use hacher_data_path::aead::keys::{KeyContext, epoch_secret};
use hacher_data_path::attach::message::{
    self, ATTACH_VERSION, Ahead, Begin, Edge, Inbound, MESSAGE_MAX_ENTRIES, Port, RequestKey, SECRET_BYTES,
    Secret, ZeroizingMessage, kind, role,
};
use hacher_data_path::name::Name;
use zerocopy::{Immutable, IntoBytes};
use zeroize::Zeroize;

/// The messages of one attachment with the descriptors beside each, in order.
pub(crate) struct Attachment<'a, P: Platform> {
    pub(crate) messages: Vec<(ZeroizingMessage, Vec<Grant<'a, P>>)>,
}

impl<'a, P: Platform> Attachment<'a, P> {
    /// Puts together what the process of `instance` in its present epoch is told; `None` if there is no such
    /// instance, or a table disagrees with another.
    pub(crate) fn new(
        chain: &'a Chain<P>,
        sealed: &'a SealedChain<P>,
        gateway: &GatewayDefinition,
        instance: InstanceNumber,
        lockdown: Option<&[[u8; 8]]>,
    ) -> Option<Self> {
        let mut attachment = Self { messages: Vec::new() };
        let slot = sealed.slots.get(instance.at())?;
        attachment.push(
            kind::BEGIN,
            &[begin(chain, sealed, gateway, instance)?],
            vec![
                Grant::ReadWrite(&slot.outbox),
                Grant::ReadWrite(&slot.page),
                Grant::OwnDoorbell(&slot.doorbell),
            ],
        );
        attachment.inbound(chain, sealed, instance)?;
        attachment.ports(chain, sealed, instance)?;
        attachment.edges(sealed, instance)?;
        attachment.ahead(sealed, instance)?;
        if instance == InstanceNumber::GATEWAY {
            attachment.request_key(sealed.request_key.as_ref()?);
            attachment.requests(&chain.definition.requests);
        }
        let function = sealed.plan.instance(instance)?.function;
        for secret in chain
            .definition
            .function(function)
            .map_or(&[][..], |function| &function.secrets)
        {
            // Nothing starts that waits for one.
            let value = secret.value.as_ref()?;
            let entry = Secret {
                name: secret.name,
                len_bytes: number(value.len()),
            };
            attachment.messages.push((
                ZeroizingMessage::with_tail(kind::SECRET, &[entry], value),
                Vec::new(),
            ));
        }
        if let Some(filters) = lockdown {
            attachment.push(kind::LOCKDOWN, filters, Vec::new());
        }
        attachment.push::<u8>(kind::GO, &[], Vec::new());
        Some(attachment)
    }

    fn push<E: IntoBytes + Immutable>(&mut self, kind: u32, entries: &[E], grants: Vec<Grant<'a, P>>) {
        self.messages.push((ZeroizingMessage::new(kind, entries), grants));
    }

    fn inbound(
        &mut self,
        chain: &Chain<P>,
        sealed: &'a SealedChain<P>,
        instance: InstanceNumber,
    ) -> Option<()> {
        let planned = sealed.plan.instance(instance)?;
        for chunk in planned.inbound.chunks(MESSAGE_MAX_ENTRIES) {
            let mut entries = Vec::with_capacity(chunk.len());
            let mut grants = Vec::with_capacity(chunk.len() * 2);
            for inbound in chunk {
                let writer = sealed.plan.instance(inbound.writer)?;
                let slot = sealed.slots.get(inbound.writer.at())?;
                let edge = inbound.edge.of;
                let mapped = edge.is_mapped();
                // Of a mapped ring, the one reader gets the ring's own region, and no key: nothing is sealed
                // for it. A carrier gets no key either.
                let region = match mapped {
                    true => slot.mapped.get(&inbound.ring)?,
                    false => &slot.outbox,
                };
                let port_secret = match mapped || planned.is_carrier {
                    true => [0; SECRET_BYTES],
                    false => *sealed.port_secrets.get(index(edge.port))?.expose(),
                };
                entries.push(Inbound {
                    upstream: function_name(chain, edge.producer, INGRESS)?,
                    port_name: chain.definition.ports.get(index(edge.port))?.name,
                    producer_function: edge.producer.0,
                    producer_instance: inbound.producer.0,
                    port: edge.port,
                    ring: inbound.ring,
                    producer_ring_count: number(writer.rings.len()),
                    producer_ring_capacity: writer.ring_capacity,
                    producer_outbox_bytes: writer.outbox_bytes,
                    group: edge.group,
                    group_width: inbound.edge.group_width,
                    member: edge.member,
                    gapless: u32::from(inbound.gapless),
                    fault: u32::from(inbound.edge.is_fault()),
                    edge: inbound.edge.declared,
                    mapped: u32::from(mapped),
                    carried: u32::from(inbound.writer != inbound.producer),
                    streams: u32::from(inbound.edge.streams),
                    reserved: 0,
                    port_secret,
                });
                grants.push(Grant::ReadOnly(region));
                grants.push(Grant::Doorbell(&slot.doorbell));
            }
            self.push(kind::INBOUND, &entries, grants);
            for entry in &mut entries {
                entry.port_secret.zeroize();
            }
        }
        Some(())
    }

    fn ports(&mut self, chain: &Chain<P>, sealed: &SealedChain<P>, instance: InstanceNumber) -> Option<()> {
        let planned = sealed.plan.instance(instance)?;
        if planned.is_carrier {
            return self.carried_ports(chain, planned);
        }
        let epoch = sealed.slots.get(instance.at())?.epoch;
        for chunk in chain
            .definition
            .ports_of(planned.function)
            .chunks(MESSAGE_MAX_ENTRIES)
        {
            let mut entries = Vec::with_capacity(chunk.len());
            for &port in chunk {
                let context = KeyContext {
                    chain_digest: &sealed.digest,
                    chain_epoch: sealed.epoch,
                    port,
                    instance: instance.0,
                };
                let planned = chain.definition.ports.get(index(port))?;
                let secret = epoch_secret(sealed.port_secrets.get(index(port))?, context, epoch);
                entries.push(Port {
                    name: planned.name,
                    port,
                    fault: u32::from(planned.fault),
                    epoch_secret: *secret.expose(),
                });
            }
            self.push(kind::PORT, &entries, Vec::new());
            for entry in &mut entries {
                entry.epoch_secret.zeroize();
            }
        }
        Some(())
    }

    fn request_key(&mut self, key: &identity::RequestKey) {
        let mut entries = [RequestKey {
            secret: *key.secret().expose(),
        }];
        self.push(kind::REQUEST_KEY, &entries, Vec::new());
        for entry in &mut entries {
            entry.secret.zeroize();
        }
    }

    fn requests(&mut self, requests: &Requests) {
        let said = message::Requests {
            methods: requests.methods,
            route_bytes: number(requests.route.len()),
        };
        let route = requests.route.as_bytes();
        let message = ZeroizingMessage::with_tail(kind::REQUESTS, &[said], route);
        self.messages.push((message, Vec::new()));
        for names in requests.headers.chunks(MESSAGE_MAX_ENTRIES) {
            self.push(kind::HEADER, names, Vec::new());
        }
    }

    /// The ports of those whose records a carrier relays, without their keys.
    fn carried_ports(&mut self, chain: &Chain<P>, carrier: &PlannedInstance) -> Option<()> {
        for chunk in carrier.inbound.chunks(MESSAGE_MAX_ENTRIES) {
            let mut entries = Vec::with_capacity(chunk.len());
            for inbound in chunk {
                let port = inbound.edge.of.port;
                entries.push(Port {
                    name: chain.definition.ports.get(index(port))?.name,
                    port,
                    fault: 0,
                    epoch_secret: [0; SECRET_BYTES],
                });
            }
            self.push(kind::PORT, &entries, Vec::new());
        }
        Some(())
    }

    fn ahead(&mut self, sealed: &'a SealedChain<P>, instance: InstanceNumber) -> Option<()> {
        let Some(next) = sealed.plan.instance(instance)?.ahead else {
            return Some(());
        };
        let slot = sealed.slots.get(next.at())?;
        let planned = sealed.plan.instance(next)?;
        let entry = Ahead {
            inbound_count: number(planned.inbound.len()),
            port_count: planned.port_count,
        };
        let grants = vec![Grant::ReadOnly(&slot.page), Grant::Doorbell(&slot.doorbell)];
        self.push(kind::AHEAD, &[entry], grants);
        Some(())
    }

    fn edges(&mut self, sealed: &'a SealedChain<P>, instance: InstanceNumber) -> Option<()> {
        let planned = sealed.plan.instance(instance)?;
        let own = sealed.slots.get(instance.at())?;
        let numbered: Vec<_> = planned.rings.iter().enumerate().collect();
        for chunk in numbered.chunks(MESSAGE_MAX_ENTRIES) {
            let mut entries = Vec::with_capacity(chunk.len());
            let mut grants = Vec::with_capacity(chunk.len() * 2);
            for &(at, ring) in chunk {
                let consumer = sealed.plan.instance(ring.consumer)?;
                let slot = sealed.slots.get(ring.consumer.at())?;
                entries.push(Edge {
                    port_index: ring.port_index,
                    ring: number(at),
                    consumer_inbound: ring.consumer_inbound,
                    consumer_inbound_count: number(consumer.inbound.len()),
                    consumer_port_count: consumer.port_count,
                    edge: ring.edge,
                    lane: ring.lane,
                    lanes: ring.lanes,
                    joined: u32::from(ring.joined),
                    to_gateway: u32::from(ring.consumer == InstanceNumber::GATEWAY),
                    mapped: u32::from(ring.mapped),
                    streams: u32::from(ring.streams),
                });
                grants.push(Grant::ReadOnly(&slot.page));
                grants.push(Grant::Doorbell(&slot.doorbell));
                if ring.mapped {
                    grants.push(Grant::ReadWrite(own.mapped.get(&number(at))?));
                }
            }
            self.push(kind::EDGE, &entries, grants);
        }
        Some(())
    }
}

fn begin<P: Platform>(
    chain: &Chain<P>,
    sealed: &SealedChain<P>,
    gateway: &GatewayDefinition,
    instance: InstanceNumber,
) -> Option<Begin> {
    let planned = sealed.plan.instance(instance)?;
    let slot = sealed.slots.get(instance.at())?;
    let definition = &chain.definition;
    let function = definition.function(planned.function);
    let placement = definition.placement(planned.function, planned.ordinal);
    let ports = definition.ports_of(planned.function);
    let error_port = ports
        .iter()
        .position(|&port| {
            definition
                .ports
                .get(index(port))
                .is_some_and(|port| port.name.as_str() == ERROR_PORT)
        })
        .map_or(u32::MAX, number);
    Some(Begin {
        version: ATTACH_VERSION,
        role: match planned.function {
            FunctionIndex::GATEWAY => role::GATEWAY,
            _ if planned.is_carrier => role::CARRIER,
            _ => role::FUNCTION,
        },
        chain_digest: sealed.digest,
        chain_epoch: sealed.epoch,
        chain: definition.chain.name,
        function: function_name(chain, planned.function, GATEWAY)?,
        function_index: planned.function.0,
        instance: instance.0,
        instance_epoch: slot.epoch,
        inbound_count: number(planned.inbound.len()),
        port_count: planned.port_count,
        edge_count: number(planned.rings.len()),
        ring_count: number(planned.rings.len()),
        ring_capacity: planned.ring_capacity,
        limits: function.map_or_else(
            || gateway_limits(&definition.chain, gateway),
            |function| function.definition.limits,
        ),
        spin_ns: placement.spin_ns,
        max_body_bytes: definition.chain.max_body_bytes,
        max_reply_bytes: definition.chain.max_reply_bytes,
        deadline_ns: definition.chain.deadline_ns,
        in_flight: definition.chain.in_flight,
        error_port,
        wakes_ahead: u32::from(planned.ahead.is_some()),
        waiting: placement.waiting.word(),
        last_end_kind: slot.last_exit.map_or(0, |exit| exit.end().encode().0),
        last_end_code: slot.last_exit.map_or(0, |exit| exit.end().encode().1),
    })
}

fn function_name<P: Platform>(chain: &Chain<P>, function: FunctionIndex, gateway: &str) -> Option<Name> {
    if function == FunctionIndex::GATEWAY {
        Name::new(gateway).ok()
    } else {
        chain
            .definition
            .function(function)
            .map(|function| function.definition.name)
    }
}
