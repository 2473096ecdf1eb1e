//! How much private memory a process has: the kernel's own count, which the limit on it (`RLIMIT_DATA`) is
//! held against. What is mapped counts, whether it was touched or not.

use std::fs;

/// Bytes of private memory of process `pid`; `None` if it is gone, or `/proc` does not show it.
///
/// The monitor reads one number out of what the kernel writes; it is nobody else's text.
#[must_use]
pub fn private_bytes(pid: i32) -> Option<u64> {
    // Its first line is a name that the process has chosen, of any bytes.
    let status = fs::read(format!("/proc/{pid}/status")).ok()?;
    let status = String::from_utf8_lossy(&status);
    // In units of 1024 bytes, whatever it says (proc_pid_status(5)). A process that has ended has no such
    // line.
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
    let units: u64 = data.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    units.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hacher_skipped::skipped;

    #[test]
    fn memory_that_is_asked_for_counts() {
        let Some(before) = private_bytes(i32::try_from(std::process::id()).unwrap()) else {
            skipped!("/proc is not mounted");
            return;
        };
        let held: Vec<u8> = Vec::with_capacity(256 << 20);
        let after = private_bytes(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(after >= before + (250 << 20), "{before} {after}");
        drop(held);
        assert_eq!(private_bytes(i32::MAX), None);
    }
}
