//! What a consumer is told when it looks at one of its rings.

use crate::attach::message::Inbound;
use crate::machine::clock::Monotonic;
use crate::name::Name;
use crate::record::descriptor::Descriptor;
use crate::record::refusal::Refusal;

/// What a consumer knows of a ring's sender.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// The sending function.
    pub function: Name,
    /// Its port.
    pub port: Name,
    /// Number of the sending function in the chain.
    pub function_index: u32,
    /// Which alternative input of this function the ring belongs to.
    pub group: u32,
    /// Members of that alternative; more than one make a join.
    pub group_width: u32,
    /// Which of them this ring brings.
    pub member: u32,
    /// Whether the ring brings fault notices.
    pub fault: bool,
    /// Whether records of the ring are released as they are read.
    pub streams: bool,
}

impl Upstream {
    /// What an entry of the attachment says.
    pub(crate) const fn of(inbound: &Inbound) -> Self {
        Self {
            function: inbound.upstream,
            port: inbound.port_name,
            function_index: inbound.producer_function,
            group: inbound.group,
            group_width: inbound.group_width,
            member: inbound.member,
            fault: inbound.fault == 1,
            streams: inbound.streams == 1,
        }
    }
}

/// A record, as far as its position is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPlace {
    /// Index of the inbound ring.
    pub ring: usize,
    /// Position in the ring of its first descriptor.
    pub first: u64,
}

/// The outcome of looking at one ring.
#[derive(Debug)]
pub enum Step {
    /// Nothing there.
    Empty,
    /// A segment was opened.
    Opened(Opened),
    /// The record that was arriving will never be whole: its producer gave up, or died. Drop it.
    Abandoned(RecordPlace),
    /// Something was refused, and counted. If it belonged to a record that was arriving, that record is lost.
    Refused {
        /// Why.
        refusal: Refusal,
        /// The record that was arriving.
        arriving: Option<RecordPlace>,
        /// What the refused descriptor says, unauthenticated.
        claimed: Option<Descriptor>,
    },
    /// The rest of a record of which a process before this one has released the beginning: it will not be
    /// delivered again, and is passed over.
    Interrupted {
        /// What the first descriptor of the rest says, unauthenticated.
        claimed: Descriptor,
    },
}

/// An opened segment.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The record that it belongs to.
    pub record: RecordPlace,
    /// Its descriptor, authenticated.
    pub descriptor: Descriptor,
    /// Whether the record begins with it.
    pub begins: bool,
    /// When it was published, as its producer says; for telemetry, and for how long to look for work.
    pub published: Monotonic,
    /// Whether it was left where it is, in a mapped region.
    pub in_place: bool,
}

/// What to do with a segment that came over a `mapped` edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taking {
    /// Copy it to private memory.
    Copy,
    /// Leave it where it is.
    InPlace,
}
