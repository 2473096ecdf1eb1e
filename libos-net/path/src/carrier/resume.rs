//! How a carrier goes on that replaces another. Its inlets give it again what is not released; its own rings
//! tell what of that was handed on, so that the consumer is sent nothing twice, and no record in part.

use super::before::{Before, Name};
use super::relay::Relay;
use crate::outlet::outbox::Outbox;
use crate::page::own::Own;
use crate::record::descriptor::Descriptor;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

impl Relay {
    /// Takes over from a predecessor. It may have been hostile: what its rings say that the producer's do not
    /// is nothing, and what it makes this one pass over is as good as dropped by it.
    pub(super) fn resume(&mut self, own: &Own, outbox: &mut Outbox) {
        self.inlet.resume(&own.page, self.gapless);
        let mut at = BTreeMap::new();
        let mut newest = Vec::new();
        for (lane, outlet) in self.outlets.iter_mut().enumerate() {
            // Epochs are of the producers' processes, of which this one knows nothing.
            outlet.resume(outbox, u32::MAX);
            let (released, tail) = (outlet.out_ring.released(), outlet.out_ring.tail());
            // The last one also if it was released: it says how far the predecessor had come.
            for position in released.min(tail.saturating_sub(1))..tail {
                let Some(descriptor) = outbox.read(&outlet.out_ring, position) else {
                    continue;
                };
                if position >= released {
                    at.insert(Name::of(&descriptor), (lane, position + 1));
                }
                if position + 1 == tail {
                    newest.push(Name::of(&descriptor));
                }
            }
        }
        let handed_on = |descriptor: &Descriptor| newest.contains(&Name::of(descriptor));
        let last = self.inlet.last_published(handed_on);
        self.before = last.map(|last| Before::new(last + 1, at));
    }
}
