//! The guest: the program, as a child of the adaptor, and how it ends.
//!
//! The adaptor is process 1, so processes that the guest leaves behind become its children. One thread waits
//! for all of them. When the guest itself ends, the adaptor ends with it, by the same exit code: a run that
//! was going on has then failed as any run does that takes its process with it, and the service starts both
//! anew.

use crate::arguments::Program;
use hacher::BoxError;
use rustix::io::Errno;
use rustix::process::{WaitOptions, wait};
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What a shell adds to the number of the signal that has ended a program.
const BY_SIGNAL: i32 = 128;
/// How long after its connections a guest that ends may end itself: the kernel closes them first.
const END_FOLLOWS: Duration = Duration::from_millis(100);

/// A program that was started.
#[derive(Debug, Clone)]
pub struct Guest(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    life: Mutex<Life>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// Its end is a failed initialisation.
    Starting,
    /// Its end is the adaptor's.
    Serving,
    Ended(End),
}

/// How a program has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By the signal of this number.
    Signalled(i32),
}

impl Guest {
    /// Starts `program` in the adaptor's own environment with `more`, and in `folder` instead of the
    /// adaptor's. Its standard input is empty, its outputs are the adaptor's.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(
        program: &Program,
        more: &[(&str, OsString)],
        folder: Option<&Path>,
    ) -> Result<Self, BoxError> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .envs(more.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let child = command.spawn().map_err(|error| {
            format!(
                "cannot start the program `{}`: {error}; the function needs `syscalls = \"program\"`, and the program \
                 among `files`, with its executable bit",
                program.path.display()
            )
        })?;
        let guest = Self(Arc::new(Shared {
            life: Mutex::new(Life::Starting),
            changed: Condvar::new(),
        }));
        let shared = guest.clone();
        thread::Builder::new()
            .name("reaper".to_owned())
            .spawn(move || shared.reap(child.id()))
            .map_err(|error| {
                format!("cannot start a thread that waits for the program: {error}; raise `threads`")
            })?;
        Ok(guest)
    }

    /// Waits for all children, and notes the end of the one with this number.
    fn reap(&self, guest: u32) {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) if u32::try_from(pid.as_raw_nonzero().get()) == Ok(guest) => {
                    self.note_end(End::of(status.terminating_signal(), status.exit_status()));
                }
                Ok(_) | Err(Errno::INTR) => {}
                // The guest has ended, and left nobody behind.
                Err(_) => return,
            }
        }
    }

    fn note_end(&self, end: End) {
        let mut life = self.life();
        if *life == Life::Serving {
            end_with(end);
        }
        *life = Life::Ended(end);
        self.0.changed.notify_all();
    }

    /// From now on the end of the guest is the adaptor's.
    ///
    /// # Errors
    /// The end, if it has ended already.
    pub fn set_serving(&self) -> Result<(), End> {
        let mut life = self.life();
        if let Life::Ended(end) = *life {
            return Err(end);
        }
        *life = Life::Serving;
        Ok(())
    }

    /// The end of a guest that has not served, if it comes within `patience`.
    #[must_use]
    pub fn ended_within(&self, patience: Duration) -> Option<End> {
        let goes_on = |life: &mut Life| !matches!(life, Life::Ended(_));
        let waited = self.0.changed.wait_timeout_while(self.life(), patience, goes_on);
        let (life, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match *life {
            Life::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// To be called when a serving guest has closed its connection: does not return if it has because it
    /// ends, so that the run fails with how it ended.
    pub fn end_if_it_ends(&self) {
        // The adaptor ends within this time where the guest does.
        let _ = self.ended_within(END_FOLLOWS);
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.0.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the adaptor as its guest has ended.
fn end_with(end: End) -> ! {
    eprintln!("the program {end}");
    std::process::exit(end.code())
}

impl End {
    /// What a wait status says.
    fn of(signal: Option<i32>, code: Option<i32>) -> Self {
        match signal {
            Some(signal) => Self::Signalled(signal),
            None => Self::Exited(code.unwrap_or_default()),
        }
    }

    /// The exit code that says so, as a shell has it: 128 more than the number of a signal.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Exited(code) => code,
            Self::Signalled(signal) => BY_SIGNAL.saturating_add(signal),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(formatter, "exited with code {code}"),
            Self::Signalled(signal) => write!(formatter, "was killed by signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_by_its_code() {
        assert_eq!(End::of(None, Some(3)), End::Exited(3));
        assert_eq!(End::of(Some(9), None), End::Signalled(9));
        assert_eq!((End::Exited(3).code(), End::Signalled(9).code()), (3, 137));
    }
}
