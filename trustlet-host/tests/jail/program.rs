//! What runs inside of the jail: the test executable once more, told by its first argument what to try. It
//! prints one line for each thing tried: a name, and what the kernel said.

use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::ptr::null_mut;

/// Where the tests place what a program inherits.
pub(crate) const SOCKET: i32 = 3;
pub(crate) const DOORBELL: i32 = 4;
/// As in the limits that the tests give.
pub(crate) const OPEN_FILES: u32 = 32;
pub(crate) const MEMORY_BYTES: u64 = 64 << 20;
pub(crate) const SCRATCH_BYTES: u64 = 1 << 20;
pub(crate) const THREADS: u32 = 4;

/// Runs `what` with its arguments and ends the process.
pub(crate) fn run(what: &str, args: &[String]) -> i32 {
    match what {
        "refusals" => refusals(args.first().is_some_and(|role| role == "program")),
        "outside" => outside(args),
        "work" => work(),
        "ordinary" => ordinary(),
        "read" => println!("{}", std::fs::read_to_string(&args[0]).unwrap()),
        "find" => find(),
        "use" => args
            .iter()
            .for_each(|path| println!("{path}: {}", uses(Path::new(path)))),
        "files" => change_files(&args[0]),
        "change" => println!("{}", changed(Path::new(&args[0]))),
        "programs" => programs(),
        "sockets" => sockets(),
        "kin" => kin(),
        "start" => assert!(started(&args[0]).status().unwrap().success()),
        "orphan" => orphan(),
        "code" => code(),
        "say" => println!("said"),
        "lockdown" => lockdown(),
        "exhaust" => exhaust(),
        "wait" => wait(),
        "serve" => serve(),
        "fail" => return 7,
        "abort" => std::process::abort(),
        other => panic!("{other} is nothing to do"),
    }
    0
}

fn say(name: &str, outcome: Result<usize, Errno>) {
    match outcome {
        Ok(_) => println!("{name}: ok"),
        Err(errno) => println!("{name}: {}", errno_name(errno)),
    }
}

fn errno_name(errno: Errno) -> String {
    let name = match errno {
        Errno::PERM => "EPERM",
        Errno::ACCESS => "EACCES",
        Errno::NOENT => "ENOENT",
        Errno::NOSYS => "ENOSYS",
        Errno::NOMEM => "ENOMEM",
        Errno::NOSPC => "ENOSPC",
        Errno::AGAIN => "EAGAIN",
        Errno::MFILE => "EMFILE",
        Errno::BADF => "EBADF",
        Errno::SRCH => "ESRCH",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::CONNREFUSED => "ECONNREFUSED",
        Errno::FBIG => "EFBIG",
        Errno::ROFS => "EROFS",
        _ => return errno.to_string(),
    };
    name.to_owned()
}

/// A system call with numbers, or addresses of what outlives the call, as arguments.
pub(crate) fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the callers pass what the call takes; all but mmap, whose result is used as one, touch no other
    // memory.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    usize::try_from(result).map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap())
}

fn call0(number: libc::c_long) -> Result<usize, Errno> {
    call(number, [0; 6])
}

fn address(text: &CStr) -> usize {
    text.as_ptr().expose_provenance()
}

fn open(path: &CStr, flags: i32) -> Result<usize, Errno> {
    call(
        libc::SYS_openat,
        [at_cwd(), address(path), flags as usize, 0o600, 0, 0],
    )
}

fn at_cwd() -> usize {
    libc::AT_FDCWD as usize
}

fn map(len: usize, protection: i32, flags: i32, fd: i32) -> Result<usize, Errno> {
    call(
        libc::SYS_mmap,
        [0, len, protection as usize, flags as usize, fd as usize, 0],
    )
}

/// Everything that a function has no business with. All of it must fail; for one with programs, but for what
/// the test lists.
fn refusals(is_program: bool) {
    const READ: i32 = libc::O_RDONLY | libc::O_CLOEXEC;
    const CREATE: i32 = libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC;
    const ANONYMOUS: i32 = libc::MAP_ANONYMOUS;
    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
    say("open /etc/os-release", open(c"/etc/os-release", READ));
    say("open /../etc/os-release", open(c"/../etc/os-release", READ));
    say("open /proc/self/status", open(c"/proc/self/status", READ));
    say("open /proc/1/mem", open(c"/proc/1/mem", READ));
    say("open /dev/mem", open(c"/dev/mem", READ));
    say("list /", open(c"/", READ | libc::O_DIRECTORY));
    say("create /new", open(c"/new", CREATE));
    let library = own_library();
    say("read its library", open(&library, READ).map(close));
    say(
        "write its library",
        open(&library, libc::O_RDWR | libc::O_CLOEXEC),
    );
    say(
        "internet socket",
        call(
            libc::SYS_socket,
            [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0],
        ),
    );
    say(
        "unix socket",
        call(
            libc::SYS_socket,
            [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0],
        ),
    );
    say(
        "netlink socket",
        call(
            libc::SYS_socket,
            [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0, 0, 0, 0],
        ),
    );
    say(
        "kill everybody",
        call(libc::SYS_kill, [usize::MAX, 0, 0, 0, 0, 0]),
    );
    say("signal another", call(libc::SYS_tgkill, [2, 2, 0, 0, 0, 0]));
    say("pidfd", call(libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]));
    say(
        "ptrace",
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 2, 0, 0, 0, 0]),
    );
    say("be traced", call0(libc::SYS_ptrace));
    say(
        "read memory of another",
        call(libc::SYS_process_vm_readv, [2, 0, 0, 0, 0, 0]),
    );
    say(
        "mount",
        call(libc::SYS_mount, [0, address(c"/tmp"), address(c"tmpfs"), 0, 0, 0]),
    );
    say(
        "new mount api",
        call(libc::SYS_fsopen, [address(c"tmpfs"), 0, 0, 0, 0, 0]),
    );
    say(
        "unmount",
        call(libc::SYS_umount2, [address(c"/tmp"), 0, 0, 0, 0, 0]),
    );
    say(
        "chroot",
        call(libc::SYS_chroot, [address(c"/tmp"), 0, 0, 0, 0, 0]),
    );
    say(
        "unshare",
        call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]),
    );
    say("setns", call(libc::SYS_setns, [0, 0, 0, 0, 0, 0]));
    say(
        "clone with namespace",
        call(
            libc::SYS_clone,
            [(libc::CLONE_NEWUSER | libc::SIGCHLD) as usize, 0, 0, 0, 0, 0],
        ),
    );
    say("clone3", call0(libc::SYS_clone3));
    let forked = call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]);
    if forked == Ok(0) {
        // SAFETY: ends the child, which has one thread, without running anything of the parent's.
        unsafe { libc::_exit(0) }
    }
    say("fork", forked);
    // Where programs may be started, the loader is one, and nothing would be tried after it.
    let executed = if is_program { c"/tmp" } else { &library };
    say(
        "execve",
        call(libc::SYS_execve, [address(executed), 0, 0, 0, 0, 0]),
    );
    let loader = open(&library, READ).unwrap();
    let executed = open(executed, READ).unwrap();
    say(
        "execveat",
        call(
            libc::SYS_execveat,
            [executed, address(c""), 0, 0, libc::AT_EMPTY_PATH as usize, 0],
        ),
    );
    let number = OPEN_FILES as usize;
    say(
        "take the image's number",
        call(libc::SYS_dup3, [loader, number, 0, 0, 0, 0]),
    );
    say(
        "execveat at the image's number",
        call(
            libc::SYS_execveat,
            [number, address(c""), 0, 0, libc::AT_EMPTY_PATH as usize, 0],
        ),
    );
    say(
        "memfd",
        call(libc::SYS_memfd_create, [address(c"x"), 0, 0, 0, 0, 0]),
    );
    say("userfaultfd", call0(libc::SYS_userfaultfd));
    say("io_uring", call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]));
    say("bpf", call0(libc::SYS_bpf));
    say("keyctl", call0(libc::SYS_keyctl));
    say("perf", call0(libc::SYS_perf_event_open));
    say(
        "personality",
        call(libc::SYS_personality, [0x0400_0000, 0, 0, 0, 0, 0]),
    );
    say("become dumpable", prctl(libc::PR_SET_DUMPABLE, 1));
    say("outlive the monitor", prctl(libc::PR_SET_PDEATHSIG, 0));
    say("become id 0", call(libc::SYS_setresuid, [0, 0, 0, 0, 0, 0]));
    say(
        "raise a limit",
        call(
            libc::SYS_prlimit64,
            [
                0,
                libc::RLIMIT_NOFILE as usize,
                address(c"12345678123456781234567812345678"),
                0,
                0,
                0,
            ],
        ),
    );
    say(
        "ioctl",
        call(libc::SYS_ioctl, [0, libc::TIOCSTI as usize, 0, 0, 0, 0]),
    );
    say(
        "make a doorbell not block",
        call(
            libc::SYS_fcntl,
            [
                DOORBELL as usize,
                libc::F_SETFL as usize,
                libc::O_NONBLOCK as usize,
                0,
                0,
                0,
            ],
        ),
    );
    say(
        "signals from a descriptor",
        call(
            libc::SYS_fcntl,
            [DOORBELL as usize, libc::F_SETOWN as usize, 1, 0, 0, 0],
        ),
    );
    say(
        "shared anonymous memory",
        map(4096, RW, libc::MAP_SHARED | ANONYMOUS, -1),
    );
    say(
        "growing memory",
        map(4096, RW, libc::MAP_PRIVATE | libc::MAP_GROWSDOWN | ANONYMOUS, -1),
    );
    say(
        "leave its CPU",
        call(
            libc::SYS_sched_setaffinity,
            [0, 8, address(c"\xff\xff\xff\xff\xff\xff\xff\xff"), 0, 0, 0],
        ),
    );
    let file = open(c"/tmp/code", libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC).unwrap();
    call(libc::SYS_ftruncate, [file, 4096, 0, 0, 0, 0]).unwrap();
    say(
        "run code from scratch",
        map(
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE,
            i32::try_from(file).unwrap(),
        ),
    );
    say(
        "symbolic link",
        call(
            libc::SYS_symlinkat,
            [address(c"/etc"), at_cwd(), address(c"/tmp/link"), 0, 0, 0],
        ),
    );
    say(
        "device",
        call(
            libc::SYS_mknodat,
            [at_cwd(), address(c"/tmp/null"), 0o20666, 0x103, 0, 0],
        ),
    );
    say(
        "change a mode",
        call(libc::SYS_fchmod, [file, 0o4777, 0, 0, 0, 0]),
    );
    say(
        "send descriptors",
        call(libc::SYS_sendmsg, [SOCKET as usize, 0, 0, 0, 0, 0]),
    );
    say(
        "seccomp listener",
        call(
            libc::SYS_seccomp,
            [1, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as usize, 0, 0, 0, 0],
        ),
    );
}

fn close(fd: usize) -> usize {
    call(libc::SYS_close, [fd, 0, 0, 0, 0, 0]).unwrap()
}

fn prctl(option: i32, value: usize) -> Result<usize, Errno> {
    call(libc::SYS_prctl, [option as usize, value, 0, 0, 0, 0])
}

/// A shared object that this program was started with, the loader if possible.
fn own_library() -> CString {
    CString::new(std::env::var("LIBRARY").unwrap()).unwrap()
}

/// What other layers refuse when seccomp is not there to refuse it first. Arguments: the monitor's process
/// id, a TCP port and an abstract socket on which it listens.
fn outside(args: &[String]) {
    let [monitor, port, socket] = args else {
        panic!("three arguments")
    };
    let monitor: usize = monitor.parse().unwrap();
    let from_io = |error: std::io::Error| Errno::from_io_error(&error).unwrap();
    say("open /etc/os-release", open(c"/etc/os-release", libc::O_RDONLY));
    say("open /proc", open(c"/proc/self/status", libc::O_RDONLY));
    say("list /", open(c"/", libc::O_RDONLY | libc::O_DIRECTORY));
    say("create /new", open(c"/new", libc::O_CREAT | libc::O_WRONLY));
    let port: u16 = port.parse().unwrap();
    say(
        "connect by TCP",
        std::net::TcpStream::connect(("127.0.0.1", port))
            .map(|_| 0)
            .map_err(from_io),
    );
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|udp| udp.send_to(b"x", ("127.0.0.1", port)));
    say("send by UDP", udp.map_err(from_io));
    let name =
        <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(socket);
    let connected = name.and_then(|name| std::os::unix::net::UnixStream::connect_addr(&name));
    say(
        "connect to an abstract socket",
        connected.map(|_| 0).map_err(from_io),
    );
    say(
        "signal the monitor",
        call(libc::SYS_kill, [monitor, 0, 0, 0, 0, 0]),
    );
    say(
        "trace the monitor",
        call(
            libc::SYS_ptrace,
            [libc::PTRACE_ATTACH as usize, monitor, 0, 0, 0, 0],
        ),
    );
    say(
        "mount",
        call(libc::SYS_mount, [0, address(c"/tmp"), address(c"tmpfs"), 0, 0, 0]),
    );
    say(
        "execute its library",
        call(libc::SYS_execve, [address(c"/tmp"), 0, 0, 0, 0, 0]),
    );
    say("become id 0", call(libc::SYS_setresuid, [0, 0, 0, 0, 0, 0]));
    say(
        "set the time",
        call(
            libc::SYS_settimeofday,
            [address(c"0123456789abcdef"), 0, 0, 0, 0, 0],
        ),
    );
}

/// What a function does need.
fn work() {
    let pid = call0(libc::SYS_getpid).unwrap();
    println!(
        "process {pid}, user {}, group {}",
        call0(libc::SYS_getuid).unwrap(),
        call0(libc::SYS_getgid).unwrap()
    );
    println!("host {}", rustix::system::uname().nodename().to_string_lossy());
    let mut env: Vec<String> = std::env::vars().map(|(key, _)| key).collect();
    env.sort();
    println!("environment {}", env.join(" "));
    let is_open =
        |&fd: &i32| call(libc::SYS_fcntl, [fd as usize, libc::F_GETFD as usize, 0, 0, 0, 0]).is_ok();
    println!("descriptors {:?}", (0..1024).filter(is_open).collect::<Vec<_>>());
    println!("dumpable {}", prctl(libc::PR_GET_DUMPABLE, 0).unwrap());

    let sum: usize = std::thread::scope(|scope| {
        let threads = [1, 2, 3].map(|n| scope.spawn(move || vec![n; 1 << 20].into_iter().sum::<usize>()));
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("threads {}", sum >> 20);

    std::fs::create_dir("/tmp/d").unwrap();
    std::fs::write("/tmp/d/a", b"scratch").unwrap();
    std::fs::rename("/tmp/d/a", "/tmp/d/b").unwrap();
    assert_eq!(std::fs::read("/tmp/d/b").unwrap(), b"scratch");
    assert_eq!(std::fs::read_dir("/tmp/d").unwrap().count(), 1);
    std::fs::remove_file("/tmp/d/b").unwrap();
    std::fs::remove_dir("/tmp/d").unwrap();
    println!("scratch works");

    let mut rung = [0_u8; 8];
    call(
        libc::SYS_read,
        [
            DOORBELL as usize,
            rung.as_mut_ptr().expose_provenance(),
            8,
            0,
            0,
            0,
        ],
    )
    .unwrap();
    println!("doorbell {}", u64::from_ne_bytes(rung));

    let [reader, writer] = receive_descriptors();
    let (shared, rw) = (libc::MAP_SHARED, libc::PROT_READ | libc::PROT_WRITE);
    let mine = map(4096, rw, shared, writer.as_raw_fd()).unwrap();
    // SAFETY: the mapping was just made, is writable, and lives until the process ends.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(mine).write_volatile(b'!') };
    let theirs = map(4096, libc::PROT_READ, shared, reader.as_raw_fd()).unwrap();
    // SAFETY: the mapping was just made, is readable, and lives until the process ends.
    let byte = unsafe { std::ptr::with_exposed_provenance::<u8>(theirs).read_volatile() };
    println!("region {}", char::from(byte));
    say(
        "map a reader's region for writing",
        map(4096, rw, shared, reader.as_raw_fd()),
    );
    say(
        "protect it for writing",
        call(libc::SYS_mprotect, [theirs, 4096, rw as usize, 0, 0, 0]),
    );
    say(
        "write it",
        call(
            libc::SYS_pwrite64,
            [reader.as_raw_fd() as usize, address(c"x"), 1, 0, 0, 0],
        ),
    );
    say(
        "truncate it",
        call(libc::SYS_ftruncate, [writer.as_raw_fd() as usize, 0, 0, 0, 0, 0]),
    );
    let again = CString::new(format!("/proc/self/fd/{}", reader.as_raw_fd())).unwrap();
    say("open it again", open(&again, libc::O_RDWR));

    // SAFETY: inherited at this number, and nothing else in this process uses it.
    let mut socket = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(SOCKET) });
    socket.write_all(b"done").unwrap();
}

fn receive_descriptors() -> [OwnedFd; 2] {
    use rustix::net::sockopt::{socket_domain, socket_type};
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // SAFETY: inherited at this number, open for the whole call.
    let socket = unsafe { BorrowedFd::borrow_raw(SOCKET) };
    assert_eq!(socket_type(socket), Ok(rustix::net::SocketType::SEQPACKET));
    assert_eq!(socket_domain(socket), Ok(rustix::net::AddressFamily::UNIX));
    let mut into = [std::io::IoSliceMut::new(&mut byte)];
    recvmsg(socket, &mut into, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let message = control.drain().next().unwrap();
    let RecvAncillaryMessage::ScmRights(rights) = message else {
        panic!("descriptors")
    };
    let received: Vec<OwnedFd> = rights.collect();
    received.try_into().unwrap()
}

/// Changes what a name or an owner's right is enough for. No file has the last descriptor, so what is let
/// through fails otherwise than what is refused.
fn change_files(path: &str) {
    let path = CString::new(path).unwrap();
    let (name, none) = (address(&path), OPEN_FILES as usize - 1);
    #[cfg(target_arch = "x86_64")]
    say("chmod", call(libc::SYS_chmod, [name, 0o600, 0, 0, 0, 0]));
    let calls: [(&str, libc::c_long, [usize; 6]); 7] = [
        ("fchmod", libc::SYS_fchmod, [none, 0o600, 0, 0, 0, 0]),
        ("fchmodat", libc::SYS_fchmodat, [at_cwd(), name, 0o600, 0, 0, 0]),
        ("fchmodat2", libc::SYS_fchmodat2, [at_cwd(), name, 0o600, 0, 0, 0]),
        ("utimensat", libc::SYS_utimensat, [at_cwd(), name, 0, 0, 0, 0]),
        ("futimens", libc::SYS_utimensat, [none, 0, 0, 0, 0, 0]),
        ("truncate", libc::SYS_truncate, [name, 0, 0, 0, 0, 0]),
        (
            "flock",
            libc::SYS_flock,
            [none, libc::LOCK_EX as usize, 0, 0, 0, 0],
        ),
    ];
    for (name, number, args) in calls {
        say(name, call(number, args));
    }
}

/// System calls that ordinary libraries make, and what is next to each and must stay refused.
fn ordinary() {
    let flat = |result: std::io::Result<()>| {
        result
            .map(|()| 0)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
    };
    std::fs::write("/tmp/a", b"copied").unwrap();
    say("copy a file", flat(std::fs::copy("/tmp/a", "/tmp/b").map(drop)));
    let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
    say("chmod", flat(std::fs::set_permissions("/tmp/b", mode(0o600))));
    say(
        "chmod set-user",
        flat(std::fs::set_permissions("/tmp/b", mode(0o4700))),
    );
    let library = own_library();
    let library = library.to_str().unwrap();
    say(
        "chmod its library",
        flat(std::fs::set_permissions(library, mode(0o600))),
    );
    say(
        "copy over its library",
        flat(std::fs::copy("/tmp/a", library).map(drop)),
    );
    let (file, other) = (
        std::fs::File::open("/tmp/a").unwrap(),
        std::fs::File::open("/tmp/a").unwrap(),
    );
    say("lock", flat(file.lock()));
    println!(
        "lock twice: {}",
        matches!(other.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    );
    say("POSIX lock", posix_lock(&file, libc::F_SETLK));
    say("lock of an open file", posix_lock(&file, libc::F_OFD_SETLK));
    say("hard link", flat(std::fs::hard_link("/tmp/a", "/tmp/c")));
    say(
        "hard link to its library",
        flat(std::fs::hard_link(library, "/tmp/d")),
    );
    say("pipe", flat(std::io::pipe().map(drop)));
    let pair = std::os::unix::net::UnixStream::pair();
    say(
        "socket pair",
        flat(pair.as_ref().map(|_| ()).map_err(|_| ErrorKind::Other.into())),
    );
    let (mut left, mut right) = pair.unwrap();
    left.write_all(b"x").unwrap();
    right.read_exact(&mut [0]).unwrap();
    say("close one way", flat(left.shutdown(std::net::Shutdown::Write)));
    let pair_of = |family: i32| {
        call(
            libc::SYS_socketpair,
            [family as usize, 1, 0, address(c"12345678"), 0, 0],
        )
    };
    say("internet socket pair", pair_of(libc::AF_INET));
    say("netlink socket pair", pair_of(libc::AF_NETLINK));
    say(
        "bind the pair",
        call(libc::SYS_bind, [right.as_raw_fd() as usize, 0, 0, 0, 0, 0]),
    );
    say(
        "listen on the pair",
        call(libc::SYS_listen, [right.as_raw_fd() as usize, 1, 0, 0, 0, 0]),
    );
    say(
        "connect the pair",
        call(libc::SYS_connect, [right.as_raw_fd() as usize, 0, 0, 0, 0, 0]),
    );
    say("epoll", call(libc::SYS_epoll_create1, [0; 6]).map(close));
    say(
        "timer",
        call(
            libc::SYS_timerfd_create,
            [libc::CLOCK_MONOTONIC as usize, 0, 0, 0, 0, 0],
        )
        .map(close),
    );
    say("splice", call(libc::SYS_splice, [0; 6]));
    devices();
}

/// Sockets of every kind that exists of the families that programs may use, and kinds that the kernel would
/// look for a module for.
fn sockets() {
    let families = [
        ("unix", libc::AF_UNIX),
        ("IPv4", libc::AF_INET),
        ("IPv6", libc::AF_INET6),
    ];
    let kinds = [
        ("stream", libc::SOCK_STREAM),
        ("datagram", libc::SOCK_DGRAM),
        ("seqpacket", libc::SOCK_SEQPACKET),
        ("raw", libc::SOCK_RAW),
        ("rdm", libc::SOCK_RDM),
        ("dccp", libc::SOCK_DCCP),
    ];
    let protocols = [
        ("default", 0),
        ("ICMP", libc::IPPROTO_ICMP),
        ("TCP", libc::IPPROTO_TCP),
        ("UDP", libc::IPPROTO_UDP),
        ("DCCP", libc::IPPROTO_DCCP),
        ("GRE", libc::IPPROTO_GRE),
        ("ICMPv6", libc::IPPROTO_ICMPV6),
        ("SCTP", libc::IPPROTO_SCTP),
        ("UDP-Lite", libc::IPPROTO_UDPLITE),
        ("raw", libc::IPPROTO_RAW),
        ("MPTCP", libc::IPPROTO_MPTCP),
        ("none", 300),
    ];
    for (family_name, family) in families {
        for (kind_name, kind) in kinds {
            for (protocol_name, protocol) in protocols {
                let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
                for (flags_name, flags) in [("", 0), (", with flags", flags)] {
                    let [family, kind, protocol] =
                        [family, kind | flags, protocol].map(|number| number as usize);
                    let made = call(libc::SYS_socket, [family, kind, protocol, 0, 0, 0]);
                    let name = format!("{family_name} {kind_name} {protocol_name}{flags_name}");
                    say(&name, made.map(close));
                }
            }
        }
    }
}

fn posix_lock(file: &std::fs::File, command: i32) -> Result<usize, Errno> {
    let lock = [0_u64; 4];
    call(
        libc::SYS_fcntl,
        [
            file.as_raw_fd() as usize,
            command as usize,
            lock.as_ptr().expose_provenance(),
            0,
            0,
            0,
        ],
    )
}

fn devices() {
    println!("null: {:?}", std::fs::write("/dev/null", b"gone").is_ok());
    println!(
        "null read: {:?}",
        std::fs::read("/dev/null").map(|bytes| bytes.len()).ok()
    );
    let mut bytes = [1_u8; 16];
    let zero = std::fs::File::open("/dev/zero").and_then(|mut zero| zero.read_exact(&mut bytes));
    println!("zero: {}", zero.is_ok() && bytes == [0; 16]);
    let random = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
    println!("random: {}", random.is_ok() && bytes != [0; 16]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    println!(
        "full: {:?}",
        full.and_then(|mut full| full.write_all(b"x"))
            .map_err(|error| error.kind())
    );
    let refused = |result: std::io::Result<()>| result.is_err();
    println!(
        "random written refused: {}",
        refused(std::fs::write("/dev/urandom", b"x"))
    );
    println!(
        "zero opened for writing refused: {}",
        refused(
            std::fs::OpenOptions::new()
                .write(true)
                .open("/dev/zero")
                .map(drop)
        )
    );
    println!(
        "new in /dev refused: {}",
        refused(std::fs::write("/dev/new", b"x"))
    );
    println!(
        "null removed refused: {}",
        refused(std::fs::remove_file("/dev/null"))
    );
    println!(
        "list /dev refused: {}",
        refused(std::fs::read_dir("/dev").map(drop))
    );
    println!("local time: {:?}", std::fs::read_link("/etc/localtime").ok());
    let zones = Path::new("/usr/share/zoneinfo");
    let there = zones.join("Etc/UTC").exists();
    println!(
        "time zones: {}",
        !there || std::fs::read("/etc/localtime").is_ok_and(|zone| zone.starts_with(b"TZif"))
    );
    println!(
        "new zone refused: {}",
        refused(std::fs::write(zones.join("Etc/New"), b"x"))
    );
}

/// Installs the program that comes by the socket, and tries what it shall refuse.
fn lockdown() {
    const CODE: i32 = libc::PROT_READ | libc::PROT_EXEC;
    const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: inherited at this number, and nothing else in this process uses it.
    let mut socket = std::fs::File::from(unsafe { OwnedFd::from_raw_fd(SOCKET) });
    let mut program = vec![0_u8; 16 * 1024];
    let len = socket.read(&mut program).unwrap();
    let page = map(4096, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, -1).unwrap();
    say("before: map code", map(4096, CODE, ANONYMOUS, -1));

    let filters: Vec<libc::sock_filter> = program[..len]
        .chunks_exact(8)
        .map(|f| libc::sock_filter {
            code: u16::from_ne_bytes([f[0], f[1]]),
            jt: f[2],
            jf: f[3],
            k: u32::from_ne_bytes([f[4], f[5], f[6], f[7]]),
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filters.len()).unwrap(),
        filter: filters.as_ptr().cast_mut(),
    };
    let install = || {
        call(
            libc::SYS_seccomp,
            [1, 0, (&raw const program).expose_provenance(), 0, 0, 0],
        )
    };
    say("install", install());
    say("map code", map(4096, CODE, ANONYMOUS, -1));
    say(
        "make data code",
        call(libc::SYS_mprotect, [page, 4096, CODE as usize, 0, 0, 0]),
    );
    let library = open(&own_library(), libc::O_RDONLY).unwrap();
    say(
        "map a library's code",
        map(4096, CODE, libc::MAP_PRIVATE, i32::try_from(library).unwrap()),
    );
    say(
        "execute",
        call(
            libc::SYS_execveat,
            [
                OPEN_FILES as usize,
                address(c""),
                0,
                0,
                libc::AT_EMPTY_PATH as usize,
                0,
            ],
        ),
    );
    say("further filters", install());
    say("no_new_privs", prctl(libc::PR_SET_NO_NEW_PRIVS, 1));
    say("name a thread", prctl(libc::PR_SET_NAME, address(c"name")));
    say(
        "map data",
        map(4096, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, -1),
    );
    let thread = std::thread::spawn(|| vec![1_u8; 1 << 20].len());
    println!("thread: {}", thread.join().unwrap());
}

/// Takes of everything until the limit says no.
fn exhaust() {
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    let all = usize::try_from(MEMORY_BYTES).unwrap();
    say(
        "all of the memory",
        map(all, rw, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1),
    );
    let mut vector: Vec<u8> = Vec::new();
    println!(
        "allocate: {}",
        if vector.try_reserve(all).is_ok() {
            "ok"
        } else {
            "ENOMEM"
        }
    );

    let mut file = std::fs::File::create("/tmp/large").unwrap();
    let written = file.write_all(&vec![1; usize::try_from(SCRATCH_BYTES).unwrap() + 1]);
    println!("one large file: {:?}", written.unwrap_err().kind());
    drop(file);
    let mut second = std::fs::File::create("/tmp/second").unwrap();
    println!(
        "a second one: {:?}",
        second.write_all(&[1; 65536]).unwrap_err().kind()
    );

    let mut opened = Vec::new();
    let refused = loop {
        match std::fs::File::open("/tmp/large") {
            Ok(file) => opened.push(file),
            Err(error) => break error,
        }
    };
    say("descriptors", Err(Errno::from_io_error(&refused).unwrap()));
    drop(opened);

    let (keep, hold) = std::sync::mpsc::channel::<()>();
    let hold = std::sync::Arc::new(std::sync::Mutex::new(hold));
    let mut threads = 1;
    let refused = loop {
        let hold = std::sync::Arc::clone(&hold);
        match std::thread::Builder::new()
            .stack_size(65536)
            .spawn(move || drop(hold.lock().map(|hold| hold.recv())))
        {
            Ok(_) => threads += 1,
            Err(error) => break error.kind(),
        }
    };
    println!(
        "threads: {threads}, then {}",
        if refused == ErrorKind::WouldBlock {
            "EAGAIN"
        } else {
            "another error"
        }
    );
    drop(keep);
}

/// Says that it runs, and sleeps until it is killed.
/// Until it is killed: it must not end by itself, for instance because what it waits for is closed.
fn wait() -> ! {
    println!("waiting");
    loop {
        std::thread::park();
    }
}

/// As a gateway or daemon: answers one connection on the socket it was given, with epoll and an eventfd
/// beside it.
fn serve() {
    // SAFETY: inherited at this number, and nothing else in this process uses it.
    let listener = std::net::TcpListener::from(unsafe { OwnedFd::from_raw_fd(SOCKET) });
    let set_mode = |mode: i32| {
        let number = listener.as_raw_fd() as usize;
        call(
            libc::SYS_fcntl,
            [number, libc::F_SETFL as usize, mode as usize, 0, 0, 0],
        )
    };
    say("set non-blocking mode", set_mode(libc::O_NONBLOCK));
    // Whoever writes to a pipe that several have must not be made to wait by one of them.
    say("set blocking mode", set_mode(0));
    say("set packet mode", set_mode(libc::O_NONBLOCK | libc::O_DIRECT));
    let blocks = 0_i32;
    let blocks = (&raw const blocks).expose_provenance();
    let number = listener.as_raw_fd() as usize;
    say(
        "set blocking mode by ioctl",
        call(libc::SYS_ioctl, [number, libc::FIONBIO as usize, blocks, 0, 0, 0]),
    );
    let lingers = libc::linger {
        l_onoff: 1,
        l_linger: 60,
    };
    let lingers = (&raw const lingers).expose_provenance();
    let (level, option) = (libc::SOL_SOCKET as usize, libc::SO_LINGER as usize);
    say(
        "have whoever closes a socket wait",
        call(libc::SYS_setsockopt, [number, level, option, lingers, 8, 0]),
    );
    let epoll = call(
        libc::SYS_epoll_create1,
        [libc::EPOLL_CLOEXEC as usize, 0, 0, 0, 0, 0],
    )
    .unwrap();
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN.unsigned_abs(),
        u64: 1,
    };
    let event = (&raw mut event).expose_provenance();
    call(
        libc::SYS_epoll_ctl,
        [
            epoll,
            libc::EPOLL_CTL_ADD as usize,
            listener.as_raw_fd() as usize,
            event,
            0,
            0,
        ],
    )
    .unwrap();
    say("eventfd", call(libc::SYS_eventfd2, [0, 0, 0, 0, 0, 0]));
    call(
        libc::SYS_epoll_pwait,
        [epoll, event, 1, usize::MAX, null_mut::<u8>().addr(), 8],
    )
    .unwrap();
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_nodelay(true).unwrap();
    let mut request = [0; 4];
    connection.read_exact(&mut request).unwrap();
    connection.write_all(&request).unwrap();
    connecting_by_sending(connection.as_raw_fd());
    connection.shutdown(std::net::Shutdown::Write).unwrap();
    println!("served");
    say(
        "socket",
        call(
            libc::SYS_socket,
            [libc::AF_INET as usize, libc::SOCK_STREAM as usize, 0, 0, 0, 0],
        ),
    );
    say(
        "connect",
        call(
            libc::SYS_connect,
            [connection.as_raw_fd() as usize, 0, 0, 0, 0, 0],
        ),
    );
    say(
        "execve",
        call(libc::SYS_execve, [address(c"/tmp"), 0, 0, 0, 0, 0]),
    );
    say(
        "fork",
        call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]),
    );
    say(
        "ptrace",
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 2, 0, 0, 0, 0]),
    );
    say(
        "read memory of another",
        call(libc::SYS_process_vm_readv, [2, 0, 0, 0, 0, 0]),
    );
    say("open /etc/os-release", open(c"/etc/os-release", libc::O_RDONLY));
    say(
        "attach a program to a socket",
        call(
            libc::SYS_setsockopt,
            [
                connection.as_raw_fd() as usize,
                libc::SOL_SOCKET as usize,
                libc::SO_ATTACH_FILTER as usize,
                0,
                0,
                0,
            ],
        ),
    );
}

/// Sends in ways that connect a socket which is not connected, and would to wherever an address says.
fn connecting_by_sending(socket: i32) {
    let socket = socket as usize;
    let fast_open = (libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL) as usize;
    // SAFETY: zeros are an address of no family, and a message of nothing to no address.
    let (address, message): (libc::sockaddr_in, libc::msghdr) = unsafe { std::mem::zeroed() };
    let address = (&raw const address).expose_provenance();
    let message = (&raw const message).expose_provenance();
    let len = size_of::<libc::sockaddr_in>();
    let text = c"x".as_ptr().expose_provenance();
    for (name, args) in [
        ("send with fast open", [socket, text, 1, fast_open, 0, 0]),
        ("send to an address", [socket, text, 1, 0, address, len]),
        (
            "send to an address with fast open",
            [socket, text, 1, fast_open, address, len],
        ),
    ] {
        say(name, call(libc::SYS_sendto, args));
    }
    say(
        "send a message with fast open",
        call(libc::SYS_sendmsg, [socket, message, fast_open, 0, 0, 0]),
    );
}

/// What of a folder with a file `file` in it could be changed.
fn changed(folder: &Path) -> String {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    let file = folder.join("file");
    let all = fs::Permissions::from_mode(0o777);
    let open = fs::OpenOptions::new().append(true).open(&file).map(drop);
    let attempts = [
        ("appended", open),
        ("created", fs::write(folder.join("new"), "x")),
        ("made a folder", fs::create_dir(folder.join("folder"))),
        ("removed", fs::remove_file(&file)),
        ("renamed", fs::rename(&file, folder.join("renamed"))),
        ("linked", fs::hard_link(&file, folder.join("linked"))),
        ("changed its mode", fs::set_permissions(&file, all.clone())),
        ("changed the folder's mode", fs::set_permissions(folder, all)),
    ];
    let done = attempts
        .into_iter()
        .filter_map(|(what, result)| result.ok().map(|()| what));
    match done.collect::<Vec<_>>().join(", ").as_str() {
        "" => "nothing".to_owned(),
        done => done.to_owned(),
    }
}

/// All that is in the root but what lies below time zones: a line for each file and each empty folder.
fn find() {
    let mut waiting = vec![Path::new("/").to_owned()];
    while let Some(folder) = waiting.pop() {
        let mut entries = std::fs::read_dir(&folder).unwrap().peekable();
        let is_end = entries.peek().is_none() || folder.ends_with("zoneinfo");
        if is_end {
            println!("{}", folder.display());
            continue;
        }
        for entry in entries.map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                waiting.push(entry.path());
            } else {
                println!("{}", entry.path().display());
            }
        }
    }
}

/// What a file, or what is in a folder, can be opened for.
fn uses(path: &Path) -> &'static str {
    let is_folder = path.is_dir();
    let reads = match is_folder {
        true => std::fs::read_dir(path).is_ok(),
        false => std::fs::File::open(path).is_ok(),
    };
    let writes = match is_folder {
        true => std::fs::write(path.join("new"), b"").is_ok(),
        false => std::fs::OpenOptions::new().write(true).open(path).is_ok(),
    };
    match (reads, writes) {
        (true, true) => "read and write",
        (true, false) => "read",
        (false, _) => "nothing",
    }
}

/// This executable, among the files of a function that starts it.
pub(crate) const PROGRAM: &str = "/opt/program";

fn started(what: &str) -> std::process::Command {
    use std::os::unix::process::CommandExt;
    let mut command = std::process::Command::new(PROGRAM);
    command.arg0("jailed").arg(what);
    command
}

/// What a function with programs does, and what is next to each and must stay refused.
fn programs() {
    let ok = |result: std::io::Result<bool>| match result {
        Ok(true) => "ok".to_owned(),
        Ok(false) => "wrong".to_owned(),
        Err(error) => Errno::from_io_error(&error).map_or_else(|| error.to_string(), errno_name),
    };
    let show = |name: &str, result| println!("{name}: {}", ok(result));
    show(
        "start a program",
        started("fail").status().map(|status| status.code() == Some(7)),
    );
    let said = started("say").output();
    show("read what it says", said.map(|output| output.stdout == b"said\n"));
    let killed = started("wait")
        .stdout(std::process::Stdio::null())
        .spawn()
        .and_then(|mut child| {
            child.kill()?;
            child.wait().map(|status| !status.success())
        });
    show("kill it", killed);
    let written = std::fs::copy("/opt/small", "/tmp/small").and_then(|_| {
        let mode = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode;
        std::fs::set_permissions("/tmp/small", mode(0o700))
    });
    show("write a program", written.map(|()| true));
    show(
        "start it",
        std::process::Command::new("/tmp/small").status().map(|_| true),
    );
    show(
        "link",
        std::os::unix::fs::symlink("/opt/small", "/tmp/link").map(|()| true),
    );
    for address in ["127.0.0.1:0", "[::1]:0"] {
        show(
            &format!("connect to {}", address.trim_end_matches(":0")),
            over_tcp(address),
        );
    }
    let udp = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| {
        socket.send_to(b"x", socket.local_addr()?)?;
        Ok(socket.recv_from(&mut [0; 8])?.0 == 1)
    });
    show("UDP", udp);
    let unix = std::os::unix::net::UnixListener::bind("/tmp/socket").and_then(|listener| {
        let mut there = std::os::unix::net::UnixStream::connect("/tmp/socket")?;
        there.write_all(b"x")?;
        listener.accept()?.0.read_exact(&mut [0])?;
        Ok(true)
    });
    show("a socket in the scratch directory", unix);
    show(
        "connect to the internet",
        std::net::TcpStream::connect("192.0.2.1:80").map(|_| true),
    );
    let beyond = std::net::TcpStream::connect(("127.0.0.1", 22));
    show("connect to a port of the machine", beyond.map(|_| true));
    code();
    for (name, family, kind, protocol) in [
        ("netlink", libc::AF_NETLINK, libc::SOCK_RAW, 0),
        ("the hypervisor's sockets", libc::AF_VSOCK, libc::SOCK_STREAM, 0),
        ("packet sockets", libc::AF_PACKET, libc::SOCK_RAW, 0),
        ("the kernel's ciphers", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("raw sockets", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
        ("SCTP", libc::AF_INET, libc::SOCK_STREAM, 132),
        ("multipath TCP", libc::AF_INET, libc::SOCK_STREAM, 262),
    ] {
        let [family, kind, protocol] = [family, kind, protocol].map(|number| number as usize);
        say(
            name,
            call(libc::SYS_socket, [family, kind, protocol, 0, 0, 0]).map(close),
        );
    }
    let pair = std::os::unix::net::UnixStream::pair().unwrap();
    let number = pair.0.as_raw_fd() as usize;
    let flags = |flags: i32| [number, libc::F_SETFL as usize, flags as usize, 0, 0, 0];
    say(
        "non-blocking mode",
        call(libc::SYS_fcntl, flags(libc::O_NONBLOCK)),
    );
    say("blocking mode", call(libc::SYS_fcntl, flags(0)));
    show("the same by ioctl", pair.0.set_nonblocking(true).map(|()| true));
    say("packets in pipes", call(libc::SYS_fcntl, flags(libc::O_DIRECT)));
    say(
        "signals from a descriptor",
        call(libc::SYS_fcntl, flags(libc::O_ASYNC)),
    );
    for (name, option) in [
        ("linger", libc::SO_LINGER),
        ("a program for packets", libc::SO_ATTACH_FILTER),
        ("who the peer is", libc::SO_PEERCRED),
    ] {
        let call_number = if name == "who the peer is" {
            libc::SYS_getsockopt
        } else {
            libc::SYS_setsockopt
        };
        let arguments = [number, libc::SOL_SOCKET as usize, option as usize, 0, 0, 0];
        say(name, call(call_number, arguments));
    }
    let file = std::fs::File::create("/tmp/locked").unwrap();
    say("POSIX lock", posix_lock(&file, libc::F_SETLK));
    say("POSIX lock, waiting", posix_lock(&file, libc::F_SETLKW));
    show("lock", file.lock().map(|()| true));
}

fn over_tcp(address: &str) -> std::io::Result<bool> {
    let listener = std::net::TcpListener::bind(address)?;
    let mut there = std::net::TcpStream::connect(listener.local_addr()?)?;
    there.set_nodelay(true)?;
    there.write_all(b"ping")?;
    let mut here = [0; 4];
    listener.accept()?.0.read_exact(&mut here)?;
    Ok(&here == b"ping")
}

/// Ways to make code of what was written.
fn code() {
    const CODE: i32 = libc::PROT_READ | libc::PROT_EXEC;
    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
    const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    say("map code", map(4096, CODE, ANONYMOUS, -1));
    say("map writable code", map(4096, CODE | RW, ANONYMOUS, -1));
    let page = map(4096, RW, ANONYMOUS, -1).unwrap();
    let protect =
        |page: usize, protection: i32| call(libc::SYS_mprotect, [page, 4096, protection as usize, 0, 0, 0]);
    say("make data code", protect(page, CODE));
    let library = i32::try_from(open(&own_library(), libc::O_RDONLY | libc::O_CLOEXEC).unwrap()).unwrap();
    let of_library = map(4096, CODE, libc::MAP_PRIVATE, library);
    say("map a library's code", of_library);
    say(
        "map it writable",
        map(4096, CODE | RW, libc::MAP_PRIVATE, library),
    );
    say("map it shared", map(4096, CODE, libc::MAP_SHARED, library));
    if let Ok(page) = of_library {
        say("take its right to run", protect(page, RW));
        say("give it back", protect(page, CODE));
    }
}

/// A program that was started by a function: what it can do to the one that has started it, which is process
/// 1.
fn kin() {
    say(
        "signal the function",
        call(libc::SYS_kill, [1, libc::SIGKILL as usize, 0, 0, 0, 0]),
    );
    say(
        "signal everybody",
        call(libc::SYS_kill, [usize::MAX, libc::SIGKILL as usize, 0, 0, 0, 0]),
    );
    say(
        "trace the function",
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH as usize, 1, 0, 0, 0, 0]),
    );
    say(
        "read its memory",
        call(libc::SYS_process_vm_readv, [1, 0, 0, 0, 0, 0]),
    );
    say(
        "write its memory",
        call(libc::SYS_process_vm_writev, [1, 0, 0, 0, 0, 0]),
    );
    say("open its memory", open(c"/proc/1/mem", libc::O_RDONLY));
    let pidfd = call(libc::SYS_pidfd_open, [1, 0, 0, 0, 0, 0]);
    say("a descriptor of it", pidfd);
    let pidfd = pidfd.unwrap_or(usize::MAX);
    say(
        "take its channel",
        call(libc::SYS_pidfd_getfd, [pidfd, SOCKET as usize, 0, 0, 0, 0]),
    );
    say(
        "advise its memory",
        call(libc::SYS_process_madvise, [pidfd, 0, 0, 0, 0, 0]),
    );
    say("its namespaces", call(libc::SYS_setns, [pidfd, 0, 0, 0, 0, 0]));
    say(
        "compare its descriptors",
        call(libc::SYS_kcmp, [1, 2, 0, 0, 0, 0]),
    );
    say("its limits", call(libc::SYS_prlimit64, [1, 0, 0, 0, 0, 0]));
    say("a session of its own", call0(libc::SYS_setsid));
    say("outlive the function", prctl(libc::PR_SET_PDEATHSIG, 0));
    say("become dumpable", prctl(libc::PR_SET_DUMPABLE, 1));
    println!("process {}", std::process::id());
}

/// Leaves a program behind that nobody waits for, and says that it runs.
#[expect(clippy::zombie_processes, reason = "this is what it is for")]
fn orphan() -> ! {
    let mut child = started("wait")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 8];
    child.stdout.take().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"waiting\n");
    wait()
}
