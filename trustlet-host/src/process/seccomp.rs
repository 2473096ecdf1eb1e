//! System calls: an allow-list for each role, and the lockdown that a trustlet adds before its first record.
//!
//! Whatever is not listed fails with `EPERM`, except for `clone3`, which fails with `ENOSYS` so that the C library
//! falls back to `clone`, whose flags can be checked. Stage 1 is installed before the program starts and still lets
//! the dynamic loader map code. Stage 2, [`lockdown_program`], is installed by the trustlet itself once everything is
//! loaded; from then on no byte that was data can become code.

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
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject {
    /// What it is for.
    pub role: Role,
    /// The descriptor number of its program: the only one it may execute. Above the limit on descriptor numbers, so
    /// that it can never be another file's.
    pub image_number: i32,
    /// Its process id in its own pid namespace: the only one it may signal.
    pub pid: i32,
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Allowed to all roles with any arguments.
const EVERYONE: &[libc::c_long] = &[
    // Memory, but for mmap.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mprotect,
    libc::SYS_mremap,
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
    libc::SYS_rt_sigprocmask,
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
    libc::SYS_getpid,
    libc::SYS_getppid,
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
    // Files: the mount namespace and Landlock decide which.
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fallocate,
    libc::SYS_fdatasync,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getdents64,
    libc::SYS_mkdirat,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_readlinkat,
    libc::SYS_renameat2,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    // The one socket it is born with.
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
];

/// The forms of these that newer architectures do not have any more.
#[cfg(target_arch = "x86_64")]
const EVERYONE_LEGACY: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const EVERYONE_LEGACY: &[libc::c_long] = &[];

/// Allowed to gateway and daemon as well: what an asynchronous runtime needs, but for making sockets.
const SERVERS: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
];
#[cfg(target_arch = "x86_64")]
const SERVERS_LEGACY: &[libc::c_long] = &[libc::SYS_epoll_wait];
#[cfg(not(target_arch = "x86_64"))]
const SERVERS_LEGACY: &[libc::c_long] = &[];

const FCNTL: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_GET_SEALS,
];
const PRCTL: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
];
/// `PR_SET_VMA`: names memory for `/proc/PID/maps`, as C libraries do for their heap.
const PR_SET_VMA: i32 = 0x5356_4d41;
const SOCKET_OPTIONS: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
];
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
pub(super) fn stage_one(subject: Subject) -> Result<[BpfProgram; 2], Errno> {
    let mut rules = Rules::new();
    let unconditional = [EVERYONE, EVERYONE_LEGACY].concat();
    allow(&mut rules, &unconditional);
    checked_for_everyone(&mut rules, subject)?;
    if subject.role == Role::Function {
        // What kind of socket it was born with.
        for option in [libc::SO_TYPE, libc::SO_DOMAIN] {
            let conditions = vec![number(1, libc::SOL_SOCKET)?, number(2, option)?];
            allow_if(&mut rules, libc::SYS_getsockopt, conditions)?;
        }
        // A reply on the socket it has; never to an address. Sending descriptors is not needed.
        allow_if(
            &mut rules,
            libc::SYS_sendto,
            vec![argument(4, Width::Long, SeccompCmpOp::Eq, 0)?],
        )?;
    } else {
        allow(&mut rules, &[SERVERS, SERVERS_LEGACY].concat());
        checked_for_servers(&mut rules)?;
    }
    // Allowed here, so that the second program alone decides: the first of two filters that both refuse would win or
    // lose by their order.
    allow(&mut rules, &[libc::SYS_clone3]);
    let allowed = compile(
        rules,
        SeccompAction::Errno(errno(libc::EPERM)),
        SeccompAction::Allow,
    )?;

    let mut absent = Rules::new();
    allow(&mut absent, &[libc::SYS_clone3]);
    let unsupported = compile(
        absent,
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::ENOSYS)),
    )?;
    Ok([unsupported, allowed])
}

fn checked_for_everyone(rules: &mut Rules, subject: Subject) -> Result<(), Errno> {
    // Anonymous memory is private and does not grow by itself: so all of it counts against the memory limit.
    let anonymous = bits(libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN);
    allow_if(rules, libc::SYS_mmap, vec![masked(3, anonymous, 0)?])?;
    let kind = bits(libc::MAP_TYPE | libc::MAP_GROWSDOWN);
    allow_if(
        rules,
        libc::SYS_mmap,
        vec![masked(3, kind, bits(libc::MAP_PRIVATE))?],
    )?;

    let thread = bits(THREAD_FLAGS);
    allow_if(
        rules,
        libc::SYS_clone,
        vec![masked(0, thread | bits(NAMESPACE_FLAGS), thread)?],
    )?;
    allow_if(
        rules,
        libc::SYS_execveat,
        vec![number(0, subject.image_number)?, number(4, libc::AT_EMPTY_PATH)?],
    )?;
    // abort() and pthread_kill().
    allow_if(rules, libc::SYS_tgkill, vec![number(0, subject.pid)?])?;
    // Reading its own limits.
    allow_if(
        rules,
        libc::SYS_prlimit64,
        vec![number(0, 0)?, argument(2, Width::Long, SeccompCmpOp::Eq, 0)?],
    )?;
    for &command in FCNTL {
        allow_if(rules, libc::SYS_fcntl, vec![number(1, command)?])?;
    }
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

fn checked_for_servers(rules: &mut Rules) -> Result<(), Errno> {
    // Not for functions: whether reading a doorbell blocks is a property that its holders share.
    allow_if(rules, libc::SYS_fcntl, vec![number(1, libc::F_SETFL)?])?;
    for request in [libc::FIONBIO, libc::FIONREAD] {
        let request = u32::try_from(request).map_err(|_| Errno::INVAL)?;
        allow_if(
            rules,
            libc::SYS_ioctl,
            vec![argument(1, Width::Int, SeccompCmpOp::Eq, u64::from(request))?],
        )?;
    }
    for &(level, option) in SOCKET_OPTIONS {
        allow_if(
            rules,
            libc::SYS_setsockopt,
            vec![number(1, level)?, number(2, option)?],
        )?;
    }
    Ok(())
}

/// Stage 2 as the bytes of `struct sock_filter` after `struct sock_filter`: executing, making memory executable, and
/// changing anything about the process but its threads' names are refused with `EPERM`, further filters too.
///
/// # Errors
///
/// This architecture is not one that seccomp programs can be made for.
pub fn lockdown_program() -> std::io::Result<Vec<u8>> {
    Ok(lockdown()?
        .iter()
        .flat_map(|filter| {
            let [code_low, code_high] = filter.code.to_ne_bytes();
            let [a, b, c, d] = filter.k.to_ne_bytes();
            [code_low, code_high, filter.jt, filter.jf, a, b, c, d]
        })
        .collect())
}

fn lockdown() -> Result<BpfProgram, Errno> {
    let mut refused = Rules::new();
    allow(
        &mut refused,
        &[libc::SYS_execve, libc::SYS_execveat, libc::SYS_seccomp],
    );
    let executable = bits(libc::PROT_EXEC);
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        allow_if(&mut refused, call, vec![masked(2, executable, executable)?])?;
    }
    let name = u64::from(libc::PR_SET_NAME.unsigned_abs());
    allow_if(
        &mut refused,
        libc::SYS_prctl,
        vec![argument(0, Width::Int, SeccompCmpOp::Ne, name)?],
    )?;
    compile(
        refused,
        SeccompAction::Allow,
        SeccompAction::Errno(errno(libc::EPERM)),
    )
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
            };
            let [unsupported, allowed] = stage_one(subject).unwrap();
            assert!(unsupported.len() + allowed.len() < 4096);
        }
    }

    #[test]
    fn the_lockdown_is_whole_instructions() {
        let bytes = lockdown_program().unwrap();
        assert_eq!(
            bytes.len(),
            lockdown().unwrap().len() * size_of::<libc::sock_filter>()
        );
        assert!(!bytes.is_empty());
    }
}
