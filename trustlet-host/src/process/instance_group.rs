//! The control group of one instance: all of its processes, counted and bounded as one, and ended as one.
//!
//! Limits of a process (`limits.rs`) bound what each process has, and count nothing that the kernel holds for
//! it: sockets that nobody accepts, buffers of pipes, page tables. A group counts all of that for all of them
//! (cgroup-v2.rst, "Memory", "PID"). Locks of files are what it does not count; functions can take none that
//! the kernel would have to keep beyond one for each open file.

use super::controllers::{Controllers, Undivided, write};
use core::time::Duration;
use rustix::io::Errno;
use std::fs;
use std::io;
use std::path::PathBuf;

/// What the processes of an instance may have together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Memory in bytes: theirs, that of files in memory which they were first to touch, and the kernel's for
    /// them. Beyond it, all of them are killed, if nothing can be given back.
    pub memory_bytes: u64,
    /// Threads of all processes.
    pub threads: u32,
}

/// How often memory was short in a group.
#[derive(Debug, Clone, Copy, Default)]
struct Shortages {
    /// Allocations that failed at the bound of the group itself or of one within it.
    of_its_bound: u64,
    /// Processes that were killed for want of memory, be it at this bound, at one around it, or the
    /// machine's.
    kills: u64,
}

/// The group of one instance.
#[derive(Debug, Clone)]
pub struct InstanceGroup {
    path: PathBuf,
    bounded: Controllers,
    /// What had happened of this kind before this process of the instance began.
    shortages_before: Shortages,
    /// Time on a processor of those before it.
    ran_before: Duration,
}

impl InstanceGroup {
    /// The group at `path`, with these bounds, as far as there are controllers for them.
    ///
    /// # Errors
    /// [`Undivided::Os`]: a bound could not be set.
    pub(super) fn bounded(path: PathBuf, bounded: Controllers, bounds: Bounds) -> Result<Self, Undivided> {
        if bounded.memory {
            write(&path.join("memory.max"), &bounds.memory_bytes.to_string())?;
            // Nothing of a function is written to a disk; and what does not fit does not fit.
            optional(write(&path.join("memory.swap.max"), "0"))?;
            optional(write(&path.join("memory.oom.group"), "1"))?;
        }
        if bounded.pids {
            write(&path.join("pids.max"), &bounds.threads.to_string())?;
        }
        let mut group = Self {
            path,
            bounded,
            shortages_before: Shortages::default(),
            ran_before: Duration::ZERO,
        };
        group.shortages_before = group.shortages();
        group.ran_before = group.ran().unwrap_or_default();
        Ok(group)
    }

    /// Takes in a process, with all that it will start.
    ///
    /// # Errors
    /// What the kernel says; `Errno::SRCH` for a process that has ended.
    pub(super) fn admit(&self, pid: i32) -> Result<(), Errno> {
        let failed = |error: &io::Error| Errno::from_io_error(error).unwrap_or(Errno::IO);
        match write(&self.path.join("cgroup.procs"), &pid.to_string()) {
            Err(Undivided::Os { source, .. }) => Err(failed(&source)),
            Err(_) => Err(Errno::IO),
            Ok(()) => Ok(()),
        }
    }

    /// Kills everything in it at once. Without effect before Linux 5.14: there, as everywhere, the end of the
    /// first process of a pid namespace ends the rest.
    pub(super) fn kill(&self) {
        let _ = write(&self.path.join("cgroup.kill"), "1");
    }

    /// Bytes of memory that are counted against its bound; `None` where memory is not counted.
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        let counted = fs::read_to_string(self.path.join("memory.current"));
        counted.ok().filter(|_| self.bounded.memory)?.trim().parse().ok()
    }

    /// Time on a processor of all processes that it had since this value was made.
    #[must_use]
    pub fn ran(&self) -> Option<Duration> {
        // Counted for every group, with or without the controller.
        let figure = self.figure("cpu.stat", "usage_usec")?;
        Some(Duration::from_micros(figure).saturating_sub(self.ran_before))
    }

    /// Whether the kernel has killed a process because this group's own bound on memory was reached, since
    /// this value was made.
    #[must_use]
    pub fn was_out_of_memory(&self) -> bool {
        let (now, before) = (self.shortages(), self.shortages_before);
        now.kills > before.kills && now.of_its_bound > before.of_its_bound
    }

    fn shortages(&self) -> Shortages {
        let figure = |name| self.figure("memory.events", name).unwrap_or(0);
        Shortages {
            of_its_bound: figure("oom"),
            kills: figure("oom_kill"),
        }
    }

    /// The number behind `name` in a file of lines of a name and a number.
    fn figure(&self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.trim().parse().ok()
    }
}

/// A setting that not every kernel has: swap may not be counted, and groups are killed as one since 4.19.
fn optional(written: Result<(), Undivided>) -> Result<(), Undivided> {
    match written {
        Err(Undivided::Os { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_for_want_of_memory_elsewhere_is_none_at_the_bound_of_the_instance() {
        let folder = tempfile::tempdir().unwrap();
        let events = |oom: u32, kills: u32| {
            let text = format!("low 0\nhigh 0\nmax 9\noom {oom}\noom_kill {kills}\noom_group_kill 0\n");
            fs::write(folder.path().join("memory.events"), text).unwrap();
        };
        for file in ["memory.max", "pids.max"] {
            fs::write(folder.path().join(file), "max").unwrap();
        }
        events(1, 2);
        let bounded = Controllers {
            cpu: false,
            memory: true,
            pids: true,
        };
        let bounds = Bounds {
            memory_bytes: 1 << 20,
            threads: 1,
        };
        let group = InstanceGroup::bounded(folder.path().to_owned(), bounded, bounds).unwrap();
        assert!(!group.was_out_of_memory(), "what was before says nothing");
        events(1, 3);
        assert!(!group.was_out_of_memory(), "killed at a bound around it");
        events(2, 4);
        assert!(group.was_out_of_memory());
    }
}
