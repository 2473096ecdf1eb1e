//! How much of the processors a process takes, and whether the scheduler lets others go first (sched(7)).
#![allow(
    unsafe_code,
    reason = "clocks of other processes and scheduling policies have no safe wrapper"
)]

use super::members::{Member, members};
use core::time::Duration;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io;

/// What a process took of the processors since it was started, by the kernel's word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// Time on a processor, over all threads; of a function with programs, also of these, as far as their
    /// end was waited for.
    pub ran: Duration,
    /// Time that its present threads were ready to run and did not. Nothing where the kernel does not count
    /// it.
    pub waited: Duration,
    /// Of that, what each present process ran, by its number and start.
    by_process: BTreeMap<(i32, u64), Duration>,
}

impl Taken {
    /// How long it has run, and waited, since it had taken what `before` says.
    #[must_use]
    pub fn since(&self, before: &Self) -> (Duration, Duration) {
        // A process whose end nobody waits for takes what it ran out of the sum. What is there is still
        // counted, so a sum that others make fall hides nobody who goes on running.
        let progress = self.by_process.iter().map(|(process, ran)| {
            let before = before.by_process.get(process).copied().unwrap_or_default();
            ran.saturating_sub(before)
        });
        let ran = self.ran.saturating_sub(before.ran).max(progress.sum());
        (ran, self.waited.saturating_sub(before.waited))
    }

    /// The same, where a control group counts what all of its processes ran: nobody is left out there.
    #[must_use]
    pub fn counted(self, ran: Duration) -> Self {
        Self {
            ran,
            by_process: BTreeMap::new(),
            ..self
        }
    }
}

/// Who goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As everybody else.
    Foreground {
        /// Whether it lets whoever wakes it finish first (`SCHED_BATCH`).
        patient: bool,
    },
    /// Only when nobody else wants the processor (`SCHED_IDLE`).
    Background,
}

/// What the process with this id took; `None` if it has ended.
#[must_use]
pub fn taken(pid: i32) -> Option<Taken> {
    Some(Taken {
        ran: ran(pid)?,
        waited: waited_by(pid),
        by_process: BTreeMap::new(),
    })
}

/// What the process with this id and all that descend from it took; `None` if it has ended.
#[must_use]
pub fn taken_with_programs(pid: i32) -> Option<Taken> {
    let mut taken = Taken {
        ran: ran(pid)?,
        ..Taken::default()
    };
    for (at, member) in members(pid).into_iter().enumerate() {
        let Member {
            pid,
            started,
            ran_below,
        } = member;
        let own = match at {
            0 => taken.ran,
            // Ended meanwhile.
            _ => ran(pid).unwrap_or_default(),
        };
        let waited = waited_by(pid);
        if !member.is_there() {
            continue;
        }
        if at > 0 {
            taken.ran += own;
        }
        taken.ran += ran_below;
        taken.waited += waited;
        taken.by_process.insert((pid, started), own);
    }
    Some(taken)
}

fn waited_by(pid: i32) -> Duration {
    let waited = threads(pid).into_iter().filter_map(|thread| waited(pid, thread));
    waited.sum()
}

/// Moves a process and all that descend from it to `class`, as [`set_class`] does. What they start inherits
/// it.
pub fn set_class_with_programs(pid: i32, class: Class) {
    for member in members(pid) {
        // Fails for one that has ended.
        let _ = set_class_while(member.pid, class, || member.is_there());
    }
}

/// Moves all threads of a process to `class`. A thread that is started meanwhile has the class of whoever
/// starts it, so doing this again leaves none out for long.
///
/// # Errors
/// `Errno::PERM` where this process may not, `Errno::SRCH` for a process that has ended.
pub fn set_class(pid: i32, class: Class) -> Result<(), Errno> {
    set_class_while(pid, class, || true)
}

/// Likewise, for as long as the process is the one that is meant.
fn set_class_while(pid: i32, class: Class, is_meant: impl Fn() -> bool) -> Result<(), Errno> {
    let policy = match class {
        Class::Foreground { patient: false } => libc::SCHED_OTHER,
        Class::Foreground { patient: true } => libc::SCHED_BATCH,
        Class::Background => libc::SCHED_IDLE,
    };
    let threads = threads(pid);
    if threads.is_empty() {
        return Err(Errno::SRCH);
    }
    for thread in threads {
        match set_policy_within(pid, thread, policy, &is_meant) {
            // It has ended meanwhile.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Gives a thread of a process a policy. The kernel knows threads by their numbers alone, and one that has
/// ended since it was listed may have left its number to a thread of somebody else: whether it is still the
/// process's is looked at afterwards, and a stranger gets back what it had.
fn set_policy_within(pid: i32, thread: i32, policy: i32, is_meant: impl Fn() -> bool) -> Result<(), Errno> {
    let before = scheduling(thread)?;
    if before.policy == policy {
        return Ok(());
    }
    set_policy(thread, policy)?;
    if !has_thread(pid, thread) || !is_meant() {
        // Fails for one that has ended.
        let _ = schedule(thread, before);
        return Err(Errno::SRCH);
    }
    Ok(())
}

/// Whether a thread is one of a process. The process itself keeps its number until the monitor has reaped it.
fn has_thread(pid: i32, thread: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}/task/{thread}")).exists()
}

/// How a thread is scheduled.
#[derive(Clone, Copy)]
struct Scheduling {
    policy: i32,
    parameters: libc::sched_param,
}

fn scheduling(thread: i32) -> Result<Scheduling, Errno> {
    // SAFETY: asks for a number.
    let policy = unsafe { libc::sched_getscheduler(thread) };
    let mut parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: writes to `parameters`, which outlives the call.
    if policy < 0 || unsafe { libc::sched_getparam(thread, &raw mut parameters) } != 0 {
        return Err(last_errno());
    }
    Ok(Scheduling { policy, parameters })
}

fn schedule(thread: i32, wanted: Scheduling) -> Result<(), Errno> {
    let Scheduling { policy, parameters } = wanted;
    // SAFETY: `parameters` outlives the call.
    if unsafe { libc::sched_setscheduler(thread, policy, &raw const parameters) } == 0 {
        return Ok(());
    }
    Err(last_errno())
}

/// Whether this process may bring others back from the background: who may not would banish them for good.
#[must_use]
pub fn can_bring_back() -> bool {
    // Of a child that does nothing: the right depends on the kernel's capabilities and limits, whose rules it
    // knows best.
    let child = super::fork::fork(0, || {
        let done = set_policy(0, libc::SCHED_IDLE).and_then(|()| set_policy(0, libc::SCHED_OTHER));
        i32::from(done.is_err())
    });
    let status = child.and_then(|mut child| child.wait_for(TRIAL_MAX));
    matches!(status, Ok(Some(status)) if status.exit_status() == Some(0))
}

/// Longest wait for the trial.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// Processors that this process may run on.
#[must_use]
pub fn processors() -> u32 {
    let count = rustix::thread::sched_getaffinity(None).map(|set| set.count());
    count.unwrap_or(1).max(1)
}

fn set_policy(thread: i32, policy: i32) -> Result<(), Errno> {
    schedule(
        thread,
        Scheduling {
            policy,
            parameters: libc::sched_param { sched_priority: 0 },
        },
    )
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn ran(pid: i32) -> Option<Duration> {
    let mut clock = 0;
    // SAFETY: writes the number of a clock.
    if unsafe { libc::clock_getcpuclockid(pid, &raw mut clock) } != 0 {
        return None;
    }
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a time.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).ok()?))
}

/// The threads of a process, by their ids; none if it has ended. Its own limit bounds how many there are.
fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect()
}

fn waited(pid: i32, thread: i32) -> Option<Duration> {
    // Time on a processor, time waited for one, both in nanoseconds; turns.
    let text = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
    let waited = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(waited))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_skipped::skipped;

    #[test]
    fn what_a_process_takes_grows_while_it_works() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = taken(own).unwrap();
        while taken(own).unwrap().ran <= before.ran + Duration::from_millis(1) {}
        assert_eq!(taken(0x7FF_FFFF), None, "no process has a number so high");
    }

    #[test]
    fn what_descendants_take_counts_while_they_live_and_when_they_were_waited_for() {
        const SPUN: Duration = Duration::from_millis(60);
        let spins = || {
            let own = i32::try_from(std::process::id()).unwrap_or(0);
            while ran(own).is_some_and(|ran| ran < SPUN) {}
            0
        };
        let child = super::super::fork::fork(0, || {
            let mut waited_for = super::super::fork::fork(0, spins).unwrap();
            let _ = waited_for.wait(rustix::process::WaitIdOptions::empty());
            let _goes_on = super::super::fork::fork(0, || {
                spins();
                std::thread::sleep(Duration::from_secs(3600));
                0
            });
            std::thread::sleep(Duration::from_secs(3600));
            0
        })
        .unwrap();
        let pid = child.pid().as_raw_nonzero().get();
        // What `/proc` says of those that have ended is in hundredths of a second.
        let both = 2 * SPUN - Duration::from_millis(20);
        while taken_with_programs(pid).unwrap().ran < both {
            std::thread::sleep(Duration::from_millis(1));
        }
        let own = taken(pid).unwrap().ran;
        assert!(own < SPUN, "it has done nothing itself: {own:?}");
        child.kill().unwrap();
    }

    #[test]
    fn who_goes_on_running_is_seen_although_others_take_their_time_with_them() {
        let taken = |ran: u64, by_process: &[(i32, u64)]| Taken {
            ran: Duration::from_millis(ran),
            by_process: by_process
                .iter()
                .map(|&(pid, ran)| ((pid, 1), Duration::from_millis(ran)))
                .collect(),
            ..Taken::default()
        };
        let before = taken(500, &[(1, 100), (2, 400)]);
        // Process 2 has ended, and nobody has waited for it.
        let after = taken(150, &[(1, 150)]);
        assert_eq!(after.since(&before).0, Duration::from_millis(50));
        // Somebody has, and it had run on for 30 ms.
        let after = taken(580, &[(1, 150)]);
        assert_eq!(after.since(&before).0, Duration::from_millis(80));
    }

    #[test]
    fn a_thread_whose_number_went_to_somebody_else_keeps_its_class() {
        if !can_bring_back() {
            skipped!("this user may not bring processes back from the background");
            return;
        }
        let sleeps = || {
            std::thread::sleep(Duration::from_secs(3600));
            0
        };
        let [process, stranger] = [(); 2].map(|()| super::super::fork::fork(0, sleeps).unwrap());
        let [own, other] = [&process, &stranger].map(|child| child.pid().as_raw_nonzero().get());
        set_policy(other, libc::SCHED_BATCH).unwrap();
        let meant = || true;
        assert_eq!(
            set_policy_within(own, other, libc::SCHED_IDLE, meant),
            Err(Errno::SRCH)
        );
        assert_eq!(scheduling(other).unwrap().policy, libc::SCHED_BATCH);
        // Its process has ended, and the process's number went to somebody else, threads and all.
        let renumbered = set_policy_within(other, other, libc::SCHED_IDLE, || false);
        assert_eq!(renumbered, Err(Errno::SRCH));
        assert_eq!(scheduling(other).unwrap().policy, libc::SCHED_BATCH);
        set_policy_within(own, own, libc::SCHED_IDLE, meant).unwrap();
        assert_eq!(scheduling(own).unwrap().policy, libc::SCHED_IDLE);
        for child in [process, stranger] {
            child.kill().unwrap();
        }
    }

    #[test]
    fn every_thread_of_a_process_goes_to_the_background() {
        let child = super::super::fork::fork(0, || {
            let _other = std::thread::spawn(|| std::thread::sleep(Duration::from_secs(3600)));
            std::thread::sleep(Duration::from_secs(3600));
            0
        })
        .unwrap();
        let pid = child.pid().as_raw_nonzero().get();
        while threads(pid).len() < 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        set_class(pid, Class::Background).unwrap();
        for thread in threads(pid) {
            // SAFETY: asks for the policy of a thread.
            assert_eq!(unsafe { libc::sched_getscheduler(thread) }, libc::SCHED_IDLE);
        }
        if can_bring_back() {
            set_class(pid, Class::Foreground { patient: true }).unwrap();
            // SAFETY: as above.
            assert_eq!(unsafe { libc::sched_getscheduler(pid) }, libc::SCHED_BATCH);
        } else {
            skipped!("this user may not bring processes back from the background");
        }
        child.kill().unwrap();
    }
}
