//! The processes of an instance with programs, where no control group names them: the function's own, and
//! whatever descends from it. Orphans are given to the first process of a pid namespace, so that the tree
//! below it is whole but for a process whose parent ends while it is looked at; the next look finds that one.

use core::time::Duration;
use hacher_monitor_core::core::limits::THREADS_MAX;
use std::fs;

/// Ticks a second of the times that `/proc` shows (`USER_HZ`), on every architecture of ours.
const TICKS_PER_S: u64 = 100;

/// One of them. Its number may be given to a stranger once it has ended, so it is known by when it was
/// started as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: i32,
    pub(super) started: u64,
    /// Time on a processor of its children that have ended and that it has waited for, and so on below.
    pub(super) ran_below: Duration,
}

impl Member {
    /// Whether its number is still its own.
    pub(super) fn is_there(&self) -> bool {
        stat(self.pid).is_some_and(|(_, found)| found.started == self.started)
    }
}

/// Members that one look takes at most: as many as an instance may have processes at a time. Where they come
/// and go faster than one looks, a look would not end.
const MEMBERS_MAX: usize = THREADS_MAX as usize;

/// The process `first` and its descendants, [`MEMBERS_MAX`] of them; none if it has ended.
pub(super) fn members(first: i32) -> Vec<Member> {
    let mut found: Vec<Member> = stat(first).map(|(_, member)| member).into_iter().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).copied().filter(|_| next < MEMBERS_MAX) {
        next += 1;
        // Whatever has this parent is no stranger.
        let children = children(parent.pid).into_iter().filter_map(stat);
        let children = children
            .filter(|(of, _)| *of == parent.pid)
            .map(|(_, member)| member);
        let children: Vec<Member> = children.collect();
        if parent.is_there() {
            found.extend(children.into_iter().take(MEMBERS_MAX.saturating_sub(found.len())));
        }
    }
    found
}

/// The numbers of a process's present children; none where the kernel does not list them.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
    let mut numbers = Vec::new();
    for list in lists {
        numbers.extend(
            list.split_whitespace()
                .filter_map(|number| number.parse::<i32>().ok()),
        );
    }
    numbers
}

/// The parent of a process, and what there is to know of it (proc_pid_stat(5)).
fn stat(pid: i32) -> Option<(i32, Member)> {
    // Its second field is a name that the process has chosen, of any bytes, in parentheses.
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // From the third on, which is its state.
    let field = |number: usize| fields.get(number.checked_sub(3)?).copied();
    let ticks = |number| field(number)?.parse::<u64>().ok();
    let ran_below = ticks(16)?.saturating_add(ticks(17)?);
    let member = Member {
        pid,
        started: ticks(22)?,
        ran_below: Duration::from_millis(ran_below.saturating_mul(1000 / TICKS_PER_S)),
    };
    Some((field(4)?.parse().ok()?, member))
}

#[cfg(test)]
mod tests {
    use super::super::fork::fork;
    use super::*;

    #[test]
    fn descendants_are_found_and_strangers_are_not() {
        let sleeps = || {
            std::thread::sleep(Duration::from_secs(3600));
            0
        };
        let stranger = fork(0, sleeps).unwrap();
        let child = fork(0, || {
            let below = fork(0, || {
                let _below = fork(0, sleeps);
                sleeps()
            });
            drop_never(below);
            sleeps()
        })
        .unwrap();
        let [first, other] = [&child, &stranger].map(|child| child.pid().as_raw_nonzero().get());
        while members(first).len() < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let found = members(first);
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|member| member.is_there() && member.pid != other)
        );
        let renumbered = Member {
            started: found[0].started + 1,
            ..found[0]
        };
        assert!(!renumbered.is_there(), "another process has its number");
        child.kill().unwrap();
    }

    fn drop_never<T>(value: T) {
        std::mem::forget(value);
    }
}
