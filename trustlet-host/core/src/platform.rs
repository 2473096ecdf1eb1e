//! What the monitor's core needs from the machine, and nothing more. The core does no I/O: under the process
//! platform these become memfds and processes, under tests they become entries of a table.

use crate::ids::ProcessId;
use alloc::string::String;
use alloc::vec::Vec;
use hacher_data_path::attach::message::ZeroizingMessage;
use hacher_evidence::{Kind, REPORT_DATA_BYTES};
use zeroize::Zeroizing;

pub use hacher_evidence::{MEASUREMENT_BYTES, Measurement};

/// The machine could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlatformError {
    /// The descriptor is not what it should be, or holds something else.
    #[error("{0}")]
    Unsuitable(String),
    /// The machine refused.
    #[error("{what}: {why}")]
    Refused {
        /// What was tried.
        what: &'static str,
        /// What the machine said.
        why: String,
        /// Whether trying again later can help.
        is_transient: bool,
    },
    /// The platform does not run anything.
    #[error("this platform measures and runs nothing")]
    MeasuresOnly,
}

impl PlatformError {
    /// Whether trying again later can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Refused { is_transient, .. } => *is_transient,
            Self::Unsuitable(_) | Self::MeasuresOnly => false,
        }
    }
}

/// One layer of isolation, and whether this machine enforces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerStatus {
    /// Its name, at most 63 bytes.
    pub name: String,
    /// Why it is missing; `None` if it is enforced.
    pub missing_because: Option<String>,
}

/// What a trustlet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrustletRole {
    /// Runs a function on the records that are routed to it.
    Function,
    /// Speaks HTTP on the listening socket.
    Gateway,
}

/// Which system calls a function has, with its word in chain files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SystemCalls {
    /// `native`: one process that computes, with files and threads of its own.
    #[default]
    Native,
    /// `program`: it also starts programs, which talk to each other by sockets.
    Program {
        /// Whether memory that was written can become code.
        jit: bool,
    },
}

impl SystemCalls {
    /// The number on the wire and in digests.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Native => 0,
            Self::Program { jit: false } => 1,
            Self::Program { jit: true } => 2,
        }
    }

    /// The one with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Native),
            1 => Some(Self::Program { jit: false }),
            2 => Some(Self::Program { jit: true }),
            _ => None,
        }
    }
}

/// What one process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Memory of its own.
    pub memory_bytes: u64,
    /// Room in its scratch folder.
    pub scratch_bytes: u64,
    /// Threads.
    pub threads: u32,
    /// Descriptors that its attachments bring.
    pub descriptors: u32,
}

/// A file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredFile {
    /// Whether somebody may execute it.
    pub executable: bool,
    /// Bytes.
    pub len_bytes: u64,
    /// SHA-384 of the bytes.
    pub measurement: Measurement,
}

/// A process to start.
pub struct Launch<'a, P: Platform> {
    /// Its number, never used before.
    pub process: ProcessId,
    /// What it is.
    pub role: TrustletRole,
    /// The chain's name; empty for a gateway that is shared.
    pub chain: &'a str,
    /// The function's name; `gateway` for the gateway.
    pub function: &'a str,
    /// What it executes.
    pub image: &'a P::Image,
    /// What that links.
    pub libraries: &'a [P::Library],
    /// What it finds besides.
    pub files: &'a P::Files,
    /// Its arguments, after its name.
    pub arguments: &'a [String],
    /// Names and values of its environment.
    pub environment: &'a [(String, String)],
    /// Which system calls it has.
    pub system_calls: SystemCalls,
    /// What it may use.
    pub limits: Limits,
    /// Whether its standard output and error are forwarded.
    pub forward_logs: bool,
    /// The CPU that it runs on; `None` for any.
    pub cpu: Option<u32>,
    /// Whether it lets whoever wakes it finish first: on a core with many others, taking it away from the
    /// one that rang only adds a switch.
    pub patient: bool,
    /// Its number among the instances of its function.
    pub ordinal: u32,
    /// Bytes of the regions that it writes and of those that it reads, which its instance keeps from one
    /// process to the next.
    pub regions_bytes: u64,
}

/// A descriptor that goes to a trustlet beside a message.
pub enum Grant<'a, P: Platform> {
    /// The region, to write: for its owner alone (I1).
    ReadWrite(&'a P::Region),
    /// The region, to read.
    ReadOnly(&'a P::Region),
    /// The doorbell, to ring.
    Doorbell(&'a P::Doorbell),
    /// The end of the doorbell that its owner sleeps on: for that one alone.
    OwnDoorbell(&'a P::Doorbell),
    /// A socket or file that the loader gave.
    File(&'a P::File),
}

impl<P: Platform> Clone for Grant<'_, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P: Platform> Copy for Grant<'_, P> {}

/// What a started process left with the monitor.
pub struct Spawned<P: Platform> {
    /// The reading end of its standard output and error, if they are forwarded.
    pub log: Option<P::Log>,
}

/// What vouches for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlatformReport {
    /// What kind of evidence it makes.
    pub kind: Kind,
    /// The report.
    pub report: Vec<u8>,
    /// A certificate table; empty if there is none.
    pub certificates: Vec<u8>,
    /// The manifest of the SVSM's services, of [`Kind::SnpSvsm`].
    pub service: Vec<u8>,
}

impl PlatformReport {
    /// One that a root without hardware signed.
    #[must_use]
    pub const fn emulated(report: Vec<u8>) -> Self {
        Self {
            kind: Kind::Emulated,
            report,
            certificates: Vec::new(),
            service: Vec::new(),
        }
    }
}

/// Who wants a report. Each has its turn at a device that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Asker {
    /// The loader, for key brokers.
    Loader,
    /// The daemon.
    Daemon,
    /// A gateway.
    Process(ProcessId),
}

/// The machine, as the core sees it.
pub trait Platform: Sized {
    /// A descriptor that came beside a call.
    type File;
    /// A measured executable. What runs is what was measured.
    type Image;
    /// A measured library.
    type Library;
    /// The files that a function finds: one tree, which nobody writes once it is begun to be used.
    type Files: Default;
    /// Shared memory with one writer.
    type Region;
    /// What wakes an instance.
    type Doorbell;
    /// The reading end of a process's output.
    type Log;

    /// Its name, part of the chain digest and of every report.
    fn backend(&self) -> &'static str;

    /// Whether hardware (SEV-SNP) keeps the guest's operating system from trustlets. Where it does not, every
    /// manifest says so, whoever vouches for it.
    fn is_snp(&self) -> bool;

    /// The layers of isolation on this machine.
    fn layers(&self) -> Vec<LayerStatus>;

    /// Whether every layer holds, so that a process reaches no memory but what it was given: what a mapped
    /// edge of the gateway relies on.
    fn keeps_apart(&self) -> bool {
        self.layers().iter().all(|layer| layer.missing_because.is_none())
    }

    /// Whether functions can have these system calls here.
    ///
    /// # Errors
    /// Says what is missing.
    fn admits(&self, calls: SystemCalls) -> Result<(), PlatformError>;

    /// Fills `bytes` from the system's random number generator.
    ///
    /// # Errors
    /// When the generator fails.
    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError>;

    /// Reads and measures an executable. `name` is for people who look at the process.
    ///
    /// # Errors
    /// When it cannot be read or is too long.
    fn load_image(&mut self, name: &str, file: Self::File) -> Result<Self::Image, PlatformError>;

    /// The measurement of an executable.
    fn image_measurement(image: &Self::Image) -> Measurement;

    /// Reads and measures a library that executables look for at `path`; `interpreter`: it is what loads the
    /// others.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load_library(
        &mut self,
        file: Self::File,
        path: &str,
        interpreter: bool,
    ) -> Result<Self::Library, PlatformError>;

    /// The measurement of a library.
    fn library_measurement(library: &Self::Library) -> Measurement;

    /// Adds a folder to `files`, empty for now. `path` is its place, absolute, with nothing in it but names.
    /// It lies in a folder that was added before, or in none: then it is a root of its own.
    ///
    /// # Errors
    /// When there is no room, or the machine has no place for files.
    fn add_folder(&mut self, files: &mut Self::Files, path: &str) -> Result<(), PlatformError>;

    /// Copies and measures a file of at most `max_bytes`, and adds the copy to `files`, as
    /// [`Platform::add_folder`] does.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file, is longer, or changes meanwhile. Then nothing was added.
    fn add_file(
        &mut self,
        files: &mut Self::Files,
        path: &str,
        file: Self::File,
        max_bytes: u64,
    ) -> Result<MeasuredFile, PlatformError>;

    /// Adds a symbolic link to `files`, in a folder that was added before. Nobody but functions follows it.
    ///
    /// # Errors
    /// As [`Platform::add_folder`].
    fn add_link(&mut self, files: &mut Self::Files, path: &str, target: &str) -> Result<(), PlatformError>;

    /// Reads a secret of at most `max_bytes`.
    ///
    /// # Errors
    /// When it cannot be read or is longer.
    fn read_secret(
        &mut self,
        file: Self::File,
        max_bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PlatformError>;

    /// Whether `file` can be listened on.
    fn is_listener(&self, file: &Self::File) -> bool;

    /// Makes a region of `len_bytes` zeros.
    ///
    /// # Errors
    /// When memory or descriptors are short.
    fn create_region(&mut self, name: &str, len_bytes: usize) -> Result<Self::Region, PlatformError>;

    /// Makes a doorbell.
    ///
    /// # Errors
    /// When descriptors are short.
    fn create_doorbell(&mut self) -> Result<Self::Doorbell, PlatformError>;

    /// Starts a process with a private channel to the monitor.
    ///
    /// # Errors
    /// When it cannot be started; then nothing of it is left.
    fn spawn(&mut self, launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError>;

    /// The system calls that a process of this role keeps after its attachment, as the entries of a
    /// `LOCKDOWN` message; `None` to send none.
    fn lockdown(&self, role: TrustletRole) -> Option<Vec<[u8; 8]>>;

    /// Sends a message on a process's channel, after those sent before. Does not wait.
    ///
    /// # Errors
    /// When the process does not read. One that has ended counts as told: its end is reported.
    fn send(
        &mut self,
        process: ProcessId,
        message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError>;

    /// Ends a process. It is gone when the core is told so.
    fn kill(&mut self, process: ProcessId);

    /// Bytes of private memory that a process has, as its limit counts them; `None` if it is gone, or nobody
    /// knows.
    fn memory_bytes(&self, process: ProcessId) -> Option<u64>;

    /// A report over `data`. Does not wait for a device that takes its time: asked again by the same asker
    /// with the same data, it says what the device has answered meanwhile. With other data, an asker
    /// gives up what it asked before.
    ///
    /// # Errors
    /// Transient as long as the device has not answered, or is busy with what others asked before.
    fn report(
        &mut self,
        asker: Asker,
        data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<PlatformReport, PlatformError>;
}
