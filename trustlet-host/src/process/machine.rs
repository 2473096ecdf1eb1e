//! What the event loop needs of the process platform: trustlets to wait for, and the service's own processes,
//! which are jailed as trustlets are.

use super::failure::{os, unsuitable};
use super::headroom::{Need, raise_soft_limits, shortfall};
use super::jail::{Child, Exit, Limits, Output, Role, Spawn, spawn};
use super::layers::Layers;
use super::limits::forbid_core_dumps;
use super::measured_files::MeasuredFiles;
use super::platform::{ProcessPlatform, SharedRegion};
use super::region::Doorbell;
use super::scales::Scales;
use super::shares::ProcessorShares;
use super::shelf::Shelf;
use super::trustlet::Process;
use crate::ids::ProcessId;
use crate::linux::loaded::LoadedLibrary;
use crate::machine::{Machine, OwnExit, OwnLaunch, OwnProcess, OwnProgram};
use crate::platform::{Asker, PlatformError};
use hacher_libos_net::attach::CHANNEL_FD;
use hacher_libos_net::clock::Monotonic;
use rustix::fd::BorrowedFd;

impl Machine for ProcessPlatform {
    type Scales = Scales;
    type Trustlet = Process;
    type OwnProcess = Child;
    type Shares = ProcessorShares;

    fn shortfall(fabric_bytes: u64) -> Option<String> {
        let mut need = Need::to_start();
        // A monitor of its own is copied for the scribe, and the larger executable besides.
        if fabric_bytes > need.file_bytes {
            need.memory_bytes = need.memory_bytes.saturating_add(fabric_bytes);
            need.file_bytes = fabric_bytes;
        }
        shortfall(&need)
    }

    fn set_own_limits() -> Result<(), PlatformError> {
        // Where a limit of 0 cannot be raised, `doctor` says what that means.
        forbid_core_dumps().map_err(|errno| os("forbidding core dumps")(errno.into()))?;
        raise_soft_limits();
        Ok(())
    }

    fn find() -> Result<Self, PlatformError> {
        let layers = Layers::probe();
        let measured = MeasuredFiles::new(Shelf::new(&layers));
        Self::new(layers, measured)
    }

    fn untried(&self) -> Option<String> {
        self.layers.untried().map(ToString::to_string)
    }

    fn unshared_because(&self) -> Option<&str> {
        self.measured.shelf().unshared_because()
    }

    fn own_program(
        &mut self,
        name: &str,
        executable: BorrowedFd<'_>,
        libraries: &[LoadedLibrary],
    ) -> Result<OwnProgram<Self>, PlatformError> {
        let image = self.measured.image(name, executable);
        let image =
            image.map_err(|error| unsuitable(&format_args!("cannot use the own executable: {error}")))?;
        let libraries = self.measured.loaded_libraries(libraries);
        let libraries =
            libraries.map_err(|error| unsuitable(&format_args!("cannot use an own library: {error}")))?;
        Ok(OwnProgram { image, libraries })
    }

    fn start_own(&self, program: &OwnProgram<Self>, launch: &OwnLaunch<'_>) -> Result<Child, PlatformError> {
        let [stdout, stderr] = launch
            .outputs
            .map_or([Output::Null; 2], |outputs| outputs.map(Output::Fd));
        let (argv0, args) = launch.arguments;
        let (open_files, open_files_min) = launch.descriptors;
        spawn(&Spawn {
            name: launch.name,
            image: &program.image,
            libraries: &program.libraries,
            files: None,
            argv0,
            args,
            env: &[],
            limits: Limits {
                memory_bytes: launch.memory_bytes,
                scratch_bytes: 0,
                threads: launch.threads,
                open_files,
                open_files_min,
            },
            role: Role::Daemon,
            cpu: None,
            patient: false,
            stdout,
            stderr,
            inherit: &[(launch.channel, CHANNEL_FD)],
            layers: &self.layers,
            group: None,
        })
        .map_err(|error| unsuitable(&error))
    }

    fn region_to_read(region: &SharedRegion) -> BorrowedFd<'_> {
        region.read_only()
    }

    fn own_doorbell(doorbell: &Doorbell) -> BorrowedFd<'_> {
        doorbell.own()
    }

    fn trustlet_mut(&mut self, process: ProcessId) -> Option<&mut Process> {
        self.processes.get_mut(&process)
    }

    fn take_newborn(&mut self) -> Vec<ProcessId> {
        core::mem::take(&mut self.newborn)
    }

    fn forget(&mut self, process: ProcessId) {
        self.processes.remove(&process);
        self.reporter.forget(Asker::Process(process));
    }

    fn live_count(&self) -> usize {
        self.processes.len()
    }

    fn kill_all(&mut self) {
        for process in self.processes.values() {
            // Fails for those that have ended already.
            let _ = process.child.kill();
        }
    }

    fn slow_readers(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_ {
        self.processes
            .iter()
            .filter_map(|(&id, process)| Some((id, process.reading_deadline()?)))
    }

    fn births(&self) -> impl Iterator<Item = (ProcessId, Monotonic)> + '_ {
        self.processes.iter().map(|(&id, process)| (id, process.born))
    }
}

impl OwnProcess for Child {
    fn ended(&self) -> BorrowedFd<'_> {
        self.pidfd()
    }

    fn kill(&self) {
        // Fails for one that has ended.
        let _ = Child::kill(self);
    }

    fn wait(&mut self) -> Option<OwnExit> {
        Child::wait(self).ok().map(|exit| match exit {
            Exit::Code(code) => OwnExit::Code(code),
            Exit::Signal(signal) => OwnExit::Signal(signal),
        })
    }

    fn end(&mut self) {
        // Fails for one that was reaped already.
        let _ = Child::end(self);
    }
}
