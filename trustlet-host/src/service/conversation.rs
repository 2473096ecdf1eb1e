//! One message of loader or daemon, and its answer.

use crate::calls::MESSAGE_MAX_BYTES;
use crate::core::{Caller, Core, ReplyDescriptor};
use crate::machine::Machine;
use hacher_libos_net::attach::seqpacket;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Answers one message of `caller`: `None` if it has closed its end or cannot be answered, `Some(false)` if
/// there was none.
pub(super) fn answer<M: Machine>(core: &mut Core<M>, caller: Caller, socket: BorrowedFd<'_>) -> Option<bool> {
    let mut buffer = vec![0; MESSAGE_MAX_BYTES + 1];
    let (len, files) = match seqpacket::receive(socket, &mut buffer, RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN) => return Some(false),
        Ok(Some(received)) => received,
        Ok(None) | Err(_) => return None,
    };
    let reply = core.call(caller, buffer.get(..len)?, files);
    let descriptors: Vec<BorrowedFd<'_>> = reply
        .descriptors
        .iter()
        .map(|descriptor| match descriptor {
            ReplyDescriptor::Region(region) => M::region_to_read(region),
            ReplyDescriptor::Log(log) => log.as_fd(),
            ReplyDescriptor::File(file) => file.as_fd(),
            ReplyDescriptor::Doorbell(doorbell) => M::own_doorbell(doorbell),
        })
        .collect();
    seqpacket::send(socket, &reply.bytes, &descriptors, SendFlags::DONTWAIT)
        .ok()
        .map(|()| true)
}
