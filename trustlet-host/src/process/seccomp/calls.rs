//! The lists: which system calls, and which values of their arguments.

/// Allowed to all roles with any arguments.
pub(super) const EVERYONE: &[libc::c_long] = &[
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
pub(super) const EVERYONE_LEGACY: &[libc::c_long] = &[
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
pub(super) const EVERYONE_LEGACY: &[libc::c_long] = &[];

/// Allowed to gateway and daemon as well: what an asynchronous runtime needs, but for making sockets.
pub(super) const SERVERS: &[libc::c_long] = &[libc::SYS_accept4, libc::SYS_getsockopt];

pub(super) const FCNTL: &[i32] = &[
    libc::F_DUPFD,
    libc::F_DUPFD_CLOEXEC,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_GETFL,
    libc::F_GET_SEALS,
];
/// POSIX locks on files, for functions. Asking for one is real; taking one is answered with success and does
/// nothing ([`locks_of_one_process`]).
pub(super) const FCNTL_LOCKS: &[i32] = &[libc::F_GETLK, libc::F_SETLK, libc::F_SETLKW];
/// What a function may ask and set of sockets: those of the pairs that it makes.
pub(super) const PAIR_OPTIONS_READ: &[i32] = &[
    libc::SO_TYPE,
    libc::SO_DOMAIN,
    libc::SO_ERROR,
    libc::SO_RCVTIMEO,
    libc::SO_SNDTIMEO,
];
pub(super) const PAIR_OPTIONS_SET: &[i32] = &[libc::SO_RCVTIMEO, libc::SO_SNDTIMEO];
/// Requests of `ioctl` that concern a descriptor of its own, or only ask whether it is a terminal.
pub(super) const IOCTL: &[libc::Ioctl] = &[
    libc::FIOCLEX,
    libc::FIONCLEX,
    libc::FIONREAD,
    libc::TCGETS,
    libc::TCGETS2,
    libc::TIOCGWINSZ,
];
/// Permissions that a file cannot be given: the set-user, set-group and sticky bits.
pub(super) const UNUSUAL_MODE: u64 = 0o7000;
pub(super) const PRCTL: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_SET_NO_NEW_PRIVS,
    libc::PR_GET_NO_NEW_PRIVS,
];
/// Those that are left once everything is loaded.
pub(super) const PRCTL_LOCKED: &[i32] = &[
    libc::PR_SET_NAME,
    libc::PR_GET_NAME,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NO_NEW_PRIVS,
    PR_SET_VMA,
];
/// `PR_SET_VMA`: names memory for `/proc/PID/maps`, as C libraries do for their heap.
pub(super) const PR_SET_VMA: i32 = 0x5356_4d41;
/// Options of sockets that a server sets. A listening socket is shared with the processes that come after it
/// and hands its options down to each connection, so nothing is here that would stay in the way of those:
/// no sizes, no timeouts. And not `SO_LINGER`: whoever closes such a socket last waits for its peer, and that
/// may be the monitor, if it was sent there.
pub(super) const SOCKET_OPTIONS: &[(i32, i32)] = &[(libc::IPPROTO_TCP, libc::TCP_NODELAY)];
/// Each of these must be asked for in `clone`: the result is a thread, not a process.
pub(super) const THREAD_FLAGS: i32 =
    libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
/// None of these may be.
pub(super) const NAMESPACE_FLAGS: i32 = libc::CLONE_NEWNS
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_PTRACE
    | libc::CLONE_PARENT;

/// What programs get besides [`EVERYONE`]. Signals, process numbers and sockets reach no further than the
/// namespaces of the trustlet, without which it does not start. Not here, each for a reason:
///
/// - `setsid`: the kernel shares out the processor among sessions first (autogroup, sched(7)), so each new
///   one would take as much as all trustlets have together;
/// - `sendmsg` and `sendmmsg`: descriptors could be sent to the monitor, which would then be the one to close
///   them, however long that takes;
/// - POSIX locks on files: the kernel keeps as many as are asked for, in memory that no limit counts, and
///   between several processes they cannot be granted by doing nothing;
/// - `prlimit64` with a value: a limit of 0 on core dumps has the machine's handler started, which 1
///   prevents;
/// - `memfd_create` and shared anonymous memory: no limit counts it.
pub(super) const PROGRAMS: &[libc::c_long] = &[
    // Processes.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_pidfd_open,
    libc::SYS_setpgid,
    libc::SYS_getpgid,
    libc::SYS_getsid,
    libc::SYS_getpriority,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    // Signals that it sends itself.
    libc::SYS_rt_sigprocmask,
    libc::SYS_getitimer,
    libc::SYS_setitimer,
    // Sockets, but for making them.
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    // Files.
    libc::SYS_fadvise64,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_getxattr,
    libc::SYS_lgetxattr,
    libc::SYS_listxattr,
    libc::SYS_llistxattr,
    libc::SYS_symlinkat,
];

/// The forms of these that newer architectures do not have any more.
#[cfg(target_arch = "x86_64")]
pub(super) const PROGRAMS_LEGACY: &[libc::c_long] = &[
    libc::SYS_alarm,
    libc::SYS_fork,
    libc::SYS_getpgrp,
    libc::SYS_pause,
    libc::SYS_symlink,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
pub(super) const PROGRAMS_LEGACY: &[libc::c_long] = &[];

/// Sockets that programs make. No others: `AF_VSOCK` reaches the hypervisor whatever the namespace, and the
/// rest is kernel code that nobody here needs.
///
/// By family, type and protocol.
pub(super) const SOCKETS: &[(i32, i32, i32)] = &[
    (libc::AF_UNIX, libc::SOCK_STREAM, 0),
    (libc::AF_UNIX, libc::SOCK_DGRAM, 0),
    (libc::AF_UNIX, libc::SOCK_SEQPACKET, 0),
    (libc::AF_INET, libc::SOCK_STREAM, 0),
    (libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET, libc::SOCK_DGRAM, 0),
    (libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
    (libc::AF_INET6, libc::SOCK_STREAM, 0),
    (libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP),
    (libc::AF_INET6, libc::SOCK_DGRAM, 0),
    (libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP),
];
/// What may be set beside a socket's type.
pub(super) const SOCKET_FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
/// Options of sockets that programs ask for, by level.
pub(super) const PROGRAM_OPTIONS_READ: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_ACCEPTCONN),
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_DOMAIN),
    (libc::SOL_SOCKET, libc::SO_ERROR),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_LINGER),
    (libc::SOL_SOCKET, libc::SO_PROTOCOL),
    (libc::SOL_SOCKET, libc::SO_RCVBUF),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_SNDBUF),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::SOL_SOCKET, libc::SO_TYPE),
    (libc::IPPROTO_TCP, libc::TCP_MAXSEG),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
];
/// And that they set. Not `SO_LINGER`, as for servers; no sizes, whose bounds are the machine's and not the
/// instance's ([`super::super::network`]); and no programs for the kernel to run on packets.
pub(super) const PROGRAM_OPTIONS_SET: &[(i32, i32)] = &[
    (libc::SOL_SOCKET, libc::SO_BROADCAST),
    (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
    (libc::SOL_SOCKET, libc::SO_RCVTIMEO),
    (libc::SOL_SOCKET, libc::SO_REUSEADDR),
    (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    (libc::SOL_SOCKET, libc::SO_SNDTIMEO),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE),
    (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    (libc::IPPROTO_TCP, libc::TCP_QUICKACK),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY),
];
/// Flags of open files that `F_SETFL` may not set: packets in pipes, signals, and what regions' descriptors
/// have in common with the monitor's.
pub(super) const FILE_FLAGS_REFUSED: i32 = libc::O_DIRECT | libc::O_ASYNC | libc::O_APPEND | libc::O_NOATIME;
