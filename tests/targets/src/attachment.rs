//! Attachment messages: any sequence of messages, with any descriptors, makes an attachment or an error.

use crate::script::Script;
use hacher_libos_net::attach::{Assembly, Channel, Instruction, MESSAGE_MAX_BYTES, MessageHeader, seqpacket};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::SendFlags;
use zerocopy::IntoBytes;

/// Messages of one sequence.
const MESSAGES_MAX: usize = 24;
/// Descriptors beside one message.
const DESCRIPTORS_MAX: usize = 8;
/// Of a region; smaller than most layouts ask for.
const REGION_BYTES: u64 = 4 << 20;

/// Sends the messages that `bytes` describe over a real channel: for each its kind, its count of entries, how
/// many descriptors come beside it and of which sort, its length, and what it holds.
pub fn attachment(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (ours, theirs) = seqpacket::pair().unwrap();
    let channel = Channel::new(theirs);
    let mut assembly = Assembly::default();
    for _ in 0..MESSAGES_MAX {
        if script.is_empty() {
            return;
        }
        send(&ours, &mut script);
        let Ok(message) = channel.receive() else {
            continue;
        };
        match assembly.feed(message) {
            Ok(Some(Instruction::Carry(mut carrier))) => {
                carrier.set_serving();
                while carrier.turn() {}
            }
            Ok(Some(Instruction::Attach(attachment))) => {
                attachment.set_serving();
                let _ = (attachment.receiver.ring_count(), attachment.sender.outbox_bytes());
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn send(to: &OwnedFd, script: &mut Script<'_>) {
    let header = MessageHeader {
        kind: u32::from(script.u8() % 16),
        count: u32::from(script.u8()),
    };
    let sort = script.u8();
    let count = usize::from(sort % 16).min(DESCRIPTORS_MAX);
    let len = usize::from(script.u16());
    let mut message = header.as_bytes().to_vec();
    message.extend_from_slice(script.bytes(len));
    message.truncate(MESSAGE_MAX_BYTES);
    let descriptors: Vec<OwnedFd> = (0..count).map(|at| descriptor(sort >> 4, at)).collect();
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    seqpacket::send(to, &message, &descriptors, SendFlags::empty()).unwrap();
}

/// A region, or an event; mostly what the monitor would send at this place.
fn descriptor(sort: u8, at: usize) -> OwnedFd {
    let is_bell = match sort {
        0 => at == 2,
        1 => at % 2 == 1,
        2 => at % 3 == 1,
        _ => sort % 2 == 1,
    };
    if is_bell {
        return eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    }
    let region = memfd_create("region", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&region, if sort == 15 { 4096 } else { REGION_BYTES }).unwrap();
    region
}
