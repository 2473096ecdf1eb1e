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

use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// What a jailed process is for; decides which system calls it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs a handler: memory, threads, files in its scratch directory, the descriptors it is given.
    Function,
    /// Speaks HTTP: also accepts connections on a listening socket that it is given, and polls many.
    Gateway,
    /// The fabric daemon: as the gateway, for its own sockets.
    Daemon,
}

/// What differs from one process to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subject {
    /// What it is for.
    pub role: Role,
    /// The descriptor number of its program: the only one it may execute. Above the limit on descriptor
    /// numbers, so that it can never be another file's.
    pub image_number: i32,
    /// Its process id in its own pid namespace: the only one it may signal.
    pub pid: i32,
    /// Whether it has a scratch directory, and so files of its own that it could lock.
    pub scratch: bool,
}

/// When a program of rules holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// From before the program starts.
    Start(Subject),
    /// From when everything is loaded.
    Locked,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed to all roles with any arguments.
const EVERYONE: &[libc::c_long] = &[
    // Memory, but for mmap.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munmap,
    libc::SYS_membarrier,
    // Threads.
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_gettid,
    libc::SYS_rseq,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    // Signals of its own.
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sigaltstack,
    // Time and chance.
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    // Who it is.
    libc::SYS_getcwd,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_getuid,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    // Descriptors it has.
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_writev,
    // Waiting for several of them. Watches are bounded by the number of descriptors times that of epolls;
    // none of them slows a ring, see `doorbell.rs` of `libos-net`.
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_pselect6,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    // Pipes: the other end is its own.
    libc::SYS_pipe2,
    // Files: the mount namespace and Landlock decide which.
    libc::SYS_chdir,
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fchdir,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_statx,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    // The one socket it is born with, and pairs that it makes itself.
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
];

/// The forms of these that newer architectures do not have any more.
#[cfg(target_arch = "x86_64")]
const EVERYONE_LEGACY: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_wait,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const EVERYONE_LEGACY: &[libc::c_long] = &[];

/// Allowed to gateway and daemon as well: what an asynchronous runtime needs, but for making sockets.
const SERVERS: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_getsockopt,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
];

const FCNTL: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_GET_SEALS,
];
/// POSIX locks on files, for functions. Asking for one is real; taking one is answered with success and does
/// nothing ([`locks_of_one_process`]).
const FCNTL_LOCKS: &[i32] = &[libc::F_GETLK, libc::F_SETLK, libc::F_SETLKW];
/// What a function may ask and set of sockets: those of the pairs that it makes.
const PAIR_OPTIONS_READ: &[i32] = &[
    libc::SO_TYPE,
    libc::SO_DOMAIN,
    libc::SO_ERROR,
    libc::SO_RCVTIMEO,
    libc::SO_SNDTIMEO,
];
const PAIR_OPTIONS_SET: &[i32] = &[libc::SO_RCVTIMEO, libc::SO_SNDTIMEO];
/// Requests of `ioctl` that concern a descriptor of its own, or only ask whether it is a terminal.
const IOCTL: &[libc::Ioctl] = &[
    libc::FIOCLEX,
    libc::FIONCLEX,
    libc::FIONREAD,
    libc::TCGETS,
    libc::TCGETS2,
    libc::TIOCGWINSZ,
];
/// Permissions that a file cannot be given: the set-user, set-group and sticky bits.
const UNUSUAL_MODE: u64 = 0o7000;
const PRCTL: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
];
/// Those that are left once everything is loaded.
const PRCTL_LOCKED: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
    PR_SET_VMA,
];
/// `PR_SET_VMA`: names memory for `/proc/PID/maps`, as C libraries do for their heap.
const PR_SET_VMA: i32 = 0x5356_4d41;
/// Options of sockets that a server sets. A listening socket is shared with the processes that come after it
/// and hands its options down to each connection, so nothing is here that would stay in the way of those:
/// no sizes, no timeouts. And not `SO_LINGER`: whoever closes such a socket last waits for its peer, and that
/// may be the monitor, if it was sent there.
const SOCKET_OPTIONS: &[(i32, i32)] = &[(libc::IPPROTO_TCP, libc::TCP_NODELAY)];
/// Each of these must be asked for in `clone`: the result is a thread, not a process.
const THREAD_FLAGS: i32 =
    libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// None of these may be.
const NAMESPACE_FLAGS: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_PTRACE
    | libc::CLONE_PARENT;

/// Installs stage 1 in this thread, for good.
pub(super) fn install(programs: &[BpfProgram]) -> Result<(), Errno> {
    programs.iter().try_for_each(|program| {
        apply_filter(program).map_err(|error| match error {
            seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error) => {
                Errno::from_io_error(&error).unwrap_or(Errno::INVAL)
            }
            _ => Errno::INVAL,
        })
    })
}

/// Stage 1 for `subject`, to be installed in this order.
pub(super) fn stage_one(subject: Subject) -> Result<Vec<BpfProgram>, Errno> {
    let mut absent = Rules::new();
    allow(&mut absent, &[libc::SYS_clone3]);
    let mut programs = vec![answer(absent, libc::ENOSYS)?];
    if subject.role == Role::Function {
        programs.push(locks_of_one_process()?);
    }
    programs.push(compile(
        rules(Stage::Start(subject), subject.role)?,
        SeccompAction::Errno(errno(libc::EPERM)),
        SeccompAction::Allow,
    )?);
    Ok(programs)
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

/// What a process of `role` may do, and with which arguments.
fn rules(stage: Stage, role: Role) -> Result<Rules, Errno> {
    let mut rules = Rules::new();
    allow(&mut rules, &[EVERYONE, EVERYONE_LEGACY].concat());
    // Another program of stage 1 answers it: the first of two filters that both refuse would win or lose by
    // their order.
    allow(&mut rules, &[libc::SYS_clone3]);
    match stage {
        Stage::Start(subject) => checked_at_start(&mut rules, subject)?,
        Stage::Locked => checked_when_locked(&mut rules, role)?,
    }
    checked_for_everyone(&mut rules, stage)?;
    if role == Role::Function {
        checked_for_functions(&mut rules, stage)?;
    } else {
        allow(&mut rules, SERVERS);
        checked_for_servers(&mut rules)?;
    }
    Ok(rules)
}

/// What only a process that is being loaded needs, or what depends on which process it is.
fn checked_at_start(rules: &mut Rules, subject: Subject) -> Result<(), Errno> {
    allow(rules, &[libc::SYS_mprotect, libc::SYS_rt_sigprocmask]);
    allow_if(
        rules,
        libc::SYS_execveat,
        vec![number(0, subject.image_number)?, number(4, libc::AT_EMPTY_PATH)?],
    )?;
    // abort() and pthread_kill().
    allow_if(rules, libc::SYS_tgkill, vec![number(0, subject.pid)?])?;
    for &option in PRCTL {
        allow_if(rules, libc::SYS_prctl, vec![number(0, option)?])?;
    }
    allow_if(rules, libc::SYS_prctl, vec![number(0, PR_SET_VMA)?])?;
    allow_if(
        rules,
        libc::SYS_prctl,
        vec![number(0, libc::PR_SET_DUMPABLE)?, number(1, 0)?],
    )?;
    // For stage 2. Filters only ever take away.
    let filter = i32::try_from(libc::SECCOMP_SET_MODE_FILTER).map_err(|_| Errno::INVAL)?;
    allow_if(
        rules,
        libc::SYS_seccomp,
        vec![number(0, filter)?, masked(1, !tsync(), 0)?],
    )
}

/// What is left of that later. Which process may be signalled, stage 1 has decided.
fn checked_when_locked(rules: &mut Rules, role: Role) -> Result<(), Errno> {
    allow(rules, &[libc::SYS_tgkill]);
    if role == Role::Function {
        // Anything else is done by the handler of refused calls.
        allow_if(
            rules,
            libc::SYS_rt_sigprocmask,
            vec![number(0, libc::SIG_UNBLOCK)?],
        )?;
    } else {
        allow(rules, &[libc::SYS_rt_sigprocmask]);
    }
    allow_if(rules, libc::SYS_mprotect, vec![not_executable()?])?;
    for &option in PRCTL_LOCKED {
        allow_if(rules, libc::SYS_prctl, vec![number(0, option)?])?;
    }
    Ok(())
}

fn checked_for_everyone(rules: &mut Rules, stage: Stage) -> Result<(), Errno> {
    // Anonymous memory is private and does not grow by itself: so all of it counts against the memory limit.
    let anonymous = bits(libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN);
    let kind = bits(libc::MAP_TYPE | libc::MAP_GROWSDOWN);
    for (mask, value) in [(anonymous, 0), (kind, bits(libc::MAP_PRIVATE))] {
        let mut conditions = vec![masked(3, mask, value)?];
        if stage == Stage::Locked {
            conditions.push(not_executable()?);
        }
        allow_if(rules, libc::SYS_mmap, conditions)?;
    }
    let thread = bits(THREAD_FLAGS);
    allow_if(
        rules,
        libc::SYS_clone,
        vec![masked(0, thread | bits(NAMESPACE_FLAGS), thread)?],
    )?;
    // Reading its own limits.
    allow_if(
        rules,
        libc::SYS_prlimit64,
        vec![number(0, 0)?, argument(2, Width::Long, SeccompCmpOp::Eq, 0)?],
    )?;
    // Not into a table of descriptors of its own, whose number would be bounded by itself.
    let unshare = u64::from(libc::CLOSE_RANGE_UNSHARE);
    allow_if(rules, libc::SYS_close_range, vec![masked(2, unshare, 0)?])?;
    for &command in FCNTL {
        allow_if(rules, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
    for &request in IOCTL {
        let request = request & u64::from(u32::MAX);
        allow_if(
            rules,
            libc::SYS_ioctl,
            vec![argument(1, Width::Int, SeccompCmpOp::Eq, request)?],
        )?;
    }
    Ok(())
}

fn checked_for_functions(rules: &mut Rules, stage: Stage) -> Result<(), Errno> {
    for &command in FCNTL_LOCKS {
        allow_if(rules, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
    let scratch = match stage {
        Stage::Start(subject) => subject.scratch,
        Stage::Locked => true,
    };
    if scratch {
        checked_with_scratch(rules)?;
    }
    // Both ends are its own.
    allow_if(rules, libc::SYS_socketpair, vec![number(0, libc::AF_UNIX)?])?;
    allow(rules, &[libc::SYS_shutdown]);
    for (call, options) in [
        (libc::SYS_getsockopt, PAIR_OPTIONS_READ),
        (libc::SYS_setsockopt, PAIR_OPTIONS_SET),
    ] {
        for &option in options {
            let conditions = vec![number(1, libc::SOL_SOCKET)?, number(2, option)?];
            allow_if(rules, call, conditions)?;
        }
    }
    // On a socket that has a peer; never to an address, nor out of band. Sending descriptors is not needed.
    allow_if(
        rules,
        libc::SYS_sendto,
        vec![
            argument(4, Width::Long, SeccompCmpOp::Eq, 0)?,
            masked(3, bits(libc::MSG_OOB), 0)?,
        ],
    )
}

/// What changes files by their name or their owner's right, where nothing keeps it from files that are not
/// the function's. A scratch directory is there only in a root of the function's own, where all else is
/// read-only: without one these calls would reach every file of the user, and the permissions of regions,
/// which Landlock does not look at.
fn checked_with_scratch(rules: &mut Rules) -> Result<(), Errno> {
    // The kernel keeps one lock for each open file, so their number is bounded.
    allow(rules, &[libc::SYS_flock, libc::SYS_truncate, libc::SYS_utimensat]);
    // Callers also pass the kind of the file, which the kernel ignores.
    let unusual = UNUSUAL_MODE;
    allow_if(rules, libc::SYS_fchmod, vec![masked(1, unusual, 0)?])?;
    allow_if(rules, libc::SYS_fchmodat, vec![masked(2, unusual, 0)?])?;
    allow_if(
        rules,
        libc::SYS_fchmodat2,
        vec![
            masked(2, unusual, 0)?,
            masked(3, !bits(libc::AT_SYMLINK_NOFOLLOW), 0)?,
        ],
    )?;
    #[cfg(target_arch = "x86_64")]
    allow_if(rules, libc::SYS_chmod, vec![masked(1, unusual, 0)?])?;
    Ok(())
}

fn checked_for_servers(rules: &mut Rules) -> Result<(), Errno> {
    // Not for functions, and only to non-blocking mode: whether writing to a pipe blocks is a property that
    // its holders share, and no holder of a doorbell may have another one wait who rings it. Not by
    // FIONBIO either, whose argument cannot be seen here.
    let modes = libc::O_NONBLOCK | libc::O_DIRECT | libc::O_ASYNC;
    allow_if(
        rules,
        libc::SYS_fcntl,
        vec![
            number(1, libc::F_SETFL)?,
            masked(2, bits(modes), bits(libc::O_NONBLOCK))?,
        ],
    )?;
    // The end of what it sends, and no other: a listening socket whose reading end is shut listens no more,
    // for nobody who has it.
    allow_if(rules, libc::SYS_shutdown, vec![number(1, libc::SHUT_WR)?])?;
    for &(level, option) in SOCKET_OPTIONS {
        allow_if(
            rules,
            libc::SYS_setsockopt,
            vec![number(1, level)?, number(2, option)?],
        )?;
    }
    Ok(())
}

/// One system call that a function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedCall {
    /// Its number.
    pub number: i64,
    /// Whether it depends on its arguments.
    pub conditional: bool,
}

/// What a function with a scratch directory can call while it serves, in the order of the numbers.
///
/// # Errors
///
/// This architecture is not one that seccomp programs can be made for.
pub fn calls_of_functions() -> std::io::Result<Vec<AllowedCall>> {
    let start = rules(
        Stage::Start(Subject {
            role: Role::Function,
            image_number: 0,
            pid: 1,
            scratch: true,
        }),
        Role::Function,
    )?;
    let locked = rules(Stage::Locked, Role::Function)?;
    let both = start.iter().filter_map(|(&number, at_start)| {
        let later = locked.get(&number)?;
        let answered = number == libc::SYS_clone3;
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
        Role::Gateway | Role::Daemon => SeccompAction::Errno(errno(libc::EPERM)),
    };
    compile(rules(Stage::Locked, role)?, otherwise, SeccompAction::Allow)
}

#[derive(Clone, Copy)]
enum Width {
    /// The kernel looks at 32 bits of the register.
    Int,
    /// The kernel looks at all of it.
    Long,
}

fn allow(rules: &mut Rules, calls: &[libc::c_long]) {
    for &call in calls {
        rules.insert(call, Vec::new());
    }
}

/// One more way in which `call` is let through: all of `conditions` hold.
fn allow_if(rules: &mut Rules, call: libc::c_long, conditions: Vec<SeccompCondition>) -> Result<(), Errno> {
    let rule = SeccompRule::new(conditions).map_err(|_| Errno::INVAL)?;
    rules.entry(call).or_default().push(rule);
    Ok(())
}

fn argument(index: u8, width: Width, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, Errno> {
    let width = match width {
        Width::Int => SeccompCmpArgLen::Dword,
        Width::Long => SeccompCmpArgLen::Qword,
    };
    SeccompCondition::new(index, width, operator, value).map_err(|_| Errno::INVAL)
}

/// An argument of C type `int` that must have this value.
fn number(index: u8, value: i32) -> Result<SeccompCondition, Errno> {
    argument(
        index,
        Width::Int,
        SeccompCmpOp::Eq,
        u64::from(value.cast_unsigned()),
    )
}

/// An argument whose low 32 bits must have this value where `mask` is set.
fn masked(index: u8, mask: u64, value: u64) -> Result<SeccompCondition, Errno> {
    argument(index, Width::Int, SeccompCmpOp::MaskedEq(mask), value)
}

/// Memory that is asked for without the right to execute it (the third argument of `mmap` and `mprotect`).
fn not_executable() -> Result<SeccompCondition, Errno> {
    masked(2, bits(libc::PROT_EXEC), 0)
}

/// A program that answers the calls of `rules` with an error number, and leaves all others to other programs.
fn answer(rules: Rules, number: i32) -> Result<BpfProgram, Errno> {
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno(number)))
}

fn bits(flags: i32) -> u64 {
    u64::from(flags.cast_unsigned())
}

fn tsync() -> u64 {
    libc::SECCOMP_FILTER_FLAG_TSYNC
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

    #[test]
    fn every_role_has_a_program_that_the_kernel_can_hold() {
        for role in [Role::Function, Role::Gateway, Role::Daemon] {
            let subject = Subject {
                role,
                image_number: 64,
                pid: 1,
                scratch: true,
            };
            let programs = stage_one(subject).unwrap();
            assert!(programs.iter().map(Vec::len).sum::<usize>() < 4096);
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
    fn documented() -> BTreeMap<String, bool> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/functions.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (_, section) = text.split_once("## System calls").unwrap();
        let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
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
        let calls = calls_of_functions().unwrap();
        let allowed: BTreeMap<String, bool> = calls
            .iter()
            .map(|call| {
                let name = call_name(call.number.cast_unsigned()).unwrap();
                // The condition of these is the scratch directory.
                let with_scratch = ["flock", "truncate", "utimensat"].contains(&name);
                (name.to_owned(), call.conditional || with_scratch)
            })
            .collect();
        assert_eq!(documented(), allowed);
    }

    #[test]
    fn without_a_scratch_directory_nobody_changes_files_by_their_name_or_owner() {
        for role in [Role::Function, Role::Gateway, Role::Daemon] {
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
        let calls = calls_of_functions().unwrap();
        let has = |number| calls.iter().find(|call| call.number == number);
        assert!(has(libc::SYS_execveat).is_none() && has(libc::SYS_seccomp).is_none());
        assert_eq!(has(libc::SYS_read).map(|call| call.conditional), Some(false));
        assert_eq!(has(libc::SYS_clone).map(|call| call.conditional), Some(true));
    }
}
