//! Messages for a trustlet that reads more slowly than the monitor writes. Bounded in number and in time
//! (I6): the monitor never waits for a trustlet, and one that does not read is given up.

use core::time::Duration;
use hacher_libos_net::attach::ZeroizingMessage;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::clock::Monotonic;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::SendFlags;
use std::collections::VecDeque;

/// Messages kept for one process: an attachment to 65,536 rings at both ends has about as many.
const MESSAGES_MAX: usize = 4096;
/// A process that has taken nothing for this long while something waited is given up: reading a message takes
/// it microseconds, and nothing else keeps it busy before it is attached.
const PATIENCE: Duration = Duration::from_secs(10);

/// What waits for room in one channel, oldest first.
#[derive(Default)]
pub(super) struct Backlog {
    waiting: VecDeque<(ZeroizingMessage, Vec<OwnedFd>)>,
    /// When the process is given up, unless it takes a message before; while something waits.
    deadline: Option<Monotonic>,
}

impl Backlog {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the process is given up, if it goes on taking nothing.
    pub(super) const fn deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    /// Sends a message after those that wait, or keeps it with duplicates of its descriptors.
    ///
    /// # Errors
    /// `Errno::NOBUFS` when too much waits already; else what the kernel says of a channel that is broken.
    pub(super) fn send(
        &mut self,
        channel: &OwnedFd,
        message: ZeroizingMessage,
        descriptors: &[BorrowedFd<'_>],
        now: Monotonic,
    ) -> Result<(), Errno> {
        if self.is_empty() && try_send(channel, &message, descriptors)? {
            return Ok(());
        }
        if self.waiting.len() >= MESSAGES_MAX {
            return Err(Errno::NOBUFS);
        }
        let duplicates = descriptors
            .iter()
            .map(|descriptor| fcntl_dupfd_cloexec(descriptor, 0))
            .collect::<Result<_, _>>()?;
        self.waiting.push_back((message, duplicates));
        self.deadline = self.deadline.or(Some(now.after(PATIENCE)));
        Ok(())
    }

    /// Sends what waits, as far as it fits.
    ///
    /// # Errors
    /// What the kernel says of a channel that is broken.
    pub(super) fn flush(&mut self, channel: &OwnedFd, now: Monotonic) -> Result<(), Errno> {
        while let Some((message, descriptors)) = self.waiting.front() {
            let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            if !try_send(channel, message, &descriptors)? {
                return Ok(());
            }
            self.waiting.pop_front();
            self.deadline = Some(now.after(PATIENCE));
        }
        self.deadline = None;
        Ok(())
    }

    /// Forgets what waits, keys included.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.deadline = None;
    }
}

/// Sends a message if it fits now.
fn try_send(
    channel: &OwnedFd,
    message: &ZeroizingMessage,
    descriptors: &[BorrowedFd<'_>],
) -> Result<bool, Errno> {
    match seqpacket::send(channel, message.as_bytes(), descriptors, SendFlags::DONTWAIT) {
        Ok(()) => Ok(true),
        // The second: more descriptors are on their way than this user may have open (unix(7)); they arrive
        // as trustlets read.
        Err(Errno::AGAIN | Errno::TOOMANYREFS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_libos_net::attach::kind;
    use rustix::event::{EventfdFlags, eventfd};
    use rustix::net::RecvFlags;
    use rustix::net::sockopt::set_socket_send_buffer_size;

    const NOW: Monotonic = Monotonic::from_ns(1_000_000_000);

    fn channel() -> (OwnedFd, OwnedFd) {
        let (ours, theirs) = seqpacket::pair().unwrap();
        set_socket_send_buffer_size(&ours, 8192).unwrap();
        (ours, theirs)
    }

    fn message(number: u32) -> ZeroizingMessage {
        let mut entry = [0; 1024];
        entry[..4].copy_from_slice(&number.to_le_bytes());
        ZeroizingMessage::new(kind::PORT, &[entry])
    }

    fn read(theirs: &OwnedFd) -> (u32, usize) {
        let mut buffer = [0; 2048];
        let (_, descriptors) = seqpacket::receive(theirs, &mut buffer, RecvFlags::DONTWAIT)
            .unwrap()
            .unwrap();
        (
            u32::from_le_bytes(*buffer[8..].first_chunk().unwrap()),
            descriptors.len(),
        )
    }

    #[test]
    fn messages_arrive_in_order_with_their_descriptors_however_slowly_they_are_read() {
        let (ours, theirs) = channel();
        let doorbell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let mut backlog = Backlog::default();
        for number in 0..50 {
            backlog
                .send(&ours, message(number), &[doorbell.as_fd()], NOW)
                .unwrap();
        }
        assert!(!backlog.is_empty());
        for number in 0..50 {
            assert_eq!(read(&theirs), (number, 1));
            backlog.flush(&ours, NOW).unwrap();
        }
        assert!(backlog.is_empty());
        assert_eq!(backlog.deadline(), None);
    }

    #[test]
    fn patience_starts_anew_only_when_something_is_taken() {
        let (ours, theirs) = channel();
        let mut backlog = Backlog::default();
        while backlog.is_empty() {
            backlog.send(&ours, message(0), &[], NOW).unwrap();
        }
        let first = backlog.deadline().unwrap();
        let later = NOW.after(Duration::from_secs(3));
        backlog.send(&ours, message(1), &[], later).unwrap();
        backlog.flush(&ours, later).unwrap();
        assert_eq!(backlog.deadline(), Some(first), "nothing was taken");
        while backlog.deadline() == Some(first) {
            read(&theirs);
            backlog.flush(&ours, later).unwrap();
        }
        assert!(backlog.deadline().is_none_or(|deadline| deadline > first));
    }

    #[test]
    fn a_process_that_reads_nothing_fills_its_backlog_and_no_more() {
        let (ours, _theirs) = channel();
        let mut backlog = Backlog::default();
        let refused = (0..MESSAGES_MAX + 100)
            .map(|_| backlog.send(&ours, ZeroizingMessage::new::<u8>(kind::GO, &[]), &[], NOW))
            .find(Result::is_err);
        assert_eq!(refused, Some(Err(Errno::NOBUFS)));
        backlog.clear();
        assert!(backlog.is_empty() && backlog.deadline().is_none());
    }

    #[test]
    fn a_closed_channel_is_an_error() {
        let (ours, theirs) = channel();
        drop(theirs);
        let sent = Backlog::default().send(&ours, message(0), &[], NOW);
        assert_eq!(sent, Err(Errno::PIPE));
    }
}
