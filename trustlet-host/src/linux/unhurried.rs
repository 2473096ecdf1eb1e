//! What is asked of a file system that need not answer (NFS, FUSE, a disk that fails) is asked on a thread of
//! its own, and the monitor waits for that no longer than a while, and only until it is asked to stop (I6).
//!
//! A thread that has answered is gone before the monitor goes on, which has no other one when it starts
//! processes. One that has not stays behind in a system call until there is an answer, or the monitor ends;
//! at the start, what it was to read is refused, so that the start fails.

#![allow(
    unsafe_code,
    reason = "a table of descriptors for one thread, whose safety depends on what the thread does"
)]

use super::patience::is_asked_to_stop;
use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a file system may take for one step: to tell about a file, or for the next bytes of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(8);
/// How soon a request to stop is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The copy's buffer lies on the heap.
const STACK_BYTES: usize = 256 * 1024;

/// Steps that were answered, counted by whoever asks and watched by whoever waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct Steps(Arc<AtomicU64>);

impl Steps {
    /// One more was answered.
    pub(crate) fn count(&self) {
        // SYNC: tells only that something went on; nothing is read through it.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        // SYNC: see `count`.
        self.0.load(Ordering::Relaxed)
    }
}

/// Something that was asked, and perhaps not answered yet.
#[derive(Debug)]
pub(crate) struct Question<T> {
    answered: Receiver<T>,
    thread: JoinHandle<()>,
    steps: Steps,
}

impl<T: Send + 'static> Question<T> {
    /// Asks what is named by paths. The thread has descriptors of its own: a process that is started
    /// meanwhile would inherit one that cannot even be closed.
    ///
    /// # Errors
    /// As [`Question::ask`].
    pub(crate) fn of_paths(ask: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        Self::ask(move |_| {
            // Refused by nobody; without it there is only what a process might inherit.
            // SAFETY: what this thread opens it closes, and nothing that it returns names a descriptor.
            let _ = unsafe { unshare_unsafe(UnshareFlags::FILES) };
            ask()
        })
    }

    /// Runs `ask`, which counts its steps.
    ///
    /// # Errors
    /// What the system says where no thread can be had.
    pub(crate) fn ask(ask: impl FnOnce(&Steps) -> T + Send + 'static) -> io::Result<Self> {
        let steps = Steps::default();
        let counted = steps.clone();
        let (answer, answered) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("file-system".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                // Nobody waits any more if it is not received.
                let _ = answer.send(ask(&counted));
            })?;
        Ok(Self {
            answered,
            thread,
            steps,
        })
    }

    /// Waits for the answer, so long at most.
    ///
    /// # Errors
    /// The question again, if there is none yet. Whoever drops it gives up.
    pub(crate) fn answer(self, patience: Duration) -> Result<T, Self> {
        match self.answered.recv_timeout(patience) {
            Ok(answer) => {
                // It has nothing left to do but to end.
                let _ = self.thread.join();
                Ok(answer)
            }
            Err(_) => Err(self),
        }
    }
}

/// Runs `ask`, which counts its steps, and waits for its answer as long as each step takes no more than
/// `patience`.
///
/// # Errors
/// `TIMEDOUT` when a step takes longer, `CANCELED` when the monitor is asked to stop, and what the system
/// says where no thread can be had.
pub(crate) fn asked<T: Send + 'static>(
    patience: Duration,
    ask: impl FnOnce(&Steps) -> T + Send + 'static,
) -> io::Result<T> {
    let mut question = Question::ask(ask)?;
    // By looks and not by a clock, which goes on while this process is stopped.
    let (mut seen, mut waited) = (0, Duration::ZERO);
    loop {
        question = match question.answer(LOOK_EVERY) {
            Ok(answer) => return Ok(answer),
            Err(question) => question,
        };
        if is_asked_to_stop() {
            return Err(Errno::CANCELED.into());
        }
        let steps = question.steps.get();
        if steps != seen {
            (seen, waited) = (steps, Duration::ZERO);
        } else if waited >= patience {
            return Err(Errno::TIMEDOUT.into());
        }
        waited += LOOK_EVERY;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{read, write};
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn an_answer_is_handed_on() {
        assert_eq!(asked(PATIENCE, |_| 7).unwrap(), 7);
    }

    #[test]
    fn what_never_answers_is_waited_for_no_longer_than_its_patience() {
        let (silent, _never_written) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let waiting = move |_: &Steps| read(&silent, &mut [0; 1]).map(drop);
        let refused = asked(Duration::from_millis(1), waiting).unwrap_err();
        assert_eq!(Errno::from_io_error(&refused), Some(Errno::TIMEDOUT));
    }

    #[test]
    fn what_goes_on_step_by_step_may_take_longer() {
        let patience = 4 * LOOK_EVERY;
        let (told, tell) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let slow = move |steps: &Steps| {
            for _ in 0..8 {
                std::thread::sleep(LOOK_EVERY);
                steps.count();
            }
            write(&tell, b"x").unwrap();
            read(&told, &mut [0; 1]).unwrap()
        };
        assert_eq!(asked(patience, slow).unwrap(), 1);
    }
}
