//! The way of a child from clone to exec: rights are taken away one after the other, and nothing gives any
//! back.
//!
//! The order matters. What needs capabilities comes before they are dropped; what makes new threads of attack
//! (the file system, descriptors) comes before the filters; the filters come last, because they would forbid
//! the rest; the parent-death signal comes after every change of identity, because such a change clears it.
#![allow(unsafe_code, reason = "signal dispositions and execveat have no safe wrapper")]

use super::binding;
use super::descriptors::{Output, close_all_but, forget, lift, place, raise_limit};
use super::files::Files;
use super::identity::{HostIds, INSIDE_ID, change_ids};
use super::image::Image;
use super::layers::{Layer, Layers};
use super::library::Library;
use super::limits::Limits;
use super::provisions::{FixedFile, Provision};
use super::seccomp::{Role, StageOne, Subject};
use super::step::Step;
use super::{capabilities, landlock, limits, network, root};
use crate::linux::patience::until_readable;
use ::landlock::{AccessFs, BitFlags};
use core::time::Duration;
use hacher_libos_net::attach::seqpacket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read, write};
use rustix::net::SendFlags;
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal, setpgid, setsid, umask,
};
use rustix::system::sethostname;
use rustix::thread::{CpuSet, sched_setaffinity, set_no_new_privs};
use std::convert::Infallible;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most descriptors that a process can be started with, besides the standard ones.
pub(super) const INHERIT_MAX: u32 = 256;
/// Longest wait for a report of the child. All of its steps take a few milliseconds together; on a machine
/// that is this much slower nothing can be served.
const REPORT_MAX: Duration = Duration::from_secs(5);
/// What the child's exit code is when it reported a failure; nobody sees it.
const FAILED: i32 = 255;

/// What the child works off, made ready by the parent.
pub(super) struct Orders<'a> {
    pub(super) name: &'a str,
    pub(super) image: &'a Image,
    /// The descriptor number of the image: the first that the program itself can never use.
    pub(super) image_number: RawFd,
    pub(super) libraries: &'a [Library],
    pub(super) files: Option<&'a Files>,
    pub(super) argv: Vec<CString>,
    pub(super) envp: Vec<CString>,
    pub(super) limits: Limits,
    pub(super) role: Role,
    pub(super) cpu: Option<usize>,
    pub(super) patient: bool,
    pub(super) stdout: Output<'a>,
    pub(super) stderr: Output<'a>,
    /// In ascending order of their numbers.
    pub(super) inherit: Vec<(BorrowedFd<'a>, RawFd)>,
    pub(super) layers: &'a Layers,
    pub(super) ids: HostIds,
    /// The monitor is not dumpable and has no privilege: see [`wait_for_maps`].
    pub(super) dumpable_for_maps: bool,
    /// Takes the descriptor by which the monitor hears of refused calls, of a process for which it does.
    pub(super) notices: Option<BorrowedFd<'a>>,
}

/// The child's ends of the pipes to its parent.
pub(super) struct Parent<'a> {
    /// Readable when the parent is done with its part; at its end when the parent is gone.
    pub(super) go: BorrowedFd<'a>,
    /// Takes one [`Report`]; closes at exec.
    pub(super) report: BorrowedFd<'a>,
    /// The parent's ends.
    pub(super) unused: [BorrowedFd<'a>; 2],
}

/// What a child says to its parent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Report {
    /// Nothing, and it never will: its program runs.
    Silence,
    /// Its maps can be written now.
    Ready,
    /// It panicked.
    Panicked,
    /// A step failed; `library` counts within [`Step::Libraries`].
    Failed {
        step: Step,
        errno: Errno,
        library: usize,
    },
}

const READY: u32 = u32::MAX;
const PANICKED: u32 = u32::MAX - 1;
const REPORT_BYTES: usize = 12;

impl Report {
    /// Waits for the child's next report, for as long as [`until_readable`] does.
    pub(super) fn receive(pipe: &OwnedFd) -> Result<Self, Errno> {
        until_readable(pipe, REPORT_MAX)?;
        let mut bytes = [0_u8; REPORT_BYTES];
        // Written in one piece, far below the size that a pipe may split.
        if read(pipe, &mut bytes)? == 0 {
            return Ok(Self::Silence);
        }
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        Ok(match u32::from_ne_bytes([a, b, c, d]) {
            READY => Self::Ready,
            PANICKED => Self::Panicked,
            number => Self::Failed {
                step: Step::from_number(number).unwrap_or(Step::Handshake),
                errno: Errno::from_raw_os_error(i32::from_ne_bytes([e, f, g, h])),
                library: usize::try_from(u32::from_ne_bytes([i, j, k, l])).unwrap_or(usize::MAX),
            },
        })
    }

    fn send(self, pipe: BorrowedFd<'_>) -> Result<(), Errno> {
        let (number, errno, library) = match self {
            Self::Silence => return Ok(()),
            Self::Ready => (READY, 0, 0),
            Self::Panicked => (PANICKED, 0, 0),
            Self::Failed { step, errno, library } => (step as u32, errno.raw_os_error(), library),
        };
        let library = u32::try_from(library).unwrap_or(u32::MAX);
        let bytes = [number.to_ne_bytes(), errno.to_ne_bytes(), library.to_ne_bytes()].concat();
        write(pipe, &bytes).map(|_| ())
    }
}

/// Runs in the child. Returns only if it failed, after saying so to the parent.
pub(super) fn run(orders: &Orders<'_>, parent: &Parent<'_>) -> i32 {
    // After the descriptors were placed, the report pipe is at a number of its own.
    let mut report_at = parent.report;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        become_program(orders, parent, &mut report_at)
    }));
    let report = match outcome {
        Ok(Err(failure)) => failure,
        Err(_) => Report::Panicked,
    };
    // There is nobody else to tell.
    let _ = report.send(report_at);
    FAILED
}

/// `?` on what a step returns, with the step's name on it.
fn at<T>(step: Step, result: Result<T, Errno>) -> Result<T, Report> {
    result.map_err(|errno| Report::Failed {
        step,
        errno,
        library: 0,
    })
}

fn become_program<'a>(
    orders: &Orders<'_>,
    parent: &Parent<'a>,
    report_at: &mut BorrowedFd<'a>,
) -> Result<Infallible, Report> {
    let has = |layer| orders.layers.has(layer);
    at(Step::Handshake, wait_for_maps(orders, parent))?;
    at(Step::Signals, reset_signals())?;
    if matches!(orders.role, Role::Daemon) {
        // A session of its own, because it has its parent's standard error: no terminal controls it.
        at(Step::Signals, setsid().map(|_| ()))?;
    } else {
        // A process group of its own: no signals from a terminal. Not a session of its own, although there is
        // no terminal to be had from in here either way: the kernel schedules each session as a group
        // of tasks (autogroup, sched(7)), and a switch between two groups costs a tenth more than one
        // within a group.
        at(Step::Signals, setpgid(None, None))?;
    }
    // The directories of the new root are for another user where that changes later.
    umask(Mode::empty());
    if has(Layer::UserNamespace) && matches!(orders.ids, HostIds::Distinct(_)) {
        at(Step::Identity, change_ids(INSIDE_ID))?;
    }
    if has(Layer::UtsNamespace) {
        at(Step::HostName, sethostname(host_name(orders.name)))?;
    }
    let is_program = matches!(orders.role, Role::Program { .. });
    if is_program {
        at(Step::Network, network::bring_up_loopback())?;
    }
    let null = at(
        Step::Descriptors,
        open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()),
    )?;
    let found = Found::of(orders);
    enter_root(orders, &found)?;
    umask(Mode::RWXG | Mode::RWXO);
    let kept = at(Step::Descriptors, place_descriptors(orders, parent, null))?;
    *report_at = kept.report;
    if let Some(cpu) = orders.cpu {
        at(Step::Cpu, pin(cpu))?;
    }
    if orders.patient {
        at(Step::Cpu, wait_for_others())?;
    }
    at(Step::Capabilities, capabilities::close_sources())?;
    if let (false, HostIds::Distinct(id)) = (has(Layer::UserNamespace), orders.ids) {
        at(Step::Identity, change_ids(id))?;
    }
    at(Step::Capabilities, capabilities::drop_all())?;
    if has(Layer::NoNewPrivileges) {
        at(Step::NoNewPrivileges, set_no_new_privs(true))?;
    }
    let scratch = has(Layer::MountNamespace) && orders.limits.scratch_bytes > 0;
    if has(Layer::Landlock) {
        at(
            Step::Landlock,
            landlock::restrict(&allowed(orders, &found, scratch), is_program),
        )?;
    }
    let subject = Subject {
        role: orders.role,
        image_number: orders.image_number,
        pid: rustix::process::getpid().as_raw_nonzero().get(),
        scratch,
    };
    // Made before the limits: they bound the program, but already refuse memory to this copy of the monitor.
    let filters = at(Step::Seccomp, StageOne::new(subject))?;
    let argv = pointers(&orders.argv);
    let envp = pointers(&orders.envp);
    if has(Layer::ResourceLimits) {
        at(
            Step::Limits,
            limits::apply(&orders.limits, has(Layer::UserNamespace)),
        )?;
    }
    if has(Layer::ParentDeath) {
        at(Step::ParentDeath, die_with_parent(kept.go))?;
    }
    if has(Layer::Seccomp) {
        at(Step::Seccomp, install(&filters, subject))?;
    }
    Err(Report::Failed {
        step: Step::Execute,
        errno: execute(orders.image_number, &argv, &envp),
        library: 0,
    })
}

/// Installs the filters, and hands over the descriptor by which the monitor hears of what they refuse. That
/// one goes by a number which only now can be sent to, and closes with the image's at exec.
fn install(filters: &StageOne, subject: Subject) -> Result<(), Errno> {
    let Some(listener) = filters.install()? else {
        return Ok(());
    };
    // SAFETY: `place_descriptors` has placed it at this number, where it is open until exec.
    let socket = unsafe { BorrowedFd::borrow_raw(subject.notices_number()) };
    seqpacket::send(socket, b"l", &[listener.as_fd()], SendFlags::empty())
}

/// Waits until the parent has written the maps of the user namespace.
///
/// A monitor that is not dumpable and has no privilege cannot open its child's `uid_map`, because the kernel
/// gives the files in `/proc` of such a process, which the child inherits being, to root. So the child is
/// dumpable until its maps are written. Meanwhile another process of the same user could trace it; the daemon
/// and trustlets cannot, because they are in user namespaces of their own, and have no capability in this
/// one's.
fn wait_for_maps(orders: &Orders<'_>, parent: &Parent<'_>) -> Result<(), Errno> {
    // The parent's ends, without which `go` ends when the parent does. They are not used here again.
    for fd in parent.unused {
        super::descriptors::close(fd)?;
    }
    if orders.dumpable_for_maps {
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
        Report::Ready.send(parent.report)?;
    }
    let mut byte = [0];
    let went = read(parent.go, &mut byte)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if went == 1 { Ok(()) } else { Err(Errno::SRCH) }
}

/// Default dispositions, nothing blocked: exec keeps what is ignored and what is blocked. A file that reaches
/// its limit is an error of the call that would make it longer, and no reason to end the program.
fn reset_signals() -> Result<(), Errno> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: sets a disposition to the default, which is no handler. The two that cannot be set and
        // those that the C library keeps for itself answer with an error that changes nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: as above; ignoring is no handler either.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // SAFETY: a signal set is plain data, for which all zeros is a valid value; sigemptyset makes it the
    // empty set.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: writes to the set that it is given.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: reads the set that it is given; a null pointer for the old one is allowed.
    let result = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    if result < 0 { Err(Errno::INVAL) } else { Ok(()) }
}

/// At most the 64 bytes that the kernel takes.
fn host_name(name: &str) -> &[u8] {
    let bytes = name.as_bytes();
    bytes.get(..64).unwrap_or(bytes)
}

/// What a process finds besides its libraries and files.
struct Found {
    provisions: Vec<Provision>,
    fixed: Vec<FixedFile>,
}

impl Found {
    fn of(orders: &Orders<'_>) -> Self {
        let (mut provisions, mut fixed) = (Vec::new(), Vec::new());
        if orders.role.is_function() {
            let has_landlock = orders.layers.has(Layer::Landlock);
            provisions
                .extend(Provision::found().filter(|provision| has_landlock || !provision.needs_landlock()));
            if orders.layers.has(Layer::MountNamespace) {
                let files = orders.files.iter().flat_map(|files| files.roots());
                let libraries = orders.libraries.iter().map(Library::path);
                let taken: Vec<&Path> = files.map(|(path, _)| path).chain(libraries).collect();
                fixed = FixedFile::beside(&taken);
            }
        }
        Self { provisions, fixed }
    }
}

fn enter_root(orders: &Orders<'_>, found: &Found) -> Result<(), Report> {
    let failed = |(library, errno)| Report::Failed {
        step: Step::Libraries,
        errno,
        library,
    };
    if !orders.layers.has(Layer::MountNamespace) {
        for (index, library) in orders.libraries.iter().enumerate() {
            library
                .check_unchanged()
                .map_err(|errno| failed((index, errno)))?;
        }
        return Ok(());
    }
    let mut bound = binding::libraries(orders.libraries).map_err(failed)?;
    if let Some(files) = orders.files {
        bound.extend(at(Step::Files, binding::files(files))?);
    }
    for provision in &found.provisions {
        bound.push(at(Step::Root, provision.bind())?);
    }
    // Without a user namespace the change of user comes later.
    let owner = match orders.ids {
        HostIds::Distinct(id) if !orders.layers.has(Layer::UserNamespace) => Some((id, id)),
        _ => None,
    };
    at(
        Step::Root,
        root::enter(&bound, &found.fixed, orders.limits.scratch_bytes, owner),
    )
}

/// What Landlock lets the process use, and for what.
fn allowed<'a>(orders: &Orders<'a>, found: &'a Found, scratch: bool) -> Vec<(&'a Path, BitFlags<AccessFs>)> {
    let libraries = orders.libraries.iter().map(|library| {
        let execute = if library.is_interpreter() {
            BitFlags::from(AccessFs::Execute)
        } else {
            BitFlags::empty()
        };
        (library.path(), execute | AccessFs::ReadFile)
    });
    let roots = orders.files.iter().flat_map(|files| files.roots());
    let is_program = matches!(orders.role, Role::Program { .. });
    let execute = match is_program {
        true => BitFlags::from(AccessFs::Execute),
        false => BitFlags::empty(),
    };
    let roots = roots.map(move |(path, is_folder)| match is_folder {
        true => (path, execute | AccessFs::ReadFile | AccessFs::ReadDir),
        false => (path, execute | AccessFs::ReadFile),
    });
    let provisions = found.provisions.iter();
    let provisions = provisions.map(|provision| (provision.path(), provision.access()));
    let fixed = found.fixed.iter();
    let fixed = fixed.map(|file| (file.path(), BitFlags::from(AccessFs::ReadFile)));
    let scratch_access = match is_program {
        true => landlock::scratch_access_of_programs(),
        false => landlock::scratch_access(),
    };
    let scratch = scratch.then(|| (Path::new(root::SCRATCH), scratch_access));
    let besides = provisions.chain(fixed).chain(scratch);
    libraries.chain(roots).chain(besides).collect()
}

/// The pipes, where [`place_descriptors`] put them.
struct Kept {
    go: BorrowedFd<'static>,
    report: BorrowedFd<'static>,
}

/// Leaves open: 0, 1, 2, what is inherited, and (until exec) image and pipes above the limit on descriptor
/// numbers.
fn place_descriptors(orders: &Orders<'_>, parent: &Parent<'_>, null: OwnedFd) -> Result<Kept, Errno> {
    raise_limit()?;
    close_unneeded(orders, parent, &null)?;
    let image_number = orders.image_number;
    let (report_number, go_number, notices_number) = (image_number + 1, image_number + 2, image_number + 3);
    // First away from all numbers that are to be filled, then there.
    let first_free = notices_number + 1;
    let or_null = |output: Output<'_>| match output {
        Output::Null => lift(null.as_fd(), first_free),
        Output::Fd(fd) => lift(fd, first_free),
    };
    let mut lifted = vec![
        (or_null(Output::Null)?, 0, false),
        (or_null(orders.stdout)?, 1, false),
        (or_null(orders.stderr)?, 2, false),
        (lift(orders.image.memfd(), first_free)?, image_number, true),
        (lift(parent.report, first_free)?, report_number, true),
        (lift(parent.go, first_free)?, go_number, true),
    ];
    if let Some(notices) = orders.notices {
        lifted.push((lift(notices, first_free)?, notices_number, true));
    }
    for &(fd, number) in &orders.inherit {
        lifted.push((lift(fd, first_free)?, number, false));
    }
    lifted.sort_unstable_by_key(|&(_, number, _)| number);
    let numbers: Vec<RawFd> = lifted.iter().map(|&(_, number, _)| number).collect();
    for (fd, number, close_on_exec) in &lifted {
        place(fd.as_fd(), *number, *close_on_exec)?;
    }
    close_all_but(&numbers)?;
    lifted.into_iter().for_each(|(fd, ..)| forget(fd));
    forget(null);
    // SAFETY: just placed at this number, and open until exec or exit.
    let report = unsafe { BorrowedFd::borrow_raw(report_number) };
    // SAFETY: as above.
    let go = unsafe { BorrowedFd::borrow_raw(go_number) };
    Ok(Kept { go, report })
}

/// Closes what is a copy of the monitor's, or came to the monitor from whoever started it, and could be in
/// the way.
fn close_unneeded(orders: &Orders<'_>, parent: &Parent<'_>, null: &OwnedFd) -> Result<(), Errno> {
    let outputs = [orders.stdout, orders.stderr];
    let outputs = outputs.iter().filter_map(|output| match output {
        Output::Null => None,
        Output::Fd(fd) => Some(fd.as_raw_fd()),
    });
    let pipes = [parent.report, parent.go, orders.image.memfd(), null.as_fd()];
    let mut needed: Vec<RawFd> = pipes.iter().map(AsRawFd::as_raw_fd).chain(outputs).collect();
    needed.extend(orders.notices.map(|notices| notices.as_raw_fd()));
    needed.extend(orders.inherit.iter().map(|(fd, _)| fd.as_raw_fd()));
    needed.sort_unstable();
    needed.dedup();
    close_all_but(&needed)
}

fn pin(cpu: usize) -> Result<(), Errno> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(Errno::INVAL);
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)
}

/// Has the scheduler not take the core from another process for this one when it wakes up. Only a matter of
/// speed: where the monitor runs under a policy that may not be left, that one stays.
fn wait_for_others() -> Result<(), Errno> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: concerns the calling thread alone; `parameters` outlives the call.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) } == 0 {
        return Ok(());
    }
    match Errno::from_io_error(&std::io::Error::last_os_error()) {
        Some(Errno::PERM) => Ok(()),
        other => Err(other.unwrap_or(Errno::IO)),
    }
}

/// SIGKILL when the parent's thread ends, which also holds for the first process of a pid namespace, since
/// the signal comes from outside of it. If the parent ended before this was set, its pipe has ended too.
fn die_with_parent(go: BorrowedFd<'_>) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut pipe = [PollFd::new(&go, PollFlags::IN)];
    if poll(&mut pipe, Some(&Timespec::default()))? == 0 {
        Ok(())
    } else {
        Err(Errno::SRCH)
    }
}

/// A null-terminated array of the strings, as exec wants it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|text| text.as_ptr())
        .chain([std::ptr::null()])
        .collect()
}

/// Becomes the program behind `image_number`. Returns only if that failed.
fn execute(image_number: RawFd, argv: &[*const libc::c_char], envp: &[*const libc::c_char]) -> Errno {
    // SAFETY: the path is a NUL-terminated constant; both arrays end with a null pointer and hold pointers to
    // strings that `Orders` keeps alive.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            image_number,
            c"".as_ptr(),
            argv.as_ptr(),
            envp.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
