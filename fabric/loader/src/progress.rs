//! What loading is at: said where it takes long, and ended where a file system does not answer.
//!
//! Files lie where people put them, so also in file systems that somebody else keeps (NFS, FUSE), and these
//! may never answer; opening and reading has no limit of its own. A second thread therefore watches how long
//! the step takes that the process is at, and ends the process with a message. It is for a process that does
//! nothing but load.

use hacher_trustlet_host::tell;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for one answer of a file system.
const PATIENCE: Duration = Duration::from_secs(8);
/// When it is said first that something takes long; then each time after twice as long.
const SAID_AFTER: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Of this process: one thread of it loads.
static LOADING: Progress = Progress::new();

/// The step that somebody is at.
#[derive(Debug)]
struct Progress(Mutex<Option<Step>>);

#[derive(Debug, Clone)]
struct Step {
    doing: Doing,
    /// By looks and not by a clock, which goes on while this process is stopped.
    waited: Duration,
    said_after: Duration,
}

#[derive(Debug, Clone)]
enum Doing {
    /// Waits for the file system of this file.
    Asking(PathBuf),
    /// Waits for the monitor, which copies, and has a limit for each step of that itself.
    Handing(String),
}

/// A step that is gone through as long as this is there; the one around it goes on then.
#[derive(Debug)]
#[must_use]
pub struct Going<'a> {
    progress: &'a Progress,
    around: Option<Step>,
}

/// What the file system says about this file, or has in it, is waited for.
pub fn asking(path: &Path) -> Going<'static> {
    LOADING.begin(Doing::Asking(path.to_owned()))
}

/// This is handed to the monitor.
pub(super) fn handing(what: &str) -> Going<'static> {
    LOADING.begin(Doing::Handing(what.to_owned()))
}

/// How far many short steps have come: said where they take long together.
#[derive(Debug)]
pub(super) struct Steps {
    of: String,
    done: usize,
    total: usize,
    said: Instant,
}

impl Steps {
    /// Before the first of `total` steps that are the files of this.
    pub(super) fn new(of: &str, total: usize) -> Self {
        let (of, said) = (of.to_owned(), Instant::now());
        Self {
            of,
            done: 0,
            total,
            said,
        }
    }

    /// After each of them.
    pub(super) fn step(&mut self) {
        self.done += 1;
        if self.said.elapsed() >= SAID_AFTER {
            self.said = Instant::now();
            tell!(Info: "loading the files of {}: {} of {}", self.of, self.done, self.total);
        }
    }
}

impl Progress {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn begin(&self, doing: Doing) -> Going<'_> {
        Going {
            around: self.step().replace(Step::new(doing)),
            progress: self,
        }
    }

    fn step(&self) -> MutexGuard<'_, Option<Step>> {
        // It is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        let around = self.around.take();
        *self.progress.step() = around.map(|around| Step::new(around.doing));
    }
}

impl Step {
    fn new(doing: Doing) -> Self {
        Self {
            doing,
            waited: Duration::ZERO,
            said_after: SAID_AFTER,
        }
    }

    /// It goes on for so long; what is to be said of it, if anything.
    fn notice(&mut self, more: Duration) -> Option<Notice> {
        self.waited += more;
        let seconds = self.waited.as_secs();
        if let Doing::Asking(path) = &self.doing
            && self.waited >= PATIENCE
        {
            let path = path.display();
            return Some(Notice::Last(format!(
                "cannot read `{path}`: its file system has not answered for {seconds} s"
            )));
        }
        if self.waited < self.said_after {
            return None;
        }
        self.said_after = 2 * self.said_after;
        Some(Notice::Still(match &self.doing {
            Doing::Asking(path) => format!(
                "waiting for `{}`: its file system has not answered for {seconds} s",
                path.display()
            ),
            Doing::Handing(what) => format!("the monitor is still busy with {what}, for {seconds} s now"),
        }))
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Notice {
    /// It goes on.
    Still(String),
    /// It does not.
    Last(String),
}

/// Watches the steps of this process from here on. `giving_up` comes before its end, which a file system may
/// hold up.
pub fn watch(giving_up: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().name("progress".to_owned());
    let watching = thread.stack_size(256 * 1024).spawn(|| {
        let last = loop {
            std::thread::sleep(LOOK_EVERY);
            let notice = LOADING.step().as_mut().and_then(|step| step.notice(LOOK_EVERY));
            match notice {
                None => {}
                Some(Notice::Still(text)) => tell!(Info: "{text}"),
                Some(Notice::Last(text)) => break text,
            }
        };
        tell!(Error: "{last}");
        giving_up();
        std::process::exit(1);
    });
    // Without it a file system that answers is read all the same.
    drop(watching);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(doing: Doing, seconds: u64) -> Option<Notice> {
        Step::new(doing).notice(Duration::from_secs(seconds))
    }

    #[test]
    fn a_file_system_that_does_not_answer_is_named_and_then_given_up() {
        let asking = || Doing::Asking(PathBuf::from("/far/away"));
        assert_eq!(notice(asking(), 1), None);
        let Some(Notice::Still(text)) = notice(asking(), 2) else {
            panic!("not said")
        };
        assert!(text.contains("`/far/away`"), "{text}");
        assert!(matches!(notice(asking(), 8), Some(Notice::Last(_))));
    }

    #[test]
    fn the_monitor_is_waited_for_as_long_as_it_takes_and_that_is_said_less_and_less() {
        let mut step = Step::new(Doing::Handing("a library".to_owned()));
        let said = (1..=100).filter(|_| step.notice(Duration::from_secs(1)).is_some());
        assert_eq!(said.collect::<Vec<_>>(), [2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn a_step_within_another_leaves_that_one_behind_with_time_of_its_own() {
        let progress = Progress::new();
        let asking = |path: &str| progress.begin(Doing::Asking(path.into()));
        let outer = asking("/outer");
        drop(asking("/inner"));
        let doing = progress.step().as_ref().unwrap().doing.clone();
        assert!(matches!(doing, Doing::Asking(path) if path == Path::new("/outer")));
        drop(outer);
        assert!(progress.step().is_none());
    }
}
