//! What the monitor's event loop needs of a platform besides what its core does ([`crate::platform`]):
//! trustlets that it can wait for, processes of its own, shares of the processors. A platform is a folder
//! that implements both traits; [`crate::chosen`] says which one this build runs on.

use crate::core::{Core, Exit};
use crate::ids::ProcessId;
use crate::linux::loaded::LoadedLibrary;
use crate::platform::{Platform, PlatformError};
use core::fmt;
use hacher_libos_net::clock::Monotonic;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::ffi::OsStr;

/// A platform with an event loop around it.
pub trait Machine: Platform<File = OwnedFd, Log = OwnedFd> {
    /// Measures programs as this platform does, and starts nothing.
    type Scales: Platform<File = OwnedFd> + Default;
    /// What a trustlet is to the event loop.
    type Trustlet: Trustlet;
    /// A process of the service itself.
    type OwnProcess: OwnProcess;
    /// How chains share the processors.
    type Shares: Shares<Self>;

    /// What is missing for a service to get as far as its loader, in words; `fabric_bytes` is the length of
    /// the executable that loader and daemon are.
    fn shortfall(fabric_bytes: u64) -> Option<String>;

    /// Sets this process's own limits: none of its memory is dumped, and its children may have what the
    /// machine allows.
    ///
    /// # Errors
    /// What the machine says.
    fn set_own_limits() -> Result<(), PlatformError>;

    /// Finds out what the machine can enforce, and what vouches for it.
    ///
    /// # Errors
    /// When there is no randomness.
    fn find() -> Result<Self, PlatformError>;

    /// Why it cannot be said what this machine enforces, if that is so.
    fn untried(&self) -> Option<String>;

    /// Why each trustlet has copies of libraries and files of its own, if it has.
    fn unshared_because(&self) -> Option<&str>;

    /// Copies and measures an executable of the service itself, with the libraries that it needs to start.
    ///
    /// # Errors
    /// When one of them cannot be read or kept.
    fn own_program(
        &mut self,
        name: &str,
        executable: BorrowedFd<'_>,
        libraries: &[LoadedLibrary],
    ) -> Result<OwnProgram<Self>, PlatformError>;

    /// Starts a process of the service itself, which may do nothing but use what it is given.
    ///
    /// # Errors
    /// When it cannot be started; then nothing of it is left.
    fn start_own(
        &self,
        program: &OwnProgram<Self>,
        launch: &OwnLaunch<'_>,
    ) -> Result<Self::OwnProcess, PlatformError>;

    /// A region, to be read by whoever gets this.
    fn region_to_read(region: &Self::Region) -> BorrowedFd<'_>;

    /// The end of a doorbell that its owner sleeps on.
    fn own_doorbell(doorbell: &Self::Doorbell) -> BorrowedFd<'_>;

    /// A live trustlet.
    fn trustlet_mut(&mut self, process: ProcessId) -> Option<&mut Self::Trustlet>;

    /// Those started since the last call.
    fn take_newborn(&mut self) -> Vec<ProcessId>;

    /// Forgets one that was reaped.
    fn forget(&mut self, process: ProcessId);

    /// How many are alive.
    fn live_count(&self) -> usize;

    /// Ends all of them.
    fn kill_all(&mut self);

    /// Those that are to be given up at some time for not reading what they are sent, and when.
    fn slow_readers(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_;

    /// When each live one was started.
    fn births(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_;
}

/// A trustlet, as the event loop waits for it.
pub trait Trustlet {
    /// Its private channel.
    fn channel(&self) -> BorrowedFd<'_>;

    /// Readable once it has ended.
    fn ended(&self) -> BorrowedFd<'_>;

    /// Whether it has messages to read that did not fit into its channel.
    fn has_backlog(&self) -> bool;

    /// Sends what waits, as far as it fits.
    ///
    /// # Errors
    /// When it is gone.
    fn flush(&mut self) -> Result<(), PlatformError>;

    /// Readable when calls wait to be refused; `None` if nobody has to refuse any.
    fn refusals(&self) -> Option<BorrowedFd<'_>>;

    /// Refuses the call that has waited longest; `None` if there will be no more.
    fn refuse_next(&mut self) -> Option<Refused>;

    /// Ends it and waits until it is gone, which is soon.
    fn end(&mut self) -> Option<Exit>;

    /// Reaps it if it has ended: how, and how long it lived.
    fn reap(&mut self) -> Option<Exit>;
}

/// What became of a call that waited to be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused {
    /// Its number; `None` if its process was gone before the answer.
    pub number: Option<u64>,
    /// When the next one may be answered; `None`: at once.
    pub resumes: Option<Monotonic>,
}

/// An executable of the service itself, measured.
pub struct OwnProgram<M: Machine> {
    /// What runs.
    pub image: M::Image,
    /// What it links.
    pub libraries: Vec<M::Library>,
}

/// What a process of the service is started with.
#[derive(Debug, Clone, Copy)]
pub struct OwnLaunch<'a> {
    /// For messages.
    pub name: &'a str,
    /// Its `argv[0]`, and its further arguments.
    pub arguments: (&'a OsStr, &'a [&'a OsStr]),
    /// Memory of its own.
    pub memory_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// Descriptors, where the machine allows as many, and how few it can work with.
    pub descriptors: (u32, u32),
    /// Its standard output and error; `None`: nobody reads them.
    pub outputs: Option<[BorrowedFd<'a>; 2]>,
    /// Its channel to the monitor.
    pub channel: BorrowedFd<'a>,
}

/// A process of the service itself. Dropping it ends it.
pub trait OwnProcess {
    /// Readable once it has ended.
    fn ended(&self) -> BorrowedFd<'_>;

    /// Ends it. It is not gone yet when this returns.
    fn kill(&self);

    /// Waits for its end, and says how it ended, if that is known.
    fn wait(&mut self) -> Option<OwnExit>;

    /// Ends it, and waits some seconds at most until it is gone.
    fn end(&mut self);
}

/// How a process of the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnExit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for OwnExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How chains share the processors.
pub trait Shares<M: Machine>: Sized {
    /// Before anybody is started, who would be left without a share. The machine has what it starts share
    /// from then on.
    fn divide(machine: &mut M) -> Self;

    /// All chains are loaded.
    fn begin(&mut self, core: &Core<M>);

    /// When [`Shares::look_if_due`] has something to do.
    fn due(&self) -> Option<Monotonic>;

    /// Looks who takes how much, if it is time.
    fn look_if_due(&mut self, core: &Core<M>);
}
