//! The daemon's process, and how it is replaced.

use super::children::start_daemon;
use super::conversation::answer;
use super::daemon::Daemon;
use super::error::{ServiceError, os};
use super::exit_code::EXIT_CANNOT_START;
use super::state::{DAEMON_BACKOFF_FIRST, Service, Stage};
use super::token::{Token, watch};
use crate::core::Caller;
use crate::machine::{Machine, OwnExit, OwnProcess};
use core::time::Duration;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::clock::{self, Monotonic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::SendFlags;

const DAEMON_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A daemon that lived this long is replaced without a wait.
const DAEMON_LIVED_LONG: Duration = Duration::from_secs(10);

impl<M: Machine> Service<M> {
    pub(super) fn start_daemon(&mut self) -> Result<(), ServiceError> {
        self.daemon_due = None;
        let (ours, theirs) = seqpacket::pair().map_err(os("making a socket for the daemon"))?;
        let process = start_daemon(
            self.core.platform(),
            &self.fabric,
            &self.config.daemon,
            theirs.as_fd(),
            self.console.of_daemon(),
            self.core.instance_count(),
        )
        .map_err(ServiceError::Daemon)?;
        watch(&self.epoll, ours.as_fd(), Token::DaemonSocket)?;
        watch(&self.epoll, process.ended(), Token::DaemonEnd)?;
        self.daemon = Some(Daemon {
            process,
            socket: ours,
            born: clock::now(),
            exit_due: None,
        });
        if let Stage::Draining(drain) = &self.stage {
            // Its predecessor was told, and it was not. Never 0, which would mean the end.
            let left = drain.until.saturating_duration_since(clock::now());
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            self.core.shutting_down(left.max(1));
        }
        Ok(())
    }

    pub(super) fn answer_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        self.manager.daemon_lives();
        let collector = self.config.collector.as_ref();
        if answer(&mut self.core, Caller::Daemon, daemon.socket.as_fd(), collector).is_none() {
            if has_hung_up(daemon.socket.as_fd()) {
                daemon.await_end(&self.epoll);
            } else {
                // It broke the protocol: a fresh one may do better. Its end is reported by its pidfd.
                daemon.process.kill();
            }
        }
    }

    pub(super) fn daemon_ended(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        let exit = daemon.process.wait();
        if exit == Some(OwnExit::Code(i32::from(EXIT_CANNOT_START))) {
            self.begin_stop(1, Duration::ZERO);
            return;
        }
        self.core.daemon_died();
        let lived = clock::now().saturating_duration_since(daemon.born);
        if lived >= DAEMON_LIVED_LONG {
            self.daemon_backoff = DAEMON_BACKOFF_FIRST;
            self.daemon_due = Some(clock::now());
        } else {
            self.put_off_daemon();
        }
        let how = exit.map_or_else(|| "ended".to_owned(), |exit| format!("ended with {exit}"));
        tell!(Warning: "the daemon {how}; it is being replaced, records keep flowing");
    }

    /// Starts the next daemon after a wait, and the one after it after a longer one.
    pub(super) fn put_off_daemon(&mut self) {
        self.daemon_due = Some(clock::now().after(self.daemon_backoff));
        self.daemon_backoff = (self.daemon_backoff * 2).min(DAEMON_BACKOFF_MAX);
    }

    pub(super) fn replace_daemon_if_due(&mut self, now: Monotonic) {
        if self.daemon_due.is_some_and(|due| due <= now)
            && let Err(error) = self.start_daemon()
        {
            // Requests flow without it, so whatever is short now may not end the service.
            tell!(Warning: "the daemon cannot be replaced yet: {error}");
            self.put_off_daemon();
        }
    }

    /// Passes on what has happened.
    pub(super) fn tell_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.exit_due.is_some() {
            return;
        }
        while let Some(event) = self.core.next_event() {
            let sent = seqpacket::send(&daemon.socket, &event.encode(), &[], SendFlags::DONTWAIT);
            match sent {
                Ok(_) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return daemon.await_end(&self.epoll),
                // It does not read; a fresh one will read the tables instead.
                Err(_) => {
                    daemon.process.kill();
                    return;
                }
            }
        }
    }
}

/// Whether the other end of a socket is closed.
fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&socket, PollFlags::IN)];
    let now = Timespec::default();
    poll(&mut polled, Some(&now)).is_ok()
        && polled
            .iter()
            .any(|polled| polled.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}
