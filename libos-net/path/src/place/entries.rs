//! The entries of one attachment, with the handles that came beside them, until a place is made of them.

use crate::attach::message::{Ahead, Begin, Edge, Inbound, Port};
use alloc::vec::Vec;
use zeroize::Zeroize;

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
