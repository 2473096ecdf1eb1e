//! System calls: an allow-list for each role, and the lockdown that a trustlet adds before its first record.
//!
//! Whatever is not listed fails with `EPERM`, except for `clone3`, which fails with `ENOSYS` so that the C
//! library falls back to `clone`, whose flags can be checked. Stage 1 is installed before the program starts
//! and still lets the dynamic loader map code. Stage 2, [`lockdown_program`], is installed by the trustlet
//! itself once everything is loaded; from then on no byte that was data can become code.
//!
//! A function's stage 2 has the kernel send `SIGSYS` for what it refuses, so that the SDK can count the call
//! by its number before it answers `EPERM` (`refused_call.rs` of `libos-net`). Stage 1 must not do that: the
//! program has no handler yet. The kernel kills whoever blocks a signal that it must take, and C libraries
//! block all signals while they start a process. So blocking signals is signalled too, and done by the same
//! handler, but for `SIGSYS`.
//!
//! A function with programs of its own ([`Role::Program`]) has one stage, from before its program starts, and
//! the monitor itself hears of what is refused ([`Refusals`]).

mod calls;
mod condition;
mod memory;
mod program_rules;
mod refusals;
mod role;
mod rules;
mod scratch;

pub use refusals::Refusals;
pub use role::Role;
pub(super) use role::Subject;

use condition::{Rules, allow, allow_if, number};
use role::Stage;
use rules::rules;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// Stage 1, compiled, in the order in which its programs are installed.
pub(super) struct StageOne {
    quiet: Vec<BpfProgram>,
    /// The last one, if the monitor is to hear of what it refuses.
    noticed: Option<BpfProgram>,
}

impl StageOne {
    /// Stage 1 for `subject`.
    pub(super) fn new(subject: Subject) -> Result<Self, Errno> {
        let mut absent = Rules::new();
        allow(&mut absent, &[libc::SYS_clone3]);
        let mut quiet = vec![answer(absent, libc::ENOSYS)?];
        if subject.role == Role::Function {
            quiet.push(locks_of_one_process()?);
        }
        let rules = rules(Stage::Start(subject), subject.role)?;
        let noticed = match subject.role {
            Role::Program { .. } => Some(noticed(rules)?),
            Role::Function | Role::Gateway | Role::Daemon => {
                let otherwise = SeccompAction::Errno(errno(libc::EPERM));
                quiet.push(compile(rules, otherwise, SeccompAction::Allow)?);
                None
            }
        };
        Ok(Self { quiet, noticed })
    }

    /// Installs it in this thread, for good. Where the monitor is to hear of refusals, the descriptor for it.
    pub(super) fn install(&self) -> Result<Option<OwnedFd>, Errno> {
        self.quiet.iter().try_for_each(|program| {
            apply_filter(program).map_err(|error| match error {
                seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                    Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
                }
                _ => Errno::INVAL,
            })
        })?;
        self.noticed.as_ref().map(refusals::install).transpose()
    }
}

/// A program that allows what `rules` say, and has everything else wait for the monitor's answer.
fn noticed(rules: Rules) -> Result<BpfProgram, Errno> {
    /// `SECCOMP_RET_TRAP`, in whose place it is put: the compiler does not know the other.
    const RETURN_TRAP: u32 = libc::SECCOMP_RET_TRAP;
    let mut program = compile(rules, SeccompAction::Trap, SeccompAction::Allow)?;
    for instruction in &mut program {
        let returns = u32::from(instruction.code) == libc::BPF_RET | libc::BPF_K;
        if returns && instruction.k == RETURN_TRAP {
            instruction.k = refusals::RETURN_NOTICE;
        }
    }
    Ok(program)
}

/// Answers a request for a POSIX lock with success. Such locks never conflict within one process, and no
/// other process has the files of a function's scratch directory: so they are granted by doing nothing. The
/// kernel would keep as many as are asked for, in memory that no limit counts, and would let functions signal
/// each other by locks on what they share.
fn locks_of_one_process() -> Result<BpfProgram, Errno> {
    let mut locks = Rules::new();
    for command in [libc::F_SETLK, libc::F_SETLKW] {
        allow_if(&mut locks, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
    answer(locks, 0)
}

/// One system call that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedCall {
    /// Its number.
    pub number: i64,
    /// Whether it depends on its arguments.
    pub conditional: bool,
}

/// What a process of `role` can call while it serves, in the order of the numbers; of functions, one with a
/// scratch directory. The daemon is no trustlet, and adds no stage 2; nor does a function with programs.
///
/// # Errors
///
/// This architecture is not one that seccomp programs can be made for.
pub fn calls_of(role: Role) -> std::io::Result<Vec<AllowedCall>> {
    let subject = Subject {
        role,
        image_number: 0,
        pid: 1,
        scratch: role.is_function(),
    };
    let start = rules(Stage::Start(subject), role)?;
    let locked = rules(Stage::Locked, role)?;
    let both = start.iter().filter_map(|(&number, at_start)| {
        let later = match role {
            Role::Daemon | Role::Program { .. } => at_start,
            Role::Function | Role::Gateway => locked.get(&number)?,
        };
        // The latter is for the number of a descriptor that is gone before its program runs.
        let only_before = role.is_function() && number == libc::SYS_sendmsg;
        let answered = number == libc::SYS_clone3 || only_before;
        (!answered).then_some(AllowedCall {
            number,
            conditional: !at_start.is_empty() || !later.is_empty(),
        })
    });
    Ok(both.collect())
}

/// The name of a system call of this architecture.
#[must_use]
pub fn call_name(number: u64) -> Option<&'static str> {
    let number = usize::try_from(number).ok()?;
    syscalls::Sysno::new(number).map(|call| call.name())
}

/// Stage 2 for `role` as the bytes of `struct sock_filter` after `struct sock_filter`: executing, making
/// memory executable, and changing anything about the process but its threads' names are refused, further
/// filters too. A function is told by `SIGSYS` of whatever is refused to it; the gateway gets `EPERM`.
///
/// # Errors
///
/// This architecture is not one that seccomp programs can be made for.
pub fn lockdown_program(role: Role) -> std::io::Result<Vec<u8>> {
    Ok(lockdown(role)?
        .iter()
        .flat_map(|filter| {
            let [code_low, code_high] = filter.code.to_ne_bytes();
            let [a, b, c, d] = filter.k.to_ne_bytes();
            [code_low, code_high, filter.jt, filter.jf, a, b, c, d]
        })
        .collect())
}

fn lockdown(role: Role) -> Result<BpfProgram, Errno> {
    let otherwise = match role {
        Role::Function => SeccompAction::Trap,
        Role::Program { .. } | Role::Gateway | Role::Daemon => SeccompAction::Errno(errno(libc::EPERM)),
    };
    compile(rules(Stage::Locked, role)?, otherwise, SeccompAction::Allow)
}

/// A program that answers the calls of `rules` with an error number, and leaves all others to other programs.
fn answer(rules: Rules, number: i32) -> Result<BpfProgram, Errno> {
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno(number)))
}

fn errno(number: i32) -> u32 {
    number.unsigned_abs()
}

fn compile(rules: Rules, otherwise: SeccompAction, matched: SeccompAction) -> Result<BpfProgram, Errno> {
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(|_| Errno::NOSYS)?;
    let filter = SeccompFilter::new(rules, otherwise, matched, arch).map_err(|_| Errno::INVAL)?;
    BpfProgram::try_from(filter).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_role_has_a_program_that_the_kernel_can_hold() {
        let programs = [false, true].map(|jit| Role::Program { jit });
        let roles = [Role::Function, Role::Gateway, Role::Daemon];
        for role in roles.into_iter().chain(programs) {
            let subject = Subject {
                role,
                image_number: 64,
                pid: 1,
                scratch: true,
            };
            let StageOne { quiet, noticed } = StageOne::new(subject).unwrap();
            assert_eq!(noticed.is_some(), matches!(role, Role::Program { .. }));
            assert!(quiet.iter().chain(&noticed).map(Vec::len).sum::<usize>() < 4096);
            assert!(lockdown(role).unwrap().len() < 2000);
        }
    }

    #[test]
    fn the_lockdown_is_whole_instructions() {
        let bytes = lockdown_program(Role::Function).unwrap();
        assert_eq!(
            bytes.len(),
            lockdown(Role::Function).unwrap().len() * size_of::<libc::sock_filter>()
        );
        assert!(!bytes.is_empty());
    }

    /// The rows of the table under "System calls": names, and whether they have conditions.
    #[cfg(target_arch = "x86_64")]
    fn documented(title: &str) -> BTreeMap<String, bool> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/functions.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once(title).unwrap();
        let rows = section
            .lines()
            .skip_while(|line| !line.starts_with("| calls (x86-64)"));
        let rows = rows.skip(2);
        let mut calls = BTreeMap::new();
        for row in rows.take_while(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
            let conditional = cells.get(1).is_some_and(|cell| !cell.trim().is_empty());
            for name in cells.first().unwrap().split('`').skip(1).step_by(2) {
                assert_eq!(
                    calls.insert(name.to_owned(), conditional),
                    None,
                    "{name} stands twice"
                );
            }
        }
        calls
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_documented_calls_are_those_of_the_filter() {
        let calls = calls_of(Role::Function).unwrap();
        let allowed: BTreeMap<String, bool> = calls
            .iter()
            .map(|call| {
                let name = call_name(call.number.cast_unsigned()).unwrap();
                // The condition of these is the scratch directory.
                let with_scratch = ["flock", "truncate", "utimensat"].contains(&name);
                (name.to_owned(), call.conditional || with_scratch)
            })
            .collect();
        assert_eq!(documented("## System calls"), allowed);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_documented_calls_of_programs_are_those_of_the_filter() {
        let calls_of = |role| -> BTreeMap<String, bool> {
            let calls = calls_of(role).unwrap().into_iter();
            let named = |call: AllowedCall| {
                (
                    call_name(call.number.cast_unsigned()).unwrap().to_owned(),
                    call.conditional,
                )
            };
            calls.map(named).collect()
        };
        let native = calls_of(Role::Function);
        let documented = documented("## Programs of its own");
        let program = calls_of(Role::Program { jit: false });
        // Each differs from the native function's, and nothing is taken away.
        for (name, conditional) in &documented {
            assert_eq!(program.get(name), Some(conditional), "{name}");
        }
        for (name, conditional) in &program {
            let is_said = native.contains_key(name) || documented.contains_key(name);
            assert!(
                is_said && (native.get(name) == Some(conditional) || documented.contains_key(name)),
                "{name}"
            );
        }
        assert!(native.keys().all(|name| program.contains_key(name)));
    }

    #[test]
    fn without_a_scratch_directory_nobody_changes_files_by_their_name_or_owner() {
        let program = Role::Program { jit: true };
        for role in [Role::Function, program, Role::Gateway, Role::Daemon] {
            let subject = Subject {
                role,
                image_number: 0,
                pid: 1,
                scratch: false,
            };
            let rules = rules(Stage::Start(subject), role).unwrap();
            for call in [
                libc::SYS_fchmod,
                libc::SYS_fchmodat,
                libc::SYS_fchmodat2,
                libc::SYS_flock,
                libc::SYS_truncate,
                libc::SYS_utimensat,
            ] {
                assert!(
                    !rules.contains_key(&call),
                    "{:?} {role:?}",
                    call_name(call.cast_unsigned())
                );
            }
        }
    }

    #[test]
    fn what_is_left_when_locked_was_there_at_the_start() {
        let calls = calls_of(Role::Function).unwrap();
        let has = |number| calls.iter().find(|call| call.number == number);
        assert!(has(libc::SYS_execveat).is_none() && has(libc::SYS_seccomp).is_none());
        assert_eq!(has(libc::SYS_read).map(|call| call.conditional), Some(false));
        assert_eq!(has(libc::SYS_clone).map(|call| call.conditional), Some(true));
    }
}
