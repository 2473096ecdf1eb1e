//! The trustlet's side of the attach channel: from the monitor's messages to a [`Sender`] and a [`Receiver`].

use crate::attach::contradiction::BadAttachment;
use crate::attach::message::{
    ATTACH_VERSION, Ahead, Begin, Drain, Drained, Edge, Inbound, Listen, MESSAGE_MAX_BYTES,
    MESSAGE_MAX_DESCRIPTORS, MessageHeader, Port, Readiness, Renew, SAID_MAX_BYTES, SECRET_VALUE_MAX_BYTES,
    Secret, kind, listen_tls, outbox_flag,
};
use crate::clock::Monotonic;
use crate::hop::{Receiver, Sender};
use crate::inlet::{Inlet, receiver};
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
use crate::region::layout::{MappedLayout, OutboxLayout, PageLayout, page_word};
use crate::region::memory::{MapError, OwnRegion, PeerRegion};
use crate::sdk::input;
use crate::trustlet::refused_call;
use crate::wait::ahead::Ahead as WakeAhead;
use crate::wait::doorbell::{Doorbell, OwnDoorbell};
use crate::wait::rest::Rest;
use core::mem::MaybeUninit;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};
use zeroize::{Zeroize, Zeroizing};

/// An attachment could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The monitor closed the channel: it is gone, and so must we.
    #[error("the monitor closed the channel")]
    Closed,
    /// The kernel refused.
    #[error("the channel to the monitor failed: {0}")]
    Os(#[from] Errno),
    /// Not of this build.
    #[error("the monitor speaks attach version {found}, this trustlet speaks {ATTACH_VERSION}")]
    Version {
        /// The monitor's version.
        found: u32,
    },
    /// The messages contradict each other.
    #[error(transparent)]
    Contradiction(#[from] BadAttachment),
    /// A region could not be mapped.
    #[error(transparent)]
    Map(#[from] MapError),
}

/// One message, received.
pub struct Message {
    kind: u32,
    count: usize,
    body: Zeroizing<Vec<u8>>,
    descriptors: std::vec::IntoIter<OwnedFd>,
}

/// The private channel that a trustlet is born with.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Takes the channel's descriptor.
    #[must_use]
    pub fn new(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Receives one message, waiting for it if the socket is in blocking mode.
    ///
    /// # Errors
    /// [`AttachError`]; `Os(Errno::AGAIN)` when the socket does not block and there is none.
    pub fn receive(&self) -> Result<Message, AttachError> {
        let mut bytes = Zeroizing::new(vec![0; MESSAGE_MAX_BYTES]);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MESSAGE_MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut slices = [rustix::io::IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.0, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if received.bytes == 0 {
            return Err(AttachError::Closed);
        }
        let descriptors: Vec<_> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => Some(rights),
                _ => None,
            })
            .flatten()
            .collect();
        bytes.truncate(received.bytes);
        let (header, _) =
            MessageHeader::read_from_prefix(&bytes).map_err(|_| BadAttachment("a short message"))?;
        let count = usize::try_from(header.count).map_err(|_| BadAttachment("a count"))?;
        Ok(Message {
            kind: header.kind,
            count,
            body: bytes,
            descriptors: descriptors.into_iter(),
        })
    }

    /// Tells the monitor that the attachment stands.
    ///
    /// # Errors
    /// [`AttachError::Os`].
    pub fn say_ready(&self) -> Result<(), AttachError> {
        self.say(kind::READY, &[])
    }

    /// Tells the monitor whether new files of TLS were taken, and what there is to say of them; of that, as
    /// much as fits.
    ///
    /// # Errors
    /// [`AttachError::Os`].
    pub fn say_renewed(&self, taken: bool, text: &str) -> Result<(), AttachError> {
        let kind = if taken { kind::TLS_TAKEN } else { kind::TLS_REFUSED };
        let end = text.floor_char_boundary(SAID_MAX_BYTES);
        self.say(kind, text.get(..end).unwrap_or("").as_bytes())
    }

    /// Tells the monitor what became of requests while this gateway drained.
    ///
    /// # Errors
    /// [`AttachError::Os`].
    pub fn say_drained(&self, drained: &Drained) -> Result<(), AttachError> {
        self.say(kind::DRAINED, drained.as_bytes())
    }

    fn say(&self, kind: u32, content: &[u8]) -> Result<(), AttachError> {
        let count = u32::try_from(content.len()).unwrap_or(0);
        let mut message = MessageHeader { kind, count }.as_bytes().to_vec();
        message.extend_from_slice(content);
        rustix::net::send(&self.0, &message, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> rustix::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Message {
    fn payload(&self) -> &[u8] {
        self.body.get(size_of::<MessageHeader>()..).unwrap_or(&[])
    }

    fn entries<E: FromBytes + Immutable + KnownLayout + Copy>(&self) -> Result<Vec<E>, BadAttachment> {
        let payload = self.payload();
        if payload.len() != self.count.saturating_mul(size_of::<E>()) {
            return Err(BadAttachment("a message of another length than its count says"));
        }
        payload
            .chunks_exact(size_of::<E>())
            .map(|bytes| E::read_from_bytes(bytes).map_err(|_| BadAttachment("an entry")))
            .collect()
    }

    fn descriptor(&mut self) -> Result<OwnedFd, BadAttachment> {
        self.descriptors
            .next()
            .ok_or(BadAttachment("a missing descriptor"))
    }
}

/// What the monitor wants, once a message or a sequence of them is complete.
pub enum Wish {
    /// A place in a chain.
    Attach(Box<Attachment>),
    /// A seccomp program to install.
    Lockdown(Vec<u8>),
    /// Gateway: a socket to accept connections from.
    Listen(Listener),
    /// Gateway: new files of its TLS.
    Renew(TlsFiles),
    /// Gateway: finish in these steps, then exit.
    Drain(Drain),
    /// Gateway: the bell to ring when requests begin to be in flight.
    Bell(Doorbell),
    /// Gateway: whether the functions of these chains are fit to serve.
    Readiness(Vec<Readiness>),
    /// Gateway: tell of each request.
    AccessLog,
}

/// A listening socket, and what TLS needs.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: OwnedFd,
    /// What TLS needs; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
}

/// PEM files that TLS needs.
#[derive(Debug)]
pub struct TlsFiles {
    /// The certificate chain, the gateway's own certificate first.
    pub certificates: OwnedFd,
    /// Its private key.
    pub key: OwnedFd,
    /// Certificates of those who sign clients' certificates; `None` where clients need none.
    pub client_ca: Option<OwnedFd>,
}

impl TlsFiles {
    /// What comes beside a message with this value of [`listen_tls`].
    fn take(tls: u32, message: &mut Message) -> Result<Option<Self>, BadAttachment> {
        if tls == listen_tls::NONE {
            return Ok(None);
        }
        Ok(Some(Self {
            certificates: message.descriptor()?,
            key: message.descriptor()?,
            client_ca: (tls == listen_tls::MUTUAL)
                .then(|| message.descriptor())
                .transpose()?,
        }))
    }
}

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

/// What comes beside an [`Edge`].
struct EdgeDescriptors {
    page: OwnedFd,
    doorbell: OwnedFd,
    mapped: Option<OwnedFd>,
}

/// Collects the messages of one attachment.
#[derive(Default)]
pub struct Assembly {
    begin: Option<(Begin, [OwnedFd; 3])>,
    inbound: Vec<(Inbound, OwnedFd, OwnedFd)>,
    ports: Vec<Port>,
    edges: Vec<(Edge, EdgeDescriptors)>,
    ahead: Option<(Ahead, OwnedFd, OwnedFd)>,
    secrets: Vec<input::Secret>,
}

impl Drop for Assembly {
    fn drop(&mut self) {
        for (inbound, _, _) in &mut self.inbound {
            inbound.port_secret.zeroize();
        }
        for port in &mut self.ports {
            port.epoch_secret.zeroize();
        }
    }
}

impl Assembly {
    /// Takes the next message; a [`Wish`] once one is complete.
    ///
    /// # Errors
    /// [`AttachError`] when messages contradict each other or a region cannot be mapped.
    pub fn feed(&mut self, mut message: Message) -> Result<Option<Wish>, AttachError> {
        match message.kind {
            kind::BEGIN => {
                let begin = message.entries::<Begin>()?;
                let begin = *begin.first().ok_or(BadAttachment("an empty beginning"))?;
                if begin.version != ATTACH_VERSION {
                    return Err(AttachError::Version { found: begin.version });
                }
                let regions = [
                    message.descriptor()?,
                    message.descriptor()?,
                    message.descriptor()?,
                ];
                *self = Self::default();
                self.begin = Some((begin, regions));
            }
            kind::INBOUND => {
                for entry in message.entries::<Inbound>()? {
                    self.inbound
                        .push((entry, message.descriptor()?, message.descriptor()?));
                }
            }
            kind::PORT => self.ports.extend(message.entries::<Port>()?),
            kind::EDGE => {
                for entry in message.entries::<Edge>()? {
                    let descriptors = EdgeDescriptors {
                        page: message.descriptor()?,
                        doorbell: message.descriptor()?,
                        mapped: (entry.mapped == 1).then(|| message.descriptor()).transpose()?,
                    };
                    self.edges.push((entry, descriptors));
                }
            }
            kind::AHEAD => {
                let entries = message.entries::<Ahead>()?;
                let entry = *entries.first().ok_or(BadAttachment("an instance ahead"))?;
                self.ahead = Some((entry, message.descriptor()?, message.descriptor()?));
            }
            kind::SECRET => self.secrets.push(read_secret(&message)?),
            kind::LOCKDOWN => return Ok(Some(Wish::Lockdown(message.payload().to_vec()))),
            kind::LISTEN => {
                let listen = message.entries::<Listen>()?;
                let listen = *listen.first().ok_or(BadAttachment("an empty listener"))?;
                let socket = message.descriptor()?;
                let tls = TlsFiles::take(listen.tls, &mut message)?;
                return Ok(Some(Wish::Listen(Listener { socket, tls })));
            }
            kind::TLS => {
                let renew = message.entries::<Renew>()?;
                let renew = *renew.first().ok_or(BadAttachment("an empty renewal"))?;
                let files = TlsFiles::take(renew.tls, &mut message)?;
                let files = files.ok_or(BadAttachment("a renewal without files"))?;
                return Ok(Some(Wish::Renew(files)));
            }
            kind::READINESS => return Ok(Some(Wish::Readiness(message.entries()?))),
            kind::ACCESS_LOG => return Ok(Some(Wish::AccessLog)),
            kind::DRAIN => {
                let drain = message.entries::<Drain>()?;
                let drain = *drain.first().ok_or(BadAttachment("an empty drain"))?;
                return Ok(Some(Wish::Drain(drain)));
            }
            kind::BELL => return Ok(Some(Wish::Bell(Doorbell::new(message.descriptor()?)))),
            kind::GO => return Ok(Some(Wish::Attach(Box::new(core::mem::take(self).finish()?)))),
            _ => return Err(BadAttachment("a message of unknown kind").into()),
        }
        Ok(None)
    }

    fn finish(mut self) -> Result<Attachment, AttachError> {
        let (begin, [outbox, page, doorbell]) = self.begin.take().ok_or(BadAttachment("no beginning"))?;
        let counts = [
            (begin.inbound_count, self.inbound.len()),
            (begin.port_count, self.ports.len()),
            (begin.edge_count, self.edges.len()),
            (begin.wakes_ahead, usize::from(self.ahead.is_some())),
        ];
        if counts
            .iter()
            .any(|(said, found)| usize::try_from(*said) != Ok(*found))
        {
            return Err(BadAttachment("counts").into());
        }
        let outbox_layout = OutboxLayout::new(begin.ring_count, begin.ring_capacity, begin.outbox_bytes)
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
        if begin.role == 1 {
            own.begin_requests();
        }
        if begin.instance_epoch > 1 {
            telemetry::take_over(&own.page, &own.page_layout);
        }
        let random = own_number();
        let mut rings = Vec::with_capacity(self.inbound.len());
        let mut gapless = Vec::with_capacity(self.inbound.len());
        for (index, (inbound, outbox, doorbell)) in core::mem::take(&mut self.inbound).into_iter().enumerate()
        {
            let inbound = Zeroizing::new(InboundSecret(inbound));
            let payload = Payload::of(&inbound.0, &begin);
            let vouched = payload.is_authenticated();
            let inlet = Inlet::new(index, &inbound.0, &page_layout, &outbox, doorbell, vouched)??;
            rings.push(receiver::Inbound { inlet, payload });
            gapless.push(inbound.0.gapless == 1);
        }
        let ports = self.out_ports(&begin, &outbox_layout, &mut own, random)?;
        let outbox = OwnRegion::map(&outbox, outbox_layout.len_bytes())?;
        back(&outbox, &begin)?;
        let ahead = match self.ahead.take() {
            Some((entry, page, doorbell)) => WakeAhead::new(&entry, &page, doorbell)??,
            None => WakeAhead::default(),
        };
        let mut receiver = Receiver::new(rings, Rest::new(&own, ahead, &begin, random));
        receiver.resume(&own, &gapless);
        let mut sender = Sender::new(Outbox::new(outbox, outbox_layout, random), ports, begin.spin_ns);
        sender.resume(&own, begin.instance_epoch);
        let secrets = core::mem::take(&mut self.secrets);
        Ok(Attachment {
            begin,
            own,
            sender,
            receiver,
            secrets,
        })
    }
}

impl Assembly {
    /// The ports with their rings; notes in `own` where the gateway's page is.
    fn out_ports(
        &mut self,
        begin: &Begin,
        outbox: &OutboxLayout,
        own: &mut Own,
        random: u64,
    ) -> Result<Vec<OutPort>, AttachError> {
        let mut outlets: Vec<Vec<Outlet>> = self.ports.iter().map(|_| Vec::new()).collect();
        for (edge, descriptors) in core::mem::take(&mut self.edges) {
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
                let layout = MappedLayout::new(begin.ring_capacity, begin.outbox_bytes)
                    .ok_or(BadAttachment("a mapped region"))?;
                let link = Link::new(&edge, layout.ring_at(), layout.ring_capacity(), &page, doorbell)??;
                let region = OwnRegion::map(&region, layout.len_bytes())?;
                back(&region, begin)?;
                Outlet::mapped(link, MappedRoom::new(region, layout, random))
            } else {
                let ring_at = outbox.ring_at(edge.ring).ok_or(BadAttachment("a ring"))?;
                let link = Link::new(&edge, ring_at, outbox.ring_capacity(), &page, doorbell)??;
                Outlet::sealed(link)
            });
        }
        let mut ports = Vec::with_capacity(self.ports.len());
        for (port, outlets) in self.ports.iter().zip(outlets) {
            let sealer =
                PortSealer::new(port, begin.instance_epoch).map_err(|_| BadAttachment("a port's secret"))?;
            ports.push(OutPort::new(
                port.name,
                port.fault == 1,
                sealer,
                Outlets::new(outlets),
            ));
        }
        Ok(ports)
    }
}

/// A number that no earlier process of this instance can have known: what it left cannot be made for it.
fn own_number() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_ne_bytes(bytes),
        // Hard to know as well.
        Err(_) => Monotonic::now().as_ns(),
    }
}

/// Has a region that this instance writes backed as its function asks.
fn back(region: &OwnRegion, begin: &Begin) -> Result<(), MapError> {
    if begin.outbox_flags & outbox_flag::HUGE_PAGES != 0 {
        region.use_huge_pages();
    }
    if begin.outbox_flags & outbox_flag::PREFAULT != 0 {
        region.prefault()?;
    }
    Ok(())
}

/// An inbound entry whose secret is wiped when it has been used.
struct InboundSecret(Inbound);

impl Zeroize for InboundSecret {
    fn zeroize(&mut self) {
        self.0.port_secret.zeroize();
    }
}

impl Attachment {
    /// Lets peers and daemon know that this instance serves.
    pub fn set_serving(&self) {
        self.own.store(page_word::STATE, 1);
        self.sender.set_serving(true);
    }
}

fn read_secret(message: &Message) -> Result<input::Secret, BadAttachment> {
    let (secret, rest) =
        Secret::read_from_prefix(message.payload()).map_err(|_| BadAttachment("a secret"))?;
    let len = usize::try_from(secret.len_bytes).map_err(|_| BadAttachment("a secret"))?;
    if len > SECRET_VALUE_MAX_BYTES || !secret.name.is_valid() {
        return Err(BadAttachment("a secret"));
    }
    let value = rest.get(..len).ok_or(BadAttachment("a secret's value"))?;
    Ok(input::Secret {
        name: secret.name,
        value: Zeroizing::new(value.to_vec()),
    })
}
