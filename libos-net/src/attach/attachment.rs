//! A place in a chain, as the process of an instance has it.

use super::channel::AttachError;
use super::linux::Linux;
use super::requests::TakenRequests;
use crate::own_process::refused_call;
use crate::sdk::secret::Secret;
use crate::wait::doorbell::OwnDoorbell;
use hacher_data_path::aead::keys::SecretBytes;
use hacher_data_path::attach::contradiction::BadAttachment;
use hacher_data_path::attach::message::Begin;
use hacher_data_path::hop::{Own, Receiver, Sender};
use hacher_data_path::place::entries::Entries;
use hacher_data_path::place::making::Place;
use hacher_data_path::region::layout::{PageLayout, page_word};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// A place in a chain: regions, keys, rings and limits of one instance.
pub struct Attachment {
    /// Limits and identity, as the monitor gave them.
    pub begin: Begin,
    /// Page, bell and clock.
    pub own: Own,
    /// The producing side.
    pub sender: Sender,
    /// The consuming side.
    pub receiver: Receiver,
    /// The bell of `own`, for an event loop to wait on.
    pub doorbell: Arc<OwnDoorbell>,
    /// Opens requests that are sealed for this chain (X25519); only gateways have one.
    pub request_key: Option<SecretBytes>,
    /// Which requests the chain takes; of gateways.
    pub requests: TakenRequests,
    pub(crate) secrets: Vec<Secret>,
}

impl Attachment {
    pub(super) fn make(
        entries: Entries<OwnedFd>,
        secrets: Vec<Secret>,
        request_key: Option<SecretBytes>,
        requests: TakenRequests,
    ) -> Result<Self, AttachError> {
        if let Some((begin, own)) = &entries.begin {
            let layout = PageLayout::new(begin.inbound_count, begin.port_count)
                .ok_or(BadAttachment("the instance page"))?;
            refused_call::count_in(&own.page, layout.len_bytes())?;
        }
        let mut machine = Linux::default();
        let Place {
            begin,
            own,
            sender,
            receiver,
        } = Place::take(entries, &mut machine)?;
        Ok(Self {
            begin,
            own,
            sender,
            receiver,
            doorbell: machine.doorbell.ok_or(BadAttachment("no bell"))?,
            request_key,
            requests,
            secrets,
        })
    }

    /// The place alone, and the secrets of its function.
    pub(crate) fn into_place(self) -> (Place, Vec<Secret>) {
        let Self {
            begin,
            own,
            sender,
            receiver,
            doorbell: _,
            request_key: _,
            requests: _,
            secrets,
        } = self;
        let place = Place {
            begin,
            own,
            sender,
            receiver,
        };
        (place, secrets)
    }

    /// Lets peers and daemon know that this instance serves.
    pub fn set_serving(&self) {
        self.own.store(page_word::STATE, 1);
        self.sender.set_serving(true);
    }
}
