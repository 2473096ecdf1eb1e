//! The regions, bells and keys of a plan.

use super::exposed::Exposed;
use super::plan::{Node, Plan, PlannedEdge, Way};
use crate::region::mapping;
use crate::wait::doorbell;
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::message::SECRET_BYTES;
use hacher_data_path::fault::end::End;
use hacher_data_path::page::reader::PageReader;
use hacher_data_path::region::layout::{MappedLayout, OutboxLayout, PageLayout, ring_capacity};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

/// A ring from one instance to another.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) edge: PlannedEdge,
    pub(super) producer: usize,
    /// Whose records it brings: not the producer, if that is a carrier.
    pub(super) origin: usize,
    /// Which of the producer's ports it belongs to.
    pub(super) port_index: usize,
    /// Number in the producer's outbox.
    pub(super) number: u32,
    pub(super) consumer: usize,
    /// Number among the consumer's inbound rings.
    pub(super) inbound: u32,
    pub(super) lane: u32,
    pub(super) lanes: u32,
    /// Of a mapped edge.
    pub(super) region: Option<(OwnedFd, MappedLayout)>,
}

/// One instance: what outlives its processes.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) function: usize,
    pub(super) epoch: u32,
    pub(super) last_end: Option<End>,
    pub(super) outbox: OwnedFd,
    pub(super) port_count: u32,
    pub(super) outbox_layout: OutboxLayout,
    pub(super) ring_count: u32,
    pub(super) page: OwnedFd,
    pub(super) page_layout: PageLayout,
    pub(super) inbound_count: u32,
    pub(super) doorbell: OwnedFd,
    /// The end of its doorbell that peers ring.
    pub(super) ringing: OwnedFd,
}

/// The regions, bells and keys of a plan.
pub struct Wiring {
    pub(super) plan: Plan,
    pub(super) chain_digest: [u8; 48],
    pub(super) port_secrets: Vec<SecretBytes>,
    pub(super) instances: Vec<Instance>,
    pub(super) rings: Vec<Ring>,
}

fn region(label: &str, len_bytes: usize) -> OwnedFd {
    let fd = memfd_create(label, MemfdFlags::CLOEXEC).expect("a memfd");
    ftruncate(&fd, len_bytes as u64).expect("room for a region");
    fd
}

pub(super) fn random() -> [u8; SECRET_BYTES] {
    let mut bytes = [0; SECRET_BYTES];
    SystemRandom::new().fill(&mut bytes).expect("random bytes");
    bytes
}

/// The rings of all edges, between the instances of `owners`: function and lane of each.
fn wire_rings(plan: &Plan, owners: &[(usize, u32)]) -> Vec<Ring> {
    let instances_of = |function: usize| {
        let numbered = owners.iter().enumerate();
        numbered
            .filter(move |(_, owner)| owner.0 == function)
            .map(|(number, owner)| (number, owner.1))
    };
    let mut rings = Rings {
        rings: Vec::new(),
        outgoing: vec![0; owners.len()],
        inbound: vec![0; owners.len()],
    };
    for edge in &plan.edges {
        let lanes = plan.functions[edge.to].limits.instances;
        for (origin, _) in instances_of(edge.from) {
            let mut leg = (origin, edge.port_index);
            if let Way::Carried(carrier) = edge.way {
                let (carrier, _) = instances_of(carrier).next().expect("a carrier has an instance");
                let port_index = rings.inbound[carrier] as usize;
                rings.add(edge, (origin, leg), (carrier, 0, 1), None);
                leg = (carrier, port_index);
            }
            for (consumer, lane) in instances_of(edge.to) {
                let region = (edge.way == Way::Mapped).then(|| {
                    let outbox_bytes = plan.functions[edge.from].limits.outbox_bytes;
                    let layout = MappedLayout::new(ring_capacity(outbox_bytes), outbox_bytes)
                        .expect("a mapped region within its bounds");
                    (region("mapped", layout.len_bytes()), layout)
                });
                rings.add(edge, (origin, leg), (consumer, lane, lanes), region);
            }
        }
    }
    rings.rings
}

/// Rings, as they are numbered.
struct Rings {
    rings: Vec<Ring>,
    /// How many each instance has so far, in either direction.
    outgoing: Vec<u32>,
    inbound: Vec<u32>,
}

impl Rings {
    fn add(
        &mut self,
        edge: &PlannedEdge,
        (origin, (producer, port_index)): (usize, (usize, usize)),
        (consumer, lane, lanes): (usize, u32, u32),
        region: Option<(OwnedFd, MappedLayout)>,
    ) {
        self.rings.push(Ring {
            edge: *edge,
            producer,
            origin,
            port_index,
            number: self.outgoing[producer],
            consumer,
            inbound: self.inbound[consumer],
            lane,
            lanes,
            region,
        });
        self.outgoing[producer] += 1;
        self.inbound[consumer] += 1;
    }
}

impl Plan {
    /// Makes regions, doorbells and keys.
    #[must_use]
    pub fn wire(mut self) -> Wiring {
        self.complete();
        Wiring::new(self)
    }
}

impl Wiring {
    fn new(plan: Plan) -> Self {
        let owners: Vec<(usize, u32)> = plan
            .functions
            .iter()
            .enumerate()
            .flat_map(|(function, planned)| (0..planned.limits.instances).map(move |lane| (function, lane)))
            .collect();
        let rings = wire_rings(&plan, &owners);
        let count = |is: &dyn Fn(&Ring) -> bool| rings.iter().filter(|ring| is(ring)).count() as u32;
        let instances = owners
            .iter()
            .enumerate()
            .map(|(number, (function, _))| {
                let planned = &plan.functions[*function];
                let outbox_bytes = planned.limits.outbox_bytes;
                let ring_count = count(&|ring| ring.producer == number);
                let inbound_count = count(&|ring| ring.consumer == number);
                let port_count = if planned.is_carrier {
                    inbound_count
                } else {
                    planned.ports.len() as u32
                };
                let outbox_layout = OutboxLayout::new(ring_count, ring_capacity(outbox_bytes), outbox_bytes)
                    .expect("an outbox within its bounds");
                let (doorbell, ringing) = doorbell::make().expect("a doorbell");
                let page_layout =
                    PageLayout::new(inbound_count, port_count).expect("an instance page within its bounds");
                Instance {
                    function: *function,
                    epoch: 0,
                    last_end: None,
                    outbox: region("outbox", outbox_layout.len_bytes()),
                    outbox_layout,
                    port_count,
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

    pub(super) fn number(&self, node: Node, instance: u32) -> usize {
        let first = self.instances.iter().position(|known| known.function == node.0);
        first.expect("a node of this plan") + instance as usize
    }

    /// Says how the process before the next one of this instance ended.
    pub fn ended(&mut self, node: Node, instance: u32, end: End) {
        let number = self.number(node, instance);
        self.instances[number].last_end = Some(end);
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
        let page = mapping::peer(&own.page, own.page_layout.len_bytes());
        PageReader::new(page.expect("a page as long as its layout"), own.page_layout)
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
