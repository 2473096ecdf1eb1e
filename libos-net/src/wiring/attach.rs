//! The messages of an attachment, as the monitor sends them.

use super::instances::Wiring;
use super::plan::{Node, Way, name};
use crate::attach::assembly::Assembly;
use crate::attach::attachment::Attachment;
use crate::attach::channel::Channel;
use crate::attach::instruction::Instruction;
use crate::attach::seqpacket;
use core::time::Duration;
use hacher_data_path::aead::keys::{KeyContext, epoch_secret};
use hacher_data_path::attach::limits::FunctionLimits;
use hacher_data_path::attach::message::{
    ATTACH_VERSION, Ahead, Begin, Edge, Inbound, MESSAGE_MAX_ENTRIES, Port, SECRET_BYTES, ZeroizingMessage,
    kind, role,
};
use hacher_data_path::carrier::Carrier;
use hacher_data_path::waiting::Waiting;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::net::SendFlags;
use zerocopy::{Immutable, IntoBytes};

impl Wiring {
    /// Attaches a new process as instance `instance` of `node`: the first one, or a replacement in the next
    /// epoch.
    pub fn attach(&mut self, node: Node, instance: u32) -> Attachment {
        match self.say_all(self.number(node, instance)) {
            Instruction::Attach(attachment) => {
                attachment.set_serving();
                *attachment
            }
            _ => panic!("the last message completes an attachment"),
        }
    }

    /// Attaches a new process of a carrier.
    pub fn attach_carrier(&mut self, node: Node) -> Carrier {
        match self.say_all(self.number(node, 0)) {
            Instruction::Carry(carrier) => {
                carrier.set_serving();
                *carrier
            }
            _ => panic!("the last message completes an attachment"),
        }
    }

    /// Says all messages of the next attachment of an instance.
    fn say_all(&mut self, number: usize) -> Instruction {
        self.instances[number].epoch += 1;
        let (ours, theirs) = seqpacket::pair().expect("a socket pair");
        let mut wire = Wire {
            ours,
            channel: Channel::new(theirs),
            assembly: Assembly::default(),
        };
        let own = &self.instances[number];
        wire.say(
            kind::BEGIN,
            &[self.begin(number)],
            &[&own.outbox, &own.page, &own.doorbell],
        );
        for (entry, outbox, doorbell) in self.inbound(number) {
            wire.say(kind::INBOUND, &[entry], &[&outbox, doorbell]);
        }
        for ports in self.ports(number).chunks(MESSAGE_MAX_ENTRIES) {
            wire.say(kind::PORT, ports, &[]);
        }
        for (entry, page, doorbell, region) in self.edges(number) {
            let descriptors = [&page, doorbell].into_iter().chain(region);
            wire.say(kind::EDGE, &[entry], &descriptors.collect::<Vec<_>>());
        }
        if let Some((entry, page, doorbell)) = self.ahead(number) {
            wire.say(kind::AHEAD, &[entry], &[&page, doorbell]);
        }
        wire.say::<u8>(kind::GO, &[], &[])
            .expect("the last message completes an attachment")
    }

    fn begin(&self, number: usize) -> Begin {
        let own = &self.instances[number];
        let planned = &self.plan.functions[own.function];
        let limits = &planned.limits;
        let ns = |duration: Duration| duration.as_nanos() as u64;
        let error_port = planned.ports.iter().position(|port| port.name == *"error");
        Begin {
            version: ATTACH_VERSION,
            role: if planned.is_carrier {
                role::CARRIER
            } else if self.plan.gateway == Some(own.function) {
                role::GATEWAY
            } else {
                role::FUNCTION
            },
            chain_digest: self.chain_digest,
            chain_epoch: 1,
            chain: name("wiring"),
            function: planned.name,
            function_index: own.function as u32,
            instance: number as u32,
            instance_epoch: own.epoch,
            inbound_count: own.inbound_count,
            port_count: own.port_count,
            edge_count: self.rings.iter().filter(|ring| ring.producer == number).count() as u32,
            ring_count: own.ring_count,
            ring_capacity: own.outbox_layout.ring_capacity() as u32,
            limits: FunctionLimits {
                outbox_bytes: limits.outbox_bytes,
                timeout_ns: ns(limits.timeout),
                retry_attempts: limits.retry_attempts,
                retry_jitter: u32::from(limits.retry_jitter),
                retry_backoff_ns: ns(limits.retry_backoff),
                retry_max_ns: ns(limits.retry_max),
                retry_factor_milli: limits.retry_factor_milli,
                outbox_flags: limits.outbox_flags,
                ..FunctionLimits::NONE
            },
            spin_ns: ns(limits.spin),
            max_body_bytes: limits.outbox_bytes,
            max_reply_bytes: limits.outbox_bytes,
            deadline_ns: ns(self.plan.deadline),
            in_flight: 128,
            error_port: error_port.map_or(u32::MAX, |port| port as u32),
            wakes_ahead: u32::from(self.ahead(number).is_some()),
            waiting: match (limits.spin.is_zero(), limits.shares_core) {
                (true, _) => Waiting::Sleep,
                (false, false) => Waiting::Look,
                (false, true) => Waiting::TakeTurns,
            }
            .word(),
            last_end_kind: own.last_end.map_or(0, |end| end.encode().0),
            last_end_code: own.last_end.map_or(0, |end| end.encode().1),
        }
    }

    /// Whom the plan has this instance wake ahead.
    fn ahead(&self, number: usize) -> Option<(Ahead, OwnedFd, &OwnedFd)> {
        let function = self.instances[number].function;
        let (_, to) = self.plan.ahead.iter().find(|(from, _)| *from == function)?;
        let next = &self.instances[self.number(Node(*to), 0)];
        let entry = Ahead {
            inbound_count: next.inbound_count,
            port_count: next.port_count,
        };
        Some((entry, read_only(&next.page), &next.ringing))
    }

    fn inbound(&self, number: usize) -> Vec<(Inbound, OwnedFd, &OwnedFd)> {
        let rings = self.rings.iter().filter(|ring| ring.consumer == number);
        rings
            .map(|ring| {
                let producer = &self.instances[ring.producer];
                let origin = self.instances[ring.origin].function;
                let function = &self.plan.functions[origin];
                let port = &function.ports[ring.edge.port_index];
                let is_ingress = self.plan.gateway == Some(origin);
                let is_mapped = ring.edge.way == Way::Mapped;
                let reader = &self.plan.functions[self.instances[ring.consumer].function];
                let entry = Inbound {
                    upstream: if is_ingress {
                        name("ingress")
                    } else {
                        function.name
                    },
                    port_name: port.name,
                    producer_function: origin as u32,
                    producer_instance: ring.origin as u32,
                    port: port.number,
                    ring: ring.number,
                    producer_ring_count: producer.ring_count,
                    producer_ring_capacity: producer.outbox_layout.ring_capacity() as u32,
                    producer_outbox_bytes: self.plan.functions[producer.function].limits.outbox_bytes,
                    group: ring.edge.group,
                    group_width: ring.edge.group_width,
                    member: ring.edge.member,
                    gapless: u32::from(ring.lanes == 1),
                    fault: u32::from(ring.edge.fault),
                    edge: u32::MAX,
                    mapped: u32::from(is_mapped),
                    reserved: 0,
                    port_secret: if is_mapped || reader.is_carrier {
                        [0; SECRET_BYTES]
                    } else {
                        *self.port_secrets[port.number as usize].expose()
                    },
                };
                let region = ring
                    .region
                    .as_ref()
                    .map_or(&producer.outbox, |(region, _)| region);
                (entry, read_only(region), &producer.ringing)
            })
            .collect()
    }

    fn ports(&self, number: usize) -> Vec<Port> {
        let own = &self.instances[number];
        if self.plan.functions[own.function].is_carrier {
            return self.carried_ports(number);
        }
        let ports = self.plan.functions[own.function].ports.iter();
        ports
            .map(|port| {
                let context = KeyContext {
                    chain_digest: &self.chain_digest,
                    chain_epoch: 1,
                    port: port.number,
                    instance: number as u32,
                };
                let port_secret = &self.port_secrets[port.number as usize];
                Port {
                    name: port.name,
                    port: port.number,
                    fault: u32::from(port.fault),
                    epoch_secret: *epoch_secret(port_secret, context, own.epoch).expose(),
                }
            })
            .collect()
    }

    /// The ports of those whose records a carrier relays, without their keys.
    fn carried_ports(&self, number: usize) -> Vec<Port> {
        let rings = self.rings.iter().filter(|ring| ring.consumer == number);
        rings
            .map(|ring| {
                let origin = self.instances[ring.origin].function;
                let port = &self.plan.functions[origin].ports[ring.edge.port_index];
                Port {
                    name: port.name,
                    port: port.number,
                    fault: 0,
                    epoch_secret: [0; SECRET_BYTES],
                }
            })
            .collect()
    }

    fn edges(&self, number: usize) -> Vec<(Edge, OwnedFd, &OwnedFd, Option<&OwnedFd>)> {
        let rings = self.rings.iter().filter(|ring| ring.producer == number);
        rings
            .map(|ring| {
                let consumer = &self.instances[ring.consumer];
                let entry = Edge {
                    port_index: ring.port_index as u32,
                    ring: ring.number,
                    consumer_inbound: ring.inbound,
                    consumer_inbound_count: consumer.inbound_count,
                    consumer_port_count: consumer.port_count,
                    edge: ring.edge.number,
                    lane: ring.lane,
                    lanes: ring.lanes,
                    joined: u32::from(ring.edge.group_width > 1),
                    to_gateway: u32::from(self.plan.gateway == Some(consumer.function)),
                    mapped: u32::from(ring.edge.way == Way::Mapped),
                };
                let region = ring.region.as_ref().map(|(region, _)| region);
                (entry, read_only(&consumer.page), &consumer.ringing, region)
            })
            .collect()
    }
}

/// As the monitor does it: a peer gets a descriptor that cannot be mapped for writing (I1).
fn read_only(fd: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).expect("a read-only descriptor")
}

/// Both ends of an attach channel.
struct Wire {
    ours: OwnedFd,
    channel: Channel,
    assembly: Assembly,
}

impl Wire {
    fn say<E: IntoBytes + Immutable>(
        &mut self,
        kind: u32,
        entries: &[E],
        fds: &[&OwnedFd],
    ) -> Option<Instruction> {
        let message = ZeroizingMessage::new(kind, entries);
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        seqpacket::send(&self.ours, message.as_bytes(), &fds, SendFlags::empty()).expect("a message sent");
        let message = self.channel.receive().expect("a message received");
        self.assembly
            .feed(message)
            .expect("a message that fits the others")
    }
}
