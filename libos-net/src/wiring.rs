//! A process tree without a monitor: regions, doorbells, keys and attachments for a few instances, handed
//! over through the same messages that the monitor sends, so that tests and benchmarks run the real data path
//! in one process, or in several after a fork. Whoever holds a [`Wiring`] can read and change every region,
//! which is what a test of tampering wants, and nobody else.
//!
//! ```
//! use hacher_libos_net::wiring::Plan;
//!
//! let mut plan = Plan::new();
//! let gateway = plan.gateway(&["out"]);
//! let echo = plan.function("echo", &["out"]);
//! plan.edge((gateway, "out"), echo);
//! plan.edge((echo, "out"), gateway);
//! let mut wiring = plan.wire();
//! let gateway = wiring.attach(gateway, 0);
//! let echo = wiring.attach(echo, 0);
//! assert_eq!(echo.receiver.ring_count(), 1);
//! assert_eq!(gateway.receiver.ring_count(), 2, "echo's output, and its fault notices");
//! ```
#![allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "plays the monitor for tests and benchmarks: a plan that cannot be wired is a mistake of their author"
)]

use crate::aead::keys::{KeyContext, SecretBytes, epoch_secret};
use crate::attach::attachment::{Assembly, Attachment, Channel, Message, Wish};
use crate::attach::message::{
    ATTACH_VERSION, Ahead, Begin, Edge, Inbound, MESSAGE_MAX_ENTRIES, Port, SECRET_BYTES, ZeroizingMessage,
    kind,
};
use crate::clock::Monotonic;
use crate::fault::end::End;
use crate::name::Name;
use crate::page::reader::PageReader;
use crate::region::layout::{MappedLayout, OutboxLayout, PageLayout, ring_capacity};
use crate::region::memory::OwnRegion;
use crate::sdk::failure::Failure;
use crate::sdk::input::Input;
use crate::sdk::output::Output;
use crate::trustlet::event_loop::Trustlet;
use crate::wait::doorbell;
use core::mem::MaybeUninit;
use core::time::Duration;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, ftruncate, memfd_create};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sendmsg,
    socketpair,
};
use std::io::IoSlice;
use zerocopy::{Immutable, IntoBytes};

/// A handler without captured state, for a [`Runner`] that is to be named in a type.
pub type Handler = fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>;

/// A function of a [`Plan`], or its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(usize);

/// Limits of one function, to be changed through [`Plan::limits`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes that run the function.
    pub instances: u32,
    /// Bytes of the outbox of each.
    pub outbox_bytes: u64,
    /// How long one run may take.
    pub timeout: Duration,
    /// Most runs on one record.
    pub retry_attempts: u32,
    /// Wait before the first retry.
    pub retry_backoff: Duration,
    /// Longest wait before a retry.
    pub retry_max: Duration,
    /// Each wait is this many thousandths of the one before.
    pub retry_factor_milli: u64,
    /// Whether waits are spread at random.
    pub retry_jitter: bool,
    /// For how long to look for work before going to sleep.
    pub spin: Duration,
    /// Whether others sit on its core, so that it gives way to them while it looks.
    pub shares_core: bool,
    /// Bits of [`crate::attach::message::outbox_flag`].
    pub outbox_flags: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1,
            outbox_bytes: 1 << 20,
            timeout: Duration::from_secs(5),
            retry_attempts: 1,
            retry_backoff: Duration::ZERO,
            retry_max: Duration::from_secs(1),
            retry_factor_milli: 2000,
            retry_jitter: false,
            spin: Duration::ZERO,
            shares_core: false,
            outbox_flags: 0,
        }
    }
}

#[derive(Debug)]
struct PlannedFunction {
    name: Name,
    ports: Vec<PlannedPort>,
    limits: Limits,
    groups: u32,
}

#[derive(Debug)]
struct PlannedPort {
    name: Name,
    number: u32,
    fault: bool,
}

#[derive(Debug, Clone, Copy)]
struct PlannedEdge {
    number: u32,
    from: usize,
    port_index: usize,
    to: usize,
    group: u32,
    group_width: u32,
    member: u32,
    fault: bool,
    mapped: bool,
}

/// The topology that is to be wired.
#[derive(Debug)]
pub struct Plan {
    functions: Vec<PlannedFunction>,
    edges: Vec<PlannedEdge>,
    ports: u32,
    gateway: Option<usize>,
    deadline: Duration,
    /// Who wakes whom ahead.
    ahead: Vec<(usize, usize)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            edges: Vec::new(),
            ports: 0,
            gateway: None,
            deadline: Duration::from_secs(30),
            ahead: Vec::new(),
        }
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a name of a plan has 1 to 63 bytes")
}

impl Plan {
    /// A plan without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, function: &str, ports: &[&str], fault: bool) -> Node {
        let names = ports.iter().map(|port| (*port, false));
        let planned = names
            .chain(fault.then_some(("fault", true)))
            .map(|(port, fault)| {
                self.ports += 1;
                PlannedPort {
                    name: name(port),
                    number: self.ports,
                    fault,
                }
            })
            .collect();
        self.functions.push(PlannedFunction {
            name: name(function),
            ports: planned,
            limits: Limits::default(),
            groups: 0,
        });
        Node(self.functions.len() - 1)
    }

    /// Adds the gateway, which gets the fault notices of every function; at most one, and before the
    /// functions.
    pub fn gateway(&mut self, ports: &[&str]) -> Node {
        assert!(
            self.gateway.is_none() && self.functions.is_empty(),
            "one gateway, and it comes first"
        );
        let node = self.add("gateway", ports, false);
        self.gateway = Some(node.0);
        node
    }

    /// Adds a function with these output ports.
    pub fn function(&mut self, function: &str, ports: &[&str]) -> Node {
        self.add(function, ports, true)
    }

    /// Sets how long a request may take in all; 30 seconds otherwise.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The limits of `node`.
    pub fn limits(&mut self, node: Node) -> &mut Limits {
        &mut self.functions[node.0].limits
    }

    /// Lets the records of a port flow to `to`, alone.
    pub fn edge(&mut self, from: (Node, &str), to: Node) {
        self.join(&[from], to);
    }

    /// Has `from`, before it sleeps, wake the first instance of `next`.
    pub fn wake_ahead(&mut self, from: Node, next: Node) {
        self.ahead.push((from.0, next.0));
    }

    /// As [`Self::edge`], but the records are mapped, and not sealed.
    pub fn mapped_edge(&mut self, from: (Node, &str), to: Node) {
        self.mapped_join(&[from], to);
    }

    /// Lets the records of these ports flow to `to`, which waits for one of each.
    pub fn join(&mut self, members: &[(Node, &str)], to: Node) {
        self.add_join(members, to, false);
    }

    /// As [`Self::join`], but the records are mapped, and not sealed.
    pub fn mapped_join(&mut self, members: &[(Node, &str)], to: Node) {
        self.add_join(members, to, true);
    }

    fn add_join(&mut self, members: &[(Node, &str)], to: Node, mapped: bool) {
        let group = self.functions[to.0].groups;
        self.functions[to.0].groups += 1;
        for (member, (from, port)) in members.iter().enumerate() {
            let ports = &self.functions[from.0].ports;
            let port_index = ports.iter().position(|known| known.name == **port);
            self.edges.push(PlannedEdge {
                number: self.edges.len() as u32,
                from: from.0,
                port_index: port_index.expect("an edge starts at a port of its function"),
                to: to.0,
                group,
                group_width: members.len() as u32,
                member: member as u32,
                fault: false,
                mapped,
            });
        }
    }

    /// Makes regions, doorbells and keys.
    #[must_use]
    pub fn wire(mut self) -> Wiring {
        if let Some(gateway) = self.gateway {
            for from in (0..self.functions.len()).filter(|from| *from != gateway) {
                let ports = &self.functions[from].ports;
                let port_index = ports.iter().position(|port| port.fault);
                let group = self.functions[gateway].groups;
                self.functions[gateway].groups += 1;
                self.edges.push(PlannedEdge {
                    number: self.edges.len() as u32,
                    from,
                    port_index: port_index.expect("a function has a fault port"),
                    to: gateway,
                    group,
                    group_width: 1,
                    member: 0,
                    fault: true,
                    mapped: false,
                });
            }
        }
        Wiring::new(self)
    }
}

/// A ring from one instance to another.
#[derive(Debug)]
struct Ring {
    edge: PlannedEdge,
    producer: usize,
    /// Number in the producer's outbox.
    number: u32,
    consumer: usize,
    /// Number among the consumer's inbound rings.
    inbound: u32,
    lane: u32,
    /// Of a mapped edge.
    region: Option<(OwnedFd, MappedLayout)>,
}

/// One instance: what outlives its processes.
#[derive(Debug)]
struct Instance {
    function: usize,
    epoch: u32,
    last_end: Option<End>,
    outbox: OwnedFd,
    outbox_layout: OutboxLayout,
    ring_count: u32,
    page: OwnedFd,
    page_layout: PageLayout,
    inbound_count: u32,
    doorbell: OwnedFd,
    /// The end of its doorbell that peers ring.
    ringing: OwnedFd,
}

/// The regions, bells and keys of a plan.
pub struct Wiring {
    plan: Plan,
    chain_digest: [u8; 48],
    port_secrets: Vec<SecretBytes>,
    instances: Vec<Instance>,
    rings: Vec<Ring>,
}

fn region(label: &str, len_bytes: usize) -> OwnedFd {
    let fd = memfd_create(label, MemfdFlags::CLOEXEC).expect("a memfd");
    ftruncate(&fd, len_bytes as u64).expect("room for a region");
    fd
}

fn random() -> [u8; SECRET_BYTES] {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).expect("random bytes");
    bytes
}

impl Wiring {
    fn new(plan: Plan) -> Self {
        let owners: Vec<(usize, u32)> = plan
            .functions
            .iter()
            .enumerate()
            .flat_map(|(function, planned)| (0..planned.limits.instances).map(move |lane| (function, lane)))
            .collect();
        let mut ring_counts = vec![0; owners.len()];
        let mut inbound_counts = vec![0; owners.len()];
        let mut rings = Vec::new();
        for edge in &plan.edges {
            for (producer, _) in owners
                .iter()
                .enumerate()
                .filter(|(_, owner)| owner.0 == edge.from)
            {
                for (consumer, owner) in owners.iter().enumerate().filter(|(_, owner)| owner.0 == edge.to) {
                    let region = edge.mapped.then(|| {
                        let outbox_bytes = plan.functions[edge.from].limits.outbox_bytes;
                        let layout = MappedLayout::new(ring_capacity(outbox_bytes), outbox_bytes)
                            .expect("a mapped region within its bounds");
                        (region("mapped", layout.len_bytes()), layout)
                    });
                    rings.push(Ring {
                        edge: *edge,
                        producer,
                        number: ring_counts[producer],
                        consumer,
                        inbound: inbound_counts[consumer],
                        lane: owner.1,
                        region,
                    });
                    ring_counts[producer] += 1;
                    inbound_counts[consumer] += 1;
                }
            }
        }
        let instances = owners
            .iter()
            .enumerate()
            .map(|(number, (function, _))| {
                let planned = &plan.functions[*function];
                let outbox_bytes = planned.limits.outbox_bytes;
                let (ring_count, inbound_count) = (ring_counts[number], inbound_counts[number]);
                let outbox_layout = OutboxLayout::new(ring_count, ring_capacity(outbox_bytes), outbox_bytes)
                    .expect("an outbox within its bounds");
                let (doorbell, ringing) = doorbell::make().expect("a doorbell");
                let page_layout = PageLayout::new(inbound_count, planned.ports.len() as u32)
                    .expect("an instance page within its bounds");
                Instance {
                    function: *function,
                    epoch: 0,
                    last_end: None,
                    outbox: region("outbox", outbox_layout.len_bytes()),
                    outbox_layout,
                    ring_count,
                    page: region("page", page_layout.len_bytes()),
                    page_layout,
                    inbound_count,
                    doorbell,
                    ringing,
                }
            })
            .collect();
        let mut chain_digest = [0; 48];
        chain_digest[..SECRET_BYTES].copy_from_slice(&random());
        Self {
            chain_digest,
            port_secrets: (0..=plan.ports).map(|_| SecretBytes::new(random())).collect(),
            instances,
            rings,
            plan,
        }
    }

    fn number(&self, node: Node, instance: u32) -> usize {
        let first = self.instances.iter().position(|known| known.function == node.0);
        first.expect("a node of this plan") + instance as usize
    }

    /// Says how the process before the next one of this instance ended.
    pub fn ended(&mut self, node: Node, instance: u32, end: End) {
        let number = self.number(node, instance);
        self.instances[number].last_end = Some(end);
    }

    /// Attaches a new process as instance `instance` of `node`: the first one, or a replacement in the next
    /// epoch.
    pub fn attach(&mut self, node: Node, instance: u32) -> Attachment {
        let number = self.number(node, instance);
        self.instances[number].epoch += 1;
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .expect("a socket pair");
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
        match wire.say::<u8>(kind::GO, &[], &[]) {
            Some(Wish::Attach(attachment)) => {
                attachment.set_serving();
                *attachment
            }
            _ => panic!("the last message completes an attachment"),
        }
    }

    fn begin(&self, number: usize) -> Begin {
        let own = &self.instances[number];
        let planned = &self.plan.functions[own.function];
        let limits = &planned.limits;
        let ns = |duration: Duration| duration.as_nanos() as u64;
        let error_port = planned.ports.iter().position(|port| port.name == *"error");
        Begin {
            version: ATTACH_VERSION,
            role: u32::from(self.plan.gateway == Some(own.function)),
            chain_digest: self.chain_digest,
            chain_epoch: 1,
            chain: name("wiring"),
            function: planned.name,
            function_index: own.function as u32,
            instance: number as u32,
            instance_epoch: own.epoch,
            inbound_count: own.inbound_count,
            port_count: planned.ports.len() as u32,
            edge_count: self.rings.iter().filter(|ring| ring.producer == number).count() as u32,
            ring_count: own.ring_count,
            ring_capacity: own.outbox_layout.ring_capacity() as u32,
            outbox_bytes: limits.outbox_bytes,
            timeout_ns: ns(limits.timeout),
            retry_attempts: limits.retry_attempts,
            retry_jitter: u32::from(limits.retry_jitter),
            retry_backoff_ns: ns(limits.retry_backoff),
            retry_max_ns: ns(limits.retry_max),
            retry_factor_milli: limits.retry_factor_milli,
            spin_ns: ns(limits.spin),
            max_body_bytes: limits.outbox_bytes,
            max_reply_bytes: limits.outbox_bytes,
            deadline_ns: ns(self.plan.deadline),
            in_flight: 128,
            error_port: error_port.map_or(u32::MAX, |port| port as u32),
            outbox_flags: limits.outbox_flags,
            wakes_ahead: u32::from(self.ahead(number).is_some()),
            shares_core: u32::from(limits.shares_core),
            last_end_kind: own.last_end.map_or(0, |end| end.encode().0),
            last_end_code: own.last_end.map_or(0, |end| end.encode().1),
            reserved: 0,
        }
    }

    /// Whom the plan has this instance wake ahead.
    fn ahead(&self, number: usize) -> Option<(Ahead, OwnedFd, &OwnedFd)> {
        let function = self.instances[number].function;
        let (_, to) = self.plan.ahead.iter().find(|(from, _)| *from == function)?;
        let next = &self.instances[self.number(Node(*to), 0)];
        let entry = Ahead {
            inbound_count: next.inbound_count,
            port_count: self.plan.functions[next.function].ports.len() as u32,
        };
        Some((entry, read_only(&next.page), &next.ringing))
    }

    fn inbound(&self, number: usize) -> Vec<(Inbound, OwnedFd, &OwnedFd)> {
        let rings = self.rings.iter().filter(|ring| ring.consumer == number);
        rings
            .map(|ring| {
                let producer = &self.instances[ring.producer];
                let function = &self.plan.functions[producer.function];
                let port = &function.ports[ring.edge.port_index];
                let is_ingress = self.plan.gateway == Some(producer.function);
                let entry = Inbound {
                    upstream: if is_ingress {
                        name("ingress")
                    } else {
                        function.name
                    },
                    port_name: port.name,
                    producer_function: producer.function as u32,
                    producer_instance: ring.producer as u32,
                    port: port.number,
                    ring: ring.number,
                    producer_ring_count: producer.ring_count,
                    producer_ring_capacity: producer.outbox_layout.ring_capacity() as u32,
                    producer_outbox_bytes: function.limits.outbox_bytes,
                    group: ring.edge.group,
                    group_width: ring.edge.group_width,
                    member: ring.edge.member,
                    gapless: u32::from(self.lanes(ring) == 1),
                    fault: u32::from(ring.edge.fault),
                    edge: u32::MAX,
                    mapped: u32::from(ring.edge.mapped),
                    reserved: 0,
                    port_secret: if ring.edge.mapped {
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

    fn lanes(&self, ring: &Ring) -> u32 {
        self.plan.functions[ring.edge.to].limits.instances
    }

    fn ports(&self, number: usize) -> Vec<Port> {
        let own = &self.instances[number];
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

    fn edges(&self, number: usize) -> Vec<(Edge, OwnedFd, &OwnedFd, Option<&OwnedFd>)> {
        let rings = self.rings.iter().filter(|ring| ring.producer == number);
        rings
            .map(|ring| {
                let consumer = &self.instances[ring.consumer];
                let entry = Edge {
                    port_index: ring.edge.port_index as u32,
                    ring: ring.number,
                    consumer_inbound: ring.inbound,
                    consumer_inbound_count: consumer.inbound_count,
                    consumer_port_count: self.plan.functions[consumer.function].ports.len() as u32,
                    edge: ring.edge.number,
                    lane: ring.lane,
                    lanes: self.lanes(ring),
                    joined: u32::from(ring.edge.group_width > 1),
                    to_gateway: u32::from(self.plan.gateway == Some(consumer.function)),
                    mapped: u32::from(ring.edge.mapped),
                };
                let region = ring.region.as_ref().map(|(region, _)| region);
                (entry, read_only(&consumer.page), &consumer.ringing, region)
            })
            .collect()
    }

    /// The outbox of an instance, to be read or tampered with.
    #[must_use]
    pub fn outbox(&self, node: Node, instance: u32) -> Exposed<'_> {
        let own = &self.instances[self.number(node, instance)];
        Exposed::map(&own.outbox, own.outbox_layout.len_bytes())
    }

    /// The shape of that outbox.
    #[must_use]
    pub fn outbox_layout(&self, node: Node, instance: u32) -> OutboxLayout {
        self.instances[self.number(node, instance)].outbox_layout
    }

    fn mapped_ring(&self, node: Node, instance: u32, ring: u32) -> (&OwnedFd, MappedLayout) {
        let producer = self.number(node, instance);
        let mut rings = self.rings.iter();
        let ring = rings.find(|known| (known.producer, known.number) == (producer, ring));
        let region = ring.and_then(|ring| ring.region.as_ref());
        let (region, layout) = region.expect("a mapped ring of this instance");
        (region, *layout)
    }

    /// The region of mapped ring `ring` of an instance, to be read or tampered with.
    #[must_use]
    pub fn mapped(&self, node: Node, instance: u32, ring: u32) -> Exposed<'_> {
        let (region, layout) = self.mapped_ring(node, instance, ring);
        Exposed::map(region, layout.len_bytes())
    }

    /// The shape of that region.
    #[must_use]
    pub fn mapped_layout(&self, node: Node, instance: u32, ring: u32) -> MappedLayout {
        self.mapped_ring(node, instance, ring).1
    }

    /// The instance page of an instance, to be read or tampered with.
    #[must_use]
    pub fn page(&self, node: Node, instance: u32) -> Exposed<'_> {
        let own = &self.instances[self.number(node, instance)];
        Exposed::map(&own.page, own.page_layout.len_bytes())
    }

    /// The shape of that page.
    #[must_use]
    pub fn page_layout(&self, node: Node, instance: u32) -> PageLayout {
        self.instances[self.number(node, instance)].page_layout
    }

    /// What an instance tells about itself.
    #[must_use]
    pub fn reader(&self, node: Node, instance: u32) -> PageReader {
        let own = &self.instances[self.number(node, instance)];
        PageReader::map(&own.page, own.page_layout).expect("a page as long as its layout")
    }

    /// The end of an instance's bell that its owner sleeps on.
    #[must_use]
    pub fn doorbell(&self, node: Node, instance: u32) -> BorrowedFd<'_> {
        self.instances[self.number(node, instance)].doorbell.as_fd()
    }

    /// Rings that bell, to wake an instance that is to notice something else.
    pub fn ring(&self, node: Node, instance: u32) {
        let ringing = &self.instances[self.number(node, instance)].ringing;
        rustix::io::write(ringing, &1_u64.to_ne_bytes()).expect("a bell that rings");
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
    fn say<E: IntoBytes + Immutable>(&mut self, kind: u32, entries: &[E], fds: &[&OwnedFd]) -> Option<Wish> {
        let message = ZeroizingMessage::new(kind, entries);
        let fds: Vec<_> = fds.iter().map(|fd| fd.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            assert!(
                ancillary.push(SendAncillaryMessage::ScmRights(&fds)),
                "room for the descriptors"
            );
        }
        let bytes = [IoSlice::new(message.as_bytes())];
        sendmsg(&self.ours, &bytes, &mut ancillary, SendFlags::NOSIGNAL).expect("a message sent");
        let message: Message = self.channel.receive().expect("a message received");
        self.assembly
            .feed(message)
            .expect("a message that fits the others")
    }
}

/// A whole region, writable, whoever owns it.
pub struct Exposed<'w> {
    region: OwnRegion,
    fd: BorrowedFd<'w>,
}

impl<'w> Exposed<'w> {
    fn map(fd: &'w OwnedFd, len_bytes: usize) -> Self {
        Self {
            region: OwnRegion::map(fd, len_bytes).expect("a region as long as its layout"),
            fd: fd.as_fd(),
        }
    }

    /// The region's descriptor.
    #[must_use]
    pub const fn fd(&self) -> BorrowedFd<'w> {
        self.fd
    }

    /// The word at byte `at`, a multiple of 8.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        let word = self.region.word(at).expect("a word of the region");
        word.load(crate::sync::Ordering::Relaxed)
    }

    /// Replaces that word.
    pub fn set_word(&self, at: usize, value: u64) {
        let word = self.region.word(at).expect("a word of the region");
        word.store(value, crate::sync::Ordering::Relaxed);
    }

    /// Changes the byte at `at` by exclusive or.
    pub fn flip(&self, at: usize, change: u8) {
        let shift = 8 * (at % 8);
        let word = at - at % 8;
        self.set_word(word, self.word(word) ^ (u64::from(change) << shift));
    }

    /// `len_bytes` bytes from `at`.
    #[must_use]
    pub fn bytes(&self, at: usize, len_bytes: usize) -> Vec<u8> {
        (at..at + len_bytes)
            .map(|at| self.word(at - at % 8).to_le_bytes()[at % 8])
            .collect()
    }

    /// Overwrites bytes from `at` on.
    pub fn set_bytes(&self, at: usize, bytes: &[u8]) {
        for (at, byte) in (at..).zip(bytes) {
            let old = self.bytes(at, 1)[0];
            self.flip(at, old ^ byte);
        }
    }
}

/// A trustlet that a test drives: step by step, or for as long as it likes.
pub struct Runner<H>(Trustlet<H>);

impl<H> Runner<H>
where
    H: Fn(Input<'_>, &mut Output<'_>) -> Result<(), Failure>,
{
    /// Serves `handler` at `place`.
    pub fn new(handler: H, place: Attachment) -> Self {
        Self(Trustlet::new(handler, place))
    }

    /// Does the next thing that can be done now; `false` if there was none.
    pub fn turn(&mut self) -> bool {
        self.0.turn()
    }

    /// Does everything that can be done now, without sleeping.
    pub fn settle(&mut self) {
        while self.turn() {}
    }

    /// Does what comes before sleep, and sleeps until there is something to do. A ring of its bell ends it.
    pub fn rest(&mut self) {
        self.0.rest();
    }

    /// Serves until `stop` says so; it is asked whenever the trustlet has done something or was woken.
    pub fn serve_until(&mut self, mut stop: impl FnMut() -> bool) {
        while !stop() {
            if !self.turn() {
                self.rest();
            }
        }
    }
}

/// A point in time `duration` from now, for deadlines.
#[must_use]
pub fn after(duration: Duration) -> Monotonic {
    Monotonic::now().after(duration)
}
