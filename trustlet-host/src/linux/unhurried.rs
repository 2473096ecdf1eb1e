//! What is asked of a file system that need not answer (NFS, FUSE, a disk that fails) is asked on a thread of
//! its own, and the monitor waits for that no longer than a while, and only until it is asked to stop (I6).
//!
//! A thread that has answered is gone before the monitor goes on. One that has not stays behind in a system
//! call until there is an answer, or the monitor ends. At the start, what it was to read is refused, so that
//! the start fails. Later ([`Question::of_paths`]) the monitor goes on, so such a thread has nothing of the
//! monitor's: a copy of a descriptor would keep a socket open that the monitor has closed, and would have
//! epoll tell of a process without end that is long gone.
//!
//! Processes are started while such a thread waits. A child allocates memory before it executes its program,
//! with the locks of the allocator as they were at the clone. A thread in a system call holds none. One that
//! has just returned allocates from an arena of its own (glibc). Should a child find a lock held for all
//! that, it is given up as any child that does not start, and is started again.

#![allow(
    unsafe_code,
    reason = "a table of descriptors for one thread, by a system call without a safe wrapper"
)]

use super::patience::is_asked_to_stop;
use rustix::io::Errno;
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

impl<T: Send + 'static> Question<io::Result<T>> {
    /// Asks what is named by paths: nothing that `ask` has or returns may name a descriptor. The thread has
    /// none of the monitor's but the standard ones, and the monitor has none of the thread's: a process that
    /// is started meanwhile would inherit one that cannot even be closed. The answer is an error where the
    /// kernel does not let go of them.
    ///
    /// # Errors
    /// As [`Question::ask`].
    pub(crate) fn of_paths(ask: impl FnOnce() -> T + Send + 'static) -> io::Result<Self> {
        Self::ask(move |_| {
            let_go_of_descriptors()?;
            Ok(ask())
        })
    }
}

impl<T: Send + 'static> Question<T> {
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
    answered(Question::ask(ask)?, patience)
}

/// Waits for the answer to a question as long as each step takes no more than `patience`.
///
/// # Errors
/// `TIMEDOUT` when a step takes longer, `CANCELED` when the monitor is asked to stop.
pub(crate) fn answered<T: Send + 'static>(mut question: Question<T>, patience: Duration) -> io::Result<T> {
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

/// Gives the calling thread a table of descriptors of its own, in which there are the standard ones alone.
fn let_go_of_descriptors() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: takes three numbers. With this flag the thread has a table of its own before anything is
    // closed, so nobody else's descriptor is, and the thread owns none yet.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_UNSHARE,
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{Timespec, epoll};
    use rustix::io::{read, write};
    use rustix::pipe::{PipeFlags, pipe_with};

    #[test]
    fn an_answer_is_handed_on() {
        assert_eq!(asked(PATIENCE, |_| 7).unwrap(), 7);
    }

    #[test]
    fn what_does_not_answer_keeps_nothing_of_the_monitors_open() {
        let folder = tempfile::tempdir().unwrap();
        let silent = folder.path().join("silent");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &silent, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let (end, other_end) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let watched = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
        epoll::add(
            &watched,
            &end,
            epoll::EventData::new_u64(1),
            epoll::EventFlags::IN,
        )
        .unwrap();
        let path = silent.clone();
        // Opened by nobody for writing, so this waits.
        let question = Question::of_paths(move || std::fs::read(path).is_ok()).unwrap();
        // For the thread to be in the pipe as a rule; what holds afterwards holds before, too.
        let question = question.answer(Duration::from_millis(100)).unwrap_err();
        drop(other_end);
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }];
        // Processes that other tests start have copies for a moment.
        let mut until_told = |count| {
            let mut told = || epoll::wait(&watched, &mut events[..], Some(&Timespec::default()));
            let since = std::time::Instant::now();
            while told() != Ok(count) {
                assert!(since.elapsed() < PATIENCE, "not {count}: somebody has it open");
                std::thread::yield_now();
            }
        };
        until_told(1);
        assert_eq!(read(&end, &mut [0; 1]), Ok(0), "the last writer has gone");
        drop(end);
        until_told(0);
        // Lets the thread go.
        drop(std::fs::OpenOptions::new().write(true).open(&silent).unwrap());
        assert!(question.answer(PATIENCE).unwrap().unwrap());
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
