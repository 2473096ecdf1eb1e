//! Starting a process in a jail, and holding it until it ends.
//!
//! The monitor clones itself into new namespaces; the child takes its rights away one after the
//! other and executes the measured image. It reports over a pipe that closes by itself at `execveat`: so an
//! error names the step that failed, and silence means that the program runs with every layer that [`Layers`]
//! found.

pub use super::descriptors::Output;
pub use super::instance_group::{Bounds, InstanceGroup};
pub use super::limits::Limits;
pub use super::seccomp::{Refusals, Role};
pub use super::step::Step;

use super::child::{self, Orders, Parent, Report};
use super::files::Files;
use super::fork::{Forked, fork};
use super::headroom::explained;
use super::identity::{HostIds, Lease};
use super::image::Image;
use super::layers::{Layer, Layers, Missing};
use super::library::{LIBRARIES_MAX, Library};
use hacher_libos_net::attach::seqpacket;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::{Errno, write};
use rustix::net::RecvFlags;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Resource, WaitIdOptions, WaitIdStatus, dumpable_behavior, getrlimit,
};
use std::ffi::{CString, OsStr};
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Numbers above the jail's descriptor limit that starting it needs besides those for what it inherits: the
/// image, two pipes and a socket at numbers that the program cannot use; duplicates of these and of the
/// standard descriptors, and as many that may lie in the way.
const SPARE_NUMBERS: u32 = 4 + 2 * 7;
/// Fewest descriptors that a process can be given: standard ones, and room for the loader to open libraries.
const OPEN_FILES_MIN: u32 = 8;

/// Everything about a process to start.
#[derive(Debug, Clone, Copy)]
pub struct Spawn<'a> {
    /// For error messages, and the host name that it sees.
    pub name: &'a str,
    /// Its program.
    pub image: &'a Image,
    /// The shared objects that the program links; empty for a static one.
    pub libraries: &'a [Library],
    /// The files that it finds besides.
    pub files: Option<&'a Files>,
    /// Its first argument, by convention the name of the program.
    pub argv0: &'a OsStr,
    /// Its further arguments.
    pub args: &'a [&'a OsStr],
    /// Its whole environment.
    pub env: &'a [(&'a OsStr, &'a OsStr)],
    /// What it may use.
    pub limits: Limits,
    /// Which system calls it has.
    pub role: Role,
    /// The only CPU that it may run on.
    pub cpu: Option<usize>,
    /// Whether it lets whoever wakes it finish first (`SCHED_BATCH`, sched(7)).
    pub patient: bool,
    /// Its descriptor 1.
    pub stdout: Output<'a>,
    /// Its descriptor 2.
    pub stderr: Output<'a>,
    /// Its further descriptors, each at the number beside it. It has no others.
    pub inherit: &'a [(BorrowedFd<'a>, RawFd)],
    /// What this machine can enforce.
    pub layers: &'a Layers,
    /// The control group that it is in before its program starts, and so whatever that starts.
    pub group: Option<&'a InstanceGroup>,
}

/// The layers without which no function has programs of its own. What these may do is harmless because of
/// them: signals and sockets end at the namespaces, descriptors and processes are counted for the trustlet
/// alone, and what it shares with others cannot be opened once more.
const PROGRAMS_NEED: [Layer; 8] = [
    Layer::UserNamespace,
    Layer::MountNamespace,
    Layer::PidNamespace,
    Layer::NetNamespace,
    Layer::IpcNamespace,
    Layer::Seccomp,
    Layer::NonDumpable,
    Layer::ResourceLimits,
];

/// What a machine with these layers lacks for functions with programs of their own; `None` if nothing.
#[must_use]
pub fn programs_missing(layers: &Layers) -> Option<&Missing> {
    let mut missing = layers.missing().iter();
    let layer = missing.find(|missing| PROGRAMS_NEED.contains(&missing.layer));
    layer.or(layers.no_notices())
}

/// Why functions have no programs of their own on this machine; `None` if they can. Tries isolation, which
/// takes some milliseconds.
#[must_use]
pub fn programs_missing_here() -> Option<String> {
    let layers = Layers::probe();
    // What was not found out is at the start.
    let missing = programs_missing(&layers).filter(|missing| !missing.untried);
    missing.map(no_programs)
}

/// What a machine without a layer says to a function with programs.
pub(super) fn no_programs(missing: &Missing) -> String {
    format!(
        "`syscalls = \"program\"` needs every namespace, seccomp and resource limits, and this machine lacks one ({missing}); \
         see `hacher-fabric doctor`"
    )
}

/// Why a process could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The request cannot be met by any machine.
    #[error("cannot start {name}: {problem}")]
    Request {
        /// Whom.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A library is not the file that was measured.
    #[error("cannot start {name}: {path} is not the file that was measured")]
    LibraryChanged {
        /// Whom.
        name: String,
        /// Which.
        path: PathBuf,
    },
    /// The machine allows fewer descriptors than it can work with.
    #[error(
        "cannot start {name}: it needs {need} open files, the limit is {limit} (ulimit -n, LimitNOFILE= of systemd); raise it \
         where the service is started"
    )]
    OpenFiles {
        /// Whom.
        name: String,
        /// The least hard limit that it can be started under.
        need: u64,
        /// The monitor's hard limit.
        limit: u64,
    },
    /// The kernel refused a step.
    #[error("cannot start {name}: {step} failed: {source}")]
    Step {
        /// Whom.
        name: String,
        /// Which.
        step: Step,
        /// What the kernel said.
        source: io::Error,
    },
    /// Copying what it is made of took more than the bound of its control group.
    #[error("cannot start {name}: its memory was used up before its program started; raise its `memory`")]
    OutOfMemory {
        /// Whom.
        name: String,
    },
    /// The child ended before it could say why.
    #[error("cannot start {name}: it ended before its program started")]
    Lost {
        /// Whom.
        name: String,
    },
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// A jailed process. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Child {
    forked: Forked,
    exit: Option<Exit>,
    layers_missing: Vec<Missing>,
    refusals: Option<Refusals>,
    group: Option<InstanceGroup>,
    /// Dropped after the process, which is reaped by then.
    _lease: Lease,
}

impl Child {
    /// Its process id, as the monitor sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.forked.pid().as_raw_nonzero().get()
    }

    /// Readable (`POLLIN`) once it has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.forked.pidfd().as_fd()
    }

    /// The layers that it runs without, because the kernel does not have or forbids them.
    #[must_use]
    pub fn layers_missing(&self) -> &[Missing] {
        &self.layers_missing
    }

    /// Where this process hears of calls that are refused to it and to what it starts, and has to answer
    /// them: of one with programs of its own. They wait until then.
    #[must_use]
    pub fn refusals(&self) -> Option<&Refusals> {
        self.refusals.as_ref()
    }

    /// The control group that it and whatever it starts are in, if there is one.
    #[must_use]
    pub const fn group(&self) -> Option<&InstanceGroup> {
        self.group.as_ref()
    }

    /// SIGKILL, to whatever it has started as well. It has not ended yet when this returns; see
    /// [`Child::wait`].
    ///
    /// # Errors
    ///
    /// None that a process of ours can cause.
    pub fn kill(&self) -> io::Result<()> {
        if self.exit.is_some() {
            return Ok(());
        }
        if let Some(group) = &self.group {
            group.kill();
        }
        self.forked.kill()
    }

    /// Waits for its end and reaps it.
    ///
    /// # Errors
    ///
    /// Somebody else reaped it.
    pub fn wait(&mut self) -> io::Result<Exit> {
        self.reap(WaitIdOptions::empty())?
            .ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))
    }

    /// Kills it and reaps it, waiting some seconds at most; `None` if it is not gone by then.
    ///
    /// # Errors
    ///
    /// Somebody else reaped it.
    pub fn end(&mut self) -> io::Result<Option<Exit>> {
        if self.exit.is_none()
            && let Some(status) = self.forked.end()?
        {
            self.exit = exit_of(&status);
        }
        Ok(self.exit)
    }

    /// Reaps it if it has ended.
    ///
    /// # Errors
    ///
    /// Somebody else reaped it.
    pub fn try_wait(&mut self) -> io::Result<Option<Exit>> {
        self.reap(WaitIdOptions::NOHANG)
    }

    fn reap(&mut self, options: WaitIdOptions) -> io::Result<Option<Exit>> {
        if self.exit.is_none()
            && let Some(status) = self.forked.wait(options)?
        {
            self.exit = exit_of(&status);
        }
        Ok(self.exit)
    }
}

fn exit_of(status: &WaitIdStatus) -> Option<Exit> {
    let code = status.exit_status().map(Exit::Code);
    code.or_else(|| status.terminating_signal().map(Exit::Signal))
}

/// Starts a process in a jail with every layer that `spawn.layers` found.
///
/// To be called from the thread that the process shall not outlive: the parent-death signal comes when that
/// thread ends. The calling process should have no other thread (see [`super`]).
///
/// # Errors
///
/// The request is inconsistent, a library has changed, or the kernel refused a step.
pub fn spawn(spawn: &Spawn<'_>) -> Result<Child, SpawnError> {
    let lease = Lease::next().ok_or_else(|| SpawnError::Request {
        name: spawn.name.to_owned(),
        problem: "every user id that a process can be given is in use",
    })?;
    let failed = |step: Step, errno: Errno| SpawnError::Step {
        name: spawn.name.to_owned(),
        step,
        source: explained(errno),
    };
    let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed(Step::Clone, errno));
    let notices = match spawn.role {
        Role::Program { .. } => Some(seqpacket::pair().map_err(|errno| failed(Step::Clone, errno))?),
        Role::Function | Role::Gateway | Role::Daemon => None,
    };
    let mut orders = prepare(spawn, lease.ids())?;
    orders.notices = notices.as_ref().map(|(_, theirs)| theirs.as_fd());
    let (go_read, go_write) = pipe()?;
    let (report_read, report_write) = pipe()?;
    let forked = {
        let (go_write, report_read) = (&go_write, &report_read);
        let parent = Parent {
            go: go_read.as_fd(),
            report: report_write.as_fd(),
            unused: [go_write.as_fd(), report_read.as_fd()],
        };
        fork(spawn.layers.namespaces(), || child::run(&orders, &parent))
            .map_err(|error| failed(Step::Clone, errno_of(&error)))?
    };
    drop((go_read, report_write));
    let mut child = Child {
        forked,
        exit: None,
        layers_missing: spawn.layers.missing().to_vec(),
        refusals: None,
        group: spawn.group.cloned(),
        _lease: lease,
    };
    // It waits for `go`, and until then runs nothing but a few lines of the monitor's: so it has started
    // nothing that could be left outside.
    if let Some(group) = spawn.group {
        group
            .admit(child.pid())
            .map_err(|errno| failed(Step::ControlGroup, errno))?;
    }
    if spawn.layers.has(Layer::UserNamespace) {
        if orders.dumpable_for_maps {
            match Report::receive(&report_read).map_err(|errno| failed(Step::Handshake, errno))? {
                Report::Ready => {}
                Report::Failed { step, errno, .. } => return Err(failed(step, errno)),
                Report::Silence | Report::Panicked => {
                    return Err(SpawnError::Lost {
                        name: spawn.name.to_owned(),
                    });
                }
            }
        }
        let mapped = orders.ids.write_maps(&child.forked);
        mapped.map_err(|errno| failed(Step::IdentityMaps, errno))?;
    }
    write(&go_write, &[1]).map_err(|errno| failed(Step::Handshake, errno))?;
    match Report::receive(&report_read).map_err(|errno| failed(Step::Handshake, errno))? {
        // Killed while it copied: that closes the pipe as its program does.
        Report::Silence if spawn.group.is_some_and(InstanceGroup::was_out_of_memory) => {
            Err(SpawnError::OutOfMemory {
                name: spawn.name.to_owned(),
            })
        }
        Report::Silence => {
            if let Some((ours, _)) = &notices {
                let listener = listener(ours).map_err(|errno| failed(Step::Seccomp, errno))?;
                child.refusals = Some(Refusals::new(listener));
            }
            Ok(child)
        }
        Report::Failed {
            step: Step::Libraries,
            errno: Errno::STALE | Errno::NOENT,
            library,
        } => Err(changed(spawn, library)),
        Report::Failed { step, errno, .. } => Err(failed(step, errno)),
        Report::Ready | Report::Panicked => Err(SpawnError::Lost {
            name: spawn.name.to_owned(),
        }),
    }
}

/// What the child has sent before its program started to run.
fn listener(socket: &OwnedFd) -> Result<OwnedFd, Errno> {
    let received = seqpacket::receive(socket, &mut [0; 2], RecvFlags::DONTWAIT)?;
    let listener = received.and_then(|(_, mut descriptors)| descriptors.pop());
    listener.ok_or(Errno::PROTO)
}

fn changed(spawn: &Spawn<'_>, library: usize) -> SpawnError {
    SpawnError::LibraryChanged {
        name: spawn.name.to_owned(),
        path: spawn
            .libraries
            .get(library)
            .map(|library| library.path().to_owned())
            .unwrap_or_default(),
    }
}

/// Checks the request and turns it into what the child works off.
fn prepare<'a>(spawn: &'a Spawn<'a>, ids: HostIds) -> Result<Orders<'a>, SpawnError> {
    let refuse = |problem| SpawnError::Request {
        name: spawn.name.to_owned(),
        problem,
    };
    let open_files = open_files(spawn)?;
    let image_number =
        RawFd::try_from(open_files).map_err(|_| refuse("its limit on open files is too high"))?;
    let mut inherit = spawn.inherit.to_vec();
    inherit.sort_unstable_by_key(|&(_, number)| number);
    if !inherit
        .iter()
        .all(|&(_, number)| (3..image_number).contains(&number))
    {
        return Err(refuse(
            "an inherited descriptor's number is below 3 or beyond its limit on open files",
        ));
    }
    if inherit
        .array_windows()
        .any(|[(_, first), (_, second)]| first == second)
    {
        return Err(refuse("two inherited descriptors have the same number"));
    }
    if spawn.limits.threads == 0 {
        return Err(refuse("it may not even have one thread"));
    }
    if matches!(spawn.role, Role::Program { .. }) && programs_missing(spawn.layers).is_some() {
        return Err(refuse(
            "it lacks a layer of isolation without which it may have no programs",
        ));
    }
    if spawn.libraries.len() > LIBRARIES_MAX {
        return Err(refuse("it has too many libraries"));
    }
    let c_string = |bytes: &[u8]| {
        CString::new(bytes).map_err(|_| refuse("an argument or variable has a NUL byte in it"))
    };
    let args = std::iter::once(&spawn.argv0).chain(spawn.args);
    let argv = args
        .map(|arg| c_string(arg.as_bytes()))
        .collect::<Result<_, _>>()?;
    let variable =
        |(key, value): &(&OsStr, &OsStr)| c_string(&[key.as_bytes(), b"=", value.as_bytes()].concat());
    let envp = spawn.env.iter().map(variable).collect::<Result<_, _>>()?;
    let dumpable = dumpable_behavior() == Ok(DumpableBehavior::Dumpable);
    Ok(Orders {
        name: spawn.name,
        image: spawn.image,
        image_number,
        libraries: spawn.libraries,
        files: spawn.files,
        argv,
        envp,
        limits: Limits {
            open_files,
            ..spawn.limits
        },
        role: spawn.role,
        cpu: spawn.cpu,
        patient: spawn.patient,
        stdout: spawn.stdout,
        stderr: spawn.stderr,
        inherit,
        layers: spawn.layers,
        ids,
        dumpable_for_maps: !dumpable
            && matches!(ids, HostIds::Own { .. })
            && spawn.layers.has(Layer::UserNamespace),
        notices: None,
    })
}

/// What is to be its limit on open files: as many as wanted, or as many as this machine allows.
fn open_files(spawn: &Spawn<'_>) -> Result<u32, SpawnError> {
    let Limits {
        open_files,
        open_files_min,
        ..
    } = spawn.limits;
    let request = |problem| SpawnError::Request {
        name: spawn.name.to_owned(),
        problem,
    };
    if open_files < OPEN_FILES_MIN {
        return Err(request("its limit on open files is too low"));
    }
    let inherited = u32::try_from(spawn.inherit.len())
        .ok()
        .filter(|&count| count <= child::INHERIT_MAX)
        .ok_or_else(|| request("it is to inherit too many descriptors"))?;
    let spare = SPARE_NUMBERS + 2 * inherited;
    let Some(limit) = getrlimit(Resource::Nofile).maximum else {
        return Ok(open_files);
    };
    let allowed = u32::try_from(limit).unwrap_or(u32::MAX).saturating_sub(spare);
    let least = open_files_min.clamp(OPEN_FILES_MIN, open_files);
    if allowed < least {
        return Err(SpawnError::OpenFiles {
            name: spawn.name.to_owned(),
            need: u64::from(least) + u64::from(spare),
            limit,
        });
    }
    Ok(open_files.min(allowed))
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
