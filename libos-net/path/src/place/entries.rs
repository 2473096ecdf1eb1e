//! The entries of one attachment, with the handles that came beside them, until a place is made of them.

use crate::attach::contradiction::BadAttachment;
use crate::attach::message::{ATTACH_VERSION, Ahead, Begin, Edge, Inbound, MessageHeader, Port, kind};
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, KnownLayout};
use zeroize::Zeroize;

/// The most entries of one kind: more than the largest chain has.
const ENTRIES_MAX: usize = 1 << 16;

/// One message of the monitor, and the handles that came beside it.
pub struct Delivered<'a, I> {
    header: MessageHeader,
    payload: &'a [u8],
    handles: I,
}

impl<'a, H, I: Iterator<Item = H>> Delivered<'a, I> {
    /// The message in `bytes`.
    ///
    /// # Errors
    /// When it is shorter than its header.
    pub fn new(bytes: &'a [u8], handles: I) -> Result<Self, BadAttachment> {
        let (header, payload) =
            MessageHeader::read_from_prefix(bytes).map_err(|_| BadAttachment("a short message"))?;
        Ok(Self {
            header,
            payload,
            handles,
        })
    }

    /// What it carries: a value of [`kind`].
    #[must_use]
    pub const fn kind(&self) -> u32 {
        self.header.kind
    }

    /// What follows its header.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// As many entries as it says that there are, one by one: what they hold is copied to where it goes, and
    /// nowhere else.
    ///
    /// # Errors
    /// When it has another length.
    pub fn entries<E: FromBytes + Immutable + KnownLayout>(
        &self,
    ) -> Result<impl ExactSizeIterator<Item = Result<E, BadAttachment>> + use<'a, H, I, E>, BadAttachment>
    {
        let count = usize::try_from(self.header.count).map_err(|_| BadAttachment("a count"))?;
        if self.payload.len() != count.saturating_mul(size_of::<E>()) {
            return Err(BadAttachment("a message of another length than its count says"));
        }
        let entries = self.payload.chunks_exact(size_of::<E>());
        Ok(entries.map(|bytes| E::read_from_bytes(bytes).map_err(|_| BadAttachment("an entry"))))
    }

    /// Its one entry.
    ///
    /// # Errors
    /// As [`Self::entries`], or when there are others.
    pub fn one<E: FromBytes + Immutable + KnownLayout>(&self) -> Result<E, BadAttachment> {
        let mut entries = self.entries::<E>()?;
        match (entries.next(), entries.next()) {
            (Some(entry), None) => entry,
            _ => Err(BadAttachment("a message that has not one entry")),
        }
    }

    /// The next handle.
    ///
    /// # Errors
    /// When there are no more.
    pub fn handle(&mut self) -> Result<H, BadAttachment> {
        self.handles.next().ok_or(BadAttachment("a missing handle"))
    }
}

/// What comes beside a [`Begin`].
pub struct OwnHandles<H> {
    /// The outbox.
    pub outbox: H,
    /// The instance page.
    pub page: H,
    /// The bell that the instance sleeps on.
    pub bell: H,
}

/// What comes beside an [`Edge`].
pub struct EdgeHandles<H> {
    /// The consumer's page.
    pub page: H,
    /// Its bell.
    pub bell: H,
    /// The region of a mapped edge.
    pub mapped: Option<H>,
}

/// All of them; keys are wiped when this is dropped.
pub struct Entries<H> {
    /// Who is attached.
    pub begin: Option<(Begin, OwnHandles<H>)>,
    /// With the producer's region and its bell.
    pub inbound: Vec<(Inbound, H, H)>,
    /// The output ports.
    pub ports: Vec<Port>,
    /// The rings that the instance writes.
    pub edges: Vec<(Edge, EdgeHandles<H>)>,
    /// With the page and the bell of the instance that this one wakes ahead.
    pub ahead: Option<(Ahead, H, H)>,
}

impl<H> Default for Entries<H> {
    fn default() -> Self {
        Self {
            begin: None,
            inbound: Vec::new(),
            ports: Vec::new(),
            edges: Vec::new(),
            ahead: None,
        }
    }
}

impl<H> Entries<H> {
    /// Takes what a message tells of a place; `false`, and nothing taken, if it tells something else.
    ///
    /// # Errors
    /// When it contradicts itself.
    pub fn take(
        &mut self,
        message: &mut Delivered<'_, impl Iterator<Item = H>>,
    ) -> Result<bool, BadAttachment> {
        match message.kind() {
            kind::BEGIN => {
                let begin = message.one::<Begin>()?;
                if begin.version != ATTACH_VERSION {
                    return Err(BadAttachment("another version of this protocol"));
                }
                let own = OwnHandles {
                    outbox: message.handle()?,
                    page: message.handle()?,
                    bell: message.handle()?,
                };
                *self = Self::default();
                // All room that they need, so that no secret is left where a list was before it grew.
                self.inbound.reserve_exact(count(begin.inbound_count)?);
                self.ports.reserve_exact(count(begin.port_count)?);
                self.begin = Some((begin, own));
            }
            kind::INBOUND => {
                for entry in message.entries()? {
                    has_room(&self.inbound)?;
                    self.inbound.push((entry?, message.handle()?, message.handle()?));
                }
            }
            kind::PORT => {
                for entry in message.entries()? {
                    has_room(&self.ports)?;
                    self.ports.push(entry?);
                }
            }
            kind::EDGE => {
                for entry in message.entries::<Edge>()? {
                    let entry = entry?;
                    let handles = EdgeHandles {
                        page: message.handle()?,
                        bell: message.handle()?,
                        mapped: (entry.mapped == 1).then(|| message.handle()).transpose()?,
                    };
                    self.edges.push((entry, handles));
                }
            }
            kind::AHEAD => {
                let entry = message.one()?;
                self.ahead = Some((entry, message.handle()?, message.handle()?));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Entries of a kind that the beginning announces.
fn count(announced: u32) -> Result<usize, BadAttachment> {
    match usize::try_from(announced) {
        Ok(count) if count <= ENTRIES_MAX => Ok(count),
        _ => Err(BadAttachment("a count")),
    }
}

fn has_room<E>(entries: &Vec<E>) -> Result<(), BadAttachment> {
    if entries.len() < entries.capacity() {
        Ok(())
    } else {
        Err(BadAttachment("more entries than the beginning says"))
    }
}

impl<H> Drop for Entries<H> {
    fn drop(&mut self) {
        for (inbound, _, _) in &mut self.inbound {
            inbound.port_secret.zeroize();
        }
        for port in &mut self.ports {
            port.epoch_secret.zeroize();
        }
    }
}
