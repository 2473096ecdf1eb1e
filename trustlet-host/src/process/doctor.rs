//! What this machine can enforce and what would make it faster, in words for the person who runs it.
//!
//! Each finding is the result of looking or trying here and now, for the user who asks.
#![allow(
    unsafe_code,
    reason = "memfd_secret and io_uring are tried by bare system calls"
)]

mod finding;
mod limits;

pub use finding::{Figures, Finding, Status};

use super::control_group::ControlGroup;
use super::headroom::Need;
use super::jail::programs_missing;
use super::layers::{Layer, Layers};
use super::scheduling;
use super::shelf::Shelf;
use crate::linux::report::Source;
use crate::linux::unhurried::{PATIENCE, Question, answered};
use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ffi::c_long;
use std::fs;
use std::path::Path;

/// Looks at everything, and at the machine's limits for a service that has this `need`. Tries each isolation
/// layer, which takes some milliseconds.
#[must_use]
pub fn findings(need: &Need) -> Vec<Finding> {
    let mut findings = vec![kernel(), sev_snp(), evidence(), vmpl()];
    let found = Layers::probe();
    findings.extend(layers(&found));
    findings.push(programs(&found));
    findings.push(copies(&found));
    findings.extend([
        secret_memory(),
        io_uring(),
        transparent_huge_pages(),
        prefault(),
        huge_pages(),
    ]);
    findings.extend(cpu());
    findings.push(processor_shares());
    findings.push(instances());
    findings.extend(limits::findings(need));
    findings
}

fn kernel() -> Finding {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let machine = uname.machine().to_string_lossy().into_owned();
    Finding::new("kernel", Status::Info, format!("Linux {release}, {machine}"), "")
}

/// Whether functions can have programs of their own (`syscalls = "program"`).
fn programs(layers: &Layers) -> Finding {
    const NAME: &str = "programs of functions";
    match programs_missing(layers) {
        None => Finding::new(
            NAME,
            Status::Ok,
            "namespaces, seccomp and limits are all available, and the monitor can be told of refused calls (tried)",
            "",
        ),
        Some(missing) if missing.untried => Finding::new(
            NAME,
            Status::TooLow,
            format!("could not be tried: {missing}"),
            "the limits below say what is short",
        ),
        Some(missing) => Finding::new(
            NAME,
            Status::Missing,
            format!("`syscalls = \"program\"` is refused: {missing}"),
            match layers.has(missing.layer) {
                false => missing.layer.help(),
                true => {
                    "a kernel of 5.0 or later; in a container, its runtime must not listen for system calls itself \
                     (no SCMP_ACT_NOTIFY in its seccomp profile)"
                }
            },
        ),
    }
}

/// Whether what an instance has is counted and bounded as one.
fn instances() -> Finding {
    const NAME: &str = "bounds of instances";
    const HELP: &str = "under systemd, Delegate=cpu memory pids in the unit; in a container, control groups of version 2 that it may write to";
    let per_process = "limits bound each process, so a function with programs may take its memory once for each of \
                       its threads, and buffers of its sockets and pipes besides";
    let group = match ControlGroup::delegated() {
        Ok(group) => group,
        Err(undivided) => {
            let detail = format!("{per_process}: {undivided}");
            return Finding::new(NAME, Status::Missing, detail, HELP);
        }
    };
    let has = group.controllers();
    let at = group.path().display();
    if has.memory && has.pids {
        let detail = format!(
            "each instance has a control group for its memory, that of the kernel among it, and its processes, in {at}, if the \
             service is alone there"
        );
        return Finding::new(NAME, Status::Ok, detail, "");
    }
    let lacks = match (has.memory, has.pids) {
        (false, false) => "memory and pids",
        (false, true) => "memory",
        _ => "pids",
    };
    let detail = match has.memory {
        false => format!("{per_process}: {at} does not have the controllers {lacks}"),
        true => format!(
            "memory is bounded for each instance, processes by the limits of each user alone: {at} does not have {lacks}"
        ),
    };
    Finding::new(NAME, Status::Missing, detail, HELP)
}

fn copies(layers: &Layers) -> Finding {
    const NAME: &str = "copies of libraries and files";
    match Shelf::new(layers).unshared_because() {
        None => Finding::new(NAME, Status::Ok, "they lie in memory once, for all instances", ""),
        Some(reason) => Finding::new(
            NAME,
            Status::Missing,
            format!("each instance has copies of its own, which take memory and time at its start: {reason}"),
            "a kernel of 6.15 or later, and mount namespaces",
        ),
    }
}

fn sev_snp() -> Finding {
    let device = Path::new("/dev/sev-guest");
    if device.exists() {
        return Finding::new("SEV-SNP", Status::Ok, "/dev/sev-guest is there", "");
    }
    Finding::new(
        "SEV-SNP",
        Status::Missing,
        "no /dev/sev-guest: this is no SEV-SNP guest, or its driver is not loaded; memory is not protected from the host",
        "start this VM as an SEV-SNP guest on an AMD EPYC host, with the sev-guest driver",
    )
}

/// What evidence comes from.
fn evidence() -> Finding {
    const NAME: &str = "evidence";
    // A device or a file system that does not answer is a finding, and nothing to wait for.
    let found = Question::of_paths(Source::find).and_then(|question| answered(question, PATIENCE)?);
    match found {
        Ok(Ok(Some(source))) => Finding::new(
            NAME,
            Status::Ok,
            format!("`snp`: the hardware vouches for it, through {}", source.name()),
            "",
        ),
        Ok(Ok(None)) => Finding::new(
            NAME,
            Status::Missing,
            "`emulated`: nothing vouches for this machine, so verifiers refuse its evidence unless told to take it",
            "an SEV-SNP guest with configfs-tsm (Linux 6.7 or later, configfs mounted) or /dev/sev-guest",
        ),
        Ok(Err(fault)) => Finding::new(
            NAME,
            Status::Missing,
            format!("none: {fault}"),
            "run the monitor as root, or give its user access to what is named",
        ),
        Err(error) => Finding::new(
            NAME,
            Status::Missing,
            format!("none: what vouches for this machine does not answer: {error}"),
            "see whether /sys/kernel/config and /dev/sev-guest answer",
        ),
    }
}

fn vmpl() -> Finding {
    match fs::read_to_string("/sys/devices/system/cpu/sev/vmpl") {
        Ok(level) => {
            let detail = match level.trim() {
                "0" => "this kernel runs at VMPL 0: nothing below it protects trustlets from it".to_owned(),
                level => format!(
                    "this kernel runs at VMPL {level}: an SVSM below it can protect trustlets from it"
                ),
            };
            Finding::new("VMPL", Status::Info, detail, "")
        }
        Err(_) => Finding::new(
            "VMPL",
            Status::Missing,
            "no privilege levels: trustlets are not protected from the guest's kernel",
            "an SEV-SNP guest with an SVSM, such as coconut-svsm",
        ),
    }
}

fn layers(layers: &Layers) -> Vec<Finding> {
    Layer::ALL
        .into_iter()
        .map(|layer| {
            let name = layer.to_string();
            let missing = layers.missing().iter().find(|missing| missing.layer == layer);
            match missing {
                Some(missing) if missing.untried => {
                    let detail = format!("could not be tried: {}", missing.reason);
                    Finding::new(
                        &name,
                        Status::TooLow,
                        detail,
                        "the limits below say what is short",
                    )
                }
                Some(missing) => Finding::new(&name, Status::Missing, missing.reason.clone(), layer.help()),
                None if layer == Layer::Landlock => {
                    Finding::new(&name, Status::Ok, landlock_detail(layers.landlock_abi()), "")
                }
                None => Finding::new(&name, Status::Ok, "tried, and it works", ""),
            }
        })
        .collect()
}

fn landlock_detail(abi: u32) -> String {
    let lacking = match abi {
        0..=3 => "; no rules for TCP, signals and abstract sockets, which the namespaces refuse too",
        4..=5 => "; no rules for signals and abstract sockets, which the namespaces refuse too",
        _ => "",
    };
    format!("tried, and it works: interface version {abi}{lacking}")
}

fn secret_memory() -> Finding {
    match descriptor_of(libc::SYS_memfd_secret, 0, std::ptr::null_mut()) {
        Ok(_) => Finding::new(
            "memfd_secret",
            Status::Info,
            "works: memory that even the kernel does not map",
            "",
        ),
        Err(error) => Finding::new(
            "memfd_secret",
            Status::Info,
            format!("not available: {error}"),
            "a kernel of 5.14 or later, with secretmem.enable=1 before 6.5",
        ),
    }
}

fn io_uring() -> Finding {
    // `struct io_uring_params`, 120 bytes, all zeros: no options.
    let mut parameters = [0_u64; 15];
    match descriptor_of(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr()) {
        Ok(_) => Finding::new("io_uring", Status::Ok, "works", ""),
        Err(error) => Finding::new(
            "io_uring",
            Status::Missing,
            format!("not available: {error}"),
            "kernel.io_uring_disabled = 0; in a container, its runtime must allow io_uring_setup",
        ),
    }
}

/// Makes a descriptor with a system call of a number and a pointer, and closes it again.
fn descriptor_of(call: c_long, number: u32, parameters: *mut u64) -> std::io::Result<OwnedFd> {
    // SAFETY: both callers pass what their call takes: memfd_secret a number of flags and nothing else,
    // io_uring_setup a number of entries and a structure that the kernel may write, which lives until the
    // call returns.
    let result = unsafe { libc::syscall(call, number, parameters) };
    match i32::try_from(result) {
        Ok(fd) if fd >= 0 => {
            // SAFETY: a descriptor that was just made, and that nobody else knows.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        }
        _ => Err(std::io::Error::last_os_error()),
    }
}

fn huge_page_setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/sys/kernel/mm/transparent_hugepage/{name}")).ok()?;
    let (_, chosen) = text.split_once('[')?;
    Some(chosen.split_once(']')?.0.to_owned())
}

/// Why an outbox cannot be backed by huge pages here; `None` if it can. Asking for them needs no privilege,
/// but the kernel has to be set to listen. (Reserved huge pages would need no such setting, but a reservation
/// for each outbox.)
#[must_use]
pub fn huge_outboxes_missing_because() -> Option<String> {
    let Some(shared) = huge_page_setting("shmem_enabled") else {
        return Some("this kernel has no transparent huge pages".to_owned());
    };
    let listens = ["advise", "always", "within_size", "force"].contains(&shared.as_str());
    (!listens).then(|| {
        format!("shmem_enabled is `{shared}`; write \"advise\" to /sys/kernel/mm/transparent_hugepage/shmem_enabled")
    })
}

fn transparent_huge_pages() -> Finding {
    let Some(private) = huge_page_setting("enabled") else {
        return Finding::new("transparent huge pages", Status::Info, "this kernel has none", "");
    };
    let outboxes = huge_outboxes_missing_because().map_or_else(
        || "outboxes can have them (`huge_pages = true`)".to_owned(),
        |reason| format!("outboxes cannot have them: {reason}"),
    );
    let detail = format!("{private} for private memory; {outboxes}");
    Finding::new("transparent huge pages", Status::Info, detail, "")
}

fn prefault() -> Finding {
    let detail = match populate_a_page() {
        Ok(()) => "outboxes can be backed before the first record (`prefault = true`)",
        Err(Errno::INVAL) => {
            "this kernel backs outboxes as they are used (MADV_POPULATE_WRITE needs Linux 5.14)"
        }
        Err(_) => "memory for an outbox cannot be backed beforehand",
    };
    Finding::new("prefault", Status::Info, detail, "")
}

fn populate_a_page() -> Result<(), Errno> {
    const PAGE_BYTES: usize = 4096;
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a fresh mapping at an address of the kernel's choice disturbs no other memory.
    let page = unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE_BYTES, protection, MapFlags::PRIVATE) }?;
    // SAFETY: the range is the mapping just made; the advice changes nothing in it.
    let populated = unsafe { madvise(page, PAGE_BYTES, Advice::LinuxPopulateWrite) };
    // SAFETY: exactly what was mapped, used by nobody.
    let _ = unsafe { munmap(page, PAGE_BYTES) };
    populated
}

fn huge_pages() -> Finding {
    let count = fs::read_to_string("/proc/sys/vm/nr_hugepages");
    let count = count.map_or_else(|_| "none".to_owned(), |text| text.trim().to_owned());
    Finding::new("huge pages", Status::Info, format!("{count} reserved"), "")
}

fn cpu() -> Vec<Finding> {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.split(':').next().is_some_and(|key| key.trim() == name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
    };
    let flags = field("flags").or_else(|| field("Features")).unwrap_or_default();
    let has = |flag: &str| flags.split_ascii_whitespace().any(|word| word == flag);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field("model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let one = "one CPU: every hand-over is a context switch, and nothing spins";
    let cores = if cores == 1 {
        one.to_owned()
    } else {
        format!("{cores} CPUs")
    };
    let aes = if has("aes") {
        Finding::new("AES", Status::Ok, "the CPU has AES instructions", "")
    } else {
        let detail = "the CPU has no AES instructions: sealing is many times slower";
        Finding::new("AES", Status::Missing, detail, "a CPU with AES instructions")
    };
    let wide: Vec<&str> = ["vaes", "vpclmulqdq", "avx2", "avx512f"]
        .into_iter()
        .filter(|flag| has(flag))
        .collect();
    let wide = if wide.is_empty() {
        "none".to_owned()
    } else {
        wide.join(", ")
    };
    vec![
        Finding::new("CPU", Status::Info, format!("{cores}, {model}"), ""),
        aes,
        Finding::new(
            "wide AES",
            Status::Info,
            format!("{wide} (sealing uses the widest)"),
            "",
        ),
    ]
}

fn processor_shares() -> Finding {
    const HELP: &str = "under systemd, Delegate=cpu in the unit, or LimitNICE=+0";
    let undivided = match ControlGroup::delegated() {
        Ok(group) if !group.controllers().cpu => {
            format!("{} does not have the cpu controller", group.path().display())
        }
        Ok(group) => {
            let detail = format!(
                "chains share the processors by control groups in {}, if the service is alone there",
                group.path().display()
            );
            return Finding::new("processor shares", Status::Ok, detail, "");
        }
        Err(undivided) => undivided.to_string(),
    };
    let (status, detail) = match scheduling::can_bring_back() {
        true => (
            Status::Ok,
            format!("chains share the processors by scheduling class: {undivided}"),
        ),
        false => (
            Status::Missing,
            format!(
                "functions of one chain may take the processors from another: {undivided}, and CAP_SYS_NICE or a limit on nice values of 20 is missing"
            ),
        ),
    };
    Finding::new("processor shares", status, detail, HELP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_says_something_and_every_gap_what_to_do() {
        let findings = findings(&Need::to_start());
        for finding in &findings {
            println!("{:24} {:?} {}", finding.name, finding.status, finding.detail);
            assert!(!finding.detail.is_empty(), "{}", finding.name);
            if matches!(finding.status, Status::Missing | Status::TooLow) {
                assert!(!finding.help.is_empty(), "{}", finding.name);
            }
        }
        assert!(
            Layer::ALL
                .iter()
                .all(|layer| findings.iter().any(|finding| finding.name == layer.to_string()))
        );
    }
}
