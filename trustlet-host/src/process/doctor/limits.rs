//! The machine's limits, beside what a service needs of each; and limits that nothing here counts against,
//! because whoever looks for a fault looks for those too.

use super::finding::{Figures, Finding, Status};
use crate::process::control_group;
use crate::process::fork;
use crate::process::headroom::{Headroom, Need, headrooms};
use crate::process::limits::forbid_core_dumps;
use crate::process::permission::setting;
use core::time::Duration;
use rustix::process::{Resource, getrlimit};
use std::path::Path;

/// How long the trial of a limit may take.
const TRIAL_MAX: Duration = Duration::from_secs(5);

/// All of them.
pub(super) fn findings(need: &Need) -> Vec<Finding> {
    let mut found: Vec<Finding> = headrooms(need).iter().map(of_headroom).collect();
    found.extend([proc(), scratch(), processor_time(), core_dumps(), unused()]);
    found.extend([overcommit(), processor_share()]);
    found
}

fn of_headroom(headroom: &Headroom) -> Finding {
    let status = if headroom.suffices() {
        Status::Ok
    } else {
        Status::TooLow
    };
    let name = headroom.name.trim_start_matches("more ");
    let name = name.trim_start_matches("of ").trim_start_matches("for ");
    Finding {
        figures: Some(Figures {
            limit: headroom.limit,
            used: headroom.used,
            need: headroom.need,
        }),
        ..Finding::new(name, status, headroom.to_string(), &headroom.help)
    }
}

/// Everything here is found out through it: the monitor's own executable, identity maps, read-only
/// descriptors.
fn proc() -> Finding {
    if Path::new("/proc/self/fd").is_dir() {
        return Finding::new("/proc", Status::Ok, "mounted", "");
    }
    let detail = "not mounted: the monitor cannot start without it";
    Finding::new("/proc", Status::TooLow, detail, "mount -t proc proc /proc")
}

fn scratch() -> Finding {
    let detail = "neither is used: what a trustlet finds at /tmp is its own, and regions are files in memory without a name";
    Finding::new("/tmp and /dev/shm", Status::Info, detail, "")
}

fn processor_time() -> Finding {
    match getrlimit(Resource::Cpu).maximum {
        None => Finding::new("processor time", Status::Ok, "no limit (ulimit -t)", ""),
        Some(seconds) => Finding::new(
            "processor time",
            Status::Missing,
            format!("each process is killed after {seconds} s of processor time (ulimit -t)"),
            "a service needs `ulimit -t unlimited`",
        ),
    }
}

/// No process of a service leaves a core dump. A limit of 0 keeps the kernel from writing one to a file, but
/// not from starting a handler (core(5)).
fn core_dumps() -> Finding {
    let name = "core dumps";
    // Of a child, as limits cannot be taken back.
    let can_be_raised = || {
        let trial = fork::fork(0, || i32::from(forbid_core_dumps() != Ok(true)));
        let status = trial.and_then(|mut child| child.wait_for(TRIAL_MAX));
        matches!(status, Ok(Some(status)) if status.exit_status() == Some(0))
    };
    if getrlimit(Resource::Core).maximum != Some(0) || can_be_raised() {
        let detail = "none is written, and no handler of kernel.core_pattern is started";
        return Finding::new(name, Status::Ok, detail, "");
    }
    match setting("kernel/core_pattern") {
        Some(pattern) if pattern.starts_with('|') => Finding::new(
            name,
            Status::Missing,
            "the hard limit is 0 (ulimit -Hc) and cannot be raised to 1, at which the kernel starts no handler: that of \
             kernel.core_pattern is started when a process crashes, and is kept from its memory by nothing but its not being dumpable",
            "give the service a limit of 1 byte: ulimit -Hc 1, LimitCORE=1 of systemd",
        ),
        _ => Finding::new(
            name,
            Status::Ok,
            "the limit is 0 (ulimit -Hc), and kernel.core_pattern names no handler",
            "",
        ),
    }
}

fn unused() -> Finding {
    let amount = |resource| {
        getrlimit(resource)
            .maximum
            .map_or_else(|| "no limit".to_owned(), |limit| limit.to_string())
    };
    let detail = format!(
        "nothing counts against locked memory (ulimit -l: {}), pending signals (-i: {}) and message queues (-q: {})",
        amount(Resource::Memlock),
        amount(Resource::Sigpending),
        amount(Resource::Msgqueue),
    );
    Finding::new("locks, signals, queues", Status::Info, detail, "")
}

fn overcommit() -> Finding {
    let name = "overcommit";
    if setting("vm/overcommit_memory").as_deref() != Some("2") {
        return Finding::new(name, Status::Ok, "memory counts when it is used", "");
    }
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    let left = field("CommitLimit:")
        .unwrap_or(0)
        .saturating_sub(field("Committed_AS:").unwrap_or(0));
    let detail = format!(
        "vm.overcommit_memory is 2: memory counts when it is asked for, and {} MiB can be; thread stacks and heaps of all \
         instances count whole",
        left / 1024
    );
    Finding::new(name, Status::Info, detail, "")
}

fn processor_share() -> Finding {
    let share =
        control_group::own().and_then(|(group, _)| std::fs::read_to_string(group.join("cpu.max")).ok());
    let detail = match share
        .as_deref()
        .map(str::trim)
        .and_then(|text| text.split_once(' '))
    {
        Some((quota, period)) if quota != "max" => {
            format!(
                "{quota} us of each {period} us (cpu.max): beyond it, everything waits for the next period"
            )
        }
        _ => "no limit (cpu.max)".to_owned(),
    };
    Finding::new("processor share", Status::Info, detail, "")
}
