//! What a call is answered with, and what goes beside the answer.

use super::refusal::Refusal;
use crate::ids::{ChainId, GatewayId, InstanceNumber};
use crate::platform::Platform;
use alloc::vec::Vec;

/// The answer to a call.
pub struct Reply<'a, P: Platform> {
    /// The message.
    pub bytes: Vec<u8>,
    /// What goes beside it.
    pub descriptors: Vec<ReplyDescriptor<'a, P>>,
}

/// A descriptor beside a reply. There is no kind for a writable region, nor for anything with a key.
pub enum ReplyDescriptor<'a, P: Platform> {
    /// A region, to read.
    Region(&'a P::Region),
    /// The reading end of a process's output.
    Log(&'a P::Log),
    /// The daemon's listening socket.
    File(&'a P::File),
    /// The daemon's own bell.
    Doorbell(&'a P::Doorbell),
    /// A new connection to the collector of traces, which whoever drives the core makes.
    Collector,
}

/// Names a descriptor until the borrow of the tables allows taking it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handle {
    Page(ChainId, InstanceNumber),
    Log(ChainId, InstanceNumber),
    GatewayLog(GatewayId),
    Admin(usize),
    Bell,
    Socket(usize),
    Collector,
}

/// What a call returns.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) values: [u64; 6],
    pub(super) operand: Vec<u8>,
    pub(super) handles: Vec<Handle>,
}

impl Outcome {
    pub(super) fn value(value: u64) -> Self {
        Self {
            values: [value, 0, 0, 0, 0, 0],
            ..Self::default()
        }
    }

    pub(super) fn operand(bytes: &[u8]) -> Self {
        Self {
            operand: bytes.to_vec(),
            ..Self::default()
        }
    }
}

/// The text of an error, cut to what an operator reads.
pub(super) fn error_outcome(refusal: &Refusal) -> Outcome {
    const TEXT_MAX_BYTES: usize = 1024;
    let mut text = refusal.text.as_bytes();
    if let Some(cut) = text.get(..TEXT_MAX_BYTES) {
        text = cut;
    }
    Outcome::operand(text)
}
