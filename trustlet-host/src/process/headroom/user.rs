//! How many processes the user of this process has, as the kernel counts them against `RLIMIT_NPROC`.

use std::fs;
use std::path::Path;

/// Bits of `CAP_SYS_ADMIN` and `CAP_SYS_RESOURCE` (linux/capability.h): whoever has one is not limited.
const EXEMPTING: u64 = 1 << 21 | 1 << 24;

/// Whether the limit does not bind this process: it is the system's root, or has a capability that lifts it.
/// Neither counts in a user namespace other than the first.
pub(super) fn is_exempt() -> bool {
    let maps = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let is_first = maps.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    is_first && (rustix::process::getuid().is_root() || capabilities() & EXEMPTING != 0)
}

fn capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = field(&status, "CapEff:");
    effective.map_or(0, |bits| u64::from_str_radix(bits, 16).unwrap_or(0))
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()
}

/// Threads of all processes with this process's real user. Fewer than the kernel counts where some cannot be
/// seen from here.
pub(super) fn tasks() -> u64 {
    let user = rustix::process::getuid().as_raw().to_string();
    let Ok(entries) = fs::read_dir("/proc") else {
        return 1;
    };
    let processes = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
    });
    processes
        .filter_map(|process| threads_of(&process.path(), &user))
        .sum()
}

fn threads_of(process: &Path, user: &str) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    (field(&status, "Uid:")? == user).then(|| field(&status, "Threads:")?.parse().ok())?
}
