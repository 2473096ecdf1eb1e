//! What the data path's library needs to seal, open or copy a payload, on one core and with nobody waiting.

use super::probe::Probe;
use crate::subject::payload;
use hacher_fabric::failed::Failed;
use hacher_libos_net::aead::Key;
use hacher_libos_net::clock;
use hacher_libos_net::descriptor::{AAD_BYTES, NONCE_BYTES, TAG_BYTES};
use hacher_libos_net::keys::SecretBytes;
use hacher_libos_net::layout::SEGMENT_BYTES;
use hacher_libos_net::mapping;
use hacher_libos_net::memory::{PeerRegion, PlainRegion, SealedRegion};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use std::hint::black_box;

/// Up to this size, a sample is the mean of several, so that reading the clock is no part of the result.
const SMALL_BYTES: usize = 4096;
/// How many of a small size make a sample.
const BATCH: u64 = 16;
/// Room for one sealed segment, in whole cache lines.
const SLOT_BYTES: usize = SEGMENT_BYTES + 64;
const ADDITIONAL: [u8; AAD_BYTES] = [1; AAD_BYTES];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    Seal,
    Open,
    Copy,
}

/// A payload in private memory, and room for it in shared memory. The same room is used over and over, as the
/// freshest slots of an outbox are.
pub(super) struct Memory {
    work: Work,
    key: Key,
    plain: Vec<u8>,
    opened: Vec<u8>,
    shared: Option<Shared>,
    count: u64,
}

/// The same shared memory, as it is sealed into, copied to, and read.
struct Shared {
    sealed: SealedRegion,
    mapped: PlainRegion,
    peer: PeerRegion,
}

impl Memory {
    pub(super) fn new(work: Work) -> Result<Self, Failed> {
        Ok(Self {
            work,
            key: Key::new(&SecretBytes::new([7; 32]))?,
            plain: Vec::new(),
            opened: Vec::new(),
            shared: None,
            count: 0,
        })
    }

    fn once(&mut self, work: Work) -> Result<(), Failed> {
        let shared = self.shared.as_ref().ok_or_else(short)?;
        let key = &self.key;
        match work {
            Work::Seal => {
                self.count += 1;
                for (at, segment) in segments(black_box(&self.plain)) {
                    let into = shared.sealed.span(at, segment.len() + TAG_BYTES);
                    let mut into = into.ok_or_else(short)?;
                    key.seal(&nonce(self.count), black_box(&ADDITIONAL), segment, &mut into)?;
                }
            }
            Work::Open => {
                self.opened.clear();
                for (at, segment) in segments(&self.plain) {
                    let sealed = shared
                        .peer
                        .span(at, segment.len() + TAG_BYTES)
                        .ok_or_else(short)?;
                    let nonce = nonce(self.count);
                    key.open(&nonce, black_box(&ADDITIONAL), sealed, &mut self.opened)?;
                }
                black_box(&self.opened);
            }
            Work::Copy => {
                for (at, segment) in segments(black_box(&self.plain)) {
                    if !shared.mapped.write(at, segment) {
                        return Err(short());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The segments of a payload, and where each goes; an empty payload is one empty segment.
fn segments(plain: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let empty = plain.is_empty().then_some(plain);
    let slots = (0..).step_by(SLOT_BYTES);
    slots.zip(empty.into_iter().chain(plain.chunks(SEGMENT_BYTES)))
}

fn nonce(count: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    for (to, from) in nonce.iter_mut().zip(count.to_le_bytes()) {
        *to = from;
    }
    nonce
}

fn short() -> Failed {
    Failed::new("the shared memory of a floor is too short")
}

impl Probe for Memory {
    fn prepare(&mut self, payload_bytes: usize) -> Result<(), Failed> {
        let len_bytes = payload_bytes.div_ceil(SEGMENT_BYTES).max(1) * SLOT_BYTES;
        let memory = memfd_create("hacher-bench-floor", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, u64::try_from(len_bytes)?)?;
        self.shared = Some(Shared {
            sealed: mapping::sealed(&memory, len_bytes)?,
            mapped: mapping::plain(&memory, len_bytes)?,
            peer: mapping::peer(&memory, len_bytes)?,
        });
        self.plain = payload(payload_bytes);
        self.once(if self.work == Work::Copy {
            Work::Copy
        } else {
            Work::Seal
        })?;
        self.once(self.work)
    }

    fn sample(&mut self) -> Result<u64, Failed> {
        let batch = if self.plain.len() > SMALL_BYTES { 1 } else { BATCH };
        let start = clock::now();
        for _ in 0..batch {
            self.once(self.work)?;
        }
        Ok(clock::now().ns_since(start) / batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_is_what_was_sealed_in_segments() {
        for len in [0, 64, SEGMENT_BYTES, SEGMENT_BYTES + 1, 1 << 20] {
            let mut memory = Memory::new(Work::Open).unwrap();
            memory.prepare(len).unwrap();
            assert_eq!(memory.opened, payload(len), "{len} bytes");
            let mut sealed = vec![0; len.min(SEGMENT_BYTES)];
            let Shared { peer, .. } = memory.shared.as_ref().unwrap();
            assert!(peer.span(0, sealed.len()).unwrap().copy_to(&mut sealed));
            assert!(len == 0 || sealed != memory.plain[..sealed.len()], "{len} bytes");
            memory.sample().unwrap();
            assert_eq!(memory.opened.len(), len);
        }
    }

    #[test]
    fn a_copy_arrives_whole() {
        let mut memory = Memory::new(Work::Copy).unwrap();
        memory.prepare(100_000).unwrap();
        let mut copy = vec![0; 100_000 - SEGMENT_BYTES];
        let Shared { peer, .. } = memory.shared.as_ref().unwrap();
        assert!(peer.span(SLOT_BYTES, copy.len()).unwrap().copy_to(&mut copy));
        assert_eq!(copy, memory.plain[SEGMENT_BYTES..]);
    }
}
