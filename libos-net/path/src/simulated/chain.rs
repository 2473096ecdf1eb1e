//! Instances and the edges between them, each attached as the monitor would attach it.

use super::bell::CountingBell;
use super::clock::SetClock;
use crate::aead::keys::{KeyContext, SecretBytes, epoch_secret};
use crate::attach::limits::FunctionLimits;
use crate::attach::message::{ATTACH_VERSION, Begin, Edge, Inbound, Port, SECRET_BYTES, role};
use crate::fault::end::End;
use crate::machine::bell::{Bell, OwnBell};
use crate::machine::clock::Clock;
use crate::machine::memory::{Memory, OwnMemory};
use crate::name::Name;
use crate::place::entries::{EdgeHandles, Entries, OwnHandles};
use crate::place::machine::{Backing, Machine};
use crate::place::making::{Place, PlaceError};
use crate::region::heap::Heap;
use crate::region::layout::{MappedLayout, OUTBOX_MIN_BYTES, OutboxLayout, PageLayout, ring_capacity};
use crate::region::memory::{OwnRegion, PeerRegion};
use crate::wait::waiting::Waiting;
use alloc::boxed::Box;
use alloc::vec::Vec;

const DIGEST: [u8; 48] = [0xd1; 48];
const CHAIN_EPOCH: u64 = 1;

/// An edge from one instance to another, by their numbers. Each has a port of its own.
#[derive(Debug, Clone, Copy)]
pub struct Way {
    /// The producer.
    pub from: usize,
    /// The consumer.
    pub to: usize,
    /// The name of the producer's port.
    pub port: &'static str,
    /// Not sealed, in a region of its own.
    pub mapped: bool,
    /// Brings fault notices.
    pub fault: bool,
    /// Its records are released as they are read.
    pub streams: bool,
}

impl Way {
    /// A sealed one, for records, from port `out`.
    #[must_use]
    pub const fn sealed(from: usize, to: usize) -> Self {
        Self {
            from,
            to,
            port: "out",
            mapped: false,
            fault: false,
            streams: false,
        }
    }
}

/// What outlives the processes of one instance.
struct Instance {
    epoch: u32,
    last_end: Option<End>,
    outbox: Heap,
    page: Heap,
    page_layout: PageLayout,
    bell: CountingBell,
    counts: Counts,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    inbound: u32,
    ports: u32,
}

/// The instances of a chain, and their edges.
pub struct Chain {
    clock: SetClock,
    limits: FunctionLimits,
    spin_ns: u64,
    gateway: Option<usize>,
    ways: Vec<(Way, Heap)>,
    instances: Vec<Instance>,
}

impl Chain {
    /// The instances that `ways` lead between.
    ///
    /// # Panics
    /// When the counts are out of the bounds of a layout.
    #[must_use]
    pub fn new(ways: &[Way]) -> Self {
        let limits = FunctionLimits {
            outbox_bytes: OUTBOX_MIN_BYTES,
            timeout_ns: 1_000_000_000,
            ..FunctionLimits::NONE
        };
        let clock = SetClock::default();
        clock.pass_ns(1);
        let count = ways.iter().map(|way| way.from.max(way.to) + 1).max().unwrap_or(0);
        let mut counts = Vec::new();
        counts.resize(count, Counts::default());
        for way in ways {
            if let Some(from) = counts.get_mut(way.from) {
                from.ports += 1;
            }
            if let Some(to) = counts.get_mut(way.to) {
                to.inbound += 1;
            }
        }
        let capacity = ring_capacity(limits.outbox_bytes);
        let instances = counts.into_iter().map(|counts| {
            let outbox = OutboxLayout::new(counts.ports, capacity, limits.outbox_bytes);
            let page_layout = PageLayout::new(counts.inbound, counts.ports).expect("few edges");
            Instance {
                epoch: 0,
                last_end: None,
                outbox: Heap::new(outbox.expect("few edges").len_bytes()),
                page: Heap::new(page_layout.len_bytes()),
                page_layout,
                bell: CountingBell::new(clock.clone()),
                counts,
            }
        });
        let instances = instances.collect();
        let mapped = MappedLayout::new(capacity, limits.outbox_bytes).expect("the least outbox");
        let region_bytes = |way: &Way| if way.mapped { mapped.len_bytes() } else { 0 };
        let ways = ways.iter().map(|way| (*way, Heap::new(region_bytes(way))));
        Self {
            ways: ways.collect(),
            clock,
            limits,
            spin_ns: 0,
            gateway: None,
            instances,
        }
    }

    /// What is set of the limits of all instances, before they are attached.
    pub const fn limits_mut(&mut self) -> &mut FunctionLimits {
        &mut self.limits
    }

    /// For how long each instance looks for work before it sleeps.
    pub const fn set_spin_ns(&mut self, spin_ns: u64) {
        self.spin_ns = spin_ns;
    }

    /// Makes one of the instances the gateway.
    pub const fn set_gateway(&mut self, instance: usize) {
        self.gateway = Some(instance);
    }

    /// How the last process of an instance ended, for the next one to be told.
    pub fn set_last_end(&mut self, instance: usize, end: End) {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.last_end = Some(end);
        }
    }

    /// The clock of all of them.
    #[must_use]
    pub const fn clock(&self) -> &SetClock {
        &self.clock
    }

    /// The bell of an instance.
    ///
    /// # Panics
    /// When there is no such instance.
    #[must_use]
    pub fn bell(&self, instance: usize) -> &CountingBell {
        &self.instance(instance).bell
    }

    /// The outbox of an instance, in the hands of a test.
    ///
    /// # Panics
    /// When there is no such instance.
    #[must_use]
    pub fn outbox(&self, instance: usize) -> OwnRegion {
        OwnRegion::new(Box::new(self.instance(instance).outbox.clone()))
    }

    /// How an outbox is laid out in which as many rings lie as edges leave from `instance`.
    ///
    /// # Panics
    /// When there is no such instance.
    #[must_use]
    pub fn outbox_layout(&self, instance: usize) -> OutboxLayout {
        let ports = self.instance(instance).counts.ports;
        let capacity = ring_capacity(self.limits.outbox_bytes);
        OutboxLayout::new(ports, capacity, self.limits.outbox_bytes).expect("as when it was made")
    }

    /// The page of an instance, as others see it, and its shape.
    ///
    /// # Panics
    /// When there is no such instance.
    #[must_use]
    pub fn page(&self, instance: usize) -> (PeerRegion, PageLayout) {
        let instance = self.instance(instance);
        let page = PeerRegion::new(Box::new(instance.page.clone()));
        (page, instance.page_layout)
    }

    fn instance(&self, instance: usize) -> &Instance {
        self.instances.get(instance).expect("an instance of this chain")
    }

    /// Attaches a process of an instance: the first one, or a replacement.
    ///
    /// # Errors
    /// [`PlaceError`], for limits that contradict each other.
    pub fn attach(&mut self, instance: usize) -> Result<Place, PlaceError<TooShort>> {
        if let Some(instance) = self.instances.get_mut(instance) {
            instance.epoch += 1;
        }
        let place = Place::take(self.entries(instance), &mut self.clock.clone())?;
        place.set_serving();
        Ok(place)
    }

    fn entries(&self, instance: usize) -> Entries<Handle> {
        let own = self.instance(instance);
        let mut entries = Entries::default();
        entries.begin = Some((
            self.begin(instance),
            OwnHandles {
                outbox: Handle::Memory(own.outbox.clone()),
                page: Handle::Memory(own.page.clone()),
                bell: Handle::Bell(own.bell.clone()),
            },
        ));
        for (number, (way, region)) in (0..).zip(&self.ways) {
            if way.to == instance {
                let producer = self.instance(way.from);
                let memory = if way.mapped { region } else { &producer.outbox };
                let memory = Handle::Memory(memory.clone());
                let bell = Handle::Bell(producer.bell.clone());
                entries.inbound.push((self.inbound(number, way), memory, bell));
            }
            if way.from == instance {
                let consumer = self.instance(way.to);
                let handles = EdgeHandles {
                    page: Handle::Memory(consumer.page.clone()),
                    bell: Handle::Bell(consumer.bell.clone()),
                    mapped: way.mapped.then(|| Handle::Memory(region.clone())),
                };
                entries.edges.push((self.edge(number, way), handles));
                entries.ports.push(self.port(number, way));
            }
        }
        entries
    }

    fn begin(&self, instance: usize) -> Begin {
        let own = self.instance(instance);
        let is_gateway = self.gateway == Some(instance);
        let (last_end_kind, last_end_code) = own.last_end.map_or((0, 0), End::encode);
        let waiting = if self.spin_ns > 0 {
            Waiting::Look
        } else {
            Waiting::Sleep
        };
        Begin {
            version: ATTACH_VERSION,
            role: if is_gateway { role::GATEWAY } else { role::FUNCTION },
            chain_digest: DIGEST,
            chain_epoch: CHAIN_EPOCH,
            chain: name("simulated"),
            function: name("function"),
            function_index: index(instance),
            instance: index(instance),
            instance_epoch: own.epoch,
            inbound_count: own.counts.inbound,
            port_count: own.counts.ports,
            edge_count: own.counts.ports,
            ring_count: own.counts.ports,
            ring_capacity: ring_capacity(self.limits.outbox_bytes),
            limits: self.limits,
            spin_ns: self.spin_ns,
            max_body_bytes: self.limits.outbox_bytes,
            max_reply_bytes: self.limits.outbox_bytes,
            deadline_ns: 60_000_000_000,
            in_flight: 128,
            error_port: u32::MAX,
            wakes_ahead: 0,
            waiting: waiting.word(),
            last_end_kind,
            last_end_code,
        }
    }

    fn inbound(&self, number: u32, way: &Way) -> Inbound {
        let producer = self.instance(way.from);
        Inbound {
            upstream: name("function"),
            port_name: name(way.port),
            producer_function: index(way.from),
            producer_instance: index(way.from),
            port: number,
            ring: self.before(number, |other| other.from == way.from),
            producer_ring_count: producer.counts.ports,
            producer_ring_capacity: ring_capacity(self.limits.outbox_bytes),
            producer_outbox_bytes: self.limits.outbox_bytes,
            group: 0,
            group_width: 1,
            member: 0,
            gapless: 1,
            fault: u32::from(way.fault),
            edge: u32::MAX,
            mapped: u32::from(way.mapped),
            carried: 0,
            streams: u32::from(way.streams),
            reserved: 0,
            port_secret: if way.mapped {
                [0; SECRET_BYTES]
            } else {
                *port_secret(number).expose()
            },
        }
    }

    fn edge(&self, number: u32, way: &Way) -> Edge {
        let at = self.before(number, |other| other.from == way.from);
        let consumer = self.instance(way.to);
        Edge {
            port_index: at,
            ring: at,
            consumer_inbound: self.before(number, |other| other.to == way.to),
            consumer_inbound_count: consumer.counts.inbound,
            consumer_port_count: consumer.counts.ports,
            edge: at,
            lane: 0,
            lanes: 1,
            joined: 0,
            to_gateway: u32::from(self.gateway == Some(way.to)),
            mapped: u32::from(way.mapped),
            streams: u32::from(way.streams),
        }
    }

    fn port(&self, number: u32, way: &Way) -> Port {
        let context = KeyContext {
            chain_digest: &DIGEST,
            chain_epoch: CHAIN_EPOCH,
            port: number,
            instance: index(way.from),
        };
        let epoch = self.instance(way.from).epoch;
        Port {
            name: name(way.port),
            port: number,
            fault: u32::from(way.fault),
            epoch_secret: *epoch_secret(&port_secret(number), context, epoch).expose(),
        }
    }

    /// How many of the edges before this one are alike in what `is` says.
    fn before(&self, number: u32, is: impl Fn(&Way) -> bool) -> u32 {
        let earlier = (0..number).zip(&self.ways);
        index(earlier.filter(|(_, (way, _))| is(way)).count())
    }
}

fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a short name")
}

fn port_secret(number: u32) -> SecretBytes {
    let mut bytes = [7; SECRET_BYTES];
    for (to, byte) in bytes.iter_mut().zip(number.to_le_bytes()) {
        *to = byte;
    }
    SecretBytes::new(bytes)
}

/// What is given beside an entry.
pub enum Handle {
    /// Shared memory.
    Memory(Heap),
    /// Either end of a bell.
    Bell(CountingBell),
}

/// Memory that has fewer bytes than its layout needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("memory is shorter than its layout")]
pub struct TooShort;

impl Handle {
    fn memory(&self, len_bytes: usize) -> Result<Heap, TooShort> {
        match self {
            Self::Memory(heap) if heap.span().len() >= len_bytes => Ok(heap.clone()),
            _ => Err(TooShort),
        }
    }

    fn bell(self, clock: &SetClock) -> CountingBell {
        match self {
            Self::Bell(bell) => bell,
            Self::Memory(_) => CountingBell::new(clock.clone()),
        }
    }
}

impl Machine for SetClock {
    type Handle = Handle;
    type Fault = TooShort;

    fn own_memory(
        &mut self,
        region: &Handle,
        len_bytes: usize,
        _backing: Backing,
    ) -> Result<Box<dyn OwnMemory>, TooShort> {
        Ok(Box::new(region.memory(len_bytes)?))
    }

    fn memory(&mut self, region: &Handle, len_bytes: usize) -> Result<Box<dyn Memory>, TooShort> {
        Ok(Box::new(region.memory(len_bytes)?))
    }

    fn bell(&mut self, bell: Handle) -> Box<dyn Bell> {
        Box::new(bell.bell(self))
    }

    fn own_bell(&mut self, bell: Handle) -> Box<dyn OwnBell> {
        Box::new(bell.bell(self))
    }

    fn clock(&mut self) -> Box<dyn Clock> {
        Box::new(self.clone())
    }

    fn random(&mut self) -> u64 {
        // Another for each process: time passes.
        self.pass_ns(2);
        self.now().as_ns()
    }
}
