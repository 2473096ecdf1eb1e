//! The monitor's event loop: the process that `hacher-fabric serve` becomes. It moves messages between
//! sockets and the core, starts and reaps processes, and sleeps otherwise. One thread; nothing here parses
//! text.

mod children;
mod config;
mod console;
mod drain;
mod executable;

use crate::calls::MESSAGE_MAX_BYTES;
use crate::core::{Caller, Core, NamedSocket, ReplyDescriptor};
use crate::ids::ProcessId;
use crate::machine::Machine;
use crate::process::control_group::Divided;
use crate::process::headroom::{Need, explained, raise_soft_limits, shortfall};
use crate::process::image::{Image, ImageError};
use crate::process::layers::Layers;
use crate::process::library::{Library, LibraryError};
use crate::process::limits;
use crate::process::measured_files::MeasuredFiles;
use crate::process::patience::is_asked_to_stop;
use crate::process::shelf::Shelf;
use crate::socket_file::SocketFile;
use children::{Loader, Stop, start_daemon, start_loader};
use console::Console;
use core::time::Duration;
use deaths::Untold;
use drain::Drain;
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::attach::{Drained, MessageHeader, SAID_MAX_BYTES, kind};
use hacher_libos_net::clock::Monotonic;
use manager::Manager;
use renewal::Renewals;
use rustix::event::{PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use shares::Shares;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use zerocopy::FromBytes;

/// Writes a line to standard error. Unlike `eprintln!` it neither panics nor waits when nobody takes it: the
/// monitor's end is everybody's.
macro_rules! tell {
    ($level:ident: $($argument:tt)*) => {
        tell!($level, crate::lines::About::default(); $($argument)*)
    };
    ($level:ident, $about:expr; $($argument:tt)*) => {
        crate::lines::say(crate::lines::Level::$level, &$about, format_args!($($argument)*))
    };
}

mod deaths;
mod manager;
mod renewal;
mod shares;

pub use config::{FabricProgram, MonitorConfig};
pub use drain::DrainTimes;
pub use executable::main;
pub use manager::daemon_beat;

/// In the loader's environment if what it says reaches a terminal, which it does not have itself.
pub const LOADER_TERMINAL: &str = "HACHER_LOADER_TERMINAL";
/// A daemon's exit code that says: the service cannot start, stop everything.
pub const EXIT_CANNOT_START: u8 = 78; // EX_CONFIG of sysexits.h
/// The exit code of a service that stopped as it was asked to, but cut requests that were in flight.
pub const EXIT_CUT: u8 = 3;
/// A daemon that dies is replaced after this long, doubling while it keeps dying.
const DAEMON_BACKOFF_FIRST: Duration = Duration::from_millis(50);
const DAEMON_BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A daemon that lived this long is replaced without a wait.
const DAEMON_LIVED_LONG: Duration = Duration::from_secs(10);
/// A daemon that has closed its socket is about to end, and its exit code says why; killed before, it could
/// not say so.
const DAEMON_EXIT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a process may live that has closed its channel. As a rule it is on its way out, and the channel
/// ends a moment before it does; ending it at once would hide how it ended.
const HANG_UP_PATIENCE: Duration = Duration::from_secs(1);
/// How long the daemon may take to forward what is left when all trustlets have ended; it takes half of that
/// at most.
const LAST_LINES_PATIENCE: Duration = Duration::from_secs(1);
/// How long killed processes may take to be gone.
const REAP_PATIENCE: Duration = Duration::from_secs(5);

/// The service could not start, or its kernel failed it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A system call that should not fail failed.
    #[error("{what}: {source}")]
    Os {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// An executable of the service cannot be copied.
    #[error("cannot use the own executable: {0}")]
    Image(#[from] ImageError),
    /// A library of this executable cannot be measured.
    #[error("cannot use an own library: {0}")]
    Library(#[from] LibraryError),
    /// The platform is not usable.
    #[error(transparent)]
    Platform(#[from] crate::platform::PlatformError),
    /// A limit of the machine is too low.
    #[error("{0}")]
    Short(String),
    /// It cannot be found out what this machine can enforce.
    #[error("cannot find out whether this machine has a layer of isolation: {0}")]
    Untried(String),
    /// The daemon cannot be started.
    #[error("the daemon: {0}")]
    Daemon(#[from] crate::process::jail::SpawnError),
}

fn os<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> ServiceError {
    move |source| {
        let source = source.into();
        ServiceError::Os {
            what,
            source: Errno::from_io_error(&source).map_or(source, explained),
        }
    }
}

/// Becomes the monitor. Returns when the service has stopped, with the exit code of the whole.
///
/// # Errors
/// [`ServiceError`] when the service cannot start.
pub fn run(config: MonitorConfig) -> Result<ExitCode, ServiceError> {
    let sockets = children::inherited_sockets(manager::socket_names());
    harden()?;
    if let Some(short) = shortfall(&need_to_start(&config)) {
        return Err(ServiceError::Short(short));
    }
    Service::start(config, sockets)?.run()
}

/// What it takes to get as far as the loader, which looks at what the chains need.
fn need_to_start(config: &MonitorConfig) -> Need {
    let mut need = Need::to_start();
    let length = |file: BorrowedFd<'_>| {
        fstat(file)
            .ok()
            .and_then(|found| u64::try_from(found.st_size).ok())
    };
    let fabric = length(config.fabric.executable.as_fd()).unwrap_or(0);
    // A monitor of its own is copied for the scribe, and the larger executable besides.
    if fabric > need.file_bytes {
        need.memory_bytes = need.memory_bytes.saturating_add(fabric);
        need.file_bytes = fabric;
    }
    need
}

/// Keeps others out of this process, which holds every key.
fn harden() -> Result<(), ServiceError> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    // What a dump would hold: nothing. All children inherit it. Before the process is not dumpable, as that
    // makes the file root's; where there is no such file, the limit below has to do.
    let _ = fs::write("/proc/self/coredump_filter", "0");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(os("making the monitor not dumpable"))?;
    // Where a limit of 0 cannot be raised, `doctor` says what that means.
    limits::forbid_core_dumps().map_err(os("forbidding core dumps"))?;
    raise_soft_limits();
    children::outlive_file_limits();
    Ok(())
}

/// What an epoll entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Signals,
    LoaderSocket,
    LoaderEnd,
    DaemonSocket,
    DaemonEnd,
    ScribeEnd,
    Channel(ProcessId),
    ProcessEnd(ProcessId),
}

impl Token {
    const fn pack(self) -> u64 {
        match self {
            Self::Signals => 0,
            Self::LoaderSocket => 1,
            Self::LoaderEnd => 2,
            Self::DaemonSocket => 3,
            Self::DaemonEnd => 4,
            Self::ScribeEnd => 5,
            Self::Channel(process) => 8 + process.0 * 2,
            Self::ProcessEnd(process) => 9 + process.0 * 2,
        }
    }

    const fn unpack(data: u64) -> Self {
        match data {
            0 => Self::Signals,
            1 => Self::LoaderSocket,
            2 => Self::LoaderEnd,
            3 => Self::DaemonSocket,
            4 => Self::DaemonEnd,
            5 => Self::ScribeEnd,
            data if data.is_multiple_of(2) => Self::Channel(ProcessId((data - 8) / 2)),
            data => Self::ProcessEnd(ProcessId((data - 9) / 2)),
        }
    }
}

struct Daemon {
    child: crate::process::jail::Child,
    socket: OwnedFd,
    born: Monotonic,
    /// When it is killed: set once it has closed its socket.
    exit_due: Option<Monotonic>,
}

impl Daemon {
    /// It has closed its socket, so it is ending.
    fn await_end(&mut self, epoll: &OwnedFd) {
        if self.exit_due.is_none() {
            // A closed socket would be reported over and over until it ends, which its pidfd reports.
            let _ = epoll::delete(epoll, self.socket.as_fd());
            self.exit_due = Some(Monotonic::now().after(DAEMON_EXIT_PATIENCE));
        }
    }

    /// Has it forward what trustlets that have ended said last, and end.
    fn finish(mut self) {
        drop(self.socket);
        let patience = Timespec {
            tv_sec: i64::try_from(LAST_LINES_PATIENCE.as_secs()).unwrap_or(1),
            tv_nsec: 0,
        };
        let _ = poll(
            &mut [PollFd::from_borrowed_fd(self.child.pidfd(), PollFlags::IN)],
            Some(&patience),
        );
        let _ = self.child.end();
    }
}

enum Stage {
    Running,
    /// Gateways finish what is in flight; everything else goes when all have, or when their time is up.
    Draining(Drain),
}

/// An executable in sealed memory, with what it needs to start.
struct Program {
    image: Rc<Image>,
    libraries: Vec<Library>,
}

struct Service {
    config: MonitorConfig,
    core: Core<Machine>,
    epoll: OwnedFd,
    signals: OwnedFd,
    /// This executable, which the scribe runs.
    monitor: Program,
    /// What the daemon runs.
    fabric: Program,
    console: Console,
    loader: Option<Loader>,
    daemon: Option<Daemon>,
    daemon_backoff: Duration,
    /// When the next daemon is to be started.
    daemon_due: Option<Monotonic>,
    renewals: Renewals,
    /// Until all chains are loaded.
    divided: Option<Divided>,
    /// Once all chains are loaded.
    shares: Option<Shares>,
    /// Deaths that the daemon may not have told of.
    untold: Untold,
    /// Processes that have closed their channel, and when they are ended.
    hung_up: BTreeMap<ProcessId, Monotonic>,
    stage: Stage,
    exit_code: u8,
    manager: Manager,
    notified: bool,
    /// The sockets at paths, once the loader has made them.
    sockets: Vec<SocketFile>,
}

impl Service {
    fn start(config: MonitorConfig, sockets: Vec<(String, OwnedFd)>) -> Result<Self, ServiceError> {
        let signals = children::signals().map_err(os("watching signals"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(os("making an epoll"))?;
        let executable = File::open("/proc/self/exe").map_err(os(
            "opening the own executable, /proc/self/exe (is /proc mounted?)",
        ))?;
        let layers = Layers::probe();
        let untried = layers.untried().map(ToString::to_string);
        let mut measured = MeasuredFiles::new(Shelf::new(&layers));
        let monitor = Program {
            image: measured.image("hacher-monitor", executable.as_fd())?,
            libraries: measured.own_libraries()?,
        };
        // The same copy, where one executable is both; and the gateway's, if the loader names that file too.
        let fabric = Program {
            image: measured.image("hacher-fabric", config.fabric.executable.as_fd())?,
            libraries: measured.loaded_libraries(&config.fabric.libraries)?,
        };
        if let Some(reason) = measured.shelf().unshared_because() {
            tell!(
                Info: "each trustlet has copies of its libraries of its own, as they cannot be shared: {reason}"
            );
        }
        let mut core = Core::new(Machine::new(layers, measured)?);
        core.name_programs(&monitor.image, &fabric.image);
        if config.access_log {
            core.keep_access_log();
        }
        let named = |(name, socket)| NamedSocket { name, socket };
        core.offer_sockets(sockets.into_iter().map(named).collect());
        let mut service = Self {
            config,
            console: Console::open()?,
            core,
            epoll,
            signals,
            monitor,
            fabric,
            loader: None,
            daemon: None,
            daemon_backoff: DAEMON_BACKOFF_FIRST,
            daemon_due: None,
            renewals: Renewals::default(),
            divided: None,
            shares: None,
            untold: Untold::default(),
            hung_up: BTreeMap::new(),
            stage: Stage::Running,
            exit_code: 0,
            manager: Manager::of_environment(),
            notified: false,
            sockets: Vec::new(),
        };
        watch(&service.epoll, service.signals.as_fd(), Token::Signals)?;
        if is_asked_to_stop() {
            // Before anything was started: the loop reads the signal first, and ends.
            return Ok(service);
        }
        if let Some(untried) = untried {
            return Err(ServiceError::Untried(untried));
        }
        // Before anybody is started, who would be left without a part.
        service.divided = shares::divided();
        // Before the loader, which sees what is left of the machine's limits, and would only add that its
        // monitor is gone.
        service.start_scribe()?;
        let Some((outputs, to_terminal)) = service.console.of_loader() else {
            return Ok(service);
        };
        let loader =
            start_loader(&service.config, outputs, to_terminal).map_err(os("starting the loader"))?;
        watch(&service.epoll, loader.socket.as_fd(), Token::LoaderSocket)?;
        watch(&service.epoll, loader.pidfd.as_fd(), Token::LoaderEnd)?;
        service.loader = Some(loader);
        Ok(service)
    }

    fn run(mut self) -> Result<ExitCode, ServiceError> {
        let mut events = [epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        }; 64];
        loop {
            let timeout = self.timeout();
            let ready = match epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) {
                Err(Errno::INTR) => 0,
                other => other.map_err(os("waiting for events"))?,
            };
            self.core.set_time(Monotonic::now());
            for event in events.iter().take(ready) {
                self.handle(Token::unpack(event.data.u64()))?;
            }
            self.adopt_newborn();
            self.end_overdue();
            self.renewals.look_if_due(&mut self.core);
            if let Some(shares) = &mut self.shares {
                shares.look_if_due(&self.core);
            }
            self.tell_daemon();
            self.tell_manager();
            self.tell_deaths();
            if self.has_ended()? {
                return Ok(ExitCode::from(self.exit_code));
            }
        }
    }

    /// Tells the service manager what has changed.
    fn tell_manager(&mut self) {
        if matches!(self.stage, Stage::Running)
            && let Some((serving, all)) = self.core.serving_chains()
        {
            self.manager.status(&match all {
                1 if serving == all => "serving 1 chain".to_owned(),
                all if serving == all => format!("serving {all} chains"),
                all => format!("serving {serving} of {all} chains"),
            });
            if !self.notified {
                self.notified = true;
                self.manager.ready();
            }
        }
        let is_offered = |core: &Core<Machine>| {
            let mut gateways = core.gateways_with_tls().into_iter();
            gateways.any(|gateway| core.tls_is_offered(gateway))
        };
        if self.manager.is_reloading() && !is_offered(&self.core) {
            self.manager.reloaded();
        }
        self.manager.ping_if_due(self.daemon.is_some());
    }

    fn timeout(&self) -> Option<Timespec> {
        let scribe = self.console.due();
        let stage = match &self.stage {
            Stage::Draining(drain) => Some(drain.until),
            Stage::Running => None,
        };
        let given_up = self.deadlines().map(|(_, deadline)| deadline);
        let daemon = self.daemon.as_ref().and_then(|daemon| daemon.exit_due);
        let due = stage
            .into_iter()
            .chain(self.renewals.due())
            .chain(self.daemon_due)
            .chain(self.manager.due())
            .chain(self.shares.as_ref().and_then(Shares::due))
            .chain(daemon)
            .chain(scribe)
            .chain(given_up)
            .min()?;
        let left = due.saturating_duration_since(Monotonic::now());
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            // Rounded up by epoll to whole milliseconds elsewhere; here nanoseconds are kept.
            tv_nsec: i64::from(left.subsec_nanos()),
        })
    }

    fn handle(&mut self, token: Token) -> Result<(), ServiceError> {
        match token {
            Token::Signals => self.take_signals(),
            Token::LoaderSocket => self.answer_loader(),
            Token::LoaderEnd => self.loader_ended()?,
            Token::DaemonSocket => self.answer_daemon(),
            Token::DaemonEnd => self.daemon_ended(),
            Token::ScribeEnd => self.console.scribe_ended(),
            Token::Channel(process) => self.read_channel(process),
            Token::ProcessEnd(process) => self.process_ended(process),
        }
        Ok(())
    }

    fn take_signals(&mut self) {
        let asked = children::take_signals(&self.signals);
        if asked.look {
            // Who is stopping never is ready again, not even after a reload.
            if matches!(self.stage, Stage::Running) {
                self.manager.reloading();
            }
            self.renewals.look(&mut self.core);
        }
        if let Some(stop) = asked.stop {
            let delay = match stop {
                Stop::Ordered => self.config.drain.delay,
                // Somebody sits there and waits.
                Stop::Interrupted => Duration::ZERO,
            };
            self.begin_stop(0, delay);
        }
    }

    /// Stops: at once if nothing serves yet, else after what is in flight. Asked again, it cuts what is in
    /// flight; asked a third time, it waits for nobody.
    fn begin_stop(&mut self, exit_code: u8, delay: Duration) {
        if let Stage::Draining(drain) = &mut self.stage {
            if drain.hurry() {
                self.core.drain_gateways(Duration::ZERO, Duration::ZERO);
            }
            return;
        }
        let times = DrainTimes {
            // Who has never been ready has no clients that have to find another.
            delay: if self.notified { delay } else { Duration::ZERO },
            ..self.config.drain
        };
        self.exit_code = exit_code;
        let asked = match times.is_nothing() {
            true => Vec::new(),
            false => self.core.drain_gateways(times.delay, times.timeout),
        };
        let longest = match asked.is_empty() {
            true => Duration::ZERO,
            false => times.longest(),
        };
        self.manager.stopping(longest);
        self.manager
            .status(&format!("draining, for {} s at most", longest.as_secs()));
        self.core
            .shutting_down(u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX));
        self.stage = Stage::Draining(Drain::new(asked, longest));
    }

    fn answer_loader(&mut self) {
        let Some(loader) = &self.loader else { return };
        if answer(&mut self.core, Caller::Loader, loader.socket.as_fd()).is_none() {
            // It has nothing more to say. A closed socket would be reported over and over until it ends.
            let _ = epoll::delete(&self.epoll, loader.socket.as_fd());
        }
    }

    fn loader_ended(&mut self) -> Result<(), ServiceError> {
        // What it said last is answered before its end is judged.
        while let Some(loader) = &self.loader {
            if answer(&mut self.core, Caller::Loader, loader.socket.as_fd()) != Some(true) {
                break;
            }
        }
        let Some(mut loader) = self.loader.take() else {
            return Ok(());
        };
        let code = loader.exit_code();
        if code != 0 {
            // It has said on standard error why.
            self.begin_stop(code, Duration::ZERO);
            return Ok(());
        }
        if let Err(error) = self.core.finish_loading() {
            tell!(Error: "the loader ended without finishing: {error}");
            self.begin_stop(1, Duration::ZERO);
            return Ok(());
        }
        self.renewals = Renewals::of(&self.core);
        let paths = self.config.sockets.iter();
        self.sockets = paths.filter_map(|path| SocketFile::at(path)).collect();
        self.shares = Some(Shares::of(&self.core, self.divided.take()));
        self.start_daemon()
    }

    fn start_scribe(&mut self) -> Result<(), ServiceError> {
        let layers = self.core.platform().found_layers();
        self.console
            .start_scribe(&self.monitor.image, &self.monitor.libraries, layers)?;
        if let Some(end) = self.console.scribe_end() {
            watch(&self.epoll, end, Token::ScribeEnd)?;
        }
        Ok(())
    }

    fn start_daemon(&mut self) -> Result<(), ServiceError> {
        self.daemon_due = None;
        let (ours, theirs) = seqpacket::pair().map_err(os("making a socket for the daemon"))?;
        let layers = self.core.platform().found_layers();
        let child = start_daemon(
            &self.config.daemon,
            &self.fabric.image,
            &self.fabric.libraries,
            theirs.as_fd(),
            self.console.of_daemon(),
            layers,
            self.core.instance_count(),
        )?;
        watch(&self.epoll, ours.as_fd(), Token::DaemonSocket)?;
        watch(&self.epoll, child.pidfd(), Token::DaemonEnd)?;
        self.daemon = Some(Daemon {
            child,
            socket: ours,
            born: Monotonic::now(),
            exit_due: None,
        });
        if let Stage::Draining(drain) = &self.stage {
            // Its predecessor was told, and it was not. Never 0, which would mean the end.
            let left = drain.until.saturating_duration_since(Monotonic::now());
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            self.core.shutting_down(left.max(1));
        }
        Ok(())
    }

    fn answer_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        self.manager.daemon_lives();
        if answer(&mut self.core, Caller::Daemon, daemon.socket.as_fd()).is_none() {
            if has_hung_up(daemon.socket.as_fd()) {
                daemon.await_end(&self.epoll);
            } else {
                // It broke the protocol: a fresh one may do better. Its end is reported by its pidfd.
                let _ = daemon.child.kill();
            }
        }
    }

    fn daemon_ended(&mut self) {
        let Some(mut daemon) = self.daemon.take() else {
            return;
        };
        let exit = daemon.child.wait().ok();
        if exit == Some(crate::process::jail::Exit::Code(i32::from(EXIT_CANNOT_START))) {
            self.begin_stop(1, Duration::ZERO);
            return;
        }
        self.core.daemon_died();
        let lived = Monotonic::now().saturating_duration_since(daemon.born);
        if lived >= DAEMON_LIVED_LONG {
            self.daemon_backoff = DAEMON_BACKOFF_FIRST;
            self.daemon_due = Some(Monotonic::now());
        } else {
            self.put_off_daemon();
        }
        let how = exit.map_or_else(|| "ended".to_owned(), |exit| format!("ended with {exit}"));
        tell!(Warning: "the daemon {how}; it is being replaced, records keep flowing");
    }

    /// Starts the next daemon after a wait, and the one after it after a longer one.
    fn put_off_daemon(&mut self) {
        self.daemon_due = Some(Monotonic::now().after(self.daemon_backoff));
        self.daemon_backoff = (self.daemon_backoff * 2).min(DAEMON_BACKOFF_MAX);
    }

    /// Trustlets that are given up at some time, and when: for not reading what they are sent, or for never
    /// being ready.
    fn deadlines(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_ {
        let machine = self.core.platform();
        let starting = machine
            .births()
            .filter(|&(process, _)| self.core.is_starting(process))
            .map(|(process, born)| (process, born.after(self.config.start_patience)));
        let hung_up = self
            .hung_up
            .iter()
            .map(|(process, deadline)| (*process, *deadline));
        machine.slow_readers().chain(starting).chain(hung_up)
    }

    /// Ends trustlets that are given up, and a daemon that does not end by itself.
    fn end_overdue(&mut self) {
        let now = Monotonic::now();
        if let Some(daemon) = &mut self.daemon
            && daemon.exit_due.is_some_and(|due| due <= now)
        {
            let _ = daemon.child.kill();
            daemon.exit_due = Some(now.after(DAEMON_EXIT_PATIENCE));
        }
        let overdue: Vec<_> = self
            .deadlines()
            .filter(|&(_, deadline)| deadline <= now)
            .collect();
        for (process, _) in overdue {
            let has_hung_up = self.hung_up.remove(&process).is_some();
            if self.core.is_starting(process) && !has_hung_up {
                let patience_s = self.config.start_patience.as_secs();
                let name = self
                    .core
                    .name_of(process)
                    .unwrap_or_else(|| "a trustlet".to_owned());
                tell!(Warning: "{name} did not serve within {patience_s} s of its start; it is being ended");
            }
            self.core.end(process);
        }
    }

    /// Watches processes that calls have started. One that cannot be watched does not stay.
    fn adopt_newborn(&mut self) {
        for process in self.core.platform_mut().take_newborn() {
            if let Some(whom) = self.core.whom(process) {
                self.untold.is_told(&whom);
            }
            let Some(found) = self.core.platform_mut().process_mut(process) else {
                continue;
            };
            let writable = found.has_backlog();
            let flags = if writable {
                epoll::EventFlags::IN | epoll::EventFlags::OUT
            } else {
                epoll::EventFlags::IN
            };
            let channel = epoll::EventData::new_u64(Token::Channel(process).pack());
            let watched = epoll::add(&self.epoll, found.channel(), channel, flags)
                .map_err(os("watching a trustlet"))
                .and_then(|()| watch(&self.epoll, found.pidfd(), Token::ProcessEnd(process)));
            if let Err(error) = watched {
                tell!(Warning: "{error}");
                if let Some(exit) = found.end() {
                    self.core.died(process, exit);
                    self.core.platform_mut().forget(process);
                }
            } else if let Some(shares) = &self.shares {
                shares.adopt(&self.core, process);
            }
        }
    }

    fn read_channel(&mut self, process: ProcessId) {
        let Some(found) = self.core.platform_mut().process_mut(process) else {
            return;
        };
        let flushed = found.flush();
        if !found.has_backlog() {
            let data = epoll::EventData::new_u64(Token::Channel(process).pack());
            // Fails for a channel that is gone, whose process is about to be reaped.
            let _ = epoll::modify(&self.epoll, found.channel(), data, epoll::EventFlags::IN);
        }
        // One byte more than may be shows a message that is too long.
        let mut buffer = [0; size_of::<MessageHeader>() + SAID_MAX_BYTES + 1];
        let message = seqpacket::receive(found.channel(), &mut buffer, RecvFlags::DONTWAIT);
        let good = match message {
            Err(Errno::AGAIN) => flushed.is_ok(),
            Ok(Some((len, descriptors))) => {
                let said = buffer
                    .get(..len)
                    .and_then(|bytes| MessageHeader::read_from_prefix(bytes).ok());
                descriptors.is_empty() && said.is_some_and(|(header, text)| self.hear(process, &header, text))
            }
            Ok(None) | Err(_) => {
                let deadline = Monotonic::now().after(HANG_UP_PATIENCE);
                self.hung_up.entry(process).or_insert(deadline);
                let _ = epoll::delete(&self.epoll, found.channel());
                return;
            }
        };
        if !good {
            // It said something that a trustlet has no business to say.
            self.core.end(process);
            if let Some(found) = self.core.platform_mut().process_mut(process) {
                let _ = epoll::delete(&self.epoll, found.channel());
            }
        }
    }

    /// Takes what a trustlet says; `false` if it has no business to say that.
    fn hear(&mut self, process: ProcessId, header: &MessageHeader, text: &[u8]) -> bool {
        if usize::try_from(header.count) != Ok(text.len()) || text.len() > SAID_MAX_BYTES {
            return false;
        }
        match header.kind {
            kind::READY => text.is_empty() && self.core.ready(process),
            answer @ (kind::TLS_TAKEN | kind::TLS_REFUSED) => {
                let taken = answer == kind::TLS_TAKEN;
                let gateway = self.core.tls_answered(process, taken);
                gateway.is_some_and(|gateway| self.renewals.answered(&self.core, gateway, taken, text))
            }
            kind::DRAINED => match (&mut self.stage, Drained::read_from_bytes(text)) {
                (Stage::Draining(drain), Ok(drained)) => drain.drained(process, &drained),
                _ => false,
            },
            _ => false,
        }
    }

    fn process_ended(&mut self, process: ProcessId) {
        let Some(found) = self.core.platform_mut().process_mut(process) else {
            return;
        };
        let Some(exit) = found.reap() else { return };
        self.hung_up.remove(&process);
        let mut is_expected = false;
        if let Stage::Draining(drain) = &mut self.stage {
            drain.ended(process);
            is_expected = self.core.is_gateway(process);
        }
        if let Some(whom) = self.core.whom(process).filter(|_| !is_expected) {
            self.untold.note(whom, exit);
        }
        self.core.died(process, exit);
        self.core.platform_mut().forget(process);
    }

    /// Passes on what has happened.
    fn tell_daemon(&mut self) {
        let Some(daemon) = &mut self.daemon else { return };
        if daemon.exit_due.is_some() {
            return;
        }
        while let Some(event) = self.core.next_event() {
            let sent = seqpacket::send(&daemon.socket, &event.encode(), &[], SendFlags::DONTWAIT);
            match sent {
                Ok(_) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => return daemon.await_end(&self.epoll),
                // It does not read; a fresh one will read the tables instead.
                Err(_) => {
                    let _ = daemon.child.kill();
                    return;
                }
            }
        }
    }

    /// Tells of deaths where there is no daemon to do so.
    fn tell_deaths(&mut self) {
        if self
            .daemon
            .as_ref()
            .is_none_or(|daemon| daemon.exit_due.is_some())
        {
            self.untold.tell();
        }
    }

    /// Whether it is over; starts a daemon and a scribe that are due.
    fn has_ended(&mut self) -> Result<bool, ServiceError> {
        let now = Monotonic::now();
        if self.console.due().is_some_and(|due| due <= now) && self.start_scribe().is_err() {
            // Whoever would say so is what is missing.
            self.console.put_off_scribe();
        }
        match self.stage {
            Stage::Running => {
                self.replace_daemon_if_due(now);
                Ok(false)
            }
            Stage::Draining(ref drain) if drain.until > now && self.core.has_live_gateway() => {
                self.replace_daemon_if_due(now);
                Ok(false)
            }
            Stage::Draining(_) => {
                // Nothing is replaced from here on.
                self.core.shutting_down(0);
                self.tell_daemon();
                self.stop_everything();
                self.say_drained();
                Ok(true)
            }
        }
    }

    fn replace_daemon_if_due(&mut self, now: Monotonic) {
        if self.daemon_due.is_some_and(|due| due <= now)
            && let Err(error) = self.start_daemon()
        {
            // Requests flow without it, so whatever is short now may not end the service.
            tell!(Warning: "the daemon cannot be replaced yet: {error}");
            self.put_off_daemon();
        }
    }

    /// Says what became of requests, and lets the exit code tell whether all were answered.
    fn say_drained(&mut self) {
        let Stage::Draining(drain) = &mut self.stage else {
            return;
        };
        let (line, whole) = drain.finish();
        if let Some(line) = line.filter(|_| !(whole && self.config.quiet_drain)) {
            self.manager.status(&line);
            tell!(Info: "{line}");
        }
        if !whole && self.exit_code == 0 {
            self.exit_code = EXIT_CUT;
        }
    }

    fn stop_everything(&mut self) {
        self.core.platform_mut().kill_all();
        if let Some(mut loader) = self.loader.take() {
            loader.kill();
        }
        // A child kills and reaps when dropped; waiting here keeps the time bounded and the processes
        // parallel.
        let until = Monotonic::now().after(REAP_PATIENCE);
        while self.core.platform().live_count() > 0 && Monotonic::now() < until {
            let mut events = [epoll::Event {
                flags: epoll::EventFlags::empty(),
                data: epoll::EventData::new_u64(0),
            }; 64];
            let patience = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let ready = epoll::wait(&self.epoll, &mut events[..], Some(&patience)).unwrap_or(0);
            for event in events.iter().take(ready) {
                if let Token::ProcessEnd(process) = Token::unpack(event.data.u64()) {
                    self.process_ended(process);
                } else if let Token::Channel(process) = Token::unpack(event.data.u64())
                    && let Some(found) = self.core.platform_mut().process_mut(process)
                {
                    let _ = epoll::delete(&self.epoll, found.channel());
                }
            }
        }
        if let Some(daemon) = self.daemon.take() {
            daemon.finish();
        }
        self.sockets.iter().for_each(SocketFile::remove);
    }
}

/// Whether the other end of a socket is closed.
fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&socket, PollFlags::IN)];
    let now = Timespec::default();
    poll(&mut polled, Some(&now)).is_ok()
        && polled
            .iter()
            .any(|polled| polled.revents().intersects(PollFlags::HUP | PollFlags::ERR))
}

fn watch(epoll: &OwnedFd, fd: BorrowedFd<'_>, token: Token) -> Result<(), ServiceError> {
    let data = epoll::EventData::new_u64(token.pack());
    epoll::add(epoll, fd, data, epoll::EventFlags::IN).map_err(os("watching a descriptor"))
}

/// Answers one message of `caller`: `None` if it has closed its end or cannot be answered, `Some(false)` if
/// there was none.
fn answer(core: &mut Core<Machine>, caller: Caller, socket: BorrowedFd<'_>) -> Option<bool> {
    let mut buffer = vec![0; MESSAGE_MAX_BYTES + 1];
    let (len, files) = match seqpacket::receive(socket, &mut buffer, RecvFlags::DONTWAIT) {
        Err(Errno::AGAIN) => return Some(false),
        Ok(Some(received)) => received,
        Ok(None) | Err(_) => return None,
    };
    let reply = core.call(caller, buffer.get(..len)?, files);
    let descriptors: Vec<BorrowedFd<'_>> = reply
        .descriptors
        .iter()
        .map(|descriptor| match descriptor {
            ReplyDescriptor::Region(region) => region.read_only(),
            ReplyDescriptor::Log(log) => log.as_fd(),
            ReplyDescriptor::File(file) => file.as_fd(),
            ReplyDescriptor::Doorbell(doorbell) => doorbell.own(),
        })
        .collect();
    seqpacket::send(socket, &reply.bytes, &descriptors, SendFlags::DONTWAIT)
        .ok()
        .map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_epoll() {
        let processes = [0, 1, 77].map(ProcessId);
        let tokens = [
            Token::Signals,
            Token::LoaderSocket,
            Token::LoaderEnd,
            Token::DaemonSocket,
            Token::DaemonEnd,
            Token::ScribeEnd,
        ]
        .into_iter()
        .chain(processes.map(Token::Channel))
        .chain(processes.map(Token::ProcessEnd));
        for token in tokens {
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
