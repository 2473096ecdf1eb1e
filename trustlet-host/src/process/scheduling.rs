//! How much of the processors a process takes, and whether the scheduler lets others go first (sched(7)).
#![allow(
    unsafe_code,
    reason = "clocks of other processes and scheduling policies have no safe wrapper"
)]

use core::time::Duration;
use rustix::io::Errno;
use std::fs;
use std::io;

/// What a process took of the processors since it was started, by the kernel's word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Time on a processor, over all threads.
    pub ran: Duration,
    /// Time that its present threads were ready to run and did not. Nothing where the kernel does not count
    /// it.
    pub waited: Duration,
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
    let waited = threads(pid).into_iter().filter_map(|thread| waited(pid, thread));
    Some(Taken {
        ran: ran(pid)?,
        waited: waited.sum(),
    })
}

/// Moves all threads of a process to `class`. A thread that is started meanwhile has the class of whoever
/// starts it, so doing this again leaves none out for long.
///
/// # Errors
/// `Errno::PERM` where this process may not, `Errno::SRCH` for a process that has ended.
pub fn set_class(pid: i32, class: Class) -> Result<(), Errno> {
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
        match set_policy_within(pid, thread, policy) {
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
fn set_policy_within(pid: i32, thread: i32, policy: i32) -> Result<(), Errno> {
    let before = scheduling(thread)?;
    if before.policy == policy {
        return Ok(());
    }
    set_policy(thread, policy)?;
    if !has_thread(pid, thread) {
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

    #[test]
    fn what_a_process_takes_grows_while_it_works() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = taken(own).unwrap();
        while taken(own).unwrap().ran <= before.ran + Duration::from_millis(1) {}
        assert_eq!(taken(0x7FF_FFFF), None, "no process has a number so high");
    }

    #[test]
    fn a_thread_whose_number_went_to_somebody_else_keeps_its_class() {
        if !can_bring_back() {
            println!("skipped: this user may not bring processes back from the background");
            return;
        }
        let sleeps = || {
            std::thread::sleep(Duration::from_secs(3600));
            0
        };
        let [process, stranger] = [(); 2].map(|()| super::super::fork::fork(0, sleeps).unwrap());
        let [own, other] = [&process, &stranger].map(|child| child.pid().as_raw_nonzero().get());
        set_policy(other, libc::SCHED_BATCH).unwrap();
        assert_eq!(set_policy_within(own, other, libc::SCHED_IDLE), Err(Errno::SRCH));
        assert_eq!(scheduling(other).unwrap().policy, libc::SCHED_BATCH);
        set_policy_within(own, own, libc::SCHED_IDLE).unwrap();
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
            println!("skipped: this user may not bring processes back from the background");
        }
        child.kill().unwrap();
    }
}
