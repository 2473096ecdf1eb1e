//! The entries of one attachment, with the descriptors that came beside them, until it is made.

use crate::sdk::input;
use hacher_data_path::attach::message::{Ahead, Begin, Edge, Inbound, Port};
use rustix::fd::OwnedFd;
use zeroize::Zeroize;

/// What comes beside an [`Edge`].
pub(super) struct EdgeDescriptors {
    pub(super) page: OwnedFd,
    pub(super) doorbell: OwnedFd,
    pub(super) mapped: Option<OwnedFd>,
}

/// All of them; keys are wiped when this is dropped.
#[derive(Default)]
pub(super) struct Entries {
    /// With outbox, instance page and doorbell.
    pub(super) begin: Option<(Begin, [OwnedFd; 3])>,
    /// With the producer's region and doorbell.
    pub(super) inbound: Vec<(Inbound, OwnedFd, OwnedFd)>,
    pub(super) ports: Vec<Port>,
    pub(super) edges: Vec<(Edge, EdgeDescriptors)>,
    /// With page and doorbell.
    pub(super) ahead: Option<(Ahead, OwnedFd, OwnedFd)>,
    pub(super) secrets: Vec<input::Secret>,
}

impl Drop for Entries {
    fn drop(&mut self) {
        for (inbound, _, _) in &mut self.inbound {
            inbound.port_secret.zeroize();
        }
        for port in &mut self.ports {
            port.epoch_secret.zeroize();
        }
    }
}
