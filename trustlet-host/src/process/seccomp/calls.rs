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
pub(super) const SERVERS: &[libc::c_long] = &[
    libc::SYS_accept4,
    libc::SYS_getsockopt,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
];

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
