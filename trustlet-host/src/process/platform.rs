//! The process platform: what the core asks for, carried out with Linux processes, memfds and pipes.

use super::backlog::Backlog;
use super::binding;
use super::control_group::Divided;
use super::copy::CopyError;
use super::failure::{os, unsuitable};
use super::files::{AddedFile, Files, NO_PLACE};
use super::image::Image;
use super::jail::{Bounds, InstanceGroup, Limits, Output, Role, Spawn, no_programs, programs_missing, spawn};
use super::layers::{Layer, Layers};
use super::library::Library;
use super::measured_files::MeasuredFiles;
use super::memory;
use super::region::{Doorbell, Region};
use super::seccomp::lockdown_program;
use super::trustlet::Process;
use crate::evidence::REPORT_DATA_BYTES;
use crate::evidence::emulated::EmulatedRoot;
use crate::ids::ProcessId;
use crate::linux::report::Reporter;
use crate::linux::unhurried::{PATIENCE, asked};
use crate::pace::Pace;
use crate::platform::{
    Asker, Grant, Launch, LayerStatus, MeasuredFile, Measurement, Platform, PlatformError, PlatformReport,
    Spawned, SystemCalls, TrustletRole,
};
use hacher_libos_net::attach::seqpacket;
use hacher_libos_net::attach::{CHANNEL_FD, ZeroizingMessage};
use hacher_libos_net::clock;
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::sockopt::{set_socket_send_buffer_size, socket_acceptconn};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use zeroize::Zeroizing;

/// Its name.
pub const BACKEND: &str = "process";

/// Descriptors that a process has besides those of its attachments: standard ones, channel, event loop,
/// files.
const DESCRIPTORS_OF_ITS_OWN: u32 = 64;
/// A gateway also has a descriptor for each connection.
const DESCRIPTORS_OF_A_GATEWAY: u32 = 2048;
/// Where the machine allows no more: standard ones, the channel, a library that is being loaded, a few of the
/// function's own.
const DESCRIPTORS_OF_ITS_OWN_MIN: u32 = 12;
/// Likewise: standard ones, channel, event loop, listening socket, and some connections.
const DESCRIPTORS_OF_A_GATEWAY_MIN: u32 = 24;
/// Room for attachment messages that a process has not read yet.
const CHANNEL_BYTES: usize = 4 * 1024 * 1024;

/// Memory that the kernel may need for the processes of an instance, beside theirs: buffers of pipes and
/// sockets, descriptors, files. A process has 64 descriptors of its own, and most of them have no buffer.
const KERNEL_BYTES: u64 = 16 * 1024 * 1024;
/// Likewise for each thread, or process: its stack in the kernel, and what describes it.
const KERNEL_BYTES_PER_THREAD: u64 = 64 * 1024;
/// Of what is mapped, the part that page tables take, and as much again where it is mapped sparsely.
const PAGE_TABLES_PER: u64 = 64;

/// A region and its read-only descriptor, opened once.
pub struct SharedRegion {
    region: Region,
    read_only: OwnedFd,
}

impl SharedRegion {
    /// For readers.
    pub fn read_only(&self) -> BorrowedFd<'_> {
        self.read_only.as_fd()
    }
}

/// The machine.
pub struct ProcessPlatform {
    pub(super) layers: Layers,
    pub(super) reporter: Reporter,
    random: SystemRandom,
    pub(super) measured: MeasuredFiles,
    pub(super) processes: BTreeMap<ProcessId, Process>,
    /// Processes started since the event loop last looked.
    pub(super) newborn: Vec<ProcessId>,
    /// Where functions have control groups of their own; else the limits of each process are what bounds it.
    pub(super) groups: Option<Rc<Divided>>,
}

impl ProcessPlatform {
    /// A machine that enforces `layers` and knows what is `measured` already; finds out what vouches for it.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(layers: Layers, measured: MeasuredFiles) -> Result<Self, PlatformError> {
        let random = SystemRandom::new();
        let mut seed = Zeroizing::new([0; 32]);
        random
            .fill(&mut *seed)
            .map_err(|_| unsuitable(&"there is no randomness"))?;
        let root = EmulatedRoot::new(&seed);
        Ok(Self {
            layers,
            reporter: Reporter::find(root),
            random,
            measured,
            processes: BTreeMap::new(),
            newborn: Vec::new(),
            groups: None,
        })
    }

    /// The process of a trustlet, to look at.
    pub(super) fn process(&self, process: ProcessId) -> Option<&Process> {
        self.processes.get(&process)
    }

    /// Without a root of its own a function sees the machine's files, and no others.
    fn check_room_for_files(&self) -> Result<(), PlatformError> {
        if self.layers.has(Layer::MountNamespace) {
            return Ok(());
        }
        Err(PlatformError::Unsuitable(NO_PLACE.to_owned()))
    }

    /// The control group of a function's instance, where functions have such.
    fn group(&self, launch: &Launch<'_, Self>) -> Result<Option<InstanceGroup>, PlatformError> {
        let (TrustletRole::Function, Some(groups)) = (launch.role, &self.groups) else {
            return Ok(None);
        };
        let bounds = bounds_of_instance(launch);
        let group = groups.instance(launch.chain, launch.function, launch.ordinal, bounds);
        group
            .map(Some)
            .map_err(|error| unsuitable(&format_args!("cannot make a control group: {error}")))
    }

    fn start(&mut self, launch: &Launch<'_, Self>) -> Result<(Process, Option<OwnedFd>), PlatformError> {
        let (ours, theirs) = seqpacket::pair().map_err(|errno| os("making a channel")(errno.into()))?;
        set_socket_send_buffer_size(&ours, CHANNEL_BYTES)
            .map_err(|errno| os("sizing a channel")(errno.into()))?;
        // The writing end waits where it is full, as a program expects of its standard output: the daemon
        // always drains it.
        let log = match launch.forward_logs {
            true => Some(
                pipe_with(PipeFlags::CLOEXEC).map_err(|errno| os("making a pipe for logs")(errno.into()))?,
            ),
            false => None,
        };
        let output = log
            .as_ref()
            .map_or(Output::Null, |(_, write)| Output::Fd(write.as_fd()));
        let (own, own_min) = match launch.role {
            TrustletRole::Function => (DESCRIPTORS_OF_ITS_OWN, DESCRIPTORS_OF_ITS_OWN_MIN),
            TrustletRole::Gateway => (DESCRIPTORS_OF_A_GATEWAY, DESCRIPTORS_OF_A_GATEWAY_MIN),
        };
        let role = match (launch.role, launch.system_calls) {
            (TrustletRole::Gateway, _) => Role::Gateway,
            (TrustletRole::Function, SystemCalls::Native) => Role::Function,
            (TrustletRole::Function, SystemCalls::Program { jit }) => Role::Program { jit },
        };
        let environment: Vec<(&OsStr, &OsStr)> = launch
            .environment
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        let given: Vec<&OsStr> = launch.arguments.iter().map(AsRef::as_ref).collect();
        let args: &[&OsStr] = match (launch.role, launch.chain) {
            (TrustletRole::Gateway, chain) if !chain.is_empty() => &[chain.as_ref()],
            _ => &given,
        };
        launch
            .files
            .seal()
            .map_err(|errno| os("closing files for writing")(errno.into()))?;
        let name = match launch.chain {
            "" => launch.function.to_owned(),
            chain => format!("{chain}/{}", launch.function),
        };
        let cpu = launch.cpu.and_then(|cpu| usize::try_from(cpu).ok());
        let group = self.group(launch)?;
        let child = spawn(&Spawn {
            name: &name,
            image: launch.image,
            libraries: launch.libraries,
            files: Some(launch.files),
            argv0: launch.function.as_ref(),
            // Whose gateway it is, for whoever looks at the processes.
            args,
            env: &environment,
            limits: Limits {
                memory_bytes: launch.limits.memory_bytes,
                scratch_bytes: launch.limits.scratch_bytes,
                threads: launch.limits.threads,
                open_files: launch.limits.descriptors.saturating_add(own),
                open_files_min: launch.limits.descriptors.saturating_add(own_min),
            },
            role,
            cpu,
            patient: launch.patient,
            stdout: output,
            stderr: output,
            inherit: &[(theirs.as_fd(), CHANNEL_FD)],
            layers: &self.layers,
            group: group.as_ref(),
        })
        .map_err(|error| unsuitable(&error))?;
        let process = Process {
            child,
            channel: ours,
            born: clock::now(),
            backlog: Backlog::default(),
            pace: Pace::of_one(),
            cpu,
            patient: launch.patient,
        };
        Ok((process, log.map(|(read, _)| read)))
    }
}

impl Platform for ProcessPlatform {
    type File = OwnedFd;
    type Image = Rc<Image>;
    type Library = Library;
    type Files = Files;
    type Region = SharedRegion;
    type Doorbell = Doorbell;
    type Log = OwnedFd;

    fn backend(&self) -> &'static str {
        BACKEND
    }

    fn is_snp(&self) -> bool {
        false
    }

    fn layers(&self) -> Vec<LayerStatus> {
        layer_statuses(&self.layers)
    }

    fn admits(&self, calls: SystemCalls) -> Result<(), PlatformError> {
        match (calls, programs_missing(&self.layers)) {
            (SystemCalls::Program { .. }, Some(missing)) => Err(unsuitable(&no_programs(missing))),
            _ => Ok(()),
        }
    }

    fn random(&mut self, bytes: &mut [u8]) -> Result<(), PlatformError> {
        self.random
            .fill(bytes)
            .map_err(|_| unsuitable(&"the random number generator failed"))
    }

    fn load_image(&mut self, name: &str, file: Self::File) -> Result<Self::Image, PlatformError> {
        self.measured
            .image(name, file.as_fd())
            .map_err(|error| not_taken(file, &error))
    }

    fn image_measurement(image: &Self::Image) -> Measurement {
        *image.measurement()
    }

    fn load_library(
        &mut self,
        file: Self::File,
        path: &str,
        interpreter: bool,
    ) -> Result<Self::Library, PlatformError> {
        self.measured
            .library(Path::new(path), file.as_fd(), interpreter)
            .map_err(|error| not_taken(file, &error))
    }

    fn library_measurement(library: &Self::Library) -> Measurement {
        *library.measurement()
    }

    fn add_folder(&mut self, files: &mut Files, path: &str) -> Result<(), PlatformError> {
        self.check_room_for_files()?;
        self.measured
            .add_folder(files, Path::new(path))
            .map_err(|error| unsuitable(&error))
    }

    fn add_file(
        &mut self,
        files: &mut Files,
        path: &str,
        file: Self::File,
        max_bytes: u64,
    ) -> Result<MeasuredFile, PlatformError> {
        self.check_room_for_files()?;
        let added = self
            .measured
            .add_file(files, Path::new(path), file.as_fd(), max_bytes);
        added.map(measured).map_err(|error| not_taken(file, &error))
    }

    fn add_link(&mut self, files: &mut Files, path: &str, target: &str) -> Result<(), PlatformError> {
        self.check_room_for_files()?;
        self.measured
            .add_link(files, Path::new(path), target)
            .map_err(|error| unsuitable(&error))
    }

    fn read_secret(
        &mut self,
        file: Self::File,
        max_bytes: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
        asked(PATIENCE, move |_| secret_in(File::from(file), max_bytes))
            .map_err(|error| unsuitable(&CopyError::unanswered(error)))?
    }

    fn is_listener(&self, file: &Self::File) -> bool {
        socket_acceptconn(file).unwrap_or(false)
    }

    fn create_region(&mut self, name: &str, len_bytes: usize) -> Result<Self::Region, PlatformError> {
        let region = Region::create(name, len_bytes as u64).map_err(os("making a region"))?;
        let read_only = region.read_only().map_err(os("opening a region for reading"))?;
        Ok(SharedRegion { region, read_only })
    }

    fn create_doorbell(&mut self) -> Result<Self::Doorbell, PlatformError> {
        Doorbell::create().map_err(os("making a doorbell"))
    }

    fn spawn(&mut self, launch: Launch<'_, Self>) -> Result<Spawned<Self>, PlatformError> {
        let (process, log) = self.start(&launch)?;
        self.processes.insert(launch.process, process);
        self.newborn.push(launch.process);
        Ok(Spawned { log })
    }

    fn lockdown(&self, role: TrustletRole) -> Option<Vec<[u8; 8]>> {
        // A gateway's libraries are all loaded when it starts, as a function's are.
        let role = match role {
            TrustletRole::Function => Role::Function,
            TrustletRole::Gateway => Role::Gateway,
        };
        let program = lockdown_program(role).ok()?;
        Some(
            program
                .chunks_exact(8)
                .filter_map(|filter| filter.try_into().ok())
                .collect(),
        )
    }

    fn send(
        &mut self,
        process: ProcessId,
        message: ZeroizingMessage,
        grants: &[Grant<'_, Self>],
    ) -> Result<(), PlatformError> {
        let gone = || unsuitable(&"the process is gone");
        let process = self.processes.get_mut(&process).ok_or_else(gone)?;
        // One that may change how its descriptors block gets ends to ring that nobody else has.
        let own_ends: Vec<Option<OwnedFd>> = grants
            .iter()
            .map(|grant| match grant {
                Grant::Doorbell(doorbell) if process.child.refusals().is_some() => {
                    doorbell.ringing_apart().map(Some)
                }
                _ => Ok(None),
            })
            .collect::<Result<_, _>>()
            .map_err(os("opening a doorbell"))?;
        let descriptors: Vec<BorrowedFd<'_>> = grants
            .iter()
            .zip(&own_ends)
            .map(|(grant, own_end)| match (grant, own_end) {
                (_, Some(own_end)) => own_end.as_fd(),
                (Grant::ReadWrite(region), None) => region.region.as_fd(),
                (Grant::ReadOnly(region), None) => region.read_only.as_fd(),
                (Grant::Doorbell(doorbell), None) => doorbell.ringing(),
                (Grant::OwnDoorbell(doorbell), None) => doorbell.own(),
                (Grant::File(file), None) => file.as_fd(),
            })
            .collect();
        match process
            .backlog
            .send(&process.channel, message, &descriptors, clock::now())
        {
            // It has ended already. How is about to be reported, and says more than that it does not listen.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(errno) => Err(os("sending an attachment")(errno.into())),
        }
    }

    fn kill(&mut self, process: ProcessId) {
        if let Some(process) = self.processes.get_mut(&process) {
            // Fails for one that has ended already.
            let _ = process.child.kill();
            process.backlog.clear();
        }
    }

    fn memory_bytes(&self, process: ProcessId) -> Option<u64> {
        let child = &self.processes.get(&process)?.child;
        // Of one with programs, what all of them have together.
        let programs = child.refusals().and_then(|_| child.group()?.memory_bytes());
        programs.or_else(|| memory::private_bytes(child.pid()))
    }

    fn report(
        &mut self,
        asker: Asker,
        data: &[u8; REPORT_DATA_BYTES],
    ) -> Result<PlatformReport, PlatformError> {
        self.reporter.report(asker, data)
    }
}

/// What the processes of an instance may have together: what its function may have, what its regions and
/// folders hold, and what the kernel needs for them.
fn bounds_of_instance(launch: &Launch<'_, ProcessPlatform>) -> Bounds {
    let limits = &launch.limits;
    let copies = binding::copied_bytes(launch.libraries, Some(launch.files));
    let theirs = [limits.scratch_bytes, launch.regions_bytes, copies];
    let theirs = theirs.into_iter().fold(limits.memory_bytes, u64::saturating_add);
    let kernel = KERNEL_BYTES + KERNEL_BYTES_PER_THREAD * u64::from(limits.threads);
    Bounds {
        memory_bytes: theirs
            .saturating_add(theirs / PAGE_TABLES_PER)
            .saturating_add(kernel),
        threads: limits.threads,
    }
}

/// What was added, as the core keeps it.
pub(super) fn measured(added: AddedFile) -> MeasuredFile {
    MeasuredFile {
        executable: added.executable,
        len_bytes: added.len_bytes,
        measurement: added.measurement,
    }
}

/// What each layer is on this machine, for reports.
fn layer_statuses(layers: &Layers) -> Vec<LayerStatus> {
    Layer::ALL
        .into_iter()
        .map(|layer| LayerStatus {
            name: layer.to_string(),
            missing_because: layers
                .missing()
                .iter()
                .find(|missing| missing.layer == layer)
                .map(|missing| missing.reason.clone()),
        })
        .collect()
}

/// Why a file could not be taken. One whose file system does not answer is not closed: that may wait as well
/// (FUSE), and a start that fails leaves it soon.
fn not_taken(file: OwnedFd, error: &(dyn core::error::Error + 'static)) -> PlatformError {
    let mut causes = core::iter::successors(Some(error), |error| error.source());
    if causes.any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(CopyError::Unanswered | CopyError::Stopped)
        )
    }) {
        core::mem::forget(file);
    }
    unsuitable(&error)
}

/// Reads a secret, which is wiped when dropped.
fn secret_in(file: File, max_bytes: usize) -> Result<Zeroizing<Vec<u8>>, PlatformError> {
    // A pipe or a device might make the monitor wait.
    if !file.metadata().map_err(os("looking at a secret"))?.is_file() {
        let text = "a secret is read from a regular file".to_owned();
        return Err(PlatformError::Unsuitable(text));
    }
    // Room for one byte more than may be, so that the buffer never moves and leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(max_bytes + 1));
    let limit = u64::try_from(max_bytes + 1).unwrap_or(u64::MAX);
    file.take(limit)
        .read_to_end(&mut bytes)
        .map_err(os("reading a secret"))?;
    if bytes.len() > max_bytes {
        return Err(PlatformError::Unsuitable(format!(
            "a secret has at most {max_bytes} bytes"
        )));
    }
    Ok(bytes)
}
