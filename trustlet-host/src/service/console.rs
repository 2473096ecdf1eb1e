//! The way of messages out of the tree: pipes to the [`crate::scribe`], which the monitor starts and
//! replaces. Standard error of the monitor itself is one of them, so nothing that it says, not even a panic,
//! can stop it.

use super::children::start_scribe;
use super::error::{ServiceError, os};
use crate::machine::{Machine, OwnProcess, OwnProgram};
use crate::scribe::Sources;
use core::time::Duration;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::clock::{self, Monotonic};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::stdio::{dup2_stderr, stderr, stdout};
use std::io::IsTerminal;

/// What the pipes hold that the daemon writes to: a burst of a function's lines, while the scribe waits for a
/// core.
const DAEMON_PIPE_BYTES: usize = 1024 * 1024;
/// The same for the monitor, which says little.
const MONITOR_PIPE_BYTES: usize = 64 * 1024;
/// How long the scribe may take to write what is left when the service has stopped.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(1);
/// A scribe that dies is replaced after this long.
const SCRIBE_BACKOFF: Duration = Duration::from_millis(100);

struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

impl Pipe {
    fn new(size_bytes: usize) -> Result<Self, Errno> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Refused to a user who has many large pipes; a smaller one drops earlier.
        let _ = fcntl_setpipe_size(&write, size_bytes);
        Ok(Self { read, write })
    }

    /// One whose writers do not wait.
    fn hasty(size_bytes: usize) -> Result<Self, Errno> {
        let pipe = Self::new(size_bytes)?;
        fcntl_setfl(&pipe.write, fcntl_getfl(&pipe.write)? | OFlags::NONBLOCK)?;
        Ok(pipe)
    }
}

/// The pipes, and the scribe that reads them.
pub(super) struct Console<M: Machine> {
    /// Standard output and standard error, as the service was started with: the scribe's, and nobody else's.
    outside: [OwnedFd; 2],
    /// Its writing end is the monitor's standard error.
    monitor: OwnedFd,
    loader: Option<Pipe>,
    daemon: Option<Pipe>,
    results: Option<Pipe>,
    scribe: Option<M::OwnProcess>,
    due: Option<Monotonic>,
}

impl<M: Machine> Console<M> {
    /// Takes over standard error. Nobody reads before [`Console::start_scribe`].
    pub(super) fn open() -> Result<Self, ServiceError> {
        let make = || -> Result<Self, Errno> {
            let kept = |fd: BorrowedFd<'_>| fcntl_dupfd_cloexec(fd, 3);
            let outside = [kept(stdout())?, kept(stderr())?];
            let monitor = Pipe::hasty(MONITOR_PIPE_BYTES)?;
            let console = Self {
                outside,
                monitor: monitor.read,
                // All that is wrong with chain files is to be read, and nobody but its starter waits for the
                // loader.
                loader: Some(Pipe::new(MONITOR_PIPE_BYTES)?),
                daemon: Some(Pipe::hasty(DAEMON_PIPE_BYTES)?),
                // Written when chain files are bad, or once when the service is ready; by no function.
                results: Some(Pipe::new(DAEMON_PIPE_BYTES)?),
                scribe: None,
                due: None,
            };
            dup2_stderr(&monitor.write)?;
            Ok(console)
        };
        make().map_err(os("making pipes for messages"))
    }

    /// Standard output and standard error of a loader, and whether what it writes there reaches a terminal;
    /// `None` if there has been one.
    pub(super) fn of_loader(&self) -> Option<([BorrowedFd<'_>; 2], bool)> {
        let [_, stderr] = &self.outside;
        let pipes = [
            self.results.as_ref()?.write.as_fd(),
            self.loader.as_ref()?.write.as_fd(),
        ];
        Some((pipes, stderr.as_fd().is_terminal()))
    }

    /// Starts a scribe.
    pub(super) fn start_scribe(&mut self, machine: &M, program: &OwnProgram<M>) -> Result<(), ServiceError> {
        let (Some(loader), Some(daemon), Some(results)) = (&self.loader, &self.daemon, &self.results) else {
            return Ok(());
        };
        self.due = None;
        let (ours, theirs) = seqpacket::pair().map_err(os("making a socket for the scribe"))?;
        let sources = Sources {
            monitor: self.monitor.as_fd(),
            loader: loader.read.as_fd(),
            daemon: daemon.read.as_fd(),
            results: results.read.as_fd(),
        };
        sources.send(&ours).map_err(os("handing pipes to the scribe"))?;
        let outputs = self.outside.each_ref().map(AsFd::as_fd);
        let scribe = start_scribe(machine, program, theirs.as_fd(), outputs);
        self.scribe = Some(scribe.map_err(ServiceError::Daemon)?);
        Ok(())
    }

    /// Readable once the scribe has ended.
    pub(super) fn scribe_end(&self) -> Option<BorrowedFd<'_>> {
        self.scribe.as_ref().map(OwnProcess::ended)
    }

    /// Buries a scribe that has ended. What it had not written yet and nobody else has read waits for the
    /// next one.
    pub(super) fn scribe_ended(&mut self) {
        if let Some(mut scribe) = self.scribe.take() {
            let _ = scribe.wait();
            self.put_off_scribe();
        }
    }

    /// Has the next scribe start after a wait.
    pub(super) fn put_off_scribe(&mut self) {
        self.due = Some(clock::now().after(SCRIBE_BACKOFF));
    }

    /// When the next scribe is to be started.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.due
    }

    /// Standard output and standard error of a daemon.
    pub(super) fn of_daemon(&self) -> Option<[BorrowedFd<'_>; 2]> {
        Some([
            self.results.as_ref()?.write.as_fd(),
            self.daemon.as_ref()?.write.as_fd(),
        ])
    }
}

impl<M: Machine> Drop for Console<M> {
    fn drop(&mut self) {
        // The last writers go, so the scribe ends when it has written what there is.
        let [_, stderr] = &self.outside;
        let _ = dup2_stderr(stderr);
        self.loader = None;
        self.daemon = None;
        self.results = None;
        if let Some(scribe) = &self.scribe {
            let patience = Timespec {
                tv_sec: i64::try_from(LAST_LINES_PATIENCE.as_secs()).unwrap_or(1),
                tv_nsec: 0,
            };
            let pidfd = scribe.ended();
            let _ = poll(
                &mut [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)],
                Some(&patience),
            );
        }
        // Dropped, it is killed if it still waits for a reader.
    }
}
