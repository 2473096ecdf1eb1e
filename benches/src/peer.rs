//! The processes that floors and baselines consist of: this executable again, under another name.
//!
//! A peer has its two ends of communication as standard input and output, whatever they are: sockets,
//! eventfds, shared memory. So nothing has to be named, found or inherited besides.

use super::place::Pinned;
use hacher_fabric::failed::Failed;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The name that peers are started under.
pub const ROLE: &str = "hacher-bench-peer";

/// The executable of this process, to be started again; right even if the file has been replaced meanwhile.
#[must_use]
pub fn this_program() -> PathBuf {
    PathBuf::from("/proc/self/exe")
}

/// A process to be started.
#[derive(Debug)]
pub struct Start<'a> {
    /// Its executable.
    pub program: &'a std::path::Path,
    /// The name that it is started under, which says whose `main` is to run.
    pub role: &'a str,
    /// What it is to do.
    pub part: &'a str,
    /// Where it runs; `None` leaves that to the scheduler.
    pub core: Option<u32>,
}

/// A running process; killed and reaped when dropped, and killed when the thread that started it ends.
#[derive(Debug)]
pub struct Peer(Child);

impl Peer {
    /// Starts it, with these as its standard input and output.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn start(
        start: &Start<'_>,
        input: impl Into<Stdio>,
        output: impl Into<Stdio>,
    ) -> Result<Self, Failed> {
        let core = start
            .core
            .map_or_else(|| "any".to_owned(), |core| core.to_string());
        let child = Command::new(start.program)
            .arg0(start.role)
            .args([start.part, &std::process::id().to_string(), &core])
            .stdin(input)
            .stdout(output)
            .spawn()
            .map_err(|error| Failed::new(format!("cannot start {}: {error}", start.role)))?;
        Ok(Self(child))
    }

    /// The process, for its ends of pipes.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Both fail only for a process that has been reaped already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// First steps of a peer: ties its life to that of whoever started it, goes to its core, and says what it is
/// to do.
///
/// # Errors
/// When it was not started by [`Peer::start`], or its starter is gone already.
pub fn arrive() -> Result<String, Failed> {
    let mut arguments = std::env::args().skip(1);
    let (Some(part), Some(parent), Some(core)) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err(Failed::new("this program is started by a benchmark"));
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // Whoever ended before the line above sends no signal.
    let is_parent = getppid().is_some_and(|pid| pid.as_raw_nonzero().to_string() == parent);
    if !is_parent {
        return Err(Failed::new("the benchmark has ended"));
    }
    Pinned::to_core(core.parse().ok())?.keep();
    Ok(part)
}

/// What a peer has as its standard input.
///
/// # Errors
/// When there are no descriptors left.
pub fn input() -> Result<OwnedFd, Failed> {
    Ok(std::io::stdin().as_fd().try_clone_to_owned()?)
}

/// What a peer has as its standard output.
///
/// # Errors
/// When there are no descriptors left.
pub fn output() -> Result<OwnedFd, Failed> {
    Ok(std::io::stdout().as_fd().try_clone_to_owned()?)
}
