//! What the machine's limits leave to a service, beside what the service needs: for the person who starts it,
//! before it fails half-way (I6).
//!
//! Each [`Headroom`] is one limit, with its present value and whatever counts towards it already. Raising a
//! limit is the operator's business: a process here raises its soft limits to the hard ones, and goes no
//! further.

mod cgroup;
mod limit;
mod user;

pub use limit::{Headroom, Unit};

use super::layers::Layer;
use super::permission::{count_setting, setting};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;

/// Soft limits that are raised to the hard ones: a soft limit is for programs that do not know what they
/// need.
const RAISED: [Resource; 6] = [
    Resource::Nofile,
    Resource::Nproc,
    Resource::Fsize,
    Resource::As,
    Resource::Data,
    Resource::Cpu,
];

/// What a service takes of a machine's limits at its start. What it takes of a limit that is not here is
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Who needs it, as the subject of a sentence: "the chain `echo`".
    pub whose: String,
    /// Numbers of open files in the process that has most.
    pub open_files: u64,
    /// Processes, each of one thread, besides the calling one.
    pub processes: u64,
    /// Processes that get namespaces of their own.
    pub jails: u64,
    /// Bytes of the longest file in memory.
    pub file_bytes: u64,
    /// Bytes of address space of the process that has most.
    pub address_bytes: u64,
    /// Bytes of private memory of the process that has most.
    pub data_bytes: u64,
    /// Mappings of the process that has most.
    pub mappings: u64,
    /// Bytes of memory of all processes together, before the first request.
    pub memory_bytes: u64,
}

/// Open files of a monitor that has read no chain yet, and of the processes that try isolation.
const START_OPEN_FILES: u64 = 40;
/// What starting takes: the loader, the scribe with its two threads, and a process that tried isolation and
/// whom init has not buried yet.
const START_PROCESSES: u64 = 4;
/// The monitor before it has read a chain, measured as the least that `serve` of a missing file said so with,
/// and half as much again.
const START_ADDRESS_BYTES: u64 = 48 << 20;
const START_DATA_BYTES: u64 = 6 << 20;
/// This executable's copy in memory has to fit; one that was built for debugging is ten times as long as
/// this.
const START_FILE_BYTES: u64 = 16 << 20;
/// What monitor, loader and scribe take of memory besides a copy of this executable, measured and rounded up.
const START_MEMORY_BYTES: u64 = 24 << 20;
/// Mappings of a small process with a handful of libraries.
const START_MAPPINGS: u64 = 128;
/// The stack that a jailed process starts on: arguments and environment of 128 KiB, and as much for the
/// loader of libraries.
const STACK_BYTES: u64 = 512 << 10;

impl Need {
    /// What it takes to read chains at all.
    #[must_use]
    pub fn to_start() -> Self {
        Self {
            whose: "the monitor".to_owned(),
            open_files: START_OPEN_FILES,
            processes: START_PROCESSES,
            jails: 1,
            file_bytes: own_length().unwrap_or(START_FILE_BYTES),
            address_bytes: START_ADDRESS_BYTES,
            data_bytes: START_DATA_BYTES,
            mappings: START_MAPPINGS,
            memory_bytes: start_memory_bytes(),
        }
    }
}

/// Bytes of memory that a monitor, its loader and its scribe take: a copy of this executable among them.
#[must_use]
pub fn start_memory_bytes() -> u64 {
    START_MEMORY_BYTES + own_length().unwrap_or(START_FILE_BYTES)
}

fn own_length() -> Option<u64> {
    std::fs::metadata("/proc/self/exe").ok().map(|found| found.len())
}

/// Every limit that a service of this need can fail at.
#[must_use]
pub fn headrooms(need: &Need) -> Vec<Headroom> {
    let mut found = vec![
        of_resource(Resource::Nofile, need.open_files),
        of_user_processes(need.processes),
    ];
    found.extend(cgroup::processes(need.processes));
    found.extend(cgroup::memory(need.memory_bytes));
    found.extend(
        Layer::ALL
            .into_iter()
            .filter_map(|layer| of_namespaces(layer, need.jails)),
    );
    found.extend([
        of_resource(Resource::Fsize, need.file_bytes),
        of_resource(Resource::As, need.address_bytes),
        of_resource(Resource::Data, need.data_bytes),
        of_resource(Resource::Stack, STACK_BYTES),
    ]);
    found.extend(of_mappings(need.mappings));
    found
}

/// The first limit that is too low, as a sentence; `None` if nothing is short.
#[must_use]
pub fn shortfall(need: &Need) -> Option<String> {
    let short = headrooms(need).into_iter().find(|found| !found.suffices())?;
    Some(short.shortfall(&need.whose))
}

/// Raises the soft limits of this process, and of those that it starts, to the hard ones.
pub fn raise_soft_limits() {
    for resource in RAISED {
        let limit = getrlimit(resource);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        // Lowering is not tried and raising up to the hard limit is always allowed.
        let _ = setrlimit(resource, raised);
    }
}

fn of_resource(resource: Resource, need: u64) -> Headroom {
    let (name, setting, unit) = match resource {
        Resource::Nofile => ("open files", "ulimit -n, LimitNOFILE= of systemd", Unit::Count),
        Resource::Fsize => (
            "for one file in memory",
            "ulimit -f, LimitFSIZE= of systemd",
            Unit::Bytes,
        ),
        Resource::As => (
            "of address space for its largest process",
            "ulimit -v, LimitAS= of systemd",
            Unit::Bytes,
        ),
        Resource::Data => (
            "of private memory for its largest process",
            "ulimit -d, LimitDATA= of systemd",
            Unit::Bytes,
        ),
        _ => ("of stack", "ulimit -s, LimitSTACK= of systemd", Unit::Bytes),
    };
    Headroom {
        name,
        setting: setting.to_owned(),
        limit: getrlimit(resource).maximum,
        used: 0,
        need,
        unit,
        help: "raise it where the service is started".to_owned(),
    }
}

fn of_user_processes(need: u64) -> Headroom {
    let exempt = user::is_exempt();
    let limit = getrlimit(Resource::Nproc).maximum.filter(|_| !exempt);
    Headroom {
        name: "more processes",
        setting: if exempt {
            "ulimit -u does not bind root".to_owned()
        } else {
            "ulimit -u, LimitNPROC= of systemd".to_owned()
        },
        // What is in use is only worth counting where it matters.
        used: limit.map_or(0, |_| user::tasks()),
        limit,
        need,
        unit: Unit::Count,
        help: "raise it, or end other processes of this user".to_owned(),
    }
}

fn of_namespaces(layer: Layer, need: u64) -> Option<Headroom> {
    let name = count_setting(layer)?;
    let limit = setting(name)?.parse().ok()?;
    // None at all is a way to forbid them, and a layer that is missing.
    (limit > 0).then(|| Headroom {
        name: match layer {
            Layer::UserNamespace => "user namespaces",
            Layer::MountNamespace => "mount namespaces",
            Layer::PidNamespace => "pid namespaces",
            Layer::NetNamespace => "net namespaces",
            Layer::IpcNamespace => "ipc namespaces",
            _ => "uts namespaces",
        },
        setting: name.replace('/', "."),
        limit: Some(limit),
        used: 0,
        need,
        unit: Unit::Count,
        help: format!("raise it: sysctl -w {}=N", name.replace('/', ".")),
    })
}

fn of_mappings(need: u64) -> Option<Headroom> {
    let limit = setting("vm/max_map_count")?.parse().ok()?;
    Some(Headroom {
        name: "mappings",
        setting: "vm.max_map_count".to_owned(),
        limit: Some(limit),
        used: 0,
        need,
        unit: Unit::Count,
        help: "raise it: sysctl -w vm.max_map_count=N".to_owned(),
    })
}

/// Which limit `errno` comes from, with its present value; `None` for an error that no limit makes.
#[must_use]
pub fn shortage(errno: Errno) -> Option<String> {
    let limit_of = |resource| of_resource(resource, 0);
    let finite = |found: Headroom| Some(format!("{} ({})", found.amount(found.limit?), found.setting));
    let text = match errno {
        Errno::AGAIN => {
            let mut reasons: Vec<String> = cgroup::processes(0).iter().filter_map(used_up).collect();
            reasons.extend(used_up(&of_user_processes(0)));
            match reasons.as_slice() {
                [] => "a limit on processes is reached".to_owned(),
                // Also when one more has been counted on, as one that has ended stays until its parent has
                // buried it.
                reasons => format!(
                    "it needs 1 more of the processes that there may be: {}",
                    reasons.join("; ")
                ),
            }
        }
        Errno::MFILE => {
            let limit = finite(limit_of(Resource::Nofile)).unwrap_or_default();
            format!("the limit on open files is reached: {limit}")
        }
        Errno::NFILE => {
            let limit = setting("fs/file-max").unwrap_or_default();
            format!("the limit on open files of the whole system is reached: {limit} (fs.file-max)")
        }
        Errno::FBIG => {
            let limit = finite(limit_of(Resource::Fsize)).unwrap_or_default();
            format!("the limit on the size of a file, memory files included, is reached: {limit}")
        }
        Errno::NOMEM => {
            let mut limits: Vec<String> = [Resource::As, Resource::Data]
                .into_iter()
                .filter_map(|resource| finite(limit_of(resource)))
                .collect();
            limits.extend(cgroup::memory(0).and_then(finite));
            if setting("vm/overcommit_memory").as_deref() == Some("2") {
                limits.push("vm.overcommit_memory is 2: what was promised counts".to_owned());
            }
            match limits.as_slice() {
                [] => "memory is short".to_owned(),
                limits => format!("memory is short; limits: {}", limits.join(", ")),
            }
        }
        _ => return None,
    };
    Some(text)
}

/// How much of a limit is in use, if it is limited.
fn used_up(found: &Headroom) -> Option<String> {
    let limit = found.limit?;
    Some(format!(
        "the limit is {limit} ({}), and {} are in use",
        found.setting, found.used
    ))
}

/// As an error of the operating system, in the words of the limit that it comes from, if it comes from one.
#[must_use]
pub fn explained(errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    match shortage(errno) {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// How many bytes of memory all processes of a service may have together, and what says so.
#[must_use]
pub fn machine_memory() -> Option<(u64, String)> {
    let group = cgroup::memory_limit();
    let text = std::fs::read_to_string("/proc/meminfo").ok();
    let kib = text.as_deref().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    });
    let machine = kib.map(|kib| (kib.saturating_mul(1024), "this machine".to_owned()));
    let group = group.map(|(bytes, group)| (bytes, format!("the control group {}", group.display())));
    machine.into_iter().chain(group).min_by_key(|&(bytes, _)| bytes)
}

#[cfg(test)]
mod tests {
    use super::limit::in_bytes;
    use super::*;

    fn open_files(limit: Option<u64>, used: u64, need: u64) -> Headroom {
        Headroom {
            limit,
            used,
            ..of_resource(Resource::Nofile, need)
        }
    }

    #[test]
    fn a_limit_suffices_up_to_itself() {
        assert!(open_files(Some(64), 4, 60).suffices());
        assert!(!open_files(Some(64), 4, 61).suffices());
        assert!(open_files(None, 4, u64::MAX).suffices());
        assert!(!open_files(Some(64), u64::MAX, 1).suffices());
    }

    #[test]
    fn a_shortfall_names_need_limit_and_setting() {
        let text = open_files(Some(256), 0, 812).shortfall("the monitor");
        assert!(
            text.starts_with("the monitor needs 812 open files, the limit is 256 (ulimit -n"),
            "{text}"
        );
    }

    #[test]
    fn every_error_of_a_limit_is_told_with_the_limit() {
        for errno in [
            Errno::AGAIN,
            Errno::MFILE,
            Errno::NFILE,
            Errno::FBIG,
            Errno::NOMEM,
        ] {
            let told = explained(errno);
            assert_eq!(told.kind(), io::Error::from(errno).kind());
            assert!(
                told.to_string().contains("limit") || told.to_string().contains("short"),
                "{told}"
            );
        }
        assert_eq!(shortage(Errno::PERM), None);
    }

    #[test]
    fn this_machine_can_start_a_monitor() {
        assert_eq!(shortfall(&Need::to_start()), None);
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let told = [1, 2047, 2048, 64 << 20, 3 << 30].map(in_bytes);
        assert_eq!(told, ["1 B", "2047 B", "2 KiB", "64 MiB", "3 GiB"]);
    }
}
