//! A place in a chain, made from its entries: regions are mapped, keys become sealers and openers, and what a
//! predecessor has left is taken over.

use super::channel::AttachError;
use super::entries::{EdgeDescriptors, Entries};
use crate::carrier::{self, Carrier, Relay};
use crate::clock;
use crate::hop::{Receiver, Sender};
use crate::inlet::Inlet;
use crate::inlet::receiver::Inbound;
use crate::outlet::Outlet;
use crate::outlet::mapped::MappedRoom;
use crate::outlet::outbox::Outbox;
use crate::outlet::outlets::Outlets;
use crate::outlet::port::OutPort;
use crate::outlet::publish::Link;
use crate::outlet::seal::PortSealer;
use crate::page::own::Own;
use crate::page::telemetry;
use crate::payload::Payload;
use crate::region::memory::{MapError, OwnRegion, PeerRegion, PlainRegion, SealedRegion};
use crate::sdk::input;
use crate::trustlet::refused_call;
use crate::wait::ahead::Ahead as WakeAhead;
use crate::wait::doorbell::OwnDoorbell;
use crate::wait::rest::Rest;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::{Begin, Inbound as InboundEntry, outbox_flag, role};
use hacher_data_path::region::layout::{MappedLayout, OutboxLayout, PageLayout, page_word};
use hacher_data_path::wait::waiting::Waiting;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::{Zeroize, Zeroizing};

/// A place in a chain: regions, keys, rings and limits of one instance.
pub struct Attachment {
    /// Limits and identity, as the monitor gave them.
    pub begin: Begin,
    /// Page and doorbell.
    pub own: Own,
    /// The producing side.
    pub sender: Sender,
    /// The consuming side.
    pub receiver: Receiver,
    pub(crate) secrets: Vec<input::Secret>,
}

impl Attachment {
    pub(super) fn make(entries: &mut Entries) -> Result<Self, AttachError> {
        let base = Base::make(entries)?;
        let mut inbound = Vec::with_capacity(entries.inbound.len());
        let mut gapless = Vec::with_capacity(entries.inbound.len());
        for (index, (entry, region, doorbell)) in
            core::mem::take(&mut entries.inbound).into_iter().enumerate()
        {
            let entry = Zeroizing::new(InboundSecret(entry));
            let payload = Payload::of(&entry.0, &base.begin);
            let vouched = payload.is_authenticated();
            let layout = &base.own.page_layout;
            let inlet = Inlet::new(index, &entry.0, layout, &region, doorbell, vouched)??;
            inbound.push(Inbound { inlet, payload });
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
            secrets: core::mem::take(&mut entries.secrets),
        })
    }

    /// Lets peers and daemon know that this instance serves.
    pub fn set_serving(&self) {
        self.own.store(page_word::STATE, 1);
        self.sender.set_serving(true);
    }
}

/// A carrier, made from its entries.
pub(super) fn carrier(entries: &mut Entries) -> Result<Carrier, AttachError> {
    let base = Base::make(entries)?;
    let inbound: Vec<&InboundEntry> = entries.inbound.iter().map(|(entry, _, _)| entry).collect();
    carrier::check(&base.begin, base.outbox.layout(), &inbound, &entries.ports)?;
    if !entries.secrets.is_empty() {
        return Err(BadAttachment("a carrier is given a secret").into());
    }
    let mut relays = Vec::with_capacity(entries.inbound.len());
    let inbound = core::mem::take(&mut entries.inbound);
    for ((index, (entry, region, doorbell)), outlets) in inbound.into_iter().enumerate().zip(base.outlets) {
        let layout = &base.own.page_layout;
        let inlet = Inlet::new(index, &entry, layout, &region, doorbell, false)??;
        let large_max = inlet.full_slots();
        relays.push(Relay::new(inlet, entry.gapless == 1, outlets, large_max));
    }
    Ok(Carrier::new(base.own, base.outbox, relays, base.rest))
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
    fn make(entries: &mut Entries) -> Result<Self, AttachError> {
        let (begin, [outbox, page, doorbell]) = entries.begin.take().ok_or(BadAttachment("no beginning"))?;
        let counts = [
            (begin.inbound_count, entries.inbound.len()),
            (begin.port_count, entries.ports.len()),
            (begin.edge_count, entries.edges.len()),
            (begin.wakes_ahead, usize::from(entries.ahead.is_some())),
        ];
        if counts
            .iter()
            .any(|(said, found)| usize::try_from(*said) != Ok(*found))
        {
            return Err(BadAttachment("counts").into());
        }
        let outbox_layout =
            OutboxLayout::new(begin.ring_count, begin.ring_capacity, begin.limits.outbox_bytes)
                .ok_or(BadAttachment("the outbox"))?;
        let page_layout = PageLayout::new(begin.inbound_count, begin.port_count)
            .ok_or(BadAttachment("the instance page"))?;
        refused_call::count_in(&page, page_layout.len_bytes())?;
        let mut own = Own {
            page: OwnRegion::map(&page, page_layout.len_bytes())?,
            page_layout,
            doorbell: OwnDoorbell::new(doorbell),
            gateway: None,
        };
        own.doorbell.forget_rings();
        if begin.role == role::GATEWAY {
            own.begin_requests();
        }
        if begin.instance_epoch > 1 {
            telemetry::take_over(&own.page, &own.page_layout);
        }
        let random = own_number();
        let outlets = outlets(entries, &begin, &outbox_layout, &mut own, random)?;
        let outbox = SealedRegion::map(&outbox, outbox_layout.len_bytes())?;
        back(&outbox, &begin)?;
        let ahead = match entries.ahead.take() {
            Some((entry, page, doorbell)) => WakeAhead::new(&entry, &page, doorbell)??,
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

/// The outlets of each port; notes in `own` where the gateway's page is.
fn outlets(
    entries: &mut Entries,
    begin: &Begin,
    outbox: &OutboxLayout,
    own: &mut Own,
    random: u64,
) -> Result<Vec<Outlets>, AttachError> {
    let mut outlets: Vec<Vec<Outlet>> = entries.ports.iter().map(|_| Vec::new()).collect();
    for (edge, descriptors) in core::mem::take(&mut entries.edges) {
        let EdgeDescriptors {
            page,
            doorbell,
            mapped,
        } = descriptors;
        if edge.to_gateway == 1 && own.gateway.is_none() {
            let layout = PageLayout::new(edge.consumer_inbound_count, edge.consumer_port_count)
                .ok_or(BadAttachment("the gateway's page"))?;
            own.gateway = Some((PeerRegion::map(&page, layout.len_bytes())?, layout));
        }
        let port = usize::try_from(edge.port_index).unwrap_or(usize::MAX);
        let of_port = outlets.get_mut(port).ok_or(BadAttachment("an edge's port"))?;
        of_port.push(if let Some(region) = mapped {
            let layout = MappedLayout::new(begin.ring_capacity, begin.limits.outbox_bytes)
                .ok_or(BadAttachment("a mapped region"))?;
            let link = Link::new(&edge, layout.ring_at(), layout.ring_capacity(), &page, doorbell)??;
            let region = PlainRegion::map(&region, layout.len_bytes())?;
            back(&region, begin)?;
            Outlet::mapped(link, MappedRoom::new(region, layout, random))
        } else {
            let ring_at = outbox.ring_at(edge.ring).ok_or(BadAttachment("a ring"))?;
            let link = Link::new(&edge, ring_at, outbox.ring_capacity(), &page, doorbell)??;
            Outlet::sealed(link)
        });
    }
    Ok(outlets.into_iter().map(Outlets::new).collect())
}

/// A number that no earlier process of this instance can have known: what it left cannot be made for it.
fn own_number() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // Hard to know as well.
        Err(_) => clock::now().as_ns(),
    }
}

/// Has a region that this instance writes backed as its function asks.
fn back(region: &OwnRegion, begin: &Begin) -> Result<(), MapError> {
    if begin.limits.outbox_flags & outbox_flag::HUGE_PAGES != 0 {
        region.use_huge_pages();
    }
    if begin.limits.outbox_flags & outbox_flag::PREFAULT != 0 {
        region.prefault()?;
    }
    Ok(())
}

/// An inbound entry whose secret is wiped when it has been used.
struct InboundSecret(InboundEntry);

impl Zeroize for InboundSecret {
    fn zeroize(&mut self) {
        self.0.port_secret.zeroize();
    }
}
