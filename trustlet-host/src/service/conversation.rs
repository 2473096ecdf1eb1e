//! One message of loader or daemon, and its answer.

use super::collector::Collector;
use crate::calls::MESSAGE_MAX_BYTES;
use crate::core::{Caller, Core, ReplyDescriptor};
use crate::machine::Machine;
use hacher_libos_net::attach::seqpacket;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

/// Answers one message of `caller`: `None` if it has closed its end or cannot be answered, `Some(false)` if
/// there was none. `collector`: whom the daemon is connected to if it asks.
pub(super) fn answer<M: Machine>(
    core: &mut Core<M>,
    caller: Caller,
    socket: BorrowedFd<'_>,
    collector: Option<&Collector>,
) -> Option<bool> {
    let mut buffer = vec![0; MESSAGE_MAX_BYTES + 1];
    let (len, files) = match seqpacket::receive(socket, &mut buffer, RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN) => return Some(false),
        Ok(Some(received)) => received,
        Ok(None) | Err(_) => return None,
    };
    let reply = core.call(caller, buffer.get(..len)?, files);
    let asks = |descriptor: &ReplyDescriptor<'_, M>| matches!(descriptor, ReplyDescriptor::Collector);
    let asked = collector.filter(|_| reply.descriptors.iter().any(asks));
    // Without a connection the daemon tries again.
    let connection = asked.and_then(|collector| collector.reach().ok());
    let descriptors: Vec<BorrowedFd<'_>> = reply
        .descriptors
        .iter()
        .filter_map(|descriptor| match descriptor {
            ReplyDescriptor::Region(region) => Some(M::region_to_read(region)),
            ReplyDescriptor::Log(log) => Some(log.as_fd()),
            ReplyDescriptor::File(file) => Some(file.as_fd()),
            ReplyDescriptor::Doorbell(doorbell) => Some(M::own_doorbell(doorbell)),
            ReplyDescriptor::Collector => connection.as_ref().map(AsFd::as_fd),
        })
        .collect();
    seqpacket::send(socket, &reply.bytes, &descriptors, SendFlags::DONTWAIT)
        .ok()
        .map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chosen::Chosen;
    use hacher_monitor_core::conformance::{self, Carrier};
    use hacher_skipped::skipped;
    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::write;
    use std::os::fd::OwnedFd;

    /// A socket between a caller and the monitor.
    struct Socket {
        core: Core<Chosen>,
        ours: OwnedFd,
        theirs: OwnedFd,
    }

    impl Carrier for Socket {
        fn carry(&mut self, caller: Caller, message: &[u8], files: &[Vec<u8>]) -> Result<Vec<u8>, String> {
            let file = |bytes: &Vec<u8>| {
                let file = memfd_create("file", MemfdFlags::CLOEXEC).map_err(|error| error.to_string())?;
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let written = write(&file, rest).map_err(|error| error.to_string())?;
                    rest = rest.get(written..).unwrap_or(&[]);
                }
                Ok::<_, String>(file)
            };
            let files = files.iter().map(file).collect::<Result<Vec<_>, _>>()?;
            let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            seqpacket::send(&self.ours, message, &files, SendFlags::empty())
                .map_err(|error| error.to_string())?;
            if answer(&mut self.core, caller, self.theirs.as_fd(), None) != Some(true) {
                return Err("it was not answered".to_owned());
            }
            let mut reply = vec![0; MESSAGE_MAX_BYTES];
            let received = seqpacket::receive(&self.ours, &mut reply, RecvFlags::empty());
            let (len_bytes, _) = received
                .map_err(|error| error.to_string())?
                .ok_or("the monitor has gone")?;
            reply.truncate(len_bytes);
            Ok(reply)
        }

        /// What the service does when the process has gone.
        fn end(&mut self, caller: Caller) -> Result<(), String> {
            match caller {
                Caller::Loader => self.core.finish_loading().map_err(|error| error.to_string()),
                Caller::Daemon => {
                    self.core.daemon_died();
                    Ok(())
                }
            }
        }

        fn program(&self) -> Vec<u8> {
            std::fs::read("/proc/self/exe").expect("this test")
        }
    }

    #[test]
    fn the_calls_of_every_carrier_are_answered_as_everywhere() {
        let machine = match Chosen::find() {
            Ok(machine) => machine,
            Err(error) => {
                skipped!("this machine runs no trustlets: {error}");
                return;
            }
        };
        let (ours, theirs) = seqpacket::pair().expect("a pair of sockets");
        let mut socket = Socket {
            core: Core::new(machine).expect("a monitor"),
            ours,
            theirs,
        };
        let calls = conformance::run(&mut socket).expect("the same answers");
        assert!(calls > 50, "{calls}");
    }
}
