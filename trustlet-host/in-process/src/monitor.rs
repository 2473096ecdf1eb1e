//! The monitor of one chain, whose trustlets are in the hands of a test.

use crate::caller::{CHAIN, Caller};
use crate::draft::{Draft, DraftedEdge, GATEWAY, Node, Way};
use crate::exposed::Exposed;
use crate::regions::{Owned, Region};
use core::time::Duration;
use hacher_libos_net::attach::{Assembly, Attachment, Channel, Instruction};
use hacher_libos_net::carrier::Carrier;
use hacher_libos_net::end::End;
use hacher_libos_net::layout::{MappedLayout, OutboxLayout, PageLayout};
use hacher_libos_net::mapping;
use hacher_libos_net::telemetry::PageReader;
use hacher_monitor_core::calls::{Call, GATEWAY_PROCESS, InstanceEntry};
use hacher_monitor_core::core::Exit;
use hacher_monitor_core::core::limits::SPIN_MAX_NS;
use hacher_monitor_core::ids::ProcessId;
use rustix::fd::{AsFd, BorrowedFd};
use std::collections::BTreeMap;

/// The number of SIGKILL (signal(7)).
const SIGKILL: u32 = 9;

/// A live trustlet.
#[derive(Debug, Clone, Copy)]
struct Live {
    process: ProcessId,
    epoch: u64,
}

/// The monitor of one chain.
pub struct Monitor {
    caller: Caller,
    draft: Draft,
    /// By number, as the monitor tells of them.
    instances: Vec<InstanceEntry>,
    live: BTreeMap<usize, Live>,
    /// How processes of an instance end, where a test says so.
    ends: BTreeMap<usize, End>,
}

impl Draft {
    /// Has the monitor define and seal the chain.
    #[must_use]
    pub fn define(self) -> Monitor {
        self.try_define()
            .unwrap_or_else(|refusal| panic!("the monitor refuses the chain: {refusal}"))
    }

    /// As [`Self::define`], for chains that may be refused.
    ///
    /// # Errors
    /// The monitor's words.
    pub fn try_define(mut self) -> Result<Monitor, String> {
        self.complete();
        let mut caller = Caller::define(&self)?;
        let count = self.nodes.iter().map(|node| node.limits.instances as usize).sum();
        let instances = (0..count)
            .map(|instance| caller.instance(instance))
            .collect::<Result<_, _>>()?;
        Ok(Monitor {
            caller,
            draft: self,
            instances,
            live: BTreeMap::new(),
            ends: BTreeMap::new(),
        })
    }
}

impl Monitor {
    /// Starts a process as instance `instance` of `node`, and attaches it: the first one, or a replacement in
    /// the next epoch, for which the one before has ended.
    pub fn attach(&mut self, node: Node, instance: u32) -> Attachment {
        match self.start(node, instance) {
            Instruction::Attach(attachment) => {
                attachment.set_serving();
                *attachment
            }
            _ => panic!("a function or a gateway is attached"),
        }
    }

    /// Starts a process of a carrier, and attaches it.
    pub fn attach_carrier(&mut self, node: Node) -> Carrier {
        match self.start(node, 0) {
            Instruction::Carry(carrier) => {
                carrier.set_serving();
                *carrier
            }
            _ => panic!("a carrier is attached"),
        }
    }

    fn start(&mut self, node: Node, instance: u32) -> Instruction {
        let number = self.number(node, instance);
        self.end(node, number);
        let spin = self.draft.nodes[node.0].limits.spin;
        let is_longer = spin > Duration::from_nanos(SPIN_MAX_NS);
        self.caller.core.platform_mut().spin_ns = is_longer.then_some(spin.as_nanos() as u64);
        self.caller
            .daemon(Call::CreateTrustlet, self.named(node, number, [0; 2]))
            .expect("a trustlet that can be started");
        let newborn = self.caller.core.platform_mut().take_newborn();
        let (process, channel) = newborn.expect("a trustlet was started");
        let instruction = receive(&Channel::new(channel));
        assert!(self.caller.core.ready(process), "an attachment to answer");
        let epoch = u64::from(self.caller.instance(number).expect("an instance").epoch);
        self.live.insert(number, Live { process, epoch });
        instruction
    }

    /// How the monitor is told of an instance's process: a gateway's by the gateway.
    fn named(&self, node: Node, number: usize, [epoch, reason]: [u64; 2]) -> [u64; 6] {
        match node {
            GATEWAY => [GATEWAY_PROCESS, 0, epoch, reason, 0, 0],
            _ => [CHAIN, number as u64, epoch, reason, 0, 0],
        }
    }

    /// The present process of an instance is gone, if it has one.
    fn end(&mut self, node: Node, number: usize) {
        let Some(Live { process, epoch }) = self.live.remove(&number) else {
            return;
        };
        let (asked, signalled, code) = match self.ends.get(&number).copied().unwrap_or(End::Ended) {
            End::Exited(code) => (None, false, code),
            End::Signalled(signal) => (None, true, signal),
            End::Overran => (Some(1), true, SIGKILL),
            End::Unwanted => (Some(2), true, SIGKILL),
            _ => (Some(0), true, SIGKILL),
        };
        if let Some(reason) = asked {
            self.caller
                .daemon(Call::DeleteTrustlet, self.named(node, number, [epoch, reason]))
                .expect("a trustlet that can be ended");
        }
        let exit = Exit {
            signalled,
            code,
            lived_ns: 0,
            asked: None,
        };
        self.caller.core.died(process, exit);
    }

    /// Says how processes of this instance end from here on; otherwise the monitor has ended them.
    pub fn ended(&mut self, node: Node, instance: u32, end: End) {
        self.ends.insert(self.number(node, instance), end);
    }

    /// The number of an instance in its chain: those of a function stand together, in the order of functions.
    fn number(&self, node: Node, instance: u32) -> usize {
        let before = self.draft.nodes[..node.0].iter();
        let before: u32 = before.map(|node| node.limits.instances).sum();
        (before + instance) as usize
    }

    fn owned(&self, node: Node, instance: u32) -> &Owned {
        let number = self.number(node, instance);
        self.caller.core.platform().ledger.owned(number)
    }

    fn entry(&self, node: Node, instance: u32) -> &InstanceEntry {
        &self.instances[self.number(node, instance)]
    }

    /// The outbox of an instance, to be read or tampered with.
    #[must_use]
    pub fn outbox(&self, node: Node, instance: u32) -> Exposed<'_> {
        exposed(self.owned(node, instance).outbox())
    }

    /// The shape of that outbox.
    #[must_use]
    pub fn outbox_layout(&self, node: Node, instance: u32) -> OutboxLayout {
        let entry = self.entry(node, instance);
        let layout = OutboxLayout::new(entry.ring_count, entry.ring_capacity, entry.outbox_bytes);
        layout.expect("an outbox within its bounds")
    }

    /// The region of mapped ring `ring` of an instance, to be read or tampered with.
    #[must_use]
    pub fn mapped(&self, node: Node, instance: u32, ring: u32) -> Exposed<'_> {
        let before = self.rings_of(node).take(ring as usize);
        let mapped = before.filter(|way| *way == Way::Mapped).count();
        exposed(&self.owned(node, instance).mapped[mapped])
    }

    /// How the records of each ring of an instance of `node` travel.
    fn rings_of(&self, node: Node) -> impl Iterator<Item = Way> + '_ {
        let edges = self.draft.edges.iter().filter(move |edge| edge.from == node);
        let rings = |edge: &DraftedEdge| match edge.way {
            Way::Carried(_) => 1,
            Way::Sealed | Way::Mapped => self.draft.nodes[edge.to.0].limits.instances,
        };
        edges.flat_map(move |edge| (0..rings(edge)).map(|_| edge.way))
    }

    /// The shape of that region.
    #[must_use]
    pub fn mapped_layout(&self, node: Node, instance: u32) -> MappedLayout {
        let entry = self.entry(node, instance);
        let layout = MappedLayout::new(entry.ring_capacity, entry.outbox_bytes);
        layout.expect("a mapped region within its bounds")
    }

    /// The instance page of an instance, to be read or tampered with.
    #[must_use]
    pub fn page(&self, node: Node, instance: u32) -> Exposed<'_> {
        exposed(self.owned(node, instance).page())
    }

    /// The shape of that page.
    #[must_use]
    pub fn page_layout(&self, node: Node, instance: u32) -> PageLayout {
        let entry = self.entry(node, instance);
        let layout = PageLayout::new(entry.inbound_count, entry.port_count);
        layout.expect("an instance page within its bounds")
    }

    /// What an instance tells about itself.
    #[must_use]
    pub fn reader(&self, node: Node, instance: u32) -> PageReader {
        let page = self.owned(node, instance).page();
        let layout = self.page_layout(node, instance);
        let page = mapping::peer(&page.fd, page.len_bytes).expect("a page as long as its layout");
        PageReader::new(page, layout)
    }

    /// The end of an instance's bell that its owner sleeps on.
    #[must_use]
    pub fn doorbell(&self, node: Node, instance: u32) -> BorrowedFd<'_> {
        self.owned(node, instance).bell().own.as_fd()
    }

    /// Rings that bell, to wake an instance that is to notice something else.
    pub fn ring(&self, node: Node, instance: u32) {
        let ringing = &self.owned(node, instance).bell().ringing;
        rustix::io::write(ringing, &[1]).expect("a bell that rings");
    }
}

fn exposed(region: &Region) -> Exposed<'_> {
    Exposed::map(&region.fd, region.len_bytes)
}

/// What a trustlet makes of the messages that it was sent, once it has a place in the chain.
fn receive(channel: &Channel) -> Instruction {
    let mut assembly = Assembly::default();
    loop {
        let message = channel.receive().expect("a message of the monitor");
        let instruction = assembly.feed(message).expect("a message that fits the others");
        if let Some(place @ (Instruction::Attach(_) | Instruction::Carry(_))) = instruction {
            return place;
        }
    }
}
