//! A place in a chain, made from its entries: regions are taken, keys become sealers and openers, and what a
//! predecessor has left is taken over.

use super::entries::{EdgeHandles, Entries, OwnHandles};
use super::machine::{Backing, Machine};
use crate::attach::contradiction::BadAttachment;
use crate::attach::message::{Begin, Inbound, outbox_flag, role};
use crate::carrier::{self, Carrier, Relay};
use crate::inlet::Inlet;
use crate::outlet::Outlet;
use crate::outlet::mapped::MappedRoom;
use crate::outlet::outbox::Outbox;
use crate::outlet::outlets::Outlets;
use crate::outlet::port::OutPort;
use crate::outlet::publish::OutRing;
use crate::outlet::seal::PortSealer;
use crate::outlet::sender::Sender;
use crate::page::own::Own;
use crate::page::telemetry;
use crate::payload::Payload;
use crate::receiver::{InboundRing, Receiver};
use crate::region::layout::{MappedLayout, OutboxLayout, PageLayout, page_word};
use crate::region::memory::{OwnRegion, PeerRegion, PlainRegion, SealedRegion};
use crate::wait::ahead::Ahead as WakeAhead;
use crate::wait::rest::Rest;
use crate::wait::waiting::Waiting;
use alloc::vec::Vec;
use zeroize::{Zeroize, Zeroizing};

/// A place could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError<F> {
    /// The entries contradict each other.
    #[error(transparent)]
    Contradiction(BadAttachment),
    /// Memory could not be had.
    #[error(transparent)]
    Memory(F),
}

impl<F> From<BadAttachment> for PlaceError<F> {
    fn from(contradiction: BadAttachment) -> Self {
        Self::Contradiction(contradiction)
    }
}

/// A place in a chain: regions, keys, rings and limits of one instance.
pub struct Place {
    /// Limits and identity, as the monitor gave them.
    pub begin: Begin,
    /// Page, bell and clock.
    pub own: Own,
    /// The producing side.
    pub sender: Sender,
    /// The consuming side.
    pub receiver: Receiver,
}

impl Place {
    /// The place that `entries` describe, on `machine`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn take<M: Machine>(
        mut entries: Entries<M::Handle>,
        machine: &mut M,
    ) -> Result<Self, PlaceError<M::Fault>> {
        let base = Base::make(&mut entries, machine)?;
        let mut inbound = Vec::with_capacity(entries.inbound.len());
        let mut gapless = Vec::with_capacity(entries.inbound.len());
        for (index, (entry, region, bell)) in core::mem::take(&mut entries.inbound).into_iter().enumerate() {
            let entry = Zeroizing::new(InboundSecret(entry));
            let payload = Payload::of(&entry.0, &base.begin);
            let vouched = payload.is_authenticated();
            let layout = &base.own.page_layout;
            let bell = machine.bell(bell);
            let region = |len_bytes| peer(machine, &region, len_bytes);
            let inlet = Inlet::new(index, &entry.0, layout, region, bell, vouched)??;
            inbound.push(InboundRing { inlet, payload });
            gapless.push(entry.0.gapless == 1);
        }
        let mut ports = Vec::with_capacity(entries.ports.len());
        for (port, outlets) in entries.ports.iter().zip(base.outlets) {
            let sealer = PortSealer::new(port, base.begin.instance_epoch)
                .map_err(|_| BadAttachment("a port's secret"))?;
            ports.push(OutPort::new(port.name, port.fault == 1, sealer, outlets));
        }
        let mut receiver = Receiver::new(inbound, base.rest);
        receiver.resume(&base.own, &gapless);
        let mut sender = Sender::new(base.outbox, ports, base.begin.spin_ns);
        sender.resume(&base.own, base.begin.instance_epoch);
        Ok(Self {
            begin: base.begin,
            own: base.own,
            sender,
            receiver,
        })
    }

    /// Lets peers and daemon know that this instance serves.
    pub fn set_serving(&self) {
        self.own.store(page_word::STATE, 1);
        self.sender.set_serving(true);
    }
}

impl Carrier {
    /// The carrier that `entries` describe, on `machine`.
    ///
    /// # Errors
    /// [`PlaceError`].
    pub fn take<M: Machine>(
        mut entries: Entries<M::Handle>,
        machine: &mut M,
    ) -> Result<Self, PlaceError<M::Fault>> {
        let base = Base::make(&mut entries, machine)?;
        let inbound: Vec<&Inbound> = entries.inbound.iter().map(|(entry, _, _)| entry).collect();
        carrier::check(&base.begin, base.outbox.layout(), &inbound, &entries.ports)?;
        let mut relays = Vec::with_capacity(entries.inbound.len());
        let inbound = core::mem::take(&mut entries.inbound);
        for ((index, (entry, region, bell)), outlets) in inbound.into_iter().enumerate().zip(base.outlets) {
            let layout = &base.own.page_layout;
            let bell = machine.bell(bell);
            let region = |len_bytes| peer(machine, &region, len_bytes);
            let inlet = Inlet::new(index, &entry, layout, region, bell, false)??;
            let large_max = inlet.full_slots();
            relays.push(Relay::new(inlet, entry.gapless == 1, outlets, large_max));
        }
        Ok(Self::new(base.own, base.outbox, relays, base.rest))
    }
}

/// What every instance is attached to, whatever it does.
struct Base {
    begin: Begin,
    own: Own,
    outbox: Outbox,
    /// Those of each port, in the order of the ports.
    outlets: Vec<Outlets>,
    rest: Rest,
}

impl Base {
    fn make<M: Machine>(
        entries: &mut Entries<M::Handle>,
        machine: &mut M,
    ) -> Result<Self, PlaceError<M::Fault>> {
        let (begin, OwnHandles { outbox, page, bell }) =
            entries.begin.take().ok_or(BadAttachment("no beginning"))?;
        check_counts(&begin, entries)?;
        let outbox_layout =
            OutboxLayout::new(begin.ring_count, begin.ring_capacity, begin.limits.outbox_bytes)
                .ok_or(BadAttachment("the outbox"))?;
        let page_layout = PageLayout::new(begin.inbound_count, begin.port_count)
            .ok_or(BadAttachment("the instance page"))?;
        let page = machine.own_memory(&page, page_layout.len_bytes(), Backing::default());
        let mut own = Own {
            page: OwnRegion::new(page.map_err(PlaceError::Memory)?),
            page_layout,
            bell: machine.own_bell(bell),
            clock: machine.clock(),
            gateway: None,
        };
        own.bell.forget_rings();
        if begin.role == role::GATEWAY {
            own.begin_requests();
        }
        if begin.instance_epoch > 1 {
            telemetry::take_over(&own.page, &own.page_layout);
        }
        let random = machine.random();
        let outlets = outlets(entries, &begin, &outbox_layout, &mut own, machine, random)?;
        let outbox = machine.own_memory(&outbox, outbox_layout.len_bytes(), backing(&begin));
        let outbox = SealedRegion::new(outbox.map_err(PlaceError::Memory)?);
        let ahead = match entries.ahead.take() {
            Some((entry, page, bell)) => {
                let bell = machine.bell(bell);
                WakeAhead::new(&entry, |len_bytes| peer(machine, &page, len_bytes), bell)??
            }
            None => WakeAhead::default(),
        };
        let waiting =
            Waiting::from_word(begin.waiting, begin.spin_ns).ok_or(BadAttachment("a way to wait"))?;
        let rest = Rest::new(&own, ahead, waiting, begin.spin_ns, random);
        Ok(Self {
            begin,
            own,
            outbox: Outbox::new(outbox, outbox_layout, random),
            outlets,
            rest,
        })
    }
}

/// Whether there are as many entries as the first one says.
fn check_counts<H>(begin: &Begin, entries: &Entries<H>) -> Result<(), BadAttachment> {
    let counts = [
        (begin.inbound_count, entries.inbound.len()),
        (begin.port_count, entries.ports.len()),
        (begin.edge_count, entries.edges.len()),
        (begin.wakes_ahead, usize::from(entries.ahead.is_some())),
    ];
    let mut fit = counts
        .iter()
        .map(|(said, found)| usize::try_from(*said) == Ok(*found));
    if fit.all(|fits| fits) {
        Ok(())
    } else {
        Err(BadAttachment("counts"))
    }
}

/// The outlets of each port; notes in `own` where the gateway's page is.
fn outlets<M: Machine>(
    entries: &mut Entries<M::Handle>,
    begin: &Begin,
    outbox: &OutboxLayout,
    own: &mut Own,
    machine: &mut M,
    random: u64,
) -> Result<Vec<Outlets>, PlaceError<M::Fault>> {
    let mut outlets: Vec<Vec<Outlet>> = entries.ports.iter().map(|_| Vec::new()).collect();
    for (edge, EdgeHandles { page, bell, mapped }) in core::mem::take(&mut entries.edges) {
        if edge.to_gateway == 1 && own.gateway.is_none() {
            let layout = PageLayout::new(edge.consumer_inbound_count, edge.consumer_port_count)
                .ok_or(BadAttachment("the gateway's page"))?;
            own.gateway = Some((peer(machine, &page, layout.len_bytes())?, layout));
        }
        let port = usize::try_from(edge.port_index).unwrap_or(usize::MAX);
        let of_port = outlets.get_mut(port).ok_or(BadAttachment("an edge's port"))?;
        let bell = machine.bell(bell);
        let mapped = match mapped {
            Some(region) => {
                let layout = MappedLayout::new(begin.ring_capacity, begin.limits.outbox_bytes)
                    .ok_or(BadAttachment("a mapped region"))?;
                let memory = machine.own_memory(&region, layout.len_bytes(), backing(begin));
                let region = PlainRegion::new(memory.map_err(PlaceError::Memory)?);
                Some((layout, region))
            }
            None => None,
        };
        let page = |len_bytes| peer(machine, &page, len_bytes);
        of_port.push(if let Some((layout, region)) = mapped {
            let out_ring = OutRing::new(&edge, layout.ring_at(), layout.ring_capacity(), page, bell)??;
            Outlet::mapped(out_ring, MappedRoom::new(region, layout, random))
        } else {
            let ring_at = outbox.ring_at(edge.ring).ok_or(BadAttachment("a ring"))?;
            Outlet::sealed(OutRing::new(&edge, ring_at, outbox.ring_capacity(), page, bell)??)
        });
    }
    Ok(outlets.into_iter().map(Outlets::new).collect())
}

fn peer<M: Machine>(
    machine: &mut M,
    region: &M::Handle,
    len_bytes: usize,
) -> Result<PeerRegion, PlaceError<M::Fault>> {
    let memory = machine.memory(region, len_bytes).map_err(PlaceError::Memory)?;
    Ok(PeerRegion::new(memory))
}

/// How a region that this instance writes is backed, as its function asks.
const fn backing(begin: &Begin) -> Backing {
    let flags = begin.limits.outbox_flags;
    Backing {
        huge_pages: flags & outbox_flag::HUGE_PAGES != 0,
        prefault: flags & outbox_flag::PREFAULT != 0,
    }
}

/// An inbound entry whose secret is wiped when it has been used.
struct InboundSecret(Inbound);

impl Zeroize for InboundSecret {
    fn zeroize(&mut self) {
        self.0.port_secret.zeroize();
    }
}
