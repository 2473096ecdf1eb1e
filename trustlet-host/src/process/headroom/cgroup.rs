//! The control groups that this process is in, and what they leave.

use super::limit::{Headroom, Unit};
use crate::process::control_group::MOUNTS;
use std::fs;
use std::path::{Path, PathBuf};

/// Where version 1 mounts one controller's hierarchy, below its name.
const MOUNT_V1: &str = "/sys/fs/cgroup";
/// Version 1 writes that there is no limit as a number of about this size.
const UNLIMITED_V1: u64 = 1 << 60;

/// The groups of this process for `controller` and those around them.
fn groups(controller: &str) -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut found = Vec::new();
    for line in own.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let mounts: Vec<PathBuf> = match controllers {
            "" => MOUNTS.map(PathBuf::from).to_vec(),
            controllers if controllers.split(',').any(|name| name == controller) => {
                vec![Path::new(MOUNT_V1).join(controller)]
            }
            _ => continue,
        };
        for mount in &mounts {
            let group = mount.join(path.trim_start_matches('/'));
            let around = group.ancestors().take_while(|group| group.starts_with(mount));
            found.extend(around.map(Path::to_owned));
        }
    }
    found
}

fn number(group: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

/// The group that leaves least of a limit, if one is limited. `files` are pairs of a limit's file and that of
/// what is in use.
fn tightest(controller: &str, files: &[(&str, &str)]) -> Option<(PathBuf, u64, u64)> {
    groups(controller)
        .into_iter()
        .filter_map(|group| {
            let found = files
                .iter()
                .find_map(|(max, now)| Some((number(&group, max)?, *now)));
            let (limit, now) = found.filter(|&(limit, _)| limit < UNLIMITED_V1)?;
            let used = number(&group, now).unwrap_or(0);
            Some((group, limit, used))
        })
        .min_by_key(|&(_, limit, used)| limit.saturating_sub(used))
}

/// What is left for `need` more processes, where their number is limited.
pub(super) fn processes(need: u64) -> Option<Headroom> {
    let (group, limit, used) = tightest("pids", &[("pids.max", "pids.current")])?;
    Some(Headroom {
        name: "more processes",
        setting: format!("pids.max of {}, TasksMax= of systemd", group.display()),
        limit: Some(limit),
        used,
        need,
        unit: Unit::Count,
        help: "raise it where the service or its container is started".to_owned(),
    })
}

/// What is left of memory for `need` more bytes, where it is limited. What the kernel would give back, such
/// as files that were read, does not count as used.
#[must_use]
pub(super) fn memory(need: u64) -> Option<Headroom> {
    let files = [
        ("memory.max", "memory.current"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    ];
    let (group, limit, used) = tightest("memory", &files)?;
    Some(Headroom {
        name: "of memory",
        setting: format!("the memory limit of {}, MemoryMax= of systemd", group.display()),
        limit: Some(limit),
        used: used.saturating_sub(reclaimable(&group)),
        need,
        unit: Unit::Bytes,
        help: "raise it where the service or its container is started".to_owned(),
    })
}

fn reclaimable(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
    let field = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.parse::<u64>().ok()).unwrap_or(0)
    };
    // Version 1 has the group's own share and, below other names, that of all groups in it.
    field("inactive_file").saturating_add(field("active_file"))
}

/// How much memory the tightest group around this process may have, and which.
pub(super) fn memory_limit() -> Option<(u64, PathBuf)> {
    let found = groups("memory").into_iter().filter_map(|group| {
        let limit = ["memory.max", "memory.limit_in_bytes"]
            .iter()
            .find_map(|max| number(&group, max))?;
        (limit < UNLIMITED_V1).then_some((limit, group))
    });
    found.min_by_key(|&(limit, _)| limit)
}
