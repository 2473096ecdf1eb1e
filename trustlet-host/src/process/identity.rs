//! Who a jailed process is: on the host an id with no rights, in the jail one fixed number.

use super::fork::Forked;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, write};
use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// User and group id of every jailed process as it sees itself. Not 0, because the kernel gives id 0 of a
/// user namespace capabilities at each `execve`.
pub(super) const INSIDE_ID: u32 = 1000;

/// A root monitor gives each process a host user and group id of its own, from the first of these ranges that
/// its own user namespace has (first id, how many), in turn. The first is far above what distributions give
/// to people, services and rootless containers; the second is for a monitor in a container with 65,536 ids.
pub(super) const HOST_IDS: [(u32, u32); 2] = [(0x4ac0_0000, 0x1_0000), (0xd000, 0x1000)];

/// The ids that are in use, and where to look for the next one.
static IN_USE: Mutex<(BTreeSet<u32>, u32)> = Mutex::new((BTreeSet::new(), 0));

/// Host ids for as long as a process has them: nobody else gets them before this is dropped, which comes
/// after the process was reaped. It can have no other process with these ids, as it is the first of its pid
/// namespace, or can start none.
#[derive(Debug)]
pub(super) struct Lease(HostIds);

impl Lease {
    /// The next free ones, or the monitor's own where it may not choose; `None` if all are in use.
    pub(super) fn next() -> Option<Self> {
        let own = HostIds::Own {
            user: geteuid().as_raw(),
            group: getegid().as_raw(),
        };
        if !geteuid().is_root() {
            return Some(Self(own));
        }
        let range = HOST_IDS.into_iter().find(|&(first, count)| {
            maps("/proc/self/uid_map", first, count) && maps("/proc/self/gid_map", first, count)
        });
        let Some(range) = range else {
            return Some(Self(own));
        };
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, next) = &mut *in_use;
        take(taken, next, range).map(|id| Self(HostIds::Distinct(id)))
    }

    /// Which they are.
    pub(super) const fn ids(&self) -> HostIds {
        self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let HostIds::Distinct(id) = self.0 {
            let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
            in_use.0.remove(&id);
        }
    }
}

/// Takes the first id of `range` from number `next` on that nobody has, in turn.
fn take(taken: &mut BTreeSet<u32>, next: &mut u32, (first, count): (u32, u32)) -> Option<u32> {
    for _ in 0..count {
        let id = first + *next % count;
        *next = (*next + 1) % count;
        if taken.insert(id) {
            return Some(id);
        }
    }
    None
}

/// Host ids of one jailed process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HostIds {
    /// One of [`HOST_IDS`], as user and as group: for a monitor that may set ids.
    Distinct(u32),
    /// Those of the monitor: for an ordinary user.
    Own {
        /// Effective user id of the monitor.
        user: u32,
        /// Effective group id of the monitor.
        group: u32,
    },
}

impl HostIds {
    /// Gives the new user namespace of `child` its only user and its only group.
    pub(super) fn write_maps(self, child: &Forked) -> Result<(), Errno> {
        let pid = child.pid().as_raw_nonzero();
        let (user, group) = match self {
            Self::Distinct(id) => (id, id),
            Self::Own { user, group } => {
                // A user without privilege may map its group only after giving up to change groups in there.
                put(&format!("/proc/{pid}/setgroups"), "deny")?;
                (user, group)
            }
        };
        put(&format!("/proc/{pid}/uid_map"), &format!("{INSIDE_ID} {user} 1"))?;
        put(&format!("/proc/{pid}/gid_map"), &format!("{INSIDE_ID} {group} 1"))
    }
}

fn put(path: &str, text: &str) -> Result<(), Errno> {
    let file = open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    write(&file, text.as_bytes()).map(|_| ())
}

/// Whether the user namespace of this process has all of `first .. first + count`.
fn maps(path: &str, first: u32, count: u32) -> bool {
    std::fs::read_to_string(path).is_ok_and(|text| text.lines().any(|line| covers(line, first, count)))
}

/// One line of `/proc/PID/uid_map`: first id inside, first id outside, how many.
fn covers(line: &str, first: u32, count: u32) -> bool {
    let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
    let (Some(Ok(inside)), Some(Ok(_)), Some(Ok(length))) = (fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    inside <= u64::from(first) && u64::from(first) + u64::from(count) <= inside + length
}

/// Becomes user and group `id`, with no other groups.
pub(super) fn change_ids(id: u32) -> Result<(), Errno> {
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_given_again_before_its_process_is_gone() {
        let (mut taken, mut next) = (BTreeSet::new(), 0);
        let mut id = || take(&mut taken, &mut next, (100, 3));
        assert_eq!([id(), id(), id(), id()], [Some(100), Some(101), Some(102), None]);
        taken.remove(&101);
        assert_eq!(take(&mut taken, &mut next, (100, 3)), Some(101));
        taken.clear();
        // In turn, so that what a process may have left under its id stays nobody's for long.
        assert_eq!(take(&mut taken, &mut next, (100, 3)), Some(102));
    }

    #[test]
    fn a_range_is_used_only_where_all_of_it_is_mapped() {
        let [(first, count), (small, small_count)] = HOST_IDS;
        assert!(covers("         0          0 4294967295", first, count));
        assert!(!covers("         0     100000      65536", first, count));
        assert!(covers("         0     100000      65536", small, small_count));
        assert!(!covers("         0       1000          1", small, small_count));
        assert!(!covers("nonsense", small, small_count));
    }
}
